"""A pooled search: what it trains next by what has been trained, whatever the order in which workers end."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from c2fnas.search.bayesian import BayesianSearch, TopologyModel
from c2fnas.search.pooled import PooledSearch, Size, Training
from c2fnas.search.random_search import RandomSearch
from c2fnas.search.searcher import Noting, Proposal, Searcher
from c2fnas.space.search_space import SearchSpace
from c2fnas.space.topology import Topology

TOPOLOGIES = SearchSpace(cells=8, downsamplings=2).topologies()
MODEL = TopologyModel(TOPOLOGIES)
COSTS = {topology: 1.0 + sum(topology.code) for topology in TOPOLOGIES}
NOISE = 0.006
"""As measured between seeds of short trainings."""

Truth = Callable[[Topology], float | None]


def bayesian(seed: int, evaluations: int) -> Searcher:
    searcher = BayesianSearch(TOPOLOGIES, seed=seed, evaluations=evaluations)
    searcher.share(MODEL)
    return searcher


def searched(
    truth: Truth,
    evaluations: int,
    *,
    seed: int = 0,
    workers: int = 2,
    margin: float = 0.01,
    make: Callable[[int, int], Searcher] = bayesian,
    model: TopologyModel = MODEL,
    stopping: bool = False,
) -> tuple[list[Training], PooledSearch]:
    """Drive a search to its end; the first to start is the first to end. ``stopping`` ends bad proposals early."""
    searcher, rng = make(seed, evaluations), np.random.default_rng(seed)
    search = PooledSearch(searcher, model, COSTS, Size(evaluations), margin=margin, seed=seed)
    ended, running = list[Training](), list[Training]()
    while True:
        while len(running) < workers and (chosen := search.next([*ended, *running])) is not None:
            proposed = isinstance(chosen, Proposal)
            running.append(Training(chosen.topology if isinstance(chosen, Proposal) else chosen, proposed, "running"))
        if not running:
            return ended, search
        topology, proposed = running[0].topology, running.pop(0).proposed
        true = truth(topology)
        score = None if true is None else float(np.clip(true + NOISE * rng.standard_normal(), 0, 1))
        state: Any = "failed" if score is None else "succeeded"
        if stopping and proposed and score is not None and score < 0.8:
            state = "stopped"
        ended.append(Training(topology, proposed, state, score))
        search.tell(ended[-1])


def flat(topology: Topology) -> float:
    return 0.8


def sloped(topology: Topology) -> float:
    return 0.8 + 0.01 * (topology.code[0] - topology.code[-3])


@pytest.mark.parametrize("evaluations", [8, 10, 16, 24])
@pytest.mark.parametrize("workers", [1, 3])
def test_every_budget_has_its_pilot_and_trains_what_the_model_wants(evaluations: int, workers: int) -> None:
    """Two topologies are trained twice, and still a training is left for the untrained maximum of the model."""
    for seed in range(4):
        ended, _ = searched(sloped, evaluations, seed=seed, workers=workers, margin=0.002)
        assert len(ended) == evaluations
        counted = Counter(each.topology for each in ended)
        assert sum(counted.values()) - len(counted) >= 2
        assert sum(not each.proposed for each in ended) >= 3
    assert Size(evaluations).searched <= evaluations - 3


def test_the_untrained_maximum_is_trained_as_a_rule() -> None:
    """Of twenty searches of eight trainings, most end with what the model wants trained; the last score may move it."""
    trained = 0
    for seed in range(20):
        ended, search = searched(sloped, 8, seed=seed, workers=1, margin=0.002)
        trained += search.standing(ended).wanted in {each.topology for each in ended}
    assert trained >= 12


def test_where_nothing_is_to_be_found_most_searches_end_early_at_the_noise_of_real_trainings() -> None:
    counts = [len(searched(flat, 50, seed=seed)[0]) for seed in range(8)]
    assert all(8 <= count <= 50 for count in counts)
    assert sum(count < 50 for count in counts) >= 5


def test_where_much_is_to_be_found_it_goes_on() -> None:
    """Topologies differ by up to twenty times the margin: no search of 24 trainings is content with fewer."""
    assert all(len(searched(sloped, 24, seed=seed, margin=0.002)[0]) == 24 for seed in range(4))


def test_finalists_are_trained_again_while_they_cannot_be_told_apart() -> None:
    """Two topologies are the best by far, and alike: the settling trainings go to them."""
    few = TOPOLOGIES[::4]
    one, other = few[3], few[12]
    ended, search = searched(
        lambda topology: 0.81 if topology in (one, other) else 0.78,
        40,
        workers=1,
        margin=0.002,
        make=lambda seed, n: RandomSearch(few, seed=seed, evaluations=n),
        model=TopologyModel(few),
    )
    counted = Counter(each.topology for each in ended)
    found = search.standing(ended)
    assert {found.leader, found.rival} == {one, other}
    assert counted[one] + counted[other] >= 8
    assert abs(counted[one] - counted[other]) <= 1


def test_what_settles_the_answer_is_pooled() -> None:
    """The searcher proposes by trainings that it has not proposed, too."""
    told, noted = bayesian(0, 40), bayesian(0, 40)
    topology = TOPOLOGIES[0]
    for searcher in (told, noted):
        proposal = searcher.ask()
        assert proposal is not None
        searcher.tell(proposal.topology, 0.5)
    assert isinstance(noted, Noting)
    for _ in range(20):
        noted.note(TOPOLOGIES[-1], 0.9)
        noted.note(topology, 0.1)

    def nearness(searcher: Searcher) -> float:
        proposals = [searcher.ask() for _ in range(15)]
        return float(np.mean([each.topology.distance(TOPOLOGIES[-1]) for each in proposals if each]))

    assert nearness(noted) < nearness(told)
    with pytest.raises(ValueError, match="score is a finite number"):
        noted.note(topology, 1.5)


def test_failures_are_replaced_and_never_the_answer() -> None:
    failing = {*TOPOLOGIES[::3]}
    ended, search = searched(lambda t: None if t in failing else sloped(t), 16, margin=0.002)
    assert sum(each.counts for each in ended) == 16
    assert search.standing(ended).answer not in failing


@pytest.mark.parametrize("count", [1, 3, 5])
def test_a_space_smaller_than_the_pilot_has_its_repeats_too(count: int) -> None:
    """Two trainings of a topology, or of two, tell seeds from topologies; then what is close is trained again."""
    few = TOPOLOGIES[::14][:count]
    ended, search = searched(
        sloped,
        16,
        make=lambda seed, n: RandomSearch(few, seed=seed, evaluations=n),
        model=TopologyModel(few),
        margin=0.002,
    )
    counted = Counter(each.topology for each in ended)
    assert set(counted) == set(few)
    assert sum(counted.values()) - count >= min(2, count)
    assert search.standing(ended).answer in few


def test_fewer_trainings_than_a_pilot_are_all_done() -> None:
    for evaluations in range(1, 8):
        ended, search = searched(sloped, evaluations, margin=0.002)
        assert len(ended) == evaluations
        assert search.standing(ended).answer is not None


@pytest.mark.parametrize("workers", [1, 3])
def test_with_early_stopping_the_pilot_repeats_what_was_trained_to_its_end(workers: int) -> None:
    for seed in range(6):
        ended, _ = searched(sloped, 16, seed=seed, workers=workers, margin=0.002, stopping=True)
        assert any(each.state == "stopped" for each in ended)
        whole = Counter(each.topology for each in ended if each.whole)
        assert whole.total() - len(whole) >= 2


def test_a_searcher_that_waits_is_waited_for() -> None:
    """One that proposes in generations has no proposal while a generation is under way."""

    class Generations(RandomSearch):
        def ask(self) -> Proposal | None:
            waits = self.history.running and len(self.history.proposed) % 4 == 0
            return None if waits else super().ask()

    ended, _ = searched(
        sloped, 24, workers=4, margin=0.002, make=lambda seed, n: Generations(TOPOLOGIES, seed=seed, evaluations=n)
    )
    assert sum(each.proposed for each in ended) >= Size(24).searched


def test_any_searcher_is_answered_by_the_posterior() -> None:
    ended, search = searched(sloped, 20, make=lambda seed, n: RandomSearch(TOPOLOGIES, seed=seed, evaluations=n))
    assert search.standing(ended).answer in {each.topology for each in ended}


def test_what_was_stopped_early_is_trained_to_its_end_where_it_is_wanted() -> None:
    """A topology that early stopping has ended has no Dice for the answer."""
    search = PooledSearch(bayesian(0, 13), MODEL, COSTS, Size(13), margin=0.002, seed=0)
    scored = [Training(each, True, "succeeded", sloped(each)) for each in TOPOLOGIES[::7][:9]]
    scored += [Training(each.topology, False, "succeeded", each.score) for each in scored[:2]]  # the pilot's repeats
    wanted = search.standing(scored).wanted
    assert wanted not in {each.topology for each in scored}
    assert search.next([*scored, Training(wanted, True, "stopped")]) == wanted
