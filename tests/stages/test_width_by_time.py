"""The width follows the time: twice as many filters where the final network still sees enough of every case."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from timed_runs import PREPARATION, TIMED, Clock, Sayings, Worker

from c2fnas.data.phantoms import write_phantoms
from c2fnas.files import read_json_lines
from c2fnas.networks.designs import Design
from c2fnas.planning import run_timings
from c2fnas.planning import width as width_module
from c2fnas.planning.budget import TO_WIDEN
from c2fnas.planning.presets import load_budget
from c2fnas.planning.request import request_for
from c2fnas.planning.run_timings import expected_timings
from c2fnas.planning.width import SLOWER, affordable_width, planned_width
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.records.plan_choice import PlanChoice
from c2fnas.runs.reporter import Silent
from c2fnas.runs.run import Run
from c2fnas.runs.timing.clock import ActiveTime
from c2fnas.runs.timing.timings import Timings
from c2fnas.space.architecture import Architecture
from c2fnas.stages import preparation
from c2fnas.stages.pipeline import run_pipeline

NARROW, WIDE = 0.25, 0.5
FAST, SLOW = 0.005, 0.2
"""Seconds of a patch, with which ten minutes train the wider network well, and not."""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantoms(tmp_path_factory.mktemp("data") / "Task00", cases=15, test_cases=0)


@dataclass
class Machine:
    """A machine of a made-up speed: seconds of a patch by width; it notes the widths that were timed."""

    clock: Clock = field(default_factory=Clock)
    patch: float = FAST
    times_wider: float = 2.5
    fails: bool = False
    timed: list[float] = field(default_factory=list)

    def of(self, width: float) -> Timings:
        return TIMED.times((self.patch / TIMED.patch) * (self.times_wider if width == WIDE else 1.0))

    def measure(self, plan: Any, design: Design, *_: object) -> Timings:
        assert isinstance(design, Architecture)
        self.clock.now += PREPARATION
        self.timed.append(design.width)
        if self.fails and design.width == WIDE:
            raise MemoryError("out of memory")
        return self.of(design.width)

    def run(self, folder: Path, reporter: Silent | None = None) -> Run:
        return Run(folder, reporter=reporter, time=ActiveTime(folder / "spent.json", self.clock))


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr(run_timings, "measure", machine.measure)
    return machine


def prepared(
    dataset: Path, folder: Path, machine: Machine, budget: str, said: Silent | None = None, **values: Any
) -> Run:
    run = machine.run(folder, said)
    return preparation.prepare(run, dataset, request_for(run.folder, budget=budget, overrides=values))


def view_seconds(run: Run) -> float:
    """Of a view of a whole case by the narrow network, with the plan that was chosen."""
    return PlanChoice.load(run.folder.choice).close[0].view_seconds


@pytest.mark.parametrize("patch", [FAST, 0.01, 0.03, 0.1, SLOW])
def test_the_wider_network_is_taken_where_the_time_trains_it(
    patch: float, dataset: Path, tmp_path: Path, machine: Machine
) -> None:
    """By its own steps, which are timed only where the narrow one's let hope for it."""
    machine.patch = patch
    run = prepared(dataset, tmp_path / "run", machine, "demo")
    views, timed = 600 / view_seconds(run), [*machine.timed]
    assert not 0.8 < views / (machine.times_wider * TO_WIDEN.views) < 1.25, "too near to the limit to be foreseen"
    assert not 0.8 < views / (SLOWER * TO_WIDEN.views) < 1.25, "too near to the limit to be foreseen"
    assert run.width == (WIDE if views > machine.times_wider * TO_WIDEN.views else NARROW)
    assert (WIDE in timed) == (views > SLOWER * TO_WIDEN.views)


def test_both_widths_are_taken_somewhere(dataset: Path, tmp_path: Path, machine: Machine) -> None:
    widths = []
    for patch in (FAST, SLOW):
        machine.patch = patch
        widths.append(prepared(dataset, tmp_path / str(patch), machine, "demo").width)
    assert widths == [WIDE, NARROW]


def test_a_rejected_width_leaves_the_timings_of_the_one_that_is_taken(
    dataset: Path, tmp_path: Path, machine: Machine
) -> None:
    machine.times_wider = 1000.0
    run = prepared(dataset, tmp_path / "run", machine, "demo")
    assert run.width == NARROW
    assert WIDE in machine.timed
    timed = len(machine.timed)
    assert expected_timings(run).patch == machine.of(NARROW).patch
    assert len(machine.timed) == timed


@pytest.mark.parametrize(
    "values",
    [
        {"width": NARROW},
        {"coarse.evaluations": 10},
        {"fine.candidates": 32},
        {"deployment.recipe.iterations": 100_000},
        {"coarse.limits.macs": 10**12},
    ],
)
def test_what_a_user_has_set_comes_first(
    values: dict[str, Any], dataset: Path, tmp_path: Path, machine: Machine
) -> None:
    assert prepared(dataset, tmp_path / "run", machine, "demo", **values).width == NARROW
    assert WIDE not in machine.timed


