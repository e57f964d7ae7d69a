"""The coarse stage with candidates whose Dice are known: samplers, limits, early stopping, finalists, resumption."""

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coarse_run import Oracle, prepared_run
from fine_run import Listener, inline, phantoms

from c2fnas.errors import UserError
from c2fnas.execution.job import Job, Outcome
from c2fnas.planning.default import default_topology
from c2fnas.planning.feasible import candidate_cost
from c2fnas.runs.config import CoarseLimits, EarlyStopping
from c2fnas.runs.ledger import Ledger
from c2fnas.runs.overrides import with_values
from c2fnas.runs.run import Run
from c2fnas.runs.trial import Trial
from c2fnas.search.choice import SEARCHERS
from c2fnas.space.architecture import Architecture
from c2fnas.space.topology import Topology
from c2fnas.stages import coarse
from c2fnas.stages.coarse import search_topology
from c2fnas.stages.pipeline import amend

EARLY = EarlyStopping(shares=(0.25, 0.5), factor=2)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("prepared")
    return prepared_run(folder, phantoms(folder))


@pytest.fixture
def configured(prepared: Run, tmp_path: Path) -> Callable[..., Run]:
    """A copy of the run with other coarse settings."""

    def copied(**coarse: Any) -> Run:
        shutil.copytree(prepared.folder.root, tmp_path / "run")
        run = Run.open(tmp_path / "run")
        run.configure(with_values(run.config, {f"coarse.{name}": value for name, value in coarse.items()}))
        return run

    return copied


def code(job: Job) -> tuple[int, ...]:
    return tuple((job.payload.get("design") or job.payload["architecture"])["code"])


def quality(job: Job) -> float:
    """A Dice of the topology's own, the same in every process; half of it is there at the first rung."""
    final = float(np.random.default_rng(code(job)).uniform(0.2, 0.9))
    return final * ((job.payload.get("until") or 8) / 8)


def trials(run: Run, stage: str = "coarse") -> tuple[Trial, ...]:
    return Ledger(run.folder.study, stage, read_only=True).trials()


def search(run: Run, oracle: Oracle, listener: Listener | None = None) -> Topology:
    return search_topology(run.using(oracle, listener or Listener()))


@pytest.mark.parametrize("sampler", SEARCHERS)
@pytest.mark.parametrize("devices", [1, 3])
def test_every_sampler_searches_and_proposes_nothing_twice(
    configured: Callable[..., Run], sampler: str, devices: int
) -> None:
    run = configured(sampler=sampler, evaluations=6)
    oracle = Oracle(quality, devices=devices)
    found = search(run, oracle)
    entered = trials(run)
    assert [trial.state for trial in entered] == ["succeeded"] * 6
    assert len({trial.architecture.topology for trial in entered}) == 6 == len(oracle.jobs)
    assert found == max(entered, key=lambda trial: trial.score or 0).architecture.topology


def test_failed_candidates_are_replaced_and_named(configured: Callable[..., Run]) -> None:
    run, listener = configured(), Listener()
    failing = iter([True, False, True] + [False] * 20)
    oracle = Oracle(lambda job: None if next(failing) else quality(job))
    search(run, oracle, listener)
    states = [trial.state for trial in trials(run)]
    assert (states.count("succeeded"), states.count("failed")) == (8, 2)
    assert sum("the loss is not finite" in said for said in listener.said) == 2


def test_nothing_but_failures_ends_the_stage(configured: Callable[..., Run]) -> None:
    oracle = Oracle(lambda job: None)
    with pytest.raises(UserError, match=r"every candidate of the coarse stage failed.*the loss is not finite"):
        search(configured(), oracle)
    assert len(oracle.jobs) == 5


def test_failures_of_another_session_end_nothing(configured: Callable[..., Run]) -> None:
    """A device that was absent, a disk that was full: once that is put right, the same folder carries on."""
    run = configured()
    with pytest.raises(UserError, match="the same command carries on"):
        search(run, Oracle(lambda job: None))
    search(run, Oracle(quality))
    states = [trial.state for trial in trials(run)]
    assert (states.count("succeeded"), states.count("failed")) == (8, 5)


def test_failures_without_an_end_do_not_use_up_the_space(configured: Callable[..., Run]) -> None:
    """A device that is lost overnight."""
    done = count()
    oracle = Oracle(lambda job: quality(job) if next(done) == 0 else None)
    with pytest.raises(UserError, match=r"the last 10 candidates of the coarse stage failed.*the loss is not finite"):
        search(configured(), oracle)
    assert len(oracle.jobs) == 11


