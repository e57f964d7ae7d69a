"""c2fnas and nnU-Net in the comparison with peers: what each is told, what is planned, what may be used again."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from small_datasets import write_dataset

from c2fnas.api.trainings import asked_design
from c2fnas.networks.baselines import Baseline
from c2fnas.networks.baselines.dynunet import planned_levels

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import nnunet_side
import peers_ours
import peers_study
from nnunet_side import Nnunet, planned
from peers_command import parsed
from peers_ours import Ours, plan_options, planned_dynunet
from peers_study import Study

PLANS = {
    "transpose_forward": [0, 1, 2],
    "configurations": {
        "3d_fullres": {
            "spacing": [8.0, 1.25, 1.5],
            "patch_size": [14, 256, 192],
            "batch_size": 2,
            "architecture": {
                "arch_kwargs": {
                    "kernel_sizes": [[1, 3, 3], [1, 3, 3], [3, 3, 3], [3, 3, 3], [3, 3, 3], [3, 3, 3]],
                    "strides": [[1, 1, 1], [1, 2, 2], [1, 2, 2], [2, 2, 2], [1, 2, 2], [1, 2, 2]],
                }
            },
        }
    },
}
"""What nnU-Net 2.8.1 plans for such spacing and patch, by its arrays' axes."""


def test_levels_of_nnunets_plans_are_those_of_its_rule() -> None:
    plan = planned(PLANS)
    assert plan["spacing"] == [1.5, 1.25, 8.0]
    assert plan["patch"] == [192, 256, 14]
    assert plan["levels"][1] == [[3, 3, 1], [2, 2, 1]]
    levels = planned_levels((192, 256, 14), (1.5, 1.25, 8.0))
    assert planned_dynunet(plan) == Baseline("dynunet", levels=levels).to_json()
    assert planned_dynunet({name: plan[name] for name in ("spacing", "patch")}) == planned_dynunet(plan)


def test_a_plan_whose_coarsest_axis_is_another_is_read_by_the_axes_of_files() -> None:
    turned = planned(PLANS | {"transpose_forward": [2, 0, 1]})  # the first axis of the files
    assert turned["spacing"] == [8.0, 1.5, 1.25]
    assert turned["patch"] == [14, 192, 256]
    assert turned["levels"][1] == [[1, 3, 3], [1, 2, 2]]


def test_a_patch_is_rounded_up_for_the_strides_and_levels_are_not() -> None:
    plan = {"spacing": [1.0, 1.0, 1.0], "patch": [104, 40, 44]}
    network = planned_dynunet(plan)
    assert network == Baseline("dynunet", levels=planned_levels((104, 40, 44), (1.0, 1.0, 1.0))).to_json()
    assert plan_options(plan, network)[3] == "plan.patch_size=[112, 40, 48]"
    assert plan_options(plan, "dints")[3] == "plan.patch_size=[104, 40, 48]"
    assert plan_options(plan | {"spacing": []}, "dints") == ["--set", "plan.patch_size=[104, 40, 48]"]


def loop(work: Path, **others: Any) -> Ours:
    """A side of c2fnas that trains nothing."""
    return Ours(work / "Organs", work, 30.0, 0, "cpu", work / "splits_final.json", None, "fp32", **others)


def test_a_network_is_handed_over_by_name_or_as_a_file(tmp_path: Path) -> None:
    assert loop(tmp_path)._named("segresnet") == ["--network", "segresnet"]
    network = planned_dynunet(planned(PLANS))
    option, file = loop(tmp_path)._named(network)
    assert option == "--network"
    assert asked_design(None, file, tmp_path) == Baseline.from_json(network)
    assert loop(tmp_path)._named({"topology": []})[0] == "--architecture"