def test_a_search_that_is_not_wanted_is_no_reason_against_it(dataset: Path, tmp_path: Path, machine: Machine) -> None:
    assert prepared(dataset, tmp_path / "none", machine, "demo", **{"coarse.evaluations": 0}).width == WIDE


def test_a_network_that_does_not_fit_is_not_taken(
    dataset: Path, tmp_path: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[float]()

    def fit(run: Run, request: Any, width: float) -> Any:
        asked.append(width)
        return lambda patch: False

    monkeypatch.setattr(width_module, "fit_for", fit)
    assert prepared(dataset, tmp_path / "run", machine, "demo").width == NARROW
    assert asked == [WIDE]
    assert WIDE not in machine.timed


def test_a_network_that_cannot_be_timed_is_not_taken(dataset: Path, tmp_path: Path, machine: Machine) -> None:
    machine.fails, said = True, Sayings()
    assert prepared(dataset, tmp_path / "run", machine, "demo", said).width == NARROW
    assert "Width 0.25, since a wider network was tried in vain" in "\n".join(said.texts)


@pytest.mark.parametrize(("cases", "width"), [(200, WIDE), (250, NARROW)])
def test_every_case_has_to_be_seen_often_enough(
    cases: int, width: float, dataset: Path, tmp_path: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty times: of 250 cases that is 5,000 views, for which the narrow network has the time, the wider one not."""
    run = prepared(dataset, tmp_path / "run", machine, "demo", width=NARROW)
    request = request_for(RunFolder(tmp_path), budget="demo")
    monkeypatch.setattr(width_module, "fit_for", lambda *_: lambda patch: True)
    chosen = PlanChoice.load(run.folder.choice).close[0]
    seconds = 4_500 * machine.times_wider * chosen.view_seconds
    found = affordable_width(
        run,
        request,
        [chosen],
        seconds,
        cases,
        patch_seconds=lambda design, plan: machine.times_wider * chosen.patch_seconds,
    )
    assert found == width


@pytest.mark.parametrize(
    ("devices", "options", "wider"),
    [
        (("cpu",), {}, WIDE),
        (("cpu",), {"budget": "3h"}, WIDE),
        (("cpu",), {"budget": "paper"}, None),
        (("cpu",), {"budget": "paper", "overrides": {"width": "auto"}}, None),
        (("cpu",), {"design": Architecture.from_text("0:3D 1:P3D 0:2D @0.25")}, None),
        (("cuda:0",), {}, None),
    ],
)
def test_there_is_a_choice_on_a_cpu_by_time(
    devices: Sequence[str], options: dict[str, Any], wider: float | None, tmp_path: Path
) -> None:
    assert request_for(RunFolder(tmp_path), devices=tuple(devices), **options).wider == wider


@pytest.mark.parametrize(("length", "wider"), [(None, WIDE), (3000, None)])
def test_of_a_budget_of_ones_own_a_fixed_length_keeps_the_width(
    length: int | None, wider: float | None, tmp_path: Path
) -> None:
    """Its evaluations and candidates are the most that the time may pay for, and so no wish."""
    part = load_budget("hour")
    part["deployment"]["recipe"] |= {} if length is None else {"iterations": length}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(part))
    assert request_for(RunFolder(tmp_path / "run"), budget=str(tmp_path / "mine.yaml")).wider == wider


def test_the_width_stays_that_of_the_plan(dataset: Path, tmp_path: Path, machine: Machine) -> None:
    """A plan that is edited, or has won a race, is trained at the width of the first."""
    run = prepared(dataset, tmp_path / "run", machine, "demo")
    assert run.width == WIDE
    run.folder.plan.write_text(run.folder.plan.read_text().replace("batch_size: 2", "batch_size: 3"))
    again = preparation.prepare(machine.run(run.folder.root), dataset, request_for(run.folder))
    assert (again.plan.batch_size, again.width) == (3, WIDE)


def test_another_budget_chooses_anew(dataset: Path, tmp_path: Path, machine: Machine) -> None:
    folder = tmp_path / "run"
    for patch, budget, width in ((FAST, "demo", WIDE), (SLOW, "20m", NARROW), (FAST, "demo", WIDE)):
        machine.patch = patch
        (folder / "timings.json").unlink(missing_ok=True)
        assert prepared(dataset, folder, machine, budget).width == width


def test_a_width_or_a_device_that_is_given_later_comes_first(dataset: Path, tmp_path: Path, machine: Machine) -> None:
    folder = prepared(dataset, tmp_path / "run", machine, "demo").folder
    assert planned_width(folder, request_for(folder)) == WIDE
    assert planned_width(folder, request_for(folder, overrides={"width": 0.125})) == 0.125
    assert planned_width(folder, request_for(folder, devices=("cuda:0",))) == 1.0


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
    first = next(read_json_lines(run.folder.schedule))
    assert first["timings"]["patch"] == machine.of(WIDE).patch
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
