import numpy as np
import pytest

from c2fnas.bench import Measurement, regret_at, replay
from c2fnas.search.random_search import RandomSearch
from c2fnas.search.searcher import Asked, Proposal, Told
from c2fnas.space.search_space import SearchSpace
from c2fnas.space.topology import Topology

TOPOLOGIES = SearchSpace(cells=8, downsamplings=2).topologies()
RANKS = {topology: Measurement((rank + 1) / len(TOPOLOGIES)) for rank, topology in enumerate(TOPOLOGIES)}


class InOrder:
    """A searcher that proposes what it is given, in order."""

    def __init__(self, *topologies: Topology) -> None:
        self.left, self.events = list(topologies), list[Asked | Told]()

    def ask(self) -> Proposal | None:
        if not self.left:
            return None
        self.events.append(Asked(self.left[0]))
        return Proposal(self.left.pop(0), len(self.events))

    def tell(self, topology: Topology, score: float | None) -> None:
        self.events.append(Told(topology, score))


A, B, C, D = TOPOLOGIES[:4]
TABLE = {
    A: Measurement(0.5, cost=4),
    B: Measurement(None, cost=1),
    C: Measurement(0.7, cost=2),
    D: Measurement(0.9, cost=3),
}


def test_one_worker_trains_one_after_the_other():
    run = replay(InOrder(A, B, C), TABLE)  # type: ignore[arg-type]
    assert run.topologies == (A, B, C)
    assert run.time.tolist() == run.cost.tolist() == [4, 5, 7]
    assert run.successes.tolist() == [1, 1, 2]
    assert run.regret == pytest.approx([0.4, 0.4, 0.2])


def test_two_workers_by_hand():
    """A runs 0–4 beside B 0–1, C 1–3 and D 3–6: whoever is idle takes the next, no one waits for a generation."""
    searcher = InOrder(A, B, C, D)
    run = replay(searcher, TABLE, workers=2)  # type: ignore[arg-type]
    assert run.topologies == (B, C, A, D)
    assert run.time.tolist() == [1, 3, 4, 6]
    assert run.cost.tolist() == [1, 3, 7, 10]
    assert run.regret == pytest.approx([1, 0.2, 0.2, 0])
    assert searcher.events == [
        Asked(A),
        Asked(B),
        Told(B, None),
        Asked(C),
        Told(C, 0.7),
        Asked(D),
        Told(A, 0.5),
        Told(D, 0.9),
    ]


def test_as_many_workers_as_candidates_take_as_long_as_the_longest():
    assert replay(InOrder(A, B, C, D), TABLE, workers=64).time.tolist() == [1, 2, 3, 4]  # type: ignore[arg-type]


def test_regret_between_results_is_that_of_the_last_one():
    run = replay(InOrder(A, B, C, D), TABLE, workers=2)  # type: ignore[arg-type]
    assert regret_at(run, [0, 1, 2.9, 3, 6, 100], "time") == pytest.approx([1, 1, 1, 0.2, 0, 0])
    assert regret_at(run, [0, 1, 2, 3, 4]) == pytest.approx([1, 0.2, 0.2, 0, 0])
    assert regret_at(run, [9.9, 10], "cost") == pytest.approx([0.2, 0])


@pytest.mark.parametrize("workers", [1, 5])
def test_regret_of_random_search_has_a_closed_form(workers: int):
    """The best rank of n draws without repetition from N is n (N + 1) / (n + 1) in the mean.

    2,000 searches; 5 standard errors at each of 10 points, so a false alarm in about 1 of 10^5.
    """
    evaluations, total = np.arange(1, 11), len(TOPOLOGIES)
    searches = (RandomSearch(TOPOLOGIES, seed=seed, evaluations=10) for seed in range(2000))
    curves = np.stack([regret_at(replay(search, RANKS, workers=workers), evaluations.tolist()) for search in searches])
    expected = 1 - evaluations * (total + 1) / (evaluations + 1) / total
    assert curves.shape == (2000, 10)
    assert (np.abs(curves.mean(axis=0) - expected) < 5 * curves.std(axis=0) / 2000**0.5).all()
    assert (np.diff(curves, axis=1) <= 0).all()