def test_each_side_has_the_network_and_the_plan_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = Study(parsed("", [str(write_dataset(tmp_path / "Organs")), "--work", str(tmp_path), "--try-out"]))
    ours = {"network": {"topology": "found"}, "spacing": [1.0, 1.0, 1.0], "patch": [32, 32, 32]}
    theirs = planned(PLANS)
    monkeypatch.setattr(study, "facts_of", {"c2fnas": ours, "nnunet": theirs}.__getitem__)
    asked: list[tuple[Any, Any]] = []
    monkeypatch.setattr(Ours, "train", lambda self, network, plan, *_: asked.append((network, plan)) or (None, {}))
    for side in ("c2fnas@c2fnas", "c2fnas@nnunet", "dynunet", "dynunet@nnunet", "segresnet"):
        study._ours(side, 0, tmp_path / side)
    assert asked == [
        (ours["network"], ours),
        (ours["network"], theirs),
        (planned_dynunet(ours), ours),
        (planned_dynunet(theirs), theirs),
        ("segresnet", ours),
    ]
    assert planned_dynunet(ours)["levels"] != planned_dynunet(theirs)["levels"]
    assert json.loads(study.folds_file.read_text()) == study.rows


def test_a_finished_run_is_taken_again_and_another_starts_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []
    place = tmp_path / "run" / "final" / "fold-0"

    def trained(call: list[str], *_: Any) -> dict[str, float]:
        assert not place.exists()
        calls.append(call)
        place.mkdir(parents=True)
        (place / "evaluation.json").write_text("{}")
        (place / "result.json").write_text(json.dumps({"kind": "done", "value": {"dice": 0.5}, "seconds": 9.0}))
        return {"wall": 60.0 * len(calls), "cpu": 1.0}

    monkeypatch.setattr(peers_ours, "timed", trained)
    once = loop(tmp_path).spent(["c2fnas", "run"])
    assert loop(tmp_path).spent(["c2fnas", "run"]) == once == {"wall": 60.0, "cpu": 1.0}
    assert loop(tmp_path).spent(["c2fnas", "run", "--seed", "1"])["wall"] == 120.0  # another call
    (place / "evaluation.json").unlink()
    assert loop(tmp_path).spent(["c2fnas", "run", "--seed", "1"])["wall"] == 180.0  # not scored
    (tmp_path / "called.json").unlink()
    assert loop(tmp_path).spent(["c2fnas", "run", "--seed", "1"])["wall"] == 240.0  # its time is not known
    assert len(calls) == 4


def test_nnunet_augments_with_half_of_the_cores_that_it_may_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, str]] = []
    monkeypatch.setattr(nnunet_side, "timed", lambda command, environment, log: told.append(environment) or {})
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    Nnunet("python", tmp_path, "cpu", 4).call("train")
    assert told[0]["nnUNet_n_proc_DA"] == "2"


def test_all_seeds_share_an_environment_of_nnunet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    monkeypatch.setattr(peers_study, "install", lambda folder: made.append(folder) or "python")

    class Stopped(Exception):
        pass

    def stop(python: str, folder: Path, *_: Any) -> None:
        raise Stopped

    monkeypatch.setattr(peers_study, "Nnunet", stop)
    study = Study(parsed("", [str(write_dataset(tmp_path / "Organs")), "--work", str(tmp_path), "--try-out"]))
    for seed in range(2):
        with pytest.raises(Stopped):
            study.train("nnunet", seed)
    assert made == [tmp_path / "environment"] * 2


def test_the_time_of_nnunets_preparation_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nnUNetPlans.json").write_text(json.dumps(PLANS))
    (tmp_path / "prepared.json").write_text(json.dumps({"wall": 42.0, "cpu": 40.0}))
    monkeypatch.setattr(nnunet_side.subprocess, "check_output", lambda *_, **__: '{"nnunetv2": "2.8.1"}')
    facts = Nnunet("python", tmp_path, "cpu", 1).facts(tmp_path)
    assert facts["preparation"] == {"wall": 42.0, "cpu": 40.0}
    assert facts["levels"] == planned(PLANS)["levels"]
