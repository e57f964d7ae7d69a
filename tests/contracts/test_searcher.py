"""What every searcher of topologies keeps, whichever it is: run on all of them."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c2fnas.search.choice import SEARCHERS, make_searcher
from c2fnas.search.searcher import Asked, Searcher, Told
from c2fnas.space.clusters import cluster_topologies
from c2fnas.space.search_space import SearchSpace
from c2fnas.space.topology import Topology

TOPOLOGIES = SearchSpace(cells=8, downsamplings=2).topologies()  # 70
CLUSTERS = cluster_topologies(TOPOLOGIES, clusters=6)
SCORES = dict(zip(TOPOLOGIES, np.random.default_rng(0).uniform(0, 1, len(TOPOLOGIES)).tolist(), strict=True))

Make = Callable[[int, int], Searcher]
Score = Callable[[Topology], float | None]


def maker(name: str) -> Make:
    return lambda seed, evaluations: make_searcher(name, CLUSTERS, seed=seed, evaluations=evaluations, per_cluster=1)


FAST: dict[str, Make] = {name: maker(name) for name in ("algorithm1", "random", "regularised-evolution")}
SLOWER: dict[str, Make] = {name: maker(name) for name in ("surrogate", "optuna-random", "tpe")}
SLOW: dict[str, Make] = {"gp": maker("gp")}

each_fast = pytest.mark.parametrize("make", FAST.values(), ids=FAST)
each = pytest.mark.parametrize(
    "make",
    [*FAST.values(), *SLOWER.values(), *(pytest.param(make, marks=pytest.mark.long) for make in SLOW.values())],
    ids=[*FAST, *SLOWER, *SLOW],
)


def search(
    searcher: Searcher, score: Score, *, workers: int = 1, seed: int = 0, most: int = 10**6
) -> list[Asked | Told]:
    """Drive a search with workers that finish in any order; ends of itself, or after ``most`` events."""
    rng, running, log = np.random.default_rng(seed), list[Topology](), list[Asked | Told]()
    while len(log) < most:
        while len(running) < workers and (proposal := searcher.ask()) is not None:
            running.append(proposal.topology)
            log.append(Asked(proposal.topology))
        if not running:
            break
        topology = running.pop(int(rng.integers(len(running))))
        searcher.tell(topology, score(topology))
        log.append(Told(topology, score(topology)))
    return log


def failing(share: float) -> Score:
    """Scores of the table, but a share of the topologies always fails."""
    failed = set(TOPOLOGIES[: round(share * len(TOPOLOGIES))])
    return lambda topology: None if topology in failed else SCORES[topology]


def asked(log: list[Asked | Told]) -> list[Topology]:
    return [event.topology for event in log if isinstance(event, Asked)]


def test_none_is_left_out():
    assert {*FAST, *SLOWER, *SLOW} == set(SEARCHERS)


@each
def test_is_a_searcher(make: Make):
    assert isinstance(make(0, 5), Searcher)


@each_fast
@settings(deadline=None, max_examples=60)
@given(
    workers=st.integers(1, 64),
    seed=st.integers(0, 99),
    evaluations=st.integers(1, 90),
    share=st.sampled_from([0, 0.3, 0.9]),
)
def test_any_number_of_workers_in_any_order(make: Make, workers: int, seed: int, evaluations: int, share: float):
    """Never twice, never past the budget at any moment, and the budget is met where the space holds enough."""
    searcher, score = make(seed, evaluations), failing(share)
    log = search(searcher, score, workers=workers, seed=seed)
    proposed = asked(log)
    assert len(set(proposed)) == len(proposed)
    assert set(proposed) <= set(TOPOLOGIES)
    successes = running = 0
    for event in log:
        running += 1 if isinstance(event, Asked) else -1
        successes += isinstance(event, Told) and event.score is not None
        assert running <= workers
        assert successes + running <= evaluations
    possible = sum(score(topology) is not None for topology in TOPOLOGIES)
    assert searcher.successes == successes == min(evaluations, possible)
    assert searcher.ask() is None


@each
def test_a_crowd_of_workers(make: Make):
    searcher = make(3, 16)
    log = search(searcher, failing(0.3), workers=64, seed=1)
    assert len(set(asked(log))) == len(asked(log))
    assert searcher.successes == 16


@each
def test_same_seed_and_order_give_the_same_proposals(make: Make):
    first = search(make(7, 16), failing(0.3), workers=3, seed=5)
    again = search(make(7, 16), failing(0.3), workers=3, seed=5)
    assert first == again


@each
def test_another_seed_gives_other_proposals(make: Make):
    assert asked(search(make(0, 12), failing(0), workers=2)) != asked(search(make(1, 12), failing(0), workers=2))


@each
def test_replay_equals_the_uninterrupted_search(make: Make):
    """Wherever the driver dies, a new searcher that relives the ledger asks for what the old one would have."""
    log = search(make(2, 16), failing(0.3), workers=4, seed=9)
    for cut in range(0, len(log), 3):
        searcher = make(2, 16)
        searcher.replay(log[:cut])
        following = next((place for place in range(cut, len(log)) if isinstance(log[place], Asked)), len(log))
        for event in log[cut:following]:
            assert isinstance(event, Told)
            searcher.tell(event.topology, event.score)
        proposal = searcher.ask()
        assert (proposal.topology if proposal else None) == (log[following].topology if following < len(log) else None)
        assert proposal is None or proposal.index == len(asked(log[:following]))


@each_fast
def test_replayed_search_ends_as_the_uninterrupted_one(make: Make):
    log = search(make(2, 40), failing(0.3))
    searcher = make(2, 40)
    searcher.replay(log[:31])
    running = [event.topology for event in log[:31]]
    for topology in {each for each in running if running.count(each) == 1}:
        searcher.tell(topology, failing(0.3)(topology))
    assert asked(log[:31]) + asked(search(searcher, failing(0.3))) == asked(log)


@each
def test_proposals_are_counted_from_zero(make: Make):
    searcher = make(0, 5)
    assert [proposal.index for _ in range(5) if (proposal := searcher.ask())] == [0, 1, 2, 3, 4]
    assert searcher.ask() is None


@each
def test_a_failure_is_replaced(make: Make):
    searcher = make(0, 2)
    first, second = searcher.ask(), searcher.ask()
    assert first is not None
    assert second is not None
    assert searcher.ask() is None
    searcher.tell(first.topology, None)
    third = searcher.ask()
    assert third is not None
    assert third.topology not in (first.topology, second.topology)
    assert searcher.best is None


@each_fast
def test_space_is_exhausted_where_all_fail(make: Make):
    searcher = make(0, 10)
    log = search(searcher, lambda topology: None, workers=5)
    assert sorted(asked(log)) == list(TOPOLOGIES)
    assert searcher.best is None
    assert searcher.successes == 0


@each_fast
def test_space_is_exhausted_by_a_large_budget(make: Make):
    searcher = make(0, 1000)
    assert sorted(asked(search(searcher, failing(0), workers=7))) == list(TOPOLOGIES)
    assert searcher.best == max(SCORES.items(), key=lambda item: item[1])


@each
@pytest.mark.parametrize("score", [float("nan"), float("inf"), -float("inf"), -1e-9, 1 + 1e-9])
def test_a_score_that_is_no_dice_is_refused(make: Make, score: float):
    searcher = make(0, 5)
    proposal = searcher.ask()
    assert proposal is not None
    with pytest.raises(ValueError, match="score"):
        searcher.tell(proposal.topology, score)
    assert searcher.best is None
    searcher.tell(proposal.topology, 0.5)  # it is still under way, nothing was lost
    assert searcher.best == (proposal.topology, 0.5)


@each
def test_only_what_is_under_way_can_be_told(make: Make):
    searcher = make(0, 5)
    with pytest.raises(ValueError, match="not under way"):
        searcher.tell(TOPOLOGIES[0], 0.5)
    proposal = searcher.ask()
    assert proposal is not None
    searcher.tell(proposal.topology, 0.5)
    with pytest.raises(ValueError, match="not under way"):
        searcher.tell(proposal.topology, 0.6)
    assert searcher.best == (proposal.topology, 0.5)


@each
def test_best_is_the_first_of_the_highest(make: Make):
    searcher = make(0, 5)
    proposals = [searcher.ask() for _ in range(5)]
    for proposal, score in zip(proposals, [0.2, 0.7, None, 0.7, 0.0], strict=True):
        assert proposal is not None
        searcher.tell(proposal.topology, score)
    assert searcher.best == (proposals[1].topology if proposals[1] else None, 0.7)
    assert searcher.successes == 4


@each
@pytest.mark.parametrize(
    "events",
    [
        [Asked(TOPOLOGIES[0]), Asked(TOPOLOGIES[0])],
        [Asked(TOPOLOGIES[0]), Told(TOPOLOGIES[0], 0.5), Asked(TOPOLOGIES[0])],
        [Told(TOPOLOGIES[0], 0.5)],
        [Asked(TOPOLOGIES[0]), Told(TOPOLOGIES[0], 1.5)],
        [Asked(Topology((0, 1, 0)))],
    ],
    ids=["twice", "again", "unasked", "no Dice", "another space"],
)
def test_a_ledger_that_cannot_be_is_refused(make: Make, events: list[Asked | Told]):
    with pytest.raises(ValueError, match=r"proposed before|not under way|score|not in the space"):
        make(0, 5).replay(events)


@each
@pytest.mark.parametrize(("seed", "evaluations"), [(0, 0), (-1, 5)])
def test_impossible_settings_are_refused(make: Make, seed: int, evaluations: int):
    with pytest.raises(ValueError, match="at least one evaluation"):
        make(seed, evaluations)
