import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from c2fnas.search.base import History, nearest
from c2fnas.search.baselines import RegularisedEvolution
from c2fnas.search.searcher import Asked, Told
from c2fnas.space.search_space import SearchSpace
from c2fnas.space.topology import Topology

TOPOLOGIES = SearchSpace().topologies()


def history(scores: list[float]) -> list[Asked | Told]:
    """Topologies told one after the other, far enough apart that none is another's neighbour."""
    chosen = TOPOLOGIES[:: len(TOPOLOGIES) // len(scores)][: len(scores)]
    pairs = zip(chosen, scores, strict=True)
    return [event for topology, score in pairs for event in (Asked(topology), Told(topology, score))]


def parent(events: list[Asked | Told], **options: int) -> Topology:
    """Whose neighbour is proposed after ``events``."""
    searcher = RegularisedEvolution(TOPOLOGIES, **options)  # type: ignore[arg-type]
    searcher.replay(events)
    proposal = searcher.ask()
    assert proposal is not None
    assert proposal.branch == "best"
    told = [event.topology for event in events if isinstance(event, Told)]
    (found,) = [topology for topology in told if proposal.topology in topology.neighbours()]
    return found


@pytest.mark.parametrize("seed", range(10))
def test_neighbour_of_the_best_is_proposed_where_all_are_drawn(seed: int):
    events = history([0.1, 0.9, 0.3, 0.2])
    assert parent(events, seed=seed, population=4, sample=4) == events[2].topology


@pytest.mark.parametrize("seed", range(10))
def test_the_old_die_however_good(seed: int):
    events = history([0.9, 0.1, 0.3, 0.2])
    assert parent(events, seed=seed, population=3, sample=3) == events[4].topology


def test_a_sample_is_drawn():
    """The best of 2 drawn of 4 is the best of all in half of the cases: binomial, false-alarm rate 1e-6."""
    events = history([0.1, 0.9, 0.3, 0.2])
    wins = sum(parent(events, seed=seed, population=4, sample=2) == events[2].topology for seed in range(1000))
    assert binomtest(wins, 1000, 0.5).pvalue > 1e-6


def test_nearest_is_proposed_where_all_neighbours_were():
    best = TOPOLOGIES[500]
    searcher = RegularisedEvolution(TOPOLOGIES, seed=0, population=1, sample=1, evaluations=900)
    searcher.replay([Asked(topology) for topology in (*best.neighbours(), best)])
    searcher.replay([Told(topology, None) for topology in best.neighbours()])
    searcher.tell(best, 0.5)
    proposal = searcher.ask()
    assert proposal is not None
    others = set(TOPOLOGIES) - {best, *best.neighbours()}
    assert best.distance(proposal.topology) == min(map(best.distance, others))


def test_population_comes_first():
    searcher = RegularisedEvolution(TOPOLOGIES, seed=0, population=4, evaluations=10)
    for _ in range(4):
        proposal = searcher.ask()
        assert proposal is not None
        assert proposal.branch == "initial"
        searcher.tell(proposal.topology, 0.5)
    proposal = searcher.ask()
    assert proposal is not None
    assert proposal.branch == "best"


@given(st.lists(st.floats(-1, 4), min_size=12, max_size=12), st.integers(1, 924))
def test_nearest_by_brute_force(code: list[float], count: int):
    candidates = TOPOLOGIES[:count]
    distances = [np.linalg.norm(np.subtract(topology.code, code)) for topology in candidates]
    found = nearest(reversed(candidates), code)
    assert distances[candidates.index(found)] == pytest.approx(min(distances))


def test_nearest_of_equals_is_the_first_by_code():
    left, right = Topology((0, 1, 0)), Topology((1, 0, 0))
    assert nearest([right, left], (0.5, 0.5, 0)) == left


def test_history_keeps_what_it_was_told():
    memory = History(TOPOLOGIES[:3])
    assert [memory.propose(topology) for topology in TOPOLOGIES[:2]] == [0, 1]
    memory.tell(TOPOLOGIES[1], 0.5)
    assert list(memory.running) == [TOPOLOGIES[0]]
    assert list(memory.untrained) == [TOPOLOGIES[2]]
    assert memory.scores == {TOPOLOGIES[1]: 0.5}


@pytest.mark.parametrize("options", [{"population": 0}, {"sample": 0}])
def test_impossible_settings_are_refused(options: dict):
    with pytest.raises(ValueError, match="population and sample"):
        RegularisedEvolution(TOPOLOGIES, seed=0, **options)
