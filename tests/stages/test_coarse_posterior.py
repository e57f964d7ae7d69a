"""The coarse stage that chooses by the posterior: repeats with other seeds, an early end, resumption, the table."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from coarse_run import Oracle, prepared_run
from fine_run import Listener, phantoms

from c2fnas.bench import Measurement, TopologyTable, replay_run
from c2fnas.bench.table import TABLES
from c2fnas.execution.job import Job
from c2fnas.files import append_json_line
from c2fnas.planning.schedule import saved_seconds
from c2fnas.runs.config import EarlyStopping
from c2fnas.runs.ledger import Ledger
from c2fnas.runs.overrides import with_values
from c2fnas.runs.run import Run
from c2fnas.search.bayesian import TopologyModel
from c2fnas.search.pooled import Size
from c2fnas.space.architecture import Architecture
from c2fnas.space.topology import Topology
from c2fnas.stages import coarse, ledger_search
from c2fnas.stages.coarse import new_searcher, search_topology
from c2fnas.stages.pipeline import coarse_stage
from c2fnas.training.metrics_log import METRICS


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("prepared")
    return prepared_run(folder, phantoms(folder), sampler="bayesian", choice="posterior")


@pytest.fixture
def configured(prepared: Run, tmp_path: Path) -> Callable[..., Run]:
    """Copies of the run with other coarse settings."""
    made = iter(range(9))

    def copied(**coarse: Any) -> Run:
        root = tmp_path / f"run{next(made)}"
        shutil.copytree(prepared.folder.root, root)
        run = Run.open(root)
        run.configure(with_values(run.config, {f"coarse.{name}": value for name, value in coarse.items()}))
        return run

    return copied


def differing(job: Job) -> float:
    """Topologies that differ by far more than their seeds."""
    design = np.random.default_rng(tuple(job.payload["design"]["code"])).uniform(0.3, 0.9)
    return float(design + 0.005 * np.random.default_rng(job.payload["seed"]).standard_normal())


def alike(job: Job) -> float:
    """Topologies that differ by nothing, seeds by a thousandth."""
    rng = np.random.default_rng((*job.payload["design"]["code"], job.payload["seed"]))
    return 0.8 + 0.001 * float(rng.standard_normal())


def entries(run: Run) -> list[tuple[Any, ...]]:
    trials = Ledger(run.folder.study, "coarse", read_only=True).trials()
    return [(t.architecture.topology, t.extra["seed"], t.extra["branch"], t.score) for t in trials]


def search(run: Run, oracle: Oracle) -> Any:
    return search_topology(run.using(oracle, Listener()))


@pytest.mark.parametrize("devices", [1, 3])
def test_a_share_of_the_trainings_repeats_topologies_with_other_seeds(
    configured: Callable[..., Run], devices: int
) -> None:
    run = configured(evaluations=12)
    oracle = Oracle(differing, devices=devices)
    found = search(run, oracle)
    entered = entries(run)
    assert len(entered) == 12
    trained = [(topology, seed) for topology, seed, _, _ in entered]
    assert len(set(trained)) == 12, "a training was done twice"
    again = [topology for topology, seed, branch, _ in entered if branch == "again"]
    assert len(again) >= 2
    assert {job.payload["seed"] for job in oracle.jobs} >= {0, 1}
    known = json.loads(run.folder.posterior.read_text())
    assert tuple(known["answer"]) == found.code
    assert sum(len(each["scores"]) for each in known["topologies"]) == 12
    for mean, low, high in (known["spread"], known["seed_noise"]):
        assert 0 < low < mean < high
    assert known["spread"][0] > 0.05


def test_where_nothing_is_to_be_won_the_stage_ends_early_with_the_cheapest(configured: Callable[..., Run]) -> None:
    run = configured(evaluations=30, table_prior=False)
    found = search(run, Oracle(alike))
    count = len(entries(run))
    assert 8 <= count < 30
    cost = {each: run.cost(Architecture.uniform(each, width=run.width)).macs for each in run.config.space.topologies()}
    assert cost[found] == min(cost.values())
    known = json.loads(run.folder.posterior.read_text())
    assert known["doubt"] <= 0.05
    assert known["unused"] == 30 - count
    assert saved_seconds(run) == pytest.approx(30 - count)  # the oracle takes a second each


def test_a_search_whose_driver_dies_goes_on_as_if_it_had_not(configured: Callable[..., Run]) -> None:
    whole, cut = configured(evaluations=12), configured(evaluations=12)
    search(whole, Oracle(differing))
    for dies_after in (3, 7, 10):
        with pytest.raises(KeyboardInterrupt):
            search(cut, Oracle(differing, dies_after=dies_after - len(finished(cut))))
    assert search(cut, Oracle(differing)) == search(whole, Oracle(differing))
    assert entries(cut) == entries(whole)


def test_what_was_found_stands_whatever_a_later_version_would_choose(
    configured: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other tables come along with it, by which another topology is expected to be the best, or taken by default."""
    run, unsearched = configured(evaluations=10), configured(evaluations=0)
    oracle = Oracle(differing)
    found = coarse_stage(run.using(oracle, Listener()))
    default = coarse_stage(unsearched.using(oracle, Listener()))
    posterior = run.folder.posterior.read_bytes()
    worst = min(run.config.space.topologies(), key=lambda topology: topology.code == found.topology.code)
    monkeypatch.setattr(coarse, "table_guess", lambda run: {each: float(each == worst) for each in _space(run)})
    monkeypatch.setattr(coarse, "default_topology", lambda run: (worst, "another"))
    assert coarse_stage(run.using(oracle, Listener())) == found
    assert run.folder.posterior.read_bytes() == posterior
    assert len(oracle.jobs) == 10
    assert coarse_stage(unsearched.using(oracle, Listener())).topology == worst, "nothing was trained with it yet"
    (unsearched.folder.supernet / "training").mkdir(parents=True)
    monkeypatch.setattr(coarse, "default_topology", lambda run: (default.topology, "the first"))
    assert coarse_stage(unsearched.using(oracle, Listener())).topology == worst