def test_noise_misleads_the_search_but_not_its_regret():
    """The network returned is the one told best; what counts is what the table says of it."""
    run = replay(InOrder(*TOPOLOGIES), RANKS, noise=0.3, seed=0)  # type: ignore[arg-type]
    assert run.regret[-1] > 0
    assert set(np.round(run.regret, 9)) <= {round(1 - entry.score, 9) for entry in RANKS.values() if entry.score}
    assert replay(InOrder(*TOPOLOGIES), RANKS).regret[-1] == 0  # type: ignore[arg-type]


def test_noise_of_a_topology_does_not_depend_on_when_it_is_trained():
    told = []
    for order in (TOPOLOGIES, TOPOLOGIES[::-1]):
        searcher = InOrder(*order)
        replay(searcher, RANKS, noise=0.1, seed=4)  # type: ignore[arg-type]
        told.append({event.topology: event.score for event in searcher.events if isinstance(event, Told)})
    assert told[0] == told[1]
    assert all(score is not None and 0 <= score <= 1 for score in told[0].values())


def test_nothing_but_failures_leaves_the_regret_at_one():
    table = {topology: Measurement(None) for topology in TOPOLOGIES}
    assert set(replay(RandomSearch(TOPOLOGIES, seed=0, evaluations=5), table, workers=3).regret) == {1.0}


def test_a_topology_that_the_table_lacks_is_named():
    with pytest.raises(ValueError, match="the table lacks the topology"):
        replay(RandomSearch(TOPOLOGIES, seed=0, evaluations=70), TABLE)


def test_no_worker_is_refused():
    with pytest.raises(ValueError, match="at least one worker"):
        replay(InOrder(A), TABLE, workers=0)  # type: ignore[arg-type]


HALVED = {
    A: Measurement(0.5, cost=4, rungs=((0.25, 0.3), (0.5, 0.4))),
    B: Measurement(None, cost=4, rungs=((0.25, 0.1), (0.5, 0.1))),
    C: Measurement(0.7, cost=4, rungs=((0.25, 0.2), (0.5, 0.6))),
    D: Measurement(0.9, cost=4, rungs=((0.25, 0.4), (0.5, 0.5))),
}


def test_early_stopping_by_hand():
    """The first goes on; C is second of two at the first rung and stops; D is the best at both and is trained."""
    searcher = InOrder(A, C, D)
    run = replay(searcher, HALVED, factor=2)  # type: ignore[arg-type]
    assert searcher.events == [Asked(A), Told(A, 0.5), Asked(C), Told(C, 0.2), Asked(D), Told(D, 0.9)]
    assert run.time.tolist() == run.cost.tolist() == [4, 5, 9]
    assert run.successes.tolist() == [1, 2, 3]
    assert run.regret == pytest.approx([0.4, 0.4, 0])


def test_a_stopped_network_is_never_returned():
    """C has 0.7 in the table, but nobody trained it to its end."""
    assert replay(InOrder(A, C), HALVED, factor=2).regret == pytest.approx([0.4, 0.4])  # type: ignore[arg-type]


def test_rungs_change_nothing_without_early_stopping():
    plain = {topology: Measurement(entry.score, entry.cost) for topology, entry in HALVED.items()}
    for workers in (1, 2, 3):
        with_rungs = replay(InOrder(A, B, C, D), HALVED, workers=workers)  # type: ignore[arg-type]
        without = replay(InOrder(A, B, C, D), plain, workers=workers)  # type: ignore[arg-type]
        assert with_rungs.topologies == without.topologies
        assert with_rungs.regret.tolist() == without.regret.tolist()
        assert with_rungs.cost.tolist() == without.cost.tolist()


def test_early_stopping_of_random_search_returns_one_of_the_best_for_less():
    """Rungs that rank as the end does: the best one seen is never stopped, so the regret is that of full training."""
    table = {
        topology: Measurement(entry.score, rungs=((0.25, (entry.score or 0) / 2),)) for topology, entry in RANKS.items()
    }
    for seed in range(20):
        full = replay(RandomSearch(TOPOLOGIES, seed=seed, evaluations=30), table)
        halved = replay(RandomSearch(TOPOLOGIES, seed=seed, evaluations=30), table, factor=2)
        assert halved.topologies == full.topologies
        assert halved.regret.tolist() == full.regret.tolist()
        assert halved.cost[-1] < full.cost[-1]
