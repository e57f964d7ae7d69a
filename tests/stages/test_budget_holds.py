"""A budget is a time that holds: a clock and an executor made for the test, whose steps are slower than first timed."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from report_runs import write_result, write_training
from timed_runs import PREPARATION, TIMED, Clock, Sayings, Worker, started

from c2fnas.data.cache import Cache, prepare_cases
from c2fnas.data.dataset import Case, Dataset
from c2fnas.data.phantoms import write_phantoms
from c2fnas.data.plan import Plan, save_plan
from c2fnas.data.preprocess import prepared_shape
from c2fnas.data.scan import Scan, scan_dataset
from c2fnas.errors import Interrupted, UserError
from c2fnas.execution.executor import Executor
from c2fnas.files import read_json, read_json_lines, write_json
from c2fnas.planning import affordable, choice, configuration, forecast, run_timings, schedule, training_seconds
from c2fnas.planning import request as requests
from c2fnas.planning.middle import middle_network
from c2fnas.planning.request import request_for
from c2fnas.planning.training_seconds import forecast_trainings, seconds_of_trainings
from c2fnas.runs.config import RunConfig
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.overrides import value_at, with_values
from c2fnas.runs.records.plan_choice import PlanChoice
from c2fnas.runs.repetition import Repetition
from c2fnas.runs.reporter import Silent
from c2fnas.runs.run import Run
from c2fnas.runs.timing.clock import ActiveTime
from c2fnas.shapes import Spacing
from c2fnas.space.architecture import Architecture
from c2fnas.stages import preparation, race, run_folds
from c2fnas.stages.pipeline import run_pipeline
from c2fnas.stages.train import TrainOptions, train_architecture
from c2fnas.stages.training_jobs import TrainingSpec, training_job

TRUE = (1.0, 1.0, 2.5)
"""The spacing that is stated where headers have lost it."""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantoms(tmp_path_factory.mktemp("data") / "Task00", cases=15, test_cases=0)


@pytest.fixture(scope="module", autouse=True)
def _prepared_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The first run of a data set reads it, and the first of a plan prepares its cases, which are the same in all.

    Later runs find the cases in their folder and go over them as usual; other data and plans are prepared anew.
    """
    place, scans, caches = tmp_path_factory.mktemp("prepared"), dict[Dataset, Scan](), dict[object, Path]()

    def scan(data: Dataset, **options: Any) -> Scan:
        if data not in scans:
            scans[data] = scan_dataset(data, **options)
        return scans[data]

    def prepare(cases: Sequence[Case], plan: Plan, folder: Path, **options: Any) -> Cache:
        key = tuple(cases), plan.preparation_key
        if key in caches and not folder.exists():
            shutil.copytree(caches[key], folder)
        made = prepare_cases(cases, plan, folder, **options)
        if key not in caches:
            caches[key] = Path(shutil.copytree(folder, place / str(len(caches))))
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preparation, "scan_dataset", scan)
        for module in (preparation, race):
            patch.setattr(module, "prepare_cases", prepare)
        yield


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return started(monkeypatch)


def opened(folder: Path, clock: Clock, reporter: Silent | None = None) -> Run:
    return Run(folder, reporter=reporter, time=ActiveTime(folder / "spent.json", clock))


def prepared(dataset: Path, folder: Path, clock: Clock, budget: str, **values: Any) -> Run:
    """A run that is prepared for one CPU."""
    request = request_for(opened(folder, clock).folder, budget=budget, overrides={"width": 0.125} | values)
    return preparation.prepare(opened(folder, clock), dataset, request)


def through(
    dataset: Path,
    folder: Path,
    clock: Clock,
    slowness: float,
    *,
    reporter: Silent | None = None,
    worker: Callable[[Run], Worker] | None = None,
    devices: tuple[str, ...] = ("cpu",),
    **options: Any,
) -> Run:
    """A whole run; its verdict takes all that it is allowed, but no more than two trainings."""
    run = opened(folder, clock, reporter)

    def judge(working: Run, allowance: float | None) -> float | None:
        rows = [row for row in read_json_lines(folder / "schedule.jsonl") if row["stage"] == "verdict"]
        assert [row["seconds"] for row in rows] == [pytest.approx(allowance, abs=0.1)]
        if working.config.searches:
            clock.now += allowance or 0
        write_json(folder / "verdict" / "verdict.json", {})
        return allowance

    def factory(_: tuple[str, ...]) -> Executor:
        return worker(run) if worker else Worker(run, clock, slowness)

    if "budget" in options:  # it leaves no package that could be told which components to keep
        options["overrides"] = options.get("overrides", {}) | {"deployment.keep_largest": False}
    run_pipeline(run, dataset, factory, devices=devices, judge=judge, **options)
    return Run(folder, time=run.time)


