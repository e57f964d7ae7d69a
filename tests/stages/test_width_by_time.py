"""The width follows the time: twice as many filters where the final network still sees enough of every case."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from timed_runs import PREPARATION, TIMED, Clock, Sayings, Worker

from c2fnas.data.phantoms import write_phantoms
from c2fnas.files import read_json_lines
from c2fnas.networks.designs import Design
from c2fnas.planning import run_timings
from c2fnas.planning.budget import TO_WIDEN
from c2fnas.planning.configuration import SLOWER, count_work
from c2fnas.planning.request import request_for
from c2fnas.planning.schedule import preparation_of
from c2fnas.planning.timings import Timings
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.reporter import Silent
from c2fnas.runs.run import Run
from c2fnas.runs.timing.clock import ActiveTime
from c2fnas.space.architecture import Architecture
from c2fnas.stages import preparation
from c2fnas.stages.pipeline import run_pipeline

NARROW, WIDE = 0.25, 0.5


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantoms(tmp_path_factory.mktemp("data") / "Task00", cases=15, test_cases=0)


@dataclass
class Machine:
    """A machine of a made-up speed: seconds of a patch by width; it notes the widths that were timed."""

    clock: Clock = field(default_factory=Clock)
    patch: float = TIMED.patch
    times_wider: float = 2.5
    timed: list[float] = field(default_factory=list)

    def of(self, width: float) -> Timings:
        return TIMED.times((self.patch / TIMED.patch) * (self.times_wider if width == WIDE else 1.0))

    def measure(self, plan: Any, design: Design, *_: object) -> Timings:
        assert isinstance(design, Architecture)
        self.clock.now += PREPARATION
        self.timed.append(design.width)
        return self.of(design.width)

    def run(self, folder: Path, reporter: Silent | None = None) -> Run:
        return Run(folder, reporter=reporter, time=ActiveTime(folder / "spent.json", self.clock))


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr(run_timings, "measure", machine.measure)
    return machine


def prepared(dataset: Path, folder: Path, machine: Machine, budget: str, **values: Any) -> Run:
    run = machine.run(folder)
    return preparation.prepare(run, dataset, request_for(run.folder, budget=budget, overrides=values))


def least(run: Run) -> int:
    """The iterations from which on the wider network is taken."""
    work = count_work(run.config, preparation_of(run))
    return TO_WIDEN.iterations(work, run.config.deployment.recipe.batch_size)


@pytest.mark.parametrize("patch", [0.005, 0.02, 0.04, 0.06, 0.2])
def test_the_wider_network_is_taken_where_the_time_trains_it(
    patch: float, dataset: Path, tmp_path: Path, machine: Machine
) -> None:
    """By its own steps, which are timed only where the narrow one's let hope for it."""
    machine.patch = patch
    run = prepared(dataset, tmp_path / "run", machine, "demo")
    wide = prepared(dataset, tmp_path / "wide", machine, "demo", width=WIDE)
    narrow = prepared(dataset, tmp_path / "narrow", machine, "demo", width=NARROW)
    assert (wide.width, narrow.width) == (WIDE, NARROW)
    pays = wide.config.deployment.recipe.iterations >= least(run)
    assert run.width == (WIDE if pays else NARROW)
    assert (WIDE in machine.timed[:-2]) >= pays
    if narrow.config.deployment.recipe.iterations < SLOWER * least(run):
        assert not pays
    chosen = wide if pays else narrow
    assert run.config.deployment.recipe.iterations == pytest.approx(chosen.config.deployment.recipe.iterations, rel=0.1)


def test_both_widths_are_taken_somewhere(dataset: Path, tmp_path: Path, machine: Machine) -> None:
    widths = []
    for patch in (0.005, 0.2):
        machine.patch = patch
        widths.append(prepared(dataset, tmp_path / str(patch), machine, "demo").width)
    assert widths == [WIDE, NARROW]


