"""The race between plans keeps to a tenth of the budget, has recipes of its length, and survives a kill anywhere."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from timed_runs import Clock, Sayings, Worker, started

from c2fnas.data import cache
from c2fnas.data.phantoms import write_phantoms
from c2fnas.data.plan import save_plan
from c2fnas.errors import Interrupted
from c2fnas.execution.job import Job, Outcome
from c2fnas.files import read_json, write_json
from c2fnas.planning import affordable, choice
from c2fnas.planning.request import request_for
from c2fnas.runs.records.plan_choice import PlanChoice
from c2fnas.runs.reporter import Silent
from c2fnas.runs.run import Run
from c2fnas.runs.timing.clock import ActiveTime
from c2fnas.runs.timing.timings import Timings
from c2fnas.stages import preparation, race
from c2fnas.training.recipe import modern_recipe

WIDTH = {"width": 0.125}
TENTH = 360.0
"""Seconds of an hour's race."""
ABOUT = 1.02
"""The executor of the test has every plan scored on as many windows as the run's own."""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantoms(tmp_path_factory.mktemp("data") / "Task00", cases=10, test_cases=0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Three plans at most are close, whatever is expected of them."""
    clock = started(monkeypatch)
    monkeypatch.setattr(choice, "CLOSE", 1.0)
    monkeypatch.setattr(affordable, "FLOOR", 0.5)
    return clock


class Racer(Worker):
    """Keeps the jobs that it was given; ``best`` is the folder of the winner."""

    def __init__(self, run: Run, clock: Clock, best: str, slowness: float = 1.0) -> None:
        super().__init__(run, clock, slowness)
        self.best, self.done = best, list[tuple[Job, float]]()

    def wait(self, timeout: float | None = None) -> Outcome | None:
        (_, job), before = self.waiting[-1], self.clock.now
        outcome = super().wait(timeout)
        self.done.append((job, self.clock.now - before))
        return outcome


class Raced:
    """A run that is prepared and raced."""

    def __init__(
        self,
        dataset: Path,
        folder: Path,
        clock: Clock,
        best: str = "1",
        reporter: Silent | None = None,
        slowness: float = 1.0,
        **values: Any,
    ) -> None:
        run = Run(folder, reporter=reporter, time=ActiveTime(folder / "spent.json", clock))
        budget = None if (folder / "run.yaml").exists() else "hour"
        with run.locked():
            values = {} if budget is None else WIDTH | values
            request = request_for(run.folder, budget=budget, overrides=values, devices=("cpu",))
            preparation.prepare(run, dataset, request)
            self.worker, self.begun = Racer(run, clock, best, slowness), clock.now
            self.entrants = race.entrants_of(run)
            self.run = race.race_plans(run.using(self.worker), dataset)
        self.seconds = clock.now - self.begun

    @property
    def choice(self) -> dict[str, Any]:
        return read_json(self.run.folder.choice)


def plans_of(folder: Path) -> list[Any]:
    return [each.plan for each in PlanChoice.load(folder / "planning.json").close]


def slow(clock: Clock, seconds: float) -> Callable[..., Any]:
    """Preparation of cases that takes so many seconds for each."""
    real = cache.prepare_cases

    def prepare_cases(cases: Any, plan: Any, folder: Path, *, progress: Any = None, **options: Any) -> Any:
        def passing(done: int, total: int) -> None:
            clock.now += seconds
            progress(done, total)

        return real(cases, plan, folder, progress=passing, **options)

    return prepare_cases


def test_a_race_takes_a_tenth_with_the_preparation_that_was_foreseen(
    dataset: Path, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seventeen seconds a case: the cases of one other plan can be prepared, those of two can't."""
    monkeypatch.setattr(preparation, "prepare_cases", slow(clock, 17.0))
    monkeypatch.setattr(race, "prepare_cases", slow(clock, 17.0))
    raced = Raced(dataset, tmp_path / "run", clock, best="run")
    assert len(raced.choice["close"]) == 3
    assert len(raced.entrants) == len(raced.choice["race"]) == 2
    assert 0.8 * TENTH < raced.seconds <= ABOUT * TENTH


@pytest.mark.parametrize(("slower", "raced"), [(2.0, True), (20.0, False)])
def test_a_machine_that_has_become_busy_still_gives_a_race_a_tenth(
    slower: float, raced: bool, dataset: Path, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plans were weighed by steps that were faster than those that were timed last."""
    prepare = preparation.prepare

    def prepared(run: Run, *given: Any) -> Run:
        found = prepare(run, *given)
        known = read_json(run.folder.timings)
        write_json(run.folder.timings, known | {"seconds": vars(Timings(**known["seconds"]).times(slower))})
        return found

    monkeypatch.setattr(preparation, "prepare", prepared)
    busy = Raced(dataset, tmp_path / "run", clock, slowness=slower)
    assert bool(busy.choice.get("race")) == raced
    assert busy.seconds <= 1.1 * TENTH


def test_a_race_whose_preparation_would_take_too_long_is_left_out(
    dataset: Path, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparation, "prepare_cases", slow(clock, 60.0))
    raced = Raced(dataset, tmp_path / "run", clock)
    assert raced.entrants == []
    assert (raced.seconds, raced.worker.done) == (0, [])


@pytest.mark.parametrize(("seconds", "raced_ones"), [(18.0, 2), (60.0, 0)])
def test_preparation_that_is_slower_than_foreseen_ends_where_the_trainings_begin(
    seconds: float, raced_ones: int, dataset: Path, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run's own cases took no time; a case that is begun is the most that is lost."""
    monkeypatch.setattr(race, "prepare_cases", slow(clock, seconds))
    raced = Raced(dataset, tmp_path / "run", clock, best="run")
    assert len(raced.entrants) == 3
    assert len(raced.choice["race"]) == raced_ones
    assert raced.seconds <= ABOUT * TENTH + seconds
    assert {path.name for path in raced.run.folder.race.glob("*")} == ({"chosen"} if raced_ones else set())
    assert race.entrants_of(Run(raced.run.folder.root)) == []


def test_entrants_find_no_place_on_a_full_disk(
    dataset: Path, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(race, "disk_needed", lambda *_: (10, 10**18))
    assert Raced(dataset, tmp_path / "run", clock).entrants == []


def test_entrants_train_by_a_recipe_of_their_own_length(dataset: Path, tmp_path: Path, clock: Clock) -> None:
    """The final network's is long enough for SGD, theirs is not."""
    raced = Raced(dataset, tmp_path / "run", clock, **{"deployment.recipe.iterations": 20_000})
    assert raced.run.config.deployment.recipe.optimiser == "sgd"
    cases = len(raced.run.search_split.training)
    for job, _ in raced.worker.done:
        recipe = job.payload["recipe"]
        fitting = modern_recipe(recipe["iterations"], recipe["volumes"], cases)
        assert recipe["iterations"] < 4000
        assert [recipe[name] for name in ("augmentation", "optimiser", "mirror", "learning_rate")] == [
            fitting.augmentation,
            fitting.optimiser,
            fitting.mirror,
            fitting.learning_rate,
        ]


def test_augmentation_that_was_asked_for_is_counted(dataset: Path, tmp_path: Path, clock: Clock) -> None:
    raced = Raced(dataset, tmp_path / "run", clock, best="run", **{"deployment.recipe.augmentation": "modern"})
    assert {job.payload["recipe"]["augmentation"] for job, _ in raced.worker.done} == {"modern"}
    assert 0.8 * TENTH < raced.seconds <= ABOUT * TENTH


@pytest.mark.parametrize("best", ["0", "1"])
@pytest.mark.parametrize("killed_in", ["_note", "_note again", "save_plan", "_move", "_move again", "prepare"])
def test_a_kill_at_any_step_of_the_end_is_made_good(
    best: str, killed_in: str, dataset: Path, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Called again, the run has the winner's plan, cases and training, and nothing else is left."""
    folder, (name, _, again) = tmp_path / "run", killed_in.partition(" ")
    real, calls = getattr(race, name), list[Any]()

    def die(*args: Any, **values: Any) -> Any:
        if (name == "_note" and "best" not in values) or (name == "save_plan" and "race" in args[1].parts):
            return real(*args, **values)
        calls.append(args)
        if again and len(calls) == 1:
            return real(*args, **values)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(race, name, die)
        try:
            Raced(dataset, folder, clock, best={"0": "run"}.get(best, best))
        except KeyboardInterrupt:
            assert calls
    resumed = Raced(dataset, folder, clock, best={"0": "run"}.get(best, best))
    plan = plans_of(folder)[int(best)]
    run = Run(folder)
    assert run.plan == plan
    assert run.cache.plan_key == plan.preparation_key
    assert run.config.plan_sha256 == resumed.run.config.plan_sha256
    assert resumed.choice["race"][int(best)]["dice"] == 0.9
    assert "best" not in resumed.choice
    assert [path.name for path in run.folder.race.iterdir()] == ["chosen"]
    assert (run.folder.race_chosen / "result.json").exists()
    assert Raced(dataset, folder, clock).worker.done == []


def test_a_race_that_was_stopped_has_the_lengths_it_began_with(dataset: Path, tmp_path: Path, clock: Clock) -> None:
    folder = tmp_path / "run"
    with pytest.raises(Interrupted):
        Raced(dataset, folder, clock, reporter=Sayings(folder, "race"))
    lengths = read_json(folder / "planning.json")["iterations"]
    clock.now += 8 * 3600
    raced = Raced(dataset, folder, clock)
    assert sorted(job.payload["recipe"]["iterations"] for job, _ in raced.worker.done) == sorted(lengths)


def test_nothing_is_left_of_a_race_whose_plan_was_edited(dataset: Path, tmp_path: Path, clock: Clock) -> None:
    folder = tmp_path / "run"
    with pytest.raises(Interrupted):
        Raced(dataset, folder, clock, reporter=Sayings(folder, "race"))
    assert (folder / "race" / "1" / "cache").is_dir()
    edited = Run(folder).plan.model_copy(update={"batch_size": 3})
    save_plan(edited, folder / "plan.yaml")
    assert Raced(dataset, folder, clock).run.plan == edited
    assert list((folder / "race").iterdir()) == []


def test_a_winner_does_not_displace_an_edited_plan(dataset: Path, tmp_path: Path, clock: Clock) -> None:
    """The race was decided, the driver killed, the plan edited."""
    folder = tmp_path / "run"
    Raced(dataset, folder, clock)
    figures = read_json(folder / "planning.json")
    write_json(folder / "planning.json", figures | {"best": 1})
    edited = Run(folder).plan.model_copy(update={"batch_size": 3})
    save_plan(edited, folder / "plan.yaml")
    raced = Raced(dataset, folder, clock)
    assert raced.run.plan == edited
    assert raced.choice == figures


@pytest.mark.parametrize("value", [{"plan.batch_size": 3}, {"plan.foreground_rate": 0.5}])
def test_values_of_the_plan_that_are_asked_for_are_not_raced(
    value: dict[str, Any], dataset: Path, tmp_path: Path, clock: Clock
) -> None:
    raced = Raced(dataset, tmp_path / "run", clock, **value)
    assert len(raced.choice["close"]) > 1
    assert (raced.entrants, raced.worker.done) == ([], [])