@pytest.mark.parametrize(
    ("budget", "searches", "slowness"),
    [(budget, budget == "hour", slowness) for budget in ("demo", "hour") for slowness in (0.5, 1.0, 2.0)],
)
def test_it_ends_with_its_budget(
    budget: str, searches: bool, slowness: float, dataset: Path, tmp_path: Path, clock: Clock
) -> None:
    run = through(dataset, tmp_path / "run", clock, slowness, budget=budget, overrides={"width": 0.125})
    whole, spent = 3600 * run.config.hours, clock.now - 1000
    assert run.time.seconds == pytest.approx(spent)
    assert 0.8 * whole <= spent <= 1.15 * whole
    assert run.config.searches == searches
    stages = [row["stage"] for row in read_json_lines(run.folder.schedule)]
    ranked = ["ranking"] if run.config.fine.candidates else []  # twice as slow, an hour pays for topologies alone
    assert stages == ["coarse", "super-network", *ranked, "deployment", "verdict"]


SMALL = Architecture.from_text("0:3D 1:P3D 0:2D @0.125")


def trained(
    dataset: Path, folder: Path, clock: Clock, worker: Callable[[Run], Worker], *, folds: str = "0", devices: int = 1
) -> Run:
    """A network that is trained without a search, in ten minutes."""
    run, names = opened(folder, clock), ("cpu",) if devices == 1 else tuple(f"cpu:{each}" for each in range(devices))
    options = TrainOptions(SMALL, None, folds, "demo", {"deployment.keep_largest": False}, forecast=True)
    train_architecture(run, dataset, options, lambda _: worker(run), names)
    return Run(folder, time=run.time)


@pytest.mark.parametrize("slowness", [0.5, 1.5, 3.0])
def test_a_training_ends_with_its_budget(slowness: float, dataset: Path, tmp_path: Path, clock: Clock) -> None:
    run = trained(dataset, tmp_path / "run", clock, lambda run: Worker(run, clock, slowness))
    assert 0.8 * 600 <= clock.now - 1000 <= 1.15 * 600
    assert [row["stage"] for row in read_json_lines(run.folder.schedule)] == ["deployment"]


SHARED = replace(TIMED, alone=0.55)
"""Two devices share a processor: a lone job takes so much less time."""


