"""The page of the comparison with peers, and that the recorded pages are those of the recorded trainings."""

import sys
from pathlib import Path
from typing import Any

import pytest

from c2fnas.evaluation.metrics import CaseScores, summarise

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from peers_answers import groups_of, of_once, questions_of, trainings_of
from peers_report import read, table
from peers_sides import FACTORS, SIDES
from peers_study import RESULTS

RECORDED = sorted(path.stem for path in RESULTS.glob("peers_*.md"))
ASKED = {
    "data_set": "Organs",
    "minutes": 30.0,
    "fold": 0,
    "fold_count": 2,
    "drawn": True,
    "group_by": None,
    "device": "cpu",
    "cores": 1,
    "aten_cpu_capability": "avx2",
    "onednn_max_cpu_isa": None,
}


def training(side: str, seed: int, dice: float, **asked: Any) -> dict[str, Any]:
    """A training, as `peers.py` keeps it, with a mean Dice over ten cases."""
    rows = [CaseScores(f"case_{number}", {"organ": dice + (number - 4.5) / 100}) for number in range(10)]
    return {
        "side": side,
        "seed": seed,
        "asked": ASKED | asked,
        "command": f"python benchmarks/peers.py Organs --sides {side}",
        "machine": "a machine",
        "commit": {"began": "abc", "ended": "abc"},
        "facts": {
            "spacing": None if side == "auto3dseg" else [1.0, 1.0, 2.5],
            "patch": [32, 32, 16],
            "batch": 2,
            "precision": "fp32",
            "views": 8 if side == "nnunet" else 1,
            "iterations": 1000 + seed,
            "seconds": 1500.0 + 60 * seed,
            "preparation": {"wall": 90.0},
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
    assert "30 minutes of one core for each training, fold 0 of 2, drawn at random; 10 cases validate." in text
    assert "| c2fnas | 3 | 86.0 ± 1.0 | 86.0 ± 1.0 |" in text
    assert "| SegResNet by Auto3DSeg | 1 | 45.0 | 45.0 |" in text
    assert "| SegResNet by Auto3DSeg | as it is | 32×32×16 |" in text
    assert "- c2fnas cannot be told from SegResNet by Auto3DSeg: " in text  # which was trained once
    assert text.count("python benchmarks/peers.py Organs --sides c2fnas\n") == 1
    assert "- SegResNet by Auto3DSeg, c2fnas: a machine; ATEN_CPU_CAPABILITY=avx2\n" in text


def test_times_and_views_of_each_side_are_told() -> None:
    text = table([*KEPT, training("nnunet", 0, 0.8)])
    assert "| minutes of preparation | of training | of all | processor minutes |" in text
    assert "| c2fnas | 1×1×2.5 | 32×32×16 | 2 | fp32 | 1 | 1,000, 1,001, 1,002 | 1.5 | 26.0 | 30.0 | 29.0 |" in text
    assert "| nnU-Net | 1×1×2.5 | 32×32×16 | 2 | fp32 | 8 | 1,000 | 1.5 | 25.0 | 30.0 | 29.0 |" in text


def test_two_trainings_of_each_may_answer() -> None:
    text = table([*KEPT, training("auto3dseg", 1, 0.46)])
    assert "- c2fnas is better than SegResNet by Auto3DSeg: " in text
    assert "over cases" not in text


def test_of_a_side_that_was_trained_once_cases_tell_of_two_networks() -> None:
    said = "- c2fnas less SegResNet by Auto3DSeg, training 0 of each, these two trained networks alone, over cases: "
    assert f"{said}Dice +0.4000 (95 % +0.4000 to +0.4000; 10 cases)." in table(KEPT)
    assert "over cases" not in table([*KEPT[1:3], KEPT[3]])  # another seed


def test_cases_of_a_group_count_together() -> None:
    kept = [training(side, 0, dice, group_by="case_(.)") for side, dice in (("c2fnas", 0.8), ("dints", 0.7))]
    for each in kept:
        for number, row in enumerate(each["evaluation"]["cases"]):
            row["case"] = f"case_{number // 2}{number % 2}"
    text = table(kept)
    assert "grouped by `case_(.)`; 10 cases of 5 groups validate." in text
    assert "10 cases of 5 groups, too few to tell (at least 8)" in text
    assert len({*groups_of(kept[0]).values()}) == 5


def test_the_answers_of_a_page_are_corrected_together() -> None:
    alone = table([*KEPT, training("auto3dseg", 1, 0.46)])
    both = table([*KEPT, training("auto3dseg", 1, 0.46), training("dints", 0, 0.70), training("dints", 1, 0.72)])
    assert "95 % interval" in alone
    assert "Holm" not in alone
    assert "2 answers, corrected together by Holm." in both
    assert "97.5 % interval" in both


def test_without_our_side_there_is_no_answer() -> None:
    assert "## Answers" not in table(KEPT[3:])


def test_a_side_that_has_learnt_nothing_is_said_to() -> None:
    text = table([KEPT[0], training("dints", 0, 0.045 + 0.001), training("segresnet", 0, 0.06)])
    assert "- DiNTS in our loop found no structure in this time: its mean Dice is 4.6 %.\n" in text
    assert text.count("found no structure") == 1


def test_a_class_that_a_side_has_not_learnt_is_named() -> None:
    rows = [CaseScores(f"case_{each}", {"organ": 0.8, "lesion": 0.0, "absent": None}) for each in range(10)]
    kept = [training("nnunet", seed, 0.8) | {"evaluation": summarise(rows).to_json()} for seed in range(2)]
    text = table(kept)
    assert "- nnU-Net found no structure in this time of the class lesion: its Dice is 0.\n" in text
    assert text.count("found no structure") == 1


def test_a_difference_is_taken_apart_where_both_sides_of_a_pair_are_there() -> None:
    sides = ("nnunet", "dynunet", "c2fnas@c2fnas", "c2fnas@nnunet", "dynunet@nnunet")
    text = table([training(side, 0, 0.5 + place / 20) for place, side in enumerate(sides)])
    _, _, section = text.partition("## Plan, network, recipe")
    assert section.count("- Plan: ") == 4  # two pairs, each with an answer and a sentence over cases
    assert "- Plan: DynUNet in our loop less DynUNet, nnU-Net's spacing and patch, in our loop, training 0" in section
    assert "- Network: our network, our plan, in our loop cannot be told from DynUNet in our loop: " in section
    assert "- Recipe: DynUNet, nnU-Net's spacing and patch, in our loop less nnU-Net, training 0 of each" in section
    assert "## Answers" not in text
    assert "## Plan" not in table(KEPT)


def test_pairs_name_sides_that_there_are() -> None:
    assert {side for each in FACTORS for side in each[1:]} <= {*SIDES}
    found = trainings_of(KEPT)
    (question,) = questions_of([*found])
    assert len(of_once(question, found, {})) == 1


def test_segresnet_of_our_loop_is_not_that_of_auto3dseg() -> None:
    note = "not the deeply supervised one of Auto3DSeg."
    assert note in table([training("segresnet", 0, 0.8)])
    assert note not in table(KEPT)


def test_dints_by_its_own_script_has_its_own_time() -> None:
    kept = training("auto3dseg-dints", 0, 0.8)
    kept["facts"] |= {"templates": {"commit": None, "sha256": "1234567890abcdef"}}
    assert "DiNTS by Auto3DSeg trains by its own schedule" in table([kept])
    assert (
        "- DiNTS by Auto3DSeg: a machine; ATEN_CPU_CAPABILITY=avx2; templates of no commit, SHA-256 1234567890ab\n"
        in (table([kept]))
    )


def test_code_that_changed_during_a_training_is_told() -> None:
    assert "Warning" not in table(KEPT)
    changed = KEPT[3] | {"commit": {"began": "abc", "ended": "def"}}
    said = (
        "- Warning: SegResNet by Auto3DSeg, seed 0: began with commit abc, and the code was that of def at its end.\n"
    )
    assert said in table([*KEPT[:3], changed])


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_page_is_that_of_its_trainings(name: str) -> None:
    assert (RESULTS / f"{name}.md").read_text() == table(read(RESULTS / name))
