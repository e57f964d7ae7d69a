"""Preparation of real volumes, where they are at hand: what goes in comes back."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from c2fnas.bench.table import TABLES, TopologyTable
from c2fnas.data.cache import PreparedCase, prepare_cases
from c2fnas.data.dataset import Dataset
from c2fnas.data.folds import FoldChoice, make_folds
from c2fnas.data.layouts import load_dataset
from c2fnas.data.scan import scan_dataset
from c2fnas.planning.plan import make_plan

DATA = Path(__file__).parents[3] / "shared" / "data"


def dataset(name: str, cases: int) -> Dataset:
    if not (DATA / name / "dataset.json").exists():
        pytest.skip(f"{name} is not at hand")
    whole = load_dataset(DATA / name)
    return replace(whole, training=whole.training[:cases])


@pytest.mark.parametrize(
    ("name", "cases", "warnings"),
    [
        ("Task04_Hippocampus", (200, 60), {"labels stored as float32"}),
        (
            "CardiacShortAxis",
            (40, 0),
            {"a spacing of exactly 1 mm along every axis in 40 of 40 images, such as one of 192×192×13"},
        ),
        ("LeftAtrium", (12, 0), set()),
        ("ProstateThick2ch", (2, 0), set()),
        ("BrainTumour2ch", (2, 0), set()),
        ("MSLesion4ch", (1, 0), set()),
        ("SpleenCropCT", (1, 0), set()),
    ],
)
def test_the_check_finds_no_error_in_real_data(name: str, cases: tuple[int, int], warnings: set[str]) -> None:
    scan = scan_dataset(dataset(name, 1000), workers=2)
    assert (len(scan.training), len(scan.test)) == cases
    assert all(problem.severity == "warning" for problem in scan.problems)
    assert {problem.found for problem in scan.problems} == warnings
    assert all(scan.class_cases)


def test_the_cardiac_set_is_grouped_by_patient() -> None:
    folds = make_folds(dataset("CardiacShortAxis", 1000), FoldChoice(group_by="(.+)_E[DS]"))
    for split in folds:
        patients = [{case.rsplit("_", 1)[0] for case in side} for side in (split.training, split.validation)]
        assert not patients[0] & patients[1]
        assert len(split.validation) == 8


def overlaps(case: PreparedCase) -> list[float]:
    """Dice per class of the truth with itself, there and back."""
    back, truth = case.restoration.labels(np.asarray(case.label)), np.asarray(case.truth)
    return [
        2 * ((back == index) & (truth == index)).sum() / ((back == index).sum() + (truth == index).sum())
        for index in range(1, truth.max() + 1)
    ]


@pytest.mark.parametrize(
    ("name", "patch", "channels"),
    [("Task04_Hippocampus", (40, 56, 40), 1), ("CardiacShortAxis", (192, 192, 16), 1), ("SpleenCropCT", None, 1)],
)
def test_at_its_own_resolution_every_label_comes_back_exactly(
    name: str, patch: tuple[int, int, int] | None, channels: int, tmp_path: Path
) -> None:
    data = dataset(name, 6)
    plan = make_plan(scan_dataset(data, workers=2).fingerprint, style="planned")
    assert patch in (None, plan.patch_size)
    cache = prepare_cases(data.training, plan, tmp_path, workers=2)
    for name in cache.ids:
        assert cache[name].image.shape[0] == channels
        assert overlaps(cache[name]) == [1.0] * (len(plan.classes) - 1)


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "least"), [("ProstateThick2ch", 0.95), ("SpleenCropCT", 0.97), ("Task04_Hippocampus", 0.99)]
)
def test_through_the_papers_grid_labels_come_back_but_for_their_borders(
    name: str, least: float, tmp_path: Path
) -> None:
    data = dataset(name, 2)
    cache = prepare_cases(data.training, make_plan(scan_dataset(data).fingerprint, style="paper"), tmp_path)
    assert min(min(overlaps(cache[name])) for name in cache.ids) > least


def test_thick_slices_of_two_channels_are_planned_as_they_are(tmp_path: Path) -> None:
    plan = make_plan(scan_dataset(dataset("ProstateThick2ch", 2), workers=2).fingerprint, style="planned")
    assert plan.spacing == (0.5, 0.5, 3.0)
    assert plan.axes == (0, 1, 2)
    assert [channel.kind for channel in plan.channels] == ["mr", "mr"]
    assert plan.patch_size[2] == 24


@pytest.mark.parametrize(
    ("name", "known"), [("Task04_Hippocampus", ["hippocampus"]), ("CardiacShortAxis", ["heart"]), ("LeftAtrium", [])]
)
def test_the_shipped_tables_know_the_cases_that_they_were_made_on(name: str, known: list[str]) -> None:
    """Some of them are enough, whatever else a folder holds."""
    signatures = scan_dataset(dataset(name, 5)).fingerprint.signatures
    assert [each for each in TABLES if TopologyTable.shipped(each).knows(signatures)] == known
