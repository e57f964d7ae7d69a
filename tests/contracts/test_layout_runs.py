"""Every layout goes through the whole method: what is found, trained and evaluated, and labels come back as values."""

from pathlib import Path

import numpy as np
import pytest
from layout_files import LAYOUTS, truths

from c2fnas.execution import InlineExecutor
from c2fnas.runs.run import Run
from c2fnas.stages.pipeline import run_pipeline

TINY = str(Path(__file__).parents[1] / "support" / "tiny.yaml")


@pytest.mark.long
@pytest.mark.parametrize(
    ("layout", "suffix", "split"), [("msd", ".nrrd", True), ("nnunet", ".mha", True), ("table", ".nii.gz", False)]
)
def test_a_run(layout: str, suffix: str, split: bool, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    path = LAYOUTS[layout](tmp_path / "data", suffix, truths(), split=split)
    run = Run(tmp_path / "run")
    deployed = run_pipeline(
        run, path, lambda devices: InlineExecutor(devices[0]), budget=TINY, devices=("cpu",)
    ).deployed
    (evaluation,) = deployed.evaluations
    assert list(evaluation.per_class) == ["organ", "lesion"]
    assert 0 <= evaluation.mean <= 1
    assert np.isfinite(evaluation.mean)
    assert all(model.exists() for model in deployed.models)
