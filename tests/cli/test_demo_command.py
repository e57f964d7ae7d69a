"""`c2fnas demo`: what it takes for devices."""

from pathlib import Path

import pytest

import c2fnas
from c2fnas.api.pipelines import side_by_side
from c2fnas.data.phantoms import write_phantoms
from c2fnas.errors import UserError


@pytest.mark.parametrize(
    ("devices", "cores", "gpus", "expected"),
    [
        ("auto", 2, 0, ("cpu:0", "cpu:1")),
        ("auto", 1, 0, ("cpu",)),
        ("cpu", 2, 0, ("cpu",)),
        ("auto", 8, 2, ("cuda:0", "cuda:1")),
    ],
)
def test_candidates_share_a_cpu_where_nobody_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, devices: str, cores: int, gpus: int, expected: tuple[str, ...]
) -> None:
    monkeypatch.setattr("c2fnas.cores.usable_cores", lambda: cores)
    monkeypatch.setattr("c2fnas.devices.DRIVERS", ("/",) if gpus else ())
    for name, answer in {"is_available": gpus > 0, "init": None, "device_count": gpus}.items():
        monkeypatch.setattr(f"torch.cuda.{name}", lambda answer=answer: answer)
    assert side_by_side(devices) == expected


def test_phantoms_that_are_there_are_those_that_are_asked_for(tmp_path: Path) -> None:
    write_phantoms(tmp_path / "Task00_Phantoms", cases=5, test_cases=0)
    with pytest.raises(UserError, match="5 phantoms are there, not 8"):
        c2fnas.demo(tmp_path, cases=8)
