"""Advice about a data set that was named by its file leads to that file, not to the folder that it lies in."""

import csv
from pathlib import Path

import pytest
from small_cases import write_case
from typer.testing import CliRunner

from c2fnas.cli import app
from c2fnas.errors import UserError
from c2fnas.planning.request import request_for
from c2fnas.runs.run import Run
from c2fnas.stages.preparation import prepare

NAMES = ("a", "b", "c", "d", "e")


def table(root: Path, name: str, label: str) -> Path:
    """A CSV among others in its folder."""
    for seed, case in enumerate(NAMES):
        write_case(root, case, seed=seed)
    with (root / name).open("w", newline="") as file:
        csv.writer(file).writerows(
            [["image", "label"], *([f"{case}.nii.gz", label.format(case=case)] for case in NAMES)]
        )
    return root / name


def test_a_check_that_is_advised_finds_the_data_set(tmp_path: Path) -> None:
    root = tmp_path / "data"
    faulty, other = table(root, "faulty.csv", "{case}.nii.gz"), table(root, "other.csv", "{case}_label.nii.gz")
    run = Run(tmp_path / "run")
    with pytest.raises(UserError) as error, run.locked():
        prepare(run, faulty, request_for(run.folder, budget="1m"))
    assert f"`c2fnas check {faulty}` lists every one." in str(error.value)
    fixed = CliRunner().invoke(app, ["check", str(other), "--fix", str(tmp_path / "fixed")])
    assert f"`c2fnas check {tmp_path / 'fixed' / 'other.csv'}` tells the rest." in fixed.stdout


def test_a_run_knows_the_file_that_it_was_begun_with(tmp_path: Path) -> None:
    data, run = table(tmp_path / "data", "sound.csv", "{case}_label.nii.gz"), Run(tmp_path / "run")
    with run.locked():
        prepared = prepare(run, data, request_for(run.folder, overrides={"hours": None, "shares": None}))
    assert prepared.config.dataset_path == str(data)
