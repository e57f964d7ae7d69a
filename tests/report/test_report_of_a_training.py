"""The report of a run that trained and did not search: its page, and a command that trains the same weights again."""

import re
import shlex
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from c2fnas.cli import app
from c2fnas.data.phantoms import write_phantoms
from c2fnas.execution import InlineExecutor
from c2fnas.files import sha256
from c2fnas.networks.baselines import Baseline
from c2fnas.networks.designs import Design
from c2fnas.report import write_report
from c2fnas.report.figures.sections import SECTIONS
from c2fnas.report.page import render_page
from c2fnas.report.summary import read_report
from c2fnas.runs.run import Run
from c2fnas.space.architecture import Architecture
from c2fnas.stages.train import TrainOptions, train_architecture

SMALL = Architecture.from_text("0:3D 1:P3D 0:2D @0.0625")
UNET = Baseline("unet3d", 1 / 16)

pytestmark = pytest.mark.usefixtures("fast_steps")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantoms(tmp_path_factory.mktemp("a data set") / "phantoms", cases=5, test_cases=1)


def train(dataset: Path, run: Path, design: Design | None, start: Path | None = None, **more: Any) -> Path:
    """Train two iterations of the first fold; the model."""
    own = {} if more else {"deployment.recipe.iterations": 2, "seed": 3}
    options = TrainOptions(design, start, folds="0", budget="demo", overrides=own, **more)
    return train_architecture(Run(run), dataset, options, lambda devices: InlineExecutor(devices[0])).models[0]


@pytest.mark.long
@pytest.mark.parametrize(("design", "tuned"), [(UNET, False), (SMALL, True)])
def test_the_command_in_its_report_trains_the_same_weights(dataset, design, tuned, tmp_path, monkeypatch) -> None:
    model = train(dataset, tmp_path / "first", design)
    if tuned:
        model = train(dataset, tmp_path / "tuned", None, start=model)
    page = render_page(read_report(model.parents[2]), dict.fromkeys(SECTIONS, ()))
    assert "Training of a given network, budget demo, seed 3." in page
    assert "architecture search" not in page
    shown = re.search(r'<pre class="wrap">(.*?)</pre>', page, re.DOTALL)
    assert shown
    words = shlex.split(unescape(shown[1]))
    assert words[0] == "c2fnas"
    # A page tells no path above the run.
    places = {"NEW": str(tmp_path / "again"), dataset.name: str(dataset)}
    places |= {word: str(tmp_path / word) for word in words if "/" in word}
    write_report(model.parents[2], overlays=False)
    again = [places.get(word, word) for word in words[1:]]
    monkeypatch.setattr("c2fnas.execution.LocalProcessExecutor", lambda devices: InlineExecutor(devices[0]))
    result = CliRunner().invoke(app, [*again, "--quiet"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    weights = tmp_path / "again/final/fold-0/model/weights.safetensors"
    assert sha256(weights) == sha256(model / weights.name)


@pytest.mark.long
def test_after_an_extension_the_report_says_that_weights_will_differ(dataset: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(dataset, run, SMALL)
    told = "trained further with `--extend`"
    assert told not in render_page(read_report(run), dict.fromkeys(SECTIONS, ()))
    train(dataset, run, None, extend=3)
    assert told in render_page(read_report(run), dict.fromkeys(SECTIONS, ()))