@pytest.mark.parametrize("name", ["parameters", "macs", "memory"])
def test_limits_hold_for_every_candidate(configured: Callable[..., Run], prepared: Run, name: str) -> None:
    costs = sorted(candidate_cost(prepared, topology)[name] for topology in prepared.config.space.topologies())
    limit = costs[len(costs) // 5]
    run = configured(limits=CoarseLimits(**{name: limit}))
    search(run, Oracle(quality))
    assert len(trials(run)) == 8
    assert all(0 < trial.extra[name] <= limit for trial in trials(run))
    assert {"parameters", "macs", "memory"} <= set(trials(run)[0].extra)


@pytest.mark.parametrize(
    ("limit", "asked", "unit", "least"),
    [
        ({"macs": 1000}, "--max-macs 1000", 1, "{:.4g} multiply-accumulates"),
        ({"memory": 2**20}, "--max-memory 1M", 2**20, "{:.4g}M of memory"),
    ],
)
def test_a_limit_below_all_says_what_the_least_is(
    configured: Callable[..., Run], prepared: Run, limit: dict[str, int], asked: str, unit: int, least: str
) -> None:
    (name,), oracle = limit, Oracle(quality)
    cost = min(candidate_cost(prepared, topology)[name] for topology in prepared.config.space.topologies())
    refusal = re.escape(f"within {asked}: the least that one takes is {least.format(cost / unit)}, at width")
    with pytest.raises(UserError, match=refusal):
        search(configured(limits=CoarseLimits(**limit)), oracle)
    assert not oracle.jobs


def test_limits_hold_for_the_topology_that_is_not_searched(configured: Callable[..., Run], prepared: Run) -> None:
    wanted, _ = default_topology(prepared)
    costs = {each: candidate_cost(prepared, each)["macs"] for each in prepared.config.space.topologies()}
    limit = costs[wanted] - 1
    run, listener = configured(evaluations=0, limits=CoarseLimits(macs=limit)), Listener()
    found = search(run, Oracle(quality), listener)
    assert costs[found] == max(cost for cost in costs.values() if cost <= limit)
    assert any("beyond the run's limits" in said for said in listener.said)


def test_a_limit_below_all_is_refused_where_nothing_is_searched(configured: Callable[..., Run]) -> None:
    with pytest.raises(UserError, match="No topology is within --max-macs 1000: the least that one takes is"):
        search(configured(evaluations=0, limits=CoarseLimits(macs=1000)), Oracle(quality))


def test_a_limit_that_leaves_few_topologies_ends_with_these(configured: Callable[..., Run], prepared: Run) -> None:
    costs = sorted(candidate_cost(prepared, topology)["macs"] for topology in prepared.config.space.topologies())
    run = configured(limits=CoarseLimits(macs=costs[2]))
    search(run, Oracle(quality))
    assert len(trials(run)) == sum(cost <= costs[2] for cost in costs)


def test_early_stopping_trains_the_best_half_on(configured: Callable[..., Run]) -> None:
    run = configured(early_stopping=EARLY)
    oracle = Oracle(quality)
    found = search(run, oracle)
    entered = trials(run)
    assert {trial.state for trial in entered} == {"succeeded", "stopped"}
    assert len(entered) == 8
    for trial in entered:
        goes_on = [result.promoted for result in trial.rungs]
        assert goes_on == [True] * len(goes_on) if trial.state == "succeeded" else not goes_on[-1]
        assert all(goes_on[:-1])
        assert (trial.score is None) == (trial.state == "stopped")
    for iteration in (2, 4):
        reached = [s for trial in entered for s in trial.rungs if s.iteration == iteration]
        assert sorted(s.among for s in reached) == list(range(1, len(reached) + 1))
        assert all(s.promoted == (s.rank <= -(-s.among // 2)) for s in reached)
    finished = [trial for trial in entered if trial.state == "succeeded"]
    assert found == max(finished, key=lambda trial: trial.score or 0).architecture.topology
    assert len(oracle.jobs) == sum(len(trial.rungs) for trial in entered) + len(finished) < 3 * 8


def test_rungs_of_a_candidate_follow_each_other_in_its_folder(configured: Callable[..., Run]) -> None:
    run = configured(early_stopping=EARLY)
    oracle = Oracle(quality, devices=3)
    search(run, oracle)
    for trial in trials(run):
        asked = [job.payload.get("until") for job in oracle.jobs if job.id == f"candidate {trial.number}"]
        assert asked == [2, 4, None][: len(asked)]
        assert trial.extra["seconds"] == len(asked)


@pytest.mark.parametrize("early_stopping", [None, EARLY])
@pytest.mark.parametrize("sampler", ["algorithm1", "tpe"])
def test_a_driver_that_dies_anywhere_repeats_and_loses_nothing(
    configured: Callable[..., Run], tmp_path: Path, sampler: str, early_stopping: EarlyStopping | None
) -> None:
    run = configured(early_stopping=early_stopping, sampler=sampler)
    shutil.copytree(run.folder.root, tmp_path / "straight")
    straight = Run.open(tmp_path / "straight")
    uninterrupted = Oracle(quality)
    found = search(straight, uninterrupted)
    worked: list[tuple[str, object]] = []
    for after in range(1, 60):
        oracle = Oracle(quality, dies_after=1 if after % 2 else 2)
        try:
            again = search(run, oracle)
        except KeyboardInterrupt:
            worked += [(job.id, job.payload.get("until")) for job in oracle.jobs]
            continue
        worked += [(job.id, job.payload.get("until")) for job in oracle.jobs]
        break
    assert again == found
    assert worked == [(job.id, job.payload.get("until")) for job in uninterrupted.jobs]
    told = [(t.architecture, t.state, t.score, t.rungs) for t in trials(run)]
    assert told == [(t.architecture, t.state, t.score, t.rungs) for t in trials(straight)]


def test_checkpoints_stay_until_the_result_is_in_the_ledger(
    configured: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill between the end of a training and its entry costs no training; nor does one after it leave anything."""
    run = configured()

    def leaves_a_checkpoint(job: Job) -> float:
        for suffix in ("json", "safetensors"):
            (job.folder / "checkpoints").mkdir(parents=True, exist_ok=True)
            (job.folder / "checkpoints" / f"0000008.{suffix}").touch()
        return quality(job)

    def dies(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for place, left in ((Ledger, 1), (coarse, 1)):
        with monkeypatch.context() as patched:
            patched.setattr(place, "succeed" if place is Ledger else "forget_checkpoints", dies)
            with pytest.raises(KeyboardInterrupt):
                search(run, Oracle(leaves_a_checkpoint))
        assert len([*run.folder.coarse.rglob("*.safetensors")]) == left
    search(run, Oracle(leaves_a_checkpoint))
    assert len(trials(run)) == 8
    assert not [*run.folder.coarse.rglob("checkpoints/*")]


def test_a_real_candidate_is_not_trained_twice(configured: Callable[..., Run]) -> None:
    """Its worker ended between the training and the report."""
    run = configured()
    ledger = Ledger(run.folder.study, "coarse")
    topology = run.config.space.topologies()[0]
    trial = ledger.trial(ledger.start(Architecture.uniform(topology, width=run.config.width)))
    job = coarse.candidate_job(run, trial)
    told = []
    for _ in range(2):
        with inline() as executor:
            executor.submit(job)
            told.append(executor.wait())
        (job.folder / "result.json").unlink()
    first, second = ({name: value for name, value in each.value.items() if name != "seconds"} for each in told)
    assert first == second
    lines = [line for line in (job.folder / "metrics.jsonl").read_text().splitlines() if "loss" in line]
    assert len(lines) == 2  # the first iteration and the last, once


def test_where_none_was_trained_to_its_end_both_reasons_are_given(configured: Callable[..., Run]) -> None:
    """The first leads at every rung, and fails at last; the others were stopped for being behind it."""

    def dice(job: Job) -> float | None:
        number = int(job.folder.name)
        return (0.9 if job.payload["until"] else None) if number == 0 else 0.8 - 0.01 * number

    with pytest.raises(UserError, match=r"failed, but 8 that were stopped early; .* the loss is not finite"):
        search(configured(early_stopping=EARLY), Oracle(dice))


def test_a_decision_to_stop_is_not_made_again(configured: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver dies between the decision and the candidate's end."""
    run = configured(early_stopping=EARLY)

    def dies(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "stop", dies)
        with pytest.raises(KeyboardInterrupt):
            search(run, Oracle(quality))
    left = [trial for trial in trials(run) if trial.rungs and not trial.rungs[-1].promoted]
    assert len(left) == 1
    search(run, Oracle(quality))
    ended = trials(run)[left[0].number]
    assert (ended.state, ended.rungs) == ("stopped", left[0].rungs)


def test_finalists_are_scored_at_the_plans_stride(configured: Callable[..., Run]) -> None:
    """At the coarse stride the second best looks best; the finer one puts it right; the worst are left alone."""
    run = configured(stride=(8, 8, 8), finalists=3)
    ranked = iter([0.5, 0.8, 0.81, 0.2, 0.1, 0.3, 0.7, 0.4])
    fine = {2: 0.79, 1: 0.83, 6: 0.6}
    oracle = Oracle(lambda job: fine[job.payload["candidate"]] if "candidate" in job.payload else next(ranked))
    found = search(run, oracle)
    assert found == trials(run)[1].architecture.topology
    finalists = {trial.extra["candidate"]: trial.score for trial in trials(run, "finalists")}
    assert finalists == fine
    assert search(run, Oracle(lambda job: 0.0)) == found
    assert len(trials(run, "finalists")) == 3


def test_a_finalist_that_fails_falls_behind(configured: Callable[..., Run]) -> None:
    run = configured(stride=(8, 8, 8), finalists=2)
    ranked = iter([0.5, 0.8, 0.81, 0.2, 0.1, 0.3, 0.7, 0.4])
    fine = {2: None, 1: 0.1}
    oracle = Oracle(lambda job: fine[job.payload["candidate"]] if "candidate" in job.payload else next(ranked))
    assert search(run, oracle) == trials(run)[1].architecture.topology


def test_only_finalists_keep_their_weights(configured: Callable[..., Run]) -> None:
    run = configured(stride=(8, 8, 8), finalists=2)

    def leaves_weights(job: Job) -> float:
        job.folder.mkdir(parents=True, exist_ok=True)
        (job.folder / "weights.safetensors").touch()
        return quality(job)

    search(run, Oracle(leaves_weights))
    kept = {int(path.parent.name) for path in run.folder.coarse.glob("0*/weights.safetensors")}
    best = sorted(trials(run), key=lambda trial: -(trial.score or 0))[:2]
    assert kept == {trial.number for trial in best}


def test_options_are_written_down_before_the_stage_begins_and_refused_after(configured: Callable[..., Run]) -> None:
    run = configured()
    options = {
        "coarse.sampler": "random",
        "coarse.limits.macs": 10**12,
        "coarse.early_stopping": True,
        "coarse.evaluations": 4,
    }
    amend(run, options)
    coarse = Run.open(run.folder.root).config.coarse
    assert run.config.coarse == coarse
    assert (coarse.sampler, coarse.limits.macs, coarse.evaluations) == ("random", 10**12, 4)
    assert coarse.early_stopping == EarlyStopping()
    search(run, Oracle(quality))
    before = run.folder.config.read_text()
    amend(run, options)
    amend(run, {})
    assert run.folder.config.read_text() == before
    with pytest.raises(UserError, match=r"--sampler \(random, now tpe\): its coarse stage has begun with it"):
        amend(run, {"coarse.sampler": "tpe"})
    with pytest.raises(UserError, match=r"--max-macs \(1000000000000, now none\)"):
        amend(run, {"coarse.limits.macs": None})
    with pytest.raises(UserError, match=r"--early-stopping \(.*, now none\)"):
        amend(run, {"coarse.early_stopping": False})
    assert run.folder.config.read_text() == before


def test_options_that_cannot_be_are_not_written_down(configured: Callable[..., Run]) -> None:
    run = configured()
    amend(run, {"coarse.limits.macs": 10**12})
    before = run.folder.config.read_text()
    with pytest.raises(UserError, match="No topology is within --max-macs 1000"):
        amend(run, {"coarse.limits.macs": 1000})
    assert run.folder.config.read_text() == before
    amend(run, {"coarse.limits.macs": None, "coarse.limits.parameters": 25_000_000})
    assert run.config.coarse.limits == CoarseLimits(parameters=25_000_000)


def test_an_unknown_sampler_names_the_known_ones(configured: Callable[..., Run]) -> None:
    run = configured(sampler="annealing")
    with pytest.raises(UserError, match="algorithm1, bayesian"):
        search(run, Oracle(quality))
    with pytest.raises(UserError, match="algorithm1, bayesian"):
        amend(run, {"coarse.sampler": "hill"})


def test_a_candidate_whose_dice_is_not_measurable_fails_with_the_reason(configured: Callable[..., Run]) -> None:
    """At its end as at a rung; another topology takes its place."""
    run, listener = configured(early_stopping=EARLY), Listener()

    class Unscored(Oracle):
        def wait(self, timeout: float | None = None) -> Outcome | None:
            outcome = super().wait(timeout)
            if outcome is None or outcome.job_id not in ("candidate 0", "candidate 3"):
                return outcome
            value = {"dice": None, "per_class": {}, "unscored": "Dice not measurable: a case has gone"}
            return replace(outcome, value=value)

    search(run, Unscored(quality), listener)
    failed = {trial.number: trial for trial in trials(run) if trial.state == "failed"}
    assert set(failed) == {0, 3}
    assert {trial.reason for trial in failed.values()} == {"Dice not measurable: a case has gone"}
    assert {trial.score for trial in failed.values()} == {None}
    assert len(trials(run)) == 8 + 2
    said = [text for text in listener.said if "Candidate" in text]
    assert said == [f"Candidate {number} failed and is left out: {failed[number].reason}" for number in (0, 3)]