def test_a_search_that_is_asked_for_after_a_default_is_made(configured: Callable[..., Run]) -> None:
    """Also where its driver dies in the middle, with the default's file there."""
    run = configured(evaluations=0)
    coarse_stage(run.using(Oracle(differing), Listener()))
    run.configure(with_values(run.config, {"coarse.evaluations": 10}))
    with pytest.raises(KeyboardInterrupt):
        coarse_stage(run.using(Oracle(differing, dies_after=4), Listener()))
    found = coarse_stage(run.using(Oracle(differing), Listener()))
    assert len(entries(run)) == 10
    assert found.topology in {topology for topology, *_ in entries(run)}


def test_a_candidate_that_was_interrupted_counts_the_time_of_all_its_sessions(configured: Callable[..., Run]) -> None:
    run = configured(evaluations=8)

    def trained_before(job: Job) -> float:
        job.folder.mkdir(parents=True, exist_ok=True)
        append_json_line(job.folder / METRICS, {"iteration": 400, "seconds_per_iteration": 2.5})
        return differing(job)

    search(run, Oracle(trained_before))
    assert {trial.seconds for trial in Ledger(run.folder.study, "coarse", read_only=True).trials()} == {1000.0}


def _space(run: Run) -> tuple[Topology, ...]:
    return tuple(run.config.space.topologies())


def finished(run: Run) -> list[Any]:
    if not run.folder.study.exists():
        return []
    return [trial for trial in Ledger(run.folder.study, "coarse", read_only=True).trials() if trial.finished]


def test_failures_are_replaced_and_never_the_answer(configured: Callable[..., Run]) -> None:
    run = configured(evaluations=10)
    failing = iter([True, False, False, True] + [False] * 20)
    found = search(run, Oracle(lambda job: None if next(failing) else differing(job)))
    failed = {topology for topology, _, _, score in entries(run) if score is None}
    assert len(failed) == 2
    assert found not in failed
    assert sum(score is not None for *_, score in entries(run)) == 10


def test_the_tables_are_asked_but_not_on_their_own_data_or_where_it_is_switched_off(
    configured: Callable[..., Run],
) -> None:
    run = configured()
    guess = ledger_search.table_guess(run)
    assert guess is not None
    assert {*guess} == {*run.config.space.topologies()}
    assert ledger_search.table_guess(configured(table_prior=False)) is None
    same, cases = configured(), [TopologyTable.shipped(name).setting["cases"] for name in TABLES]
    same.__dict__["fingerprint"] = SimpleNamespace(signatures=["another", *cases[0][:40]])
    assert ledger_search.table_guess(same) not in (None, guess)
    same.__dict__["fingerprint"] = SimpleNamespace(signatures=[*cases[0], *cases[1]])
    assert ledger_search.table_guess(same) is None


def test_a_replay_on_a_table_is_the_search_of_a_run(configured: Callable[..., Run]) -> None:
    """One worker, no noise: the stage trains what the replay trains, in its order, and takes the same topology."""
    run = configured(evaluations=16, table_prior=False)

    def noiseless(job: Job) -> float:
        return float(np.random.default_rng(tuple(job.payload["design"]["code"])).uniform(0.78, 0.82))

    def dice(topology: Topology) -> float:
        return float(np.random.default_rng(topology.code).uniform(0.78, 0.82))

    found = search(run, Oracle(noiseless))
    topologies = run.config.space.topologies()
    macs = {each: run.cost(Architecture.uniform(each, width=run.width)).macs for each in topologies}
    replayed = replay_run(
        new_searcher(run),
        TopologyModel(topologies),
        {each: Measurement(dice(each), macs[each]) for each in topologies},
        Size(16),
        margin=run.config.margin,
        seed=run.config.seed,
    )
    assert [topology for topology, *_ in entries(run)] == list(replayed.topologies)
    assert found == replayed.answer


def test_with_early_stopping_what_settles_the_answer_is_trained_to_its_end(configured: Callable[..., Run]) -> None:
    run = configured(evaluations=16, early_stopping=EarlyStopping())
    found = search(run, Oracle(differing))
    trials = Ledger(run.folder.study, "coarse", read_only=True).trials()
    settling = [trial for trial in trials if trial.extra["branch"] in ("again", "wanted")]
    assert settling
    assert all(trial.state == "succeeded" and not trial.rungs for trial in settling)
    assert any(trial.state == "stopped" for trial in trials)
    scored = [trial.architecture.topology for trial in trials if trial.score is not None]
    assert len(scored) - len(set(scored)) >= 2
    assert found in scored


def test_a_sampler_is_checked_where_the_time_pays_for_no_search(configured: Callable[..., Run]) -> None:
    assert new_searcher(configured(evaluations=0)).ask() is not None


def test_any_sampler_may_be_answered_by_the_posterior(configured: Callable[..., Run]) -> None:
    run = configured(evaluations=10, sampler="random")
    found = search(run, Oracle(differing))
    assert found in {topology for topology, *_ in entries(run)}
    assert run.folder.posterior.exists()
