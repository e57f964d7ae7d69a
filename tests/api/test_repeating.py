"""A training that repeats another: its network, its folds, and the model that it began with."""

from pathlib import Path
from typing import Any

import pytest

from c2fnas.api.repeating import like_training
from c2fnas.errors import UserError
from c2fnas.runs.repetition import Repetition
from c2fnas.space.architecture import Architecture

DESIGN = Architecture.from_text("0:3D 1:P3D 0:2D @0.0625")
CHECKSUM = "0123456789abcdef" * 4


def known(**values: Any) -> Repetition:
    """A training that was made on folds 0 and 2."""
    return Repetition(
        dataset="Phantoms",
        kind="training",
        budget="demo",
        base={},
        overrides={"deployment.folds": [0, 2]},
        devices=("cpu",),
        plan="",
        folds=[],
        **{"design": DESIGN.to_json(), "start": None, **values},
    )


@pytest.mark.parametrize(("folds", "taken"), [(None, "0,2"), ("last", "last"), ("0", "0"), ("all", "all")])
def test_network_and_folds_are_the_others_unless_folds_are_named(folds: str | None, taken: str, tmp_path: Path) -> None:
    assert like_training(known(), "repeat.json", tmp_path / "run", folds, None) == (DESIGN, taken, None)


def test_without_a_network_there_is_none_to_repeat(tmp_path: Path) -> None:
    assert like_training(known(design=None), "repeat.json", tmp_path / "run", "0", None)[0] is None


def test_the_model_that_it_began_with_is_the_copy_that_is_at_hand(tmp_path: Path) -> None:
    """That of the run itself, which goes on, before that of the other run; one that is named before both."""
    own, other, began = tmp_path / "run", tmp_path / "other", known(start=CHECKSUM)
    (other / "final/from").mkdir(parents=True)
    assert like_training(began, str(other), own, None, None) == (DESIGN, "0,2", other / "final/from")
    (own / "final/from").mkdir(parents=True)
    assert like_training(began, str(other), own, "0", None) == (DESIGN, "0", own / "final/from")
    assert like_training(began, str(other), own, "0", "named") == (DESIGN, "0", "named")


def test_a_model_that_is_not_at_hand_has_to_be_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--like x\.json: its networks began with another model \(0123456789ab\)"):
        like_training(known(start=CHECKSUM), "x.json", tmp_path / "run", "last", None)
    assert like_training(known(start=CHECKSUM), "x.json", tmp_path / "run", "last", tmp_path)[2] == tmp_path