@pytest.mark.parametrize(
    "values",
    [{"width": NARROW}, {"coarse.evaluations": 10}, {"fine.candidates": 32}, {"deployment.recipe.iterations": 100_000}],
)
def test_what_a_user_has_set_comes_first(
    values: dict[str, Any], dataset: Path, tmp_path: Path, machine: Machine
) -> None:
    machine.patch = 0.005
    assert prepared(dataset, tmp_path / "run", machine, "demo", **values).width == NARROW
    assert WIDE not in machine.timed
    assert prepared(dataset, tmp_path / "none", machine, "demo", **{"coarse.evaluations": 0}).width == WIDE


def test_a_network_that_does_not_fit_is_not_taken(
    dataset: Path, tmp_path: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.patch, asked = 0.005, list[float]()

    def fit(run: Run, request: Any, width: float | None = None) -> Any:
        asked.append(width or request.width)
        return lambda patch: width is None

    monkeypatch.setattr(preparation, "memory_fit", fit)
    assert prepared(dataset, tmp_path / "run", machine, "demo").width == NARROW
    assert asked == [NARROW, WIDE]
    assert WIDE not in machine.timed


@pytest.mark.parametrize(
    ("devices", "options", "wider"),
    [
        (("cpu",), {}, WIDE),
        (("cpu",), {"budget": "3h"}, WIDE),
        (("cpu",), {"budget": "paper"}, None),
        (("cpu",), {"design": Architecture.from_text("0:3D 1:P3D 0:2D @0.25")}, None),
        (("cuda:0",), {}, None),
    ],
)
def test_there_is_a_choice_on_a_cpu_by_time(
    devices: Sequence[str], options: dict[str, Any], wider: float | None, tmp_path: Path
) -> None:
    assert request_for(RunFolder(tmp_path), devices=tuple(devices), **options).wider == wider


def through(dataset: Path, folder: Path, machine: Machine, slowness: float, budget: str, said: Silent) -> Run:
    """A whole run without a verdict on a machine that is slower than was timed."""
    run = machine.run(folder, said)

    def worker(_: object) -> Worker:
        return Worker(run, machine.clock, slowness, timed=machine.of(Run(folder).width))

    overrides = {"deployment.keep_largest": False, "verdict": False}
    run_pipeline(run, dataset, worker, budget=budget, overrides=overrides, devices=("cpu",))
    return machine.run(folder)


@pytest.mark.parametrize("slowness", [0.6, 1.0, 1.6])
def test_a_run_of_the_wider_network_ends_with_its_budget(
    slowness: float, dataset: Path, tmp_path: Path, machine: Machine
) -> None:
    machine.patch, said = 0.01, Sayings()
    run = through(dataset, tmp_path / "run", machine, slowness, "demo", said)
    assert 0.8 * 600 <= machine.clock.now - 1000 <= 1.15 * 600
    assert run.width == WIDE
    assert run.folder.design is not None
    assert run.folder.design.width == WIDE
    assert "width 0.5" in "\n".join(said.texts)
    rows = [*read_json_lines(run.folder.schedule)]
    assert {row["timings"]["patch"] for row in rows[:1]} == {machine.of(WIDE).patch}
    timed = len(machine.timed)
    again = through(dataset, tmp_path / "run", machine, slowness, "demo", Sayings())
    assert again.config == run.config
    assert len(machine.timed) == timed


@pytest.mark.parametrize("patch", [0.01, 0.06])
def test_the_budget_that_a_forecast_names_searches(
    patch: float, dataset: Path, tmp_path: Path, machine: Machine
) -> None:
    """Though the longer budget may train the wider network first."""
    machine.patch, said = patch, Sayings()
    run = through(dataset, tmp_path / "run", machine, 1.0, "demo", said)
    assert not run.config.searches
    text = "\n".join(said.texts)
    hours = text.partition("`--budget ")[2].partition("h`")[0]
    longer = prepared(dataset, tmp_path / "longer", machine, f"{hours}h", verdict=False)
    assert longer.config.coarse.evaluations >= 8
