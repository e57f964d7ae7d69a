from collections.abc import Callable

import optuna
import pytest

from c2fnas.search.algorithm1 import ClusterEvolution
from c2fnas.search.base import nearest
from c2fnas.search.cluster_sampler import ClusterEvolutionSampler, suggest_topology
from c2fnas.search.clusters import cluster_topologies
from c2fnas.search.optuna_search import (
    FIRST_SCORES,
    TRIES,
    OptunaSearch,
    Sampling,
    level_distributions,
    level_parameters,
    optuna_sampler,
)
from c2fnas.search.searcher import Proposal
from c2fnas.space.search_space import SearchSpace
from c2fnas.space.topology import Topology

SPACE = SearchSpace(cells=8, downsamplings=2)
TOPOLOGIES = SPACE.topologies()
OPTIONS = {"seed": 3, "per_cluster": 1, "random_share": 0.3}


def dice(topology: Topology) -> float:
    return sum(topology.code) / 20


def new_study(storage: optuna.storages.BaseStorage | None = None, **options: float) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = ClusterEvolutionSampler(SPACE, clusters=4, **{**OPTIONS, **options})  # type: ignore[arg-type]
    return optuna.create_study(
        direction="maximize", sampler=sampler, storage=storage, study_name="s", load_if_exists=True
    )


def objective(trial: optuna.Trial) -> float:
    return dice(suggest_topology(trial, SPACE))


def proposed(study: optuna.Study) -> list[Topology]:
    return [Topology(tuple(trial.params.values())) for trial in study.trials]


def test_sampler_proposes_what_the_searcher_does():
    study = new_study()
    study.optimize(objective, n_trials=25)
    clusters = cluster_topologies(TOPOLOGIES, clusters=4, seed=3)
    searcher, expected = ClusterEvolution(clusters, evaluations=25, **OPTIONS), []  # type: ignore[arg-type]
    while (proposal := searcher.ask()) is not None:
        expected.append(proposal.topology)
        searcher.tell(proposal.topology, dice(proposal.topology))
    assert proposed(study) == expected


def test_sampler_keeps_nothing_to_itself():
    """A new process that opens the stored study carries on as if nothing had happened."""
    storage = optuna.storages.InMemoryStorage()
    for _ in range(5):
        new_study(storage).optimize(objective, n_trials=5)
    whole = new_study()
    whole.optimize(objective, n_trials=25)
    assert proposed(new_study(storage)) == proposed(whole)


def test_sampler_never_repeats_itself_in_threads():
    study = new_study()
    study.optimize(objective, n_trials=len(TOPOLOGIES), n_jobs=4)
    assert sorted(proposed(study)) == list(TOPOLOGIES)


def test_sampler_knows_what_is_under_way():
    """Even one of which the objective has only suggested the first level as yet."""
    study = new_study()
    trials = [study.ask() for _ in range(30)]
    for trial in trials:
        trial.suggest_int("level_01", 0, 1)
    assert len({suggest_topology(trial, SPACE) for trial in trials}) == 30


def test_sampler_with_failures_pruned_trials_and_parameters_of_ones_own():
    def troubled(trial: optuna.Trial) -> float:
        topology = suggest_topology(trial, SPACE)
        rate = trial.suggest_float("rate", 0, 1)
        if trial.number % 4 == 0:
            raise optuna.TrialPruned
        return float("nan") if trial.number % 4 == 1 else dice(topology) * (rate < 2)

    study = new_study()
    study.optimize(troubled, n_trials=24)
    topologies = {tuple(value for name, value in trial.params.items() if name != "rate") for trial in study.trials}
    assert len(topologies) == 24


def test_sampler_says_when_the_space_is_exhausted():
    study = new_study()
    study.optimize(objective, n_trials=len(TOPOLOGIES))
    with pytest.raises(ValueError, match="every topology"):
        suggest_topology(study.ask(), SPACE)


def test_sampler_refuses_to_minimise():
    study = optuna.create_study(direction="minimize", sampler=ClusterEvolutionSampler(SPACE, clusters=4))
    with pytest.raises(ValueError, match="minimises"):
        suggest_topology(study.ask(), SPACE)


class Stubborn(optuna.samplers.RandomSampler):
    """Suggests one code, whatever it is told, and counts how often."""

    asked = 0

    def __init__(self, code: tuple[int, ...]) -> None:
        super().__init__(seed=0)
        self._levels = {f"level_{cell:02d}": level for cell, level in enumerate(code, start=1)}

    def sample_independent(self, study, trial, name, distribution):  # type: ignore[no-untyped-def]
        Stubborn.asked += name == "level_01"
        return self._levels[name]