@pytest.mark.parametrize("folds", ["0", "0,1,2", "all"])
def test_folds_that_share_a_processor_end_with_their_budget(
    folds: str, dataset: Path, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is measured has the cores of what follows."""
    monkeypatch.setattr(run_timings, "measure", lambda *_: SHARED)
    trained(dataset, tmp_path / "run", clock, lambda run: Worker(run, clock, 1.5, 2, SHARED), folds=folds, devices=2)
    assert 0.8 * 600 <= clock.now - 1000 <= 1.1 * 600


@pytest.mark.parametrize("slowness", [0.5, 1.0, 2.0])
def test_a_search_that_shares_a_processor_ends_with_its_budget(
    slowness: float, dataset: Path, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The super-network and the final network have all the cores, and their time is used."""
    monkeypatch.setattr(run_timings, "measure", lambda *_: SHARED)
    through(
        dataset,
        tmp_path / "run",
        clock,
        slowness,
        worker=lambda run: Worker(run, clock, slowness, 2, SHARED),
        devices=("cpu:0", "cpu:1"),
        budget="hour",
        overrides={"width": 0.125},
    )
    assert 0.8 * 3600 <= clock.now - 1000 <= 1.1 * 3600


def test_a_cluster_has_more_room_than_the_machine_that_prepared(dataset: Path, tmp_path: Path, clock: Clock) -> None:
    """Four jobs at a time on other machines: candidates train four times as long as on the one device, on time."""

    class Cluster(Worker):
        elsewhere = True

    folder = tmp_path / "run"
    alone = prepared(dataset, folder, clock, "hour", **{"deployment.keep_largest": False}).config
    run = through(dataset, folder, clock, 1.0, worker=lambda run: Cluster(run, clock, 1.0, 4))
    trained = run.config.coarse.evaluations * run.config.coarse.recipe.iterations
    assert trained > 3 * alone.coarse.evaluations * alone.coarse.recipe.iterations
    assert 0.8 * 3600 <= clock.now - 1000 <= 1.15 * 3600


def test_a_cluster_s_timings_are_those_of_the_machine_that_prepared(
    dataset: Path, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver may be on a machine without any accelerator, where nothing could be timed."""
    run, folder = prepared(dataset, tmp_path / "run", clock, "hour"), tmp_path / "run"
    timed = run_timings.expected_timings(run)
    monkeypatch.setattr(run_timings, "hardware_name", lambda device: "head")
    monkeypatch.setattr(run_timings, "measure", lambda *_: pytest.fail("timed on the driver's machine"))
    executor = Worker(run, clock, 1.0)
    executor.elsewhere = True
    assert run_timings.expected_timings(Run(folder, executor=executor)) == timed


class SlowInPlane(Worker):
    """A multiply-accumulate takes twice as long in a network that has other operations than 3D."""

    def run_spec(self, payload: dict[str, Any], folder: Path) -> tuple[dict[str, Any], float]:
        mixed = {*payload["design"].get("operations", ["3D"])} != {"3D"}
        whole, self.slowness = self.slowness, self.slowness * (2 if mixed else 1)
        try:
            return super().run_spec(payload, folder)
        finally:
            self.slowness = whole


def test_a_found_network_with_slower_operations_ends_with_its_budget(
    dataset: Path, tmp_path: Path, clock: Clock
) -> None:
    """Its own first steps are measured, since candidates of the coarse stage are 3D everywhere."""
    run = through(
        dataset,
        tmp_path / "run",
        clock,
        1.0,
        worker=lambda run: SlowInPlane(run, clock, 1.0),
        budget="hour",
        overrides={"width": 0.125},
    )
    assert run.folder.measured.exists()
    assert not run.folder.race_chosen.exists()
    assert "2D" in run.folder.found_architecture().to_text()
    assert 0.8 * 3600 <= clock.now - 1000 <= 1.1 * 3600
    verdict = [row for row in read_json_lines(run.folder.schedule) if row["stage"] == "verdict"]
    assert verdict[0]["seconds"] > 0.15 * 3600, "the final network took the verdict's time"


@pytest.mark.parametrize("stage", ["super-network", "deployment"])
def test_a_run_that_moves_to_a_slower_machine_ends_with_its_budget(
    stage: str, dataset: Path, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten times as slow, as is timed there: the pace of trainings on the first one says nothing of it."""
    folder = tmp_path / "run"
    reporter = Sayings(folder, stage)
    with pytest.raises(Interrupted):
        through(dataset, folder, clock, 1.0, reporter=reporter, budget="hour", overrides={"width": 0.125})
    row = read_json_lines(folder / "schedule.jsonl")
    fixed = [each["stage"] for each in row]
    (folder / "schedule.jsonl").write_text("".join(json.dumps(each) + "\n" for each in [*row][:-1]))
    assert fixed[-1] == stage
    before = clock.now - 1000
    monkeypatch.setattr(run_timings, "hardware_name", lambda device: "other")
    monkeypatch.setattr(run_timings, "measure", lambda *_: TIMED.times(10))
    through(dataset, folder, clock, 10.0)
    assert before < 0.95 * 3600
    assert clock.now - 1000 <= 1.15 * 3600


def test_steps_that_were_cut_short_or_made_elsewhere_tell_no_pace(
    dataset: Path, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first iterations take many times as long; what was measured elsewhere keeps its cost."""
    run = prepared(dataset, tmp_path / "run", clock, "hour")
    run_timings.expected_timings(run)
    design, folder = middle_network(run.config.space, run.width), run.folder.measured
    spec = TrainingSpec(design, run.config.deployment.recipe.with_iterations(200))
    write_json(folder / "job.json", {"payload": training_job(run, "steps", folder, spec).payload})
    for until, told in ((10, False), (40, False), (50, True)):
        write_training(folder, pace=2.0, until=until)
        assert run_timings.paced(run, design) == told
    write_training(folder, pace=2.0, until=10)
    write_result(folder, {}, seconds=20.0)
    assert run_timings.paced(run, design), "to the end that was asked for"
    monkeypatch.setattr(run_timings, "hardware_name", lambda device: "other")
    monkeypatch.setattr(run_timings, "measure", lambda *_: TIMED)
    run_timings.expected_timings(run)
    assert not run_timings.paced(run, design)
    assert [place.name for place in run.folder.race.iterdir()] == ["measured-0"]


def test_steps_are_timed_again_for_another_number_of_threads_or_precision(
    dataset: Path, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for a file of an earlier version, which noted neither."""
    run = prepared(dataset, tmp_path / "run", clock, "hour")
    first, kept = run_timings.expected_timings(run), read_json(run.folder.timings)
    write_json(run.folder.timings, {name: kept[name] for name in kept if name not in ("threads", "precision")})
    monkeypatch.setattr(run_timings, "measure", lambda *_: pytest.fail("timed again"))
    assert run_timings.expected_timings(run) == first
    for changed in ({"threads": kept["threads"] + 1}, {"precision": "fp16"}):
        write_json(run.folder.timings, kept | changed)
        monkeypatch.setattr(run_timings, "measure", lambda *_: TIMED.times(3))
        assert run_timings.expected_timings(run) == TIMED.times(3)


def test_recorded_views_are_those_of_the_recorded_length(dataset: Path, tmp_path: Path, clock: Clock) -> None:
    """A length that the user has set since mirrors by its own rule."""
    run, prepare_of = prepared(dataset, tmp_path / "run", clock, "hour"), schedule.preparation_of
    counts = {name: value_at(run.config, name) for name in requests.COUNTS} | {"deployment.recipe.mirror": False}
    counts["deployment.recipe.iterations"] = 9000
    kept = configuration.with_counts(run.config, request_for(run.folder), prepare_of(run), counts).deployment.recipe
    assert (kept.iterations, kept.mirror) == (9000, False)
    since = request_for(run.folder, overrides={"deployment.recipe.iterations": 8000})
    config = with_values(run.config, {"deployment.recipe.iterations": 8000, "deployment.recipe.mirror": True})
    own = configuration.with_counts(config, since, prepare_of(run), counts).deployment.recipe
    assert (own.iterations, own.mirror) == (8000, True)


def test_a_forecast_of_a_resumed_run_counts_nothing_twice(dataset: Path, tmp_path: Path, clock: Clock) -> None:
    folder, said = tmp_path / "run", Sayings()
    reporter = Sayings(folder, "deployment")
    with pytest.raises(Interrupted):
        through(dataset, folder, clock, 1.0, reporter=reporter, budget="hour", overrides={"width": 0.125})
    through(dataset, folder, clock, 1.0, reporter=said)
    (text,) = [text for text in said.texts if "until now" in text]
    rows = [line.split()[0] for line in text.splitlines() if "≈" in line]
    assert rows == ["until", "deployment", "verdict", "together", "memory"]
    hours, minutes, seconds = next(line for line in text.splitlines() if "together" in line).split()[2].split(":")
    assert 3600 * int(hours) + 60 * int(minutes) + int(seconds) == pytest.approx(3600, rel=0.15)


def test_a_resumed_run_keeps_its_precision(
    dataset: Path, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine that would choose another one."""
    folder = tmp_path / "run"
    reporter = Sayings(folder, "super-network")
    with pytest.raises(Interrupted):
        through(dataset, folder, clock, 1.0, reporter=reporter, budget="hour", overrides={"width": 0.125})
    before = RunConfig.load(folder / "run.yaml").deployment.recipe.precision
    monkeypatch.setattr(configuration, "common_precision", lambda *_: "fp32" if before == "bf16" else "bf16")
    config = through(dataset, folder, clock, 1.0).config
    assert {getattr(config, name).recipe.precision for name in ("coarse", "fine", "deployment")} == {before}


def test_a_network_whose_time_is_spent_is_trained_a_little_and_says_so(
    dataset: Path, tmp_path: Path, clock: Clock
) -> None:
    folder, said = tmp_path / "run", Sayings()
    prepared(dataset, folder, clock, "demo", **{"deployment.keep_largest": False})
    write_json(folder / "spent.json", {"seconds": 590.0})
    run = through(dataset, folder, clock, 1.0, reporter=said)
    assert run.config.deployment.recipe.iterations > 20
    assert run.time.seconds <= 1.15 * 600
    assert any("is spent" in text for text in said.texts)


@pytest.mark.parametrize("patch", [0.05, 1.6])
def test_the_budget_that_a_forecast_names_buys_the_search(
    patch: float, dataset: Path, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where it is a day or more, which deploys five folds."""
    slow = TIMED.times(patch / TIMED.patch)
    monkeypatch.setattr(run_timings, "measure", lambda *_: slow)
    run = prepared(dataset, tmp_path / "run", clock, "hour" if patch > 1 else "demo")
    (text,) = forecast.left_out(run)
    hours = text.partition("`--budget ")[2].partition("h`")[0]
    longer = prepared(dataset, tmp_path / "longer", clock, f"{hours}h", **{"plan.spacing": run.plan.spacing})
    assert longer.config.coarse.evaluations >= 8
    assert longer.config.fine.candidates
    assert (float(hours) >= 24) == (patch > 1)


def test_what_is_not_searched_is_named(dataset: Path, tmp_path: Path, clock: Clock) -> None:
    """The topology, where the operations were asked for all the same."""
    run = prepared(dataset, tmp_path / "run", clock, "demo", **{"fine.candidates": 50})
    assert [text.partition(",")[0] for text in forecast.left_out(run)] == ["The topology is not searched"]
    text = forecast.forecast_of(run)
    assert "  ranking" in text
    hours, minutes, _ = next(line for line in text.splitlines() if "together" in line).split()[2].split(":")
    assert 60 * int(hours) + int(minutes) <= 10


@pytest.mark.parametrize("count", [100, 1_000_000])
def test_a_forecast_says_that_counts_which_are_fixed_are_longer_than_the_budget(
    count: int, dataset: Path, tmp_path: Path, clock: Clock
) -> None:
    fixed = {"deployment.recipe.iterations": count, "coarse.evaluations": 0}
    run = prepared(dataset, tmp_path / "run", clock, "hour", **fixed)
    said = "times the budget of 1 h 0 min, for deployment.recipe.iterations is fixed"
    assert (said in forecast.forecast_of(run)) == (count > 100)
    (run.folder.final / "fold-0").mkdir(parents=True)
    assert said not in forecast.forecast_of(run), "late it may be for other reasons, once it has begun"


def test_a_training_is_forecast_with_the_cases_that_score_it(dataset: Path, tmp_path: Path, clock: Clock) -> None:
    run = prepared(dataset, tmp_path / "run", clock, "demo")
    design = middle_network(run.config.space, run.width)

    def told(cases: int | None) -> str | None:
        spec = TrainingSpec(design, run.config.deployment.recipe.with_iterations(10), cases=cases)
        jobs = [training_job(run, "steps", run.folder.measured, spec)]
        return forecast_trainings(run, "steps", jobs, seconds_of_trainings(run, jobs))

    assert told(1) != told(None) == told(1000)


def test_trainings_that_are_all_done_time_no_steps_for_their_forecast(
    dataset: Path, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A finished stage is asked again on another machine, where nothing is known of steps."""
    run = prepared(dataset, tmp_path / "run", clock, "demo")
    spec = TrainingSpec(middle_network(run.config.space, run.width), run.config.deployment.recipe.with_iterations(10))
    job = training_job(run, "steps", run.folder.measured, spec)
    assert set(seconds_of_trainings(run, [job])) == {"steps"}
    monkeypatch.setattr(run_timings, "hardware_name", lambda device: "another")
    monkeypatch.setattr(run_timings, "measure", lambda *_: pytest.fail("timed for nothing"))
    monkeypatch.setattr(training_seconds, "finished", lambda _: True)
    assert seconds_of_trainings(run, [job]) == {}


def test_a_forecast_says_what_is_left_out_and_which_budget_would_pay(
    dataset: Path, tmp_path: Path, clock: Clock
) -> None:
    said = Sayings()
    through(dataset, tmp_path / "run", clock, 1.0, budget="demo", overrides={"width": 0.125}, reporter=said)
    text = "\n".join(said.texts)
    assert "Nothing is searched" in text
    hours = text.partition("`--budget ")[2].partition("h`")[0]
    again = through(dataset, tmp_path / "longer", clock, 1.0, budget=f"{hours}h", overrides={"width": 0.125})
    assert again.config.coarse.evaluations >= 8


COUNTS = ("coarse.evaluations", "coarse.recipe", "fine.candidates", "fine.cases", "fine.recipe", "deployment.recipe")


@pytest.mark.parametrize("stage", ["coarse", "super-network", "ranking", "deployment"])
def test_a_run_that_is_resumed_has_the_counts_it_was_started_with(
    stage: str, dataset: Path, tmp_path: Path, clock: Clock
) -> None:
    """After a night, on a machine that is three times as slow."""
    folder, options = tmp_path / "run", {"budget": "hour", "overrides": {"width": 0.125}}
    with pytest.raises(Interrupted):
        through(dataset, folder, clock, 1.0, reporter=Sayings(folder, stage), **options)
    rows = (folder / "schedule.jsonl").read_text()
    before = RunConfig.load(folder / "run.yaml")
    clock.now += 8 * 3600
    run = through(dataset, folder, clock, 3.0)
    assert (folder / "schedule.jsonl").read_text().startswith(rows)
    fixed = [row["stage"] for row in map(json.loads, rows.splitlines())]
    known = {"coarse": COUNTS[:2], "super-network": COUNTS[4:5], "ranking": COUNTS[2:4], "deployment": COUNTS[5:]}
    for name in (name for each in fixed for name in known[each]):
        assert value_at(run.config, name) == value_at(before, name)
    assert run.time.seconds == pytest.approx(clock.now - 1000 - 8 * 3600)


def test_a_run_without_a_search_is_resumed_with_its_counts(dataset: Path, tmp_path: Path, clock: Clock) -> None:
    """Stopped in the final training, long after its time was up."""
    folder = tmp_path / "run"
    with pytest.raises(Interrupted):
        through(dataset, folder, clock, 1.0, budget="demo", reporter=Sayings(folder, "deployment"))
    before, rows = RunConfig.load(folder / "run.yaml"), (folder / "schedule.jsonl").read_text()
    write_json(folder / "spent.json", {"seconds": 5000.0})
    after = through(dataset, folder, clock, 1.0)
    assert after.config.deployment == before.deployment
    assert (folder / "schedule.jsonl").read_text().startswith(rows)


def test_counts_written_down_by_a_driver_that_died_are_taken(dataset: Path, tmp_path: Path, clock: Clock) -> None:
    """It died between the row and the configuration."""
    folder = tmp_path / "run"
    with pytest.raises(Interrupted):
        through(dataset, folder, clock, 1.0, budget="hour", reporter=Sayings(folder, "coarse"))
    rows = [json.loads(line) for line in (folder / "schedule.jsonl").read_text().splitlines()]
    rows[-1]["counts"]["coarse.recipe.iterations"] += 1
    (folder / "schedule.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = Run(folder)
    schedule.fix_counts(run, "coarse")
    assert Run(folder).config.coarse.recipe.iterations == rows[-1]["counts"]["coarse.recipe.iterations"]


@pytest.fixture
def close(monkeypatch: pytest.MonkeyPatch) -> None:
    """All plans that are allowed are close."""
    monkeypatch.setattr(choice, "CLOSE", 1.0)
    monkeypatch.setattr(affordable, "FLOOR", 0.5)


@pytest.mark.usefixtures("close")
def test_plans_that_are_close_are_raced(dataset: Path, tmp_path: Path, clock: Clock) -> None:
    """The second one is the best: the run goes on with it, and nothing is left of the others but their figures."""
    said, folder = Sayings(), tmp_path / "run"
    run = through(dataset, folder, clock, 1.0, budget="hour", overrides={"width": 0.125}, reporter=said)
    kept = PlanChoice.load(run.folder.choice)
    plans = [each.plan for each in kept.close]
    assert len(plans) > 1
    assert Run(folder).plan == plans[1]
    assert Run(folder).cache.plan_key == plans[1].preparation_key
    assert kept.race is not None
    dice = [each["dice"] for each in kept.race]
    assert max(dice) == dice[1] == 0.9
    assert [path.name for path in run.folder.race.iterdir()] == ["chosen", "measured"]
    forecasts = [text for text in said.texts if "until now" in text]
    assert ["  race " in text for text in forecasts] == [True, False]
    first = read_json_lines(run.folder.schedule)
    assert next(iter(first))["spent"] <= 0.1 * 3600 + 10 * PREPARATION
    assert 0.8 * 3600 <= clock.now - 1000 <= 1.15 * 3600
    assert race.entrants_of(Run(folder)) == []


@pytest.mark.usefixtures("close")
def test_a_race_that_was_stopped_goes_on(dataset: Path, tmp_path: Path, clock: Clock) -> None:
    folder, options = tmp_path / "run", {"budget": "hour", "overrides": {"width": 0.125}}
    with pytest.raises(Interrupted):
        through(dataset, folder, clock, 1.0, reporter=Sayings(folder, "race"), **options)
    assert "race" not in read_json(folder / "planning.json")
    run = through(dataset, folder, clock, 1.0)
    assert read_json(run.folder.choice)["race"][1]["dice"] == 0.9


@pytest.mark.usefixtures("close")
def test_plans_are_raced_in_the_spacing_that_is_stated(dataset: Path, tmp_path: Path, clock: Clock) -> None:
    """Headers say 1 mm: every entrant prepares its cases by the true spacing, and so does the run that goes on."""
    lost, folder = Path(shutil.copytree(dataset, tmp_path / "lost")), tmp_path / "run"
    for path in [*(lost / "imagesTr").iterdir(), *(lost / "labelsTr").iterdir()]:
        array = np.asarray(nibabel.as_closest_canonical(nibabel.load(path)).dataobj)
        nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), path)
    prepared, original = list[tuple[Spacing, ...]](), race.prepare_cases

    def spying(cases: Sequence[Case], *arguments: Any, **options: Any) -> Cache:
        prepared.append(tuple(case.spacing for case in cases if case.spacing))
        return original(cases, *arguments, **options)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(race, "prepare_cases", spying)
        overrides = {"width": 0.125, "stated_spacing": TRUE}
        run = through(lost, folder, clock, 1.0, budget="hour", overrides=overrides)
    kept = PlanChoice.load(run.folder.choice)
    plans = [each.plan for each in kept.close]
    assert prepared == [(TRUE,) * len(run.cache.ids)] * (len(plans) - 1)
    assert plans[0].spacing == pytest.approx(TRUE)
    assert kept.race is not None
    assert max(each["dice"] for each in kept.race) == kept.race[1]["dice"]
    assert Run(folder).plan == plans[1]
    for case in run.cases(run.cache.ids):
        assert case.restoration.original.spacing == pytest.approx(TRUE)
        assert case.raw.shape[1:] == prepared_shape(case.restoration.crop_shape, TRUE, plans[1])


@pytest.mark.usefixtures("close")
def test_an_edited_plan_is_not_raced(dataset: Path, tmp_path: Path, clock: Clock) -> None:
    folder = tmp_path / "run"
    run = Run(folder, time=ActiveTime(folder / "spent.json", clock))
    request = request_for(run.folder, budget="hour", overrides={"width": 0.125}, devices=("cpu",))
    preparation.prepare(run, dataset, request)
    assert len(race.entrants_of(Run(folder, time=run.time))) > 1
    save_plan(run.plan.model_copy(update={"batch_size": 3}), folder / "plan.yaml")
    assert race.entrants_of(Run(folder)) == []


def test_values_that_are_asked_for_are_planned(dataset: Path, tmp_path: Path, clock: Clock) -> None:
    folder = tmp_path / "run"
    values = {"width": 0.125, "plan.spacing": [2.0, 2.0, 4.0], "plan.patch_size": [16, 16, 8]}
    run = Run(folder, time=ActiveTime(folder / "spent.json", clock))
    preparation.prepare(run, dataset, request_for(run.folder, budget="hour", overrides=values, devices=("cpu",)))
    assert (run.plan.spacing, run.plan.patch_size) == ((2.0, 2.0, 4.0), (16, 16, 8))
    assert race.entrants_of(run) == []


def test_a_run_like_another_has_its_plan_and_counts(dataset: Path, tmp_path: Path, clock: Clock) -> None:
    """On a machine that is three times as slow."""
    first = through(dataset, tmp_path / "first", clock, 1.0, budget="hour", overrides={"width": 0.125})
    first.folder.verdict_file.unlink()
    known = Repetition.of(first.folder)
    known.begin(RunFolder(tmp_path / "again"), "run")
    again = through(dataset, tmp_path / "again", clock, 3.0, budget=known.budget, overrides=known.overrides)
    assert again.plan == first.plan
    assert again.folds == first.folds
    for name in (*COUNTS, "width"):
        assert value_at(again.config, name) == value_at(first.config, name)


def test_too_many_cases_are_left_out_by_whole_groups(
    dataset: Path, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six of ten, if preparation is so slow; a fold that is asked for in other words is the same one."""
    monkeypatch.setattr(run_folds, "affordable_cases", lambda *_: (6, 3))
    said, folder = Sayings(), tmp_path / "run"
    run = through(dataset, folder, clock, 1.0, budget="demo", overrides={"width": 0.125}, reporter=said)
    assert any("takes 6 of them" in text and "`--budget 3h` takes all" in text for text in said.texts)
    cases = {case for fold in run.folds for case in (*fold.training, *fold.validation)}
    assert len(cases) == 6
    assert set(Run(folder).cache.ids) == cases
    folds = (folder / "folds.json").read_text()
    again = through(dataset, folder, clock, 1.0, budget="demo", overrides={"width": 0.125, "folds.by": "sequential"})
    assert (folder / "folds.json").read_text() == folds
    assert again.folds == run.folds


def test_folds_that_are_named_after_the_preparation_share_its_time(dataset: Path, tmp_path: Path, clock: Clock) -> None:
    prepared(dataset, tmp_path / "run", clock, "10m", **{"deployment.keep_largest": False})
    run = opened(tmp_path / "run", clock)
    design = middle_network(run.config.space, run.width)
    train_architecture(run, dataset, TrainOptions(design, None, "all"), lambda _: Worker(run, clock, 1.0), ("cpu",))
    assert clock.now - 1000 <= 1.15 * 600
    assert Run(tmp_path / "run").final_folds == (0, 1, 2, 3, 4)


def test_time_that_an_early_end_has_saved_is_saved_once(dataset: Path, tmp_path: Path, clock: Clock) -> None:
    """Stopped after the coarse stage, and finished runs given again: what was saved then counts."""

    class Alike(Worker):
        def run_spec(self, payload: dict[str, Any], folder: Path) -> tuple[dict[str, Any], float]:
            value, seconds = super().run_spec(payload, folder)
            return {**value, "dice": 0.5}, seconds

    def worker(run: Run) -> Worker:
        return Alike(run, clock, 0.7)

    folder, options = tmp_path / "run", {"budget": "3h", "overrides": {"width": 0.125}}
    with pytest.raises(Interrupted):
        through(dataset, folder, clock, 1.0, worker=worker, reporter=Sayings(folder, "ranking"), **options)
    saved = read_json(folder / "coarse" / "posterior.json")["saved"]
    assert saved > 0
    whole = through(dataset, tmp_path / "whole", clock, 1.0, worker=worker, **options)
    resumed = through(dataset, folder, clock, 1.0, worker=worker)
    assert read_json(folder / "coarse" / "posterior.json")["saved"] == saved
    iterations = [run.config.deployment.recipe.iterations for run in (whole, resumed)]
    assert iterations[1] == pytest.approx(iterations[0], rel=0.02)


def test_a_race_that_did_not_start_makes_no_step_look_slow(
    dataset: Path, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps that were measured beside those of other folds are compared with such."""
    shared = replace(TIMED, alone=0.55)
    monkeypatch.setattr(run_timings, "measure", lambda *_: shared)
    options = {"coarse.evaluations": 0, "fine.candidates": 0, "deployment.folds": "all"}
    prepared(dataset, tmp_path / "run", clock, "1h", **options)
    path = tmp_path / "run" / "planning.json"
    write_json(path, {**(read_json(path) if path.exists() else {}), "race": []})
    through(
        dataset,
        tmp_path / "run",
        clock,
        1.0,
        worker=lambda run: Worker(run, clock, 1.0, 2, shared),
        devices=("cpu:0", "cpu:1"),
        overrides={"deployment.keep_largest": False},
    )
    assert clock.now - 1000 >= 0.8 * 3600


def test_steps_that_cannot_be_timed_are_a_sentence(
    dataset: Path, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_large(*_: object) -> None:
        raise MemoryError("timing: CUDA out of memory")

    monkeypatch.setattr(run_timings, "measure", too_large)
    with pytest.raises(UserError, match=r"could not be timed.*out of memory.*smaller patches"):
        prepared(dataset, tmp_path / "run", clock, "1h")
