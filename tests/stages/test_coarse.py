"""The coarse stage with candidates whose Dice are known: samplers, limits, early stopping, finalists, resumption."""

import math
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from c2fnas.stages.coarse_wish import CoarseWish, with_coarse_wish
from coarse_run import Oracle, prepared_run
from fine_run import Listener, inline, phantoms

from c2fnas.errors import UserError
from c2fnas.execution.job import Job
from c2fnas.runs.config import CoarseLimits, EarlyStopping
from c2fnas.runs.ledger import Ledger
from c2fnas.runs.run import Setting
from c2fnas.runs.trial import Trial
from c2fnas.search.choice import SEARCHERS
from c2fnas.space.architecture import Architecture
from c2fnas.space.topology import Topology
from c2fnas.stages import coarse
from c2fnas.stages.coarse import search_topology
from c2fnas.stages.feasible import candidate_cost

EARLY = EarlyStopping(shares=(0.25, 0.5), factor=2)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    folder = tmp_path_factory.mktemp("prepared")
    return prepared_run(folder, phantoms(folder))


@pytest.fixture
def run(prepared: Setting, tmp_path: Path) -> Callable[..., Setting]:
    """A copy of the run with other coarse settings."""

    def configured(**coarse: Any) -> Setting:
        shutil.copytree(prepared.folder.root, tmp_path / "run")
        setting = Setting.load(tmp_path / "run")
        config = setting.config.model_copy(update={"coarse": setting.config.coarse.model_copy(update=coarse)})
        config.save(setting.folder.config)
        return replace(setting, config=config)

    return configured


def code(job: Job) -> tuple[int, ...]:
    return tuple(job.payload["architecture"]["code"])


def quality(job: Job) -> float:
    """A Dice of the topology's own, the same in every process; half of it is there at the first rung."""
    final = float(np.random.default_rng(code(job)).uniform(0.2, 0.9))
    return final * (job.payload["until"] / 8 if "until" in job.payload else 1)


def trials(setting: Setting, stage: str = "coarse") -> tuple[Trial, ...]:
    return Ledger(setting.folder.study, stage, read_only=True).trials()


def search(setting: Setting, oracle: Oracle, listener: Listener | None = None) -> Topology:
    return search_topology(setting, oracle, listener or Listener())


@pytest.mark.parametrize("sampler", SEARCHERS)
@pytest.mark.parametrize("devices", [1, 3])
def test_every_sampler_searches_and_proposes_nothing_twice(
    run: Callable[..., Setting], sampler: str, devices: int
) -> None:
    setting = run(sampler=sampler, evaluations=6)
    oracle = Oracle(quality, devices=devices)
    found = search(setting, oracle)
    entered = trials(setting)
    assert [trial.state for trial in entered] == ["succeeded"] * 6
    assert len({trial.architecture.topology for trial in entered}) == 6 == len(oracle.jobs)
    assert found == max(entered, key=lambda trial: trial.score or 0).architecture.topology


def test_failed_candidates_are_replaced_and_named(run: Callable[..., Setting]) -> None:
    setting, listener = run(), Listener()
    failing = iter([True, False, True] + [False] * 20)
    oracle = Oracle(lambda job: None if next(failing) else quality(job))
    search(setting, oracle, listener)
    states = [trial.state for trial in trials(setting)]
    assert (states.count("succeeded"), states.count("failed")) == (8, 2)
    assert sum("the loss is not finite" in said for said in listener.said) == 2


def test_nothing_but_failures_ends_the_stage(run: Callable[..., Setting]) -> None:
    oracle = Oracle(lambda job: None)
    with pytest.raises(UserError, match=r"every candidate of the coarse stage failed.*the loss is not finite"):
        search(run(), oracle)
    assert len(oracle.jobs) == 5