def search_with(sampler: Callable[[int], optuna.samplers.BaseSampler]) -> OptunaSearch:
    return OptunaSearch(TOPOLOGIES, Sampling(sampler, None), seed=0, evaluations=len(TOPOLOGIES))


@pytest.mark.parametrize("score", [0.5, None, "running"])
def test_a_repeated_suggestion_is_asked_again_then_replaced_by_the_nearest(score: float | str | None):
    code, untrained = TOPOLOGIES[30].code, set(TOPOLOGIES)
    searcher = search_with(lambda seed: Stubborn(code))
    for place in range(10):
        Stubborn.asked = 0
        proposal = searcher.ask()
        assert proposal is not None
        assert proposal.topology == nearest(untrained, code)
        assert Stubborn.asked == (1 if place == 0 else TRIES)
        untrained.remove(proposal.topology)
        if score != "running":
            searcher.tell(proposal.topology, score)  # type: ignore[arg-type]


def test_a_suggestion_stands_for_the_topology_with_the_nearest_code():
    code = (1, 0, 1, 2, 1, 2, 1, 0)  # down after up: no topology
    proposal = search_with(lambda seed: Stubborn(code)).ask()
    assert proposal is not None
    assert proposal.topology == nearest(TOPOLOGIES, code)


def test_levels_are_those_of_the_space():
    distributions = level_distributions(TOPOLOGIES)
    assert [each.high for each in distributions.values()] == [1, 2, 2, 2, 2, 2, 1, 0]
    assert all(set(level_parameters(topology)) == set(distributions) for topology in TOPOLOGIES)


def test_names_of_the_levels_are_the_ledgers():
    from c2fnas.runs.trial_record import new_record
    from c2fnas.space.architecture import Architecture

    record = new_record(Architecture.uniform(TOPOLOGIES[5]), "coarse", after=0, extra={})
    assert level_parameters(TOPOLOGIES[5]) == record.params


def test_unknown_sampler_lists_the_known_ones():
    with pytest.raises(ValueError, match="random, tpe, gp"):
        optuna_sampler("cma-es")


def test_tpe_learns():
    """On scores that follow the code, TPE's later proposals beat its random first ones."""
    searcher, scores = OptunaSearch(SearchSpace().topologies(), optuna_sampler("tpe"), seed=0), []
    while (proposal := searcher.ask()) is not None:
        scores.append(sum(proposal.topology.code) / 36)
        searcher.tell(proposal.topology, scores[-1])
    assert sum(scores[-10:]) / 10 > sum(scores[:10]) / 10 + 0.1


def proposals(name: str, score: Callable[[Topology], float | None], count: int = 16) -> list[Proposal]:
    """The first ones of a search, told one by one."""
    searcher, found = OptunaSearch(TOPOLOGIES, optuna_sampler(name), seed=1, evaluations=60), list[Proposal]()
    while len(found) < count:
        proposal = searcher.ask()
        assert proposal is not None
        found.append(proposal)
        searcher.tell(proposal.topology, score(proposal.topology))
    return found


@pytest.mark.parametrize(
    ("name", "drawn"), [("random", 16), ("tpe", FIRST_SCORES), pytest.param("gp", FIRST_SCORES, marks=pytest.mark.long)]
)
def test_what_no_score_leads_is_of_the_random_branch(name: str, drawn: int) -> None:
    """Random are exactly the proposals that other scores would not have changed."""
    found, others = proposals(name, dice), proposals(name, lambda topology: 1 - dice(topology))
    assert [each.branch for each in found] == ["random"] * drawn + ["best"] * (16 - drawn)
    assert [each.topology for each in found[:drawn]] == [each.topology for each in others[:drawn]]
    assert drawn == 16 or found[drawn:] != others[drawn:]


def test_draws_stay_random_until_there_are_scores() -> None:
    failing = proposals("tpe", lambda topology: None)
    assert {each.branch for each in failing} == {"random"}


@pytest.mark.parametrize("first", [0.5, None])
def test_a_topology_that_is_tried_again_is_one(first: float | None):
    """Enqueued by hand, or by a callback that repeats what has failed."""
    study = new_study()
    trial = study.ask()
    suggest_topology(trial, SPACE)
    study.tell(trial, first, state=None if first else optuna.trial.TrialState.FAIL)
    study.enqueue_trial(dict(trial.params))
    again = study.ask()
    assert suggest_topology(again, SPACE) == suggest_topology(trial, SPACE)
    study.tell(again, 0.6)
    study.optimize(objective, n_trials=6)
    assert len({topology.code for topology in proposed(study)}) == 7
