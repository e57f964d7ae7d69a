"""The comparison with peers: its parts, and that the recorded pages are those of the recorded trainings."""

import json
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.optimizers.lr_scheduler import WarmupCosineSchedule
from small_datasets import write_dataset

from c2fnas.evaluation.metrics import CaseScores, summarise

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from auto3dseg_budget import WARMUP_FROM, share_of_rate
from peers import RESULTS, SIDES, Study
from peers_report import TITLES, read, table

RECORDED = sorted(path.stem for path in RESULTS.glob("peers_*.md"))


def test_the_rate_by_the_clock_is_the_templates_by_the_epoch() -> None:
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = WarmupCosineSchedule(optimiser, warmup_steps=3, warmup_multiplier=WARMUP_FROM, t_total=300)
    for epoch in range(300):
        assert share_of_rate(epoch / 300, 3 / 300) == pytest.approx(theirs.get_last_lr()[0], abs=1e-9)
        optimiser.step()
        theirs.step()


def test_every_side_has_a_title() -> None:
    assert {*SIDES} == {*TITLES}


def training(side: str, seed: int, dice: float) -> dict[str, Any]:
    """A training, as `peers.py` keeps it, with a mean Dice over ten cases."""
    rows = [CaseScores(f"case_{number}", {"organ": dice + (number - 4.5) / 100}) for number in range(10)]
    return {
        "side": side,
        "seed": seed,
        "asked": {"data_set": "Organs", "minutes": 30.0, "fold": 0, "group_by": None, "device": "cpu"},
        "command": f"python benchmarks/peers.py Organs --sides {side}",
        "machine": "a machine",
        "cores": 1,
        "capability": "avx2",
        "facts": {
            "spacing": None if side == "auto3dseg" else [1.0, 1.0, 2.5],
            "patch": [32, 32, 16],
            "batch": 2,
            "precision": "fp32",
            "iterations": 1000 + seed,
            "seconds": 1500.0,
            "whole": {"wall": 1800.0, "cpu": 1740.0},
        },
        "evaluation": summarise(rows).to_json(),
    }


KEPT = [
    training("c2fnas", 0, 0.85),
    training("c2fnas", 1, 0.87),
    training("c2fnas", 2, 0.86),
    training("auto3dseg", 0, 0.45),
]


def test_the_page_has_dice_plan_and_answer_of_each_side() -> None:
    text = table(KEPT)
    assert "| c2fnas | 3 | 86.0 ± 1.0 | 86.0 ± 1.0 |" in text
    assert "| SegResNet by Auto3DSeg | 1 | 45.0 | 45.0 |" in text
    assert "| c2fnas | 1×1×2.5 | 32×32×16 | 2 | fp32 | 1,000, 1,001, 1,002 | 25.0, 30.0 | 29 |" in text
    assert "| SegResNet by Auto3DSeg | as it is | 32×32×16 |" in text
    assert "- c2fnas cannot be told from SegResNet by Auto3DSeg: " in text  # which was trained once
    assert text.count("python benchmarks/peers.py Organs --sides c2fnas\n") == 1
    assert "- SegResNet by Auto3DSeg, c2fnas: a machine; as on AVX2" in text


def test_two_trainings_of_each_may_answer() -> None:
    assert "- c2fnas is better than SegResNet by Auto3DSeg: " in table([*KEPT, training("auto3dseg", 1, 0.46)])


def test_without_our_side_there_is_no_answer() -> None:
    assert "## Answers" not in table(KEPT[3:])


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_page_is_that_of_its_trainings(name: str) -> None:
    assert (RESULTS / f"{name}.md").read_text() == table(read(RESULTS / name))


def asked(**others: Any) -> Namespace:
    """A command line that trains nothing."""
    usual = {"minutes": 30.0, "fold": 0, "group_by": None, "device": "cpu", "sides": "", "seeds": 1}
    return Namespace(**{**usual, "name": None, "remake": False, "try_out": True, "precision": None, **others})


def test_what_is_kept_is_not_trained_again_and_lengths_are_not_mixed(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "Organs")
    study = Study(asked(dataset=dataset, sides="c2fnas,auto3dseg", seeds=2), tmp_path)
    assert len([*study.missing()]) == 4
    for number, (side, seed) in enumerate([*study.missing()][:3]):
        value = training(side, seed, 0.5 + number / 10) | {"asked": study.asked}
        study.place(side, seed).write_text(json.dumps(value))
    assert [*study.missing()] == [("auto3dseg", 1)]
    assert study.report() == (tmp_path / "results" / f"peers_{dataset.name.lower()}.md").read_text()
    with pytest.raises(SystemExit, match="holds trainings of"):
        Study(asked(dataset=dataset, minutes=120.0), tmp_path).report()


def test_a_side_on_anothers_plan_waits_for_that_side(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "Organs")
    study = Study(asked(dataset=dataset), tmp_path)
    with pytest.raises(SystemExit, match="Train that side first: --sides c2fnas"):
        study.train("dints", 0)
    study.place("c2fnas", 0).write_text(json.dumps(training("c2fnas", 0, 0.5) | {"asked": study.asked}))
    with pytest.raises(SystemExit, match="Train that side first: --sides nnunet"):
        study.train("c2fnas@nnunet", 0)