@pytest.mark.parametrize("name", ["parameters", "macs", "memory"])
def test_limits_hold_for_every_candidate(run: Callable[..., Setting], prepared: Setting, name: str) -> None:
    costs = sorted(candidate_cost(prepared, topology)[name] for topology in prepared.config.space.topologies())
    limit = costs[len(costs) // 5]
    setting = run(limits=CoarseLimits(**{name: limit}))
    search(setting, Oracle(quality))
    assert len(trials(setting)) == 8
    assert all(0 < trial.extra[name] <= limit for trial in trials(setting))
    assert {"parameters", "macs", "memory"} <= set(trials(setting)[0].extra)


@pytest.mark.parametrize(
    ("limit", "asked", "unit", "least"),
    [
        ({"macs": 1000}, "--max-macs 1000", 1, "{:.4g} multiply-accumulates"),
        ({"memory": 2**20}, "--max-memory 1M", 2**20, "{:.4g}M of memory"),
    ],
)
def test_a_limit_below_all_says_what_the_least_is(
    run: Callable[..., Setting], prepared: Setting, limit: dict[str, int], asked: str, unit: int, least: str
) -> None:
    (name,), oracle = limit, Oracle(quality)
    cost = min(candidate_cost(prepared, topology)[name] for topology in prepared.config.space.topologies())
    refusal = re.escape(f"within {asked}: the least that one takes is {least.format(cost / unit)}, at width")
    with pytest.raises(UserError, match=refusal):
        search(run(limits=CoarseLimits(**limit)), oracle)
    assert not oracle.jobs


def test_a_limit_that_leaves_few_topologies_ends_with_these(run: Callable[..., Setting], prepared: Setting) -> None:
    costs = sorted(candidate_cost(prepared, topology)["macs"] for topology in prepared.config.space.topologies())
    setting = run(limits=CoarseLimits(macs=costs[2]))
    search(setting, Oracle(quality))
    assert len(trials(setting)) == sum(cost <= costs[2] for cost in costs)


def test_early_stopping_trains_the_best_half_on(run: Callable[..., Setting]) -> None:
    setting = run(early_stopping=EARLY)
    oracle = Oracle(quality)
    found = search(setting, oracle)
    entered = trials(setting)
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


def test_rungs_of_a_candidate_follow_each_other_in_its_folder(run: Callable[..., Setting]) -> None:
    setting = run(early_stopping=EARLY)
    oracle = Oracle(quality, devices=3)
    search(setting, oracle)
    for trial in trials(setting):
        asked = [job.payload.get("until") for job in oracle.jobs if job.id == f"candidate {trial.number}"]
        assert asked == [2, 4, None][: len(asked)]
        assert trial.extra["seconds"] == len(asked)


@pytest.mark.parametrize("early_stopping", [None, EARLY])
@pytest.mark.parametrize("sampler", ["algorithm1", "tpe"])
def test_a_driver_that_dies_anywhere_repeats_and_loses_nothing(
    run: Callable[..., Setting], tmp_path: Path, sampler: str, early_stopping: EarlyStopping | None
) -> None:
    setting = run(early_stopping=early_stopping, sampler=sampler)
    shutil.copytree(setting.folder.root, tmp_path / "straight")
    straight = Setting.load(tmp_path / "straight")
    uninterrupted = Oracle(quality)
    found = search(straight, uninterrupted)
    worked: list[tuple[str, object]] = []
    for after in range(1, 60):
        oracle = Oracle(quality, dies_after=1 if after % 2 else 2)
        try:
            again = search(setting, oracle)
        except KeyboardInterrupt:
            worked += [(job.id, job.payload.get("until")) for job in oracle.jobs]
            continue
        worked += [(job.id, job.payload.get("until")) for job in oracle.jobs]
        break
    assert again == found
    assert worked == [(job.id, job.payload.get("until")) for job in uninterrupted.jobs]
    told = [(t.architecture, t.state, t.score, t.rungs) for t in trials(setting)]
    assert told == [(t.architecture, t.state, t.score, t.rungs) for t in trials(straight)]


def test_checkpoints_stay_until_the_result_is_in_the_ledger(
    run: Callable[..., Setting], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill between the end of a training and its entry costs no training; nor does one after it leave anything."""
    setting = run()

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
                search(setting, Oracle(leaves_a_checkpoint))
        assert len([*setting.folder.coarse.rglob("*.safetensors")]) == left
    search(setting, Oracle(leaves_a_checkpoint))
    assert len(trials(setting)) == 8
    assert not [*setting.folder.coarse.rglob("checkpoints/*")]


def test_a_real_candidate_is_not_trained_twice(run: Callable[..., Setting]) -> None:
    """Its worker ended between the training and the report."""
    setting = run()
    ledger = Ledger(setting.folder.study, "coarse")
    topology = setting.config.space.topologies()[0]
    trial = ledger.trial(ledger.start(Architecture.uniform(topology, width=setting.config.width)))
    job = coarse.candidate_job(setting, trial)
    told = []
    for _ in range(2):
        with inline() as executor:
            executor.submit(job)
            told.append(executor.wait())
        (job.folder / "result.json").unlink()
    assert told[0].value == told[1].value
    lines = [line for line in (job.folder / "metrics.jsonl").read_text().splitlines() if "loss" in line]
    assert len(lines) == 2  # the first iteration and the last, once


def test_where_none_was_trained_to_its_end_both_reasons_are_given(run: Callable[..., Setting]) -> None:
    """The first leads at every rung, and fails at last; the others were stopped for being behind it."""

    def dice(job: Job) -> float | None:
        number = int(job.folder.name)
        return (None if "until" not in job.payload else 0.9) if number == 0 else 0.8 - 0.01 * number

    with pytest.raises(UserError, match=r"failed, but 8 that were stopped early; .* the loss is not finite"):
        search(run(early_stopping=EARLY), Oracle(dice))


def test_a_decision_to_stop_is_not_made_again(run: Callable[..., Setting], monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver dies between the decision and the candidate's end."""
    setting = run(early_stopping=EARLY)

    def dies(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "stop", dies)
        with pytest.raises(KeyboardInterrupt):
            search(setting, Oracle(quality))
    left = [trial for trial in trials(setting) if trial.rungs and not trial.rungs[-1].promoted]
    assert len(left) == 1
    search(setting, Oracle(quality))
    ended = trials(setting)[left[0].number]
    assert (ended.state, ended.rungs) == ("stopped", left[0].rungs)


def test_finalists_are_scored_at_the_plans_stride(run: Callable[..., Setting]) -> None:
    """At the coarse stride the second best looks best; the finer one puts it right; the worst are left alone."""
    setting = run(stride=(8, 8, 8), finalists=3)
    ranked = iter([0.5, 0.8, 0.81, 0.2, 0.1, 0.3, 0.7, 0.4])
    fine = {2: 0.79, 1: 0.83, 6: 0.6}
    oracle = Oracle(lambda job: fine[job.payload["candidate"]] if "candidate" in job.payload else next(ranked))
    found = search(setting, oracle)
    assert found == trials(setting)[1].architecture.topology
    finalists = {trial.extra["candidate"]: trial.score for trial in trials(setting, "finalists")}
    assert finalists == fine
    assert search(setting, Oracle(lambda job: 0.0)) == found
    assert len(trials(setting, "finalists")) == 3


def test_a_finalist_that_fails_falls_behind(run: Callable[..., Setting]) -> None:
    setting = run(stride=(8, 8, 8), finalists=2)
    ranked = iter([0.5, 0.8, 0.81, 0.2, 0.1, 0.3, 0.7, 0.4])
    fine = {2: None, 1: 0.1}
    oracle = Oracle(lambda job: fine[job.payload["candidate"]] if "candidate" in job.payload else next(ranked))
    assert search(setting, oracle) == trials(setting)[1].architecture.topology


def test_only_finalists_keep_their_weights(run: Callable[..., Setting]) -> None:
    setting = run(stride=(8, 8, 8), finalists=2)

    def leaves_weights(job: Job) -> float:
        job.folder.mkdir(parents=True, exist_ok=True)
        (job.folder / "weights.safetensors").touch()
        return quality(job)

    search(setting, Oracle(leaves_weights))
    kept = {int(path.parent.name) for path in setting.folder.coarse.glob("0*/weights.safetensors")}
    best = sorted(trials(setting), key=lambda trial: -(trial.score or 0))[:2]
    assert kept == {trial.number for trial in best}


def test_a_wish_is_written_down_before_the_stage_begins_and_refused_after(run: Callable[..., Setting]) -> None:
    setting = run()
    wish = CoarseWish(sampler="random", max_macs=10**12, early_stopping=True, evaluations=4)
    wished = with_coarse_wish(setting, wish)
    coarse = Setting.load(setting.folder.root).config.coarse
    assert wished.config.coarse == coarse
    assert (coarse.sampler, coarse.limits.macs, coarse.evaluations) == ("random", 10**12, 4)
    assert coarse.early_stopping == EarlyStopping()
    search(wished, Oracle(quality))
    assert with_coarse_wish(wished, wish) == wished
    assert with_coarse_wish(wished, CoarseWish()) == wished
    with pytest.raises(UserError, match="sampler random, now tpe"):
        with_coarse_wish(wished, CoarseWish(sampler="tpe"))
    with pytest.raises(UserError, match=r"\(limits macs 1000000000000, now None, early_stopping .*, now None\)"):
        with_coarse_wish(wished, CoarseWish(max_macs=math.inf, early_stopping=False))


def test_a_wish_that_cannot_be_is_not_written_down(run: Callable[..., Setting]) -> None:
    setting = run(limits=CoarseLimits(macs=10**12))
    before = setting.folder.config.read_text()
    with pytest.raises(UserError, match="No topology is within --max-macs 1000"):
        with_coarse_wish(setting, CoarseWish(max_macs=1000))
    assert setting.folder.config.read_text() == before
    lifted = with_coarse_wish(setting, CoarseWish(max_macs=math.inf, max_parameters=2.5e7))
    assert lifted.config.coarse.limits == CoarseLimits(parameters=25_000_000)


def test_an_unknown_sampler_names_the_known_ones(run: Callable[..., Setting]) -> None:
    setting = run(sampler="annealing")
    with pytest.raises(UserError, match="algorithm1, surrogate"):
        search(setting, Oracle(quality))
    with pytest.raises(UserError, match="algorithm1, surrogate"):
        with_coarse_wish(setting, CoarseWish(sampler="hill"))
