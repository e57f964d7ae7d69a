"""Options for devices beside torchrun, which decides itself where its processes compute."""

from pathlib import Path

import pytest

from c2fnas.api.jobs import Jobs, refuse_beside_torchrun
from c2fnas.api.runs import Run
from c2fnas.api.trainings import _train
from c2fnas.errors import UserError
from c2fnas.stages.train import TrainOptions


@pytest.fixture(autouse=True)
def eight_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("c2fnas.devices.DRIVERS", ("/",))
    for name, answer in {"is_available": True, "init": None, "device_count": 8}.items():
        monkeypatch.setattr(f"torch.cuda.{name}", lambda answer=answer: answer)


@pytest.mark.parametrize("devices", [None, "auto", "cuda", "cpu", "cpu:0,cpu:1", "cuda:0,cuda:1"])
def test_what_torchrun_does_anyway_may_be_said(devices: str | None) -> None:
    refuse_beside_torchrun(Jobs() if devices is None else Jobs(devices=devices), 2)


@pytest.mark.parametrize(
    ("devices", "visible"), [("cuda:2, cuda:3", "2,3"), ("cuda:1,cuda:0", "1,0"), ("cuda:0", "0"), ("cuda:0,cpu", "0")]
)
def test_other_gpus_are_refused_by_the_way_to_have_them(devices: str, visible: str) -> None:
    with pytest.raises(UserError, match=f"--devices {devices}: .*CUDA_VISIBLE_DEVICES={visible} torchrun"):
        refuse_beside_torchrun(Jobs(devices=devices), 2)


@pytest.mark.parametrize(
    ("jobs", "reason"), [(Jobs(devices="cuda:2,cuda:3"), "of its number"), (Jobs(backend="ray"), "--backend ray")]
)
def test_both_commands_refuse_before_they_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: Jobs, reason: str
) -> None:
    monkeypatch.setattr("c2fnas.training.device.ranks", lambda: (0, 2))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with pytest.raises(UserError, match=reason):
        _train(tmp_path, Run(tmp_path / "run", jobs), TrainOptions(), label_tests=False)
    with pytest.raises(UserError, match=reason):
        Run(tmp_path / "run", jobs).search_operations()
    assert not (tmp_path / "run").exists()
