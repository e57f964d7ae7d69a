"""The contract of a searcher of topologies, which :mod:`c2fnas.search.testing` ships, on every one of ours."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c2fnas.errors import UserError
from c2fnas.search import AsynchronousSearcher, Proposal, RandomSearch, testing
from c2fnas.search.choice import SEARCHERS, make_searcher
from c2fnas.search.searcher import Searcher
from c2fnas.search.testing import (
    CHECKS,
    TOPOLOGIES,
    Make,
    asked,
    check_replay,
    check_search,
    check_searcher,
    clusters,
    scores,
    search,
)


def maker(name: str) -> Make:
    return lambda seed, evaluations: make_searcher(name, clusters(), seed=seed, evaluations=evaluations, per_cluster=1)


FAST: dict[str, Make] = {name: maker(name) for name in ("algorithm1", "random", "regularised-evolution")}
SLOWER: dict[str, Make] = {name: maker(name) for name in ("bayesian", "surrogate", "optuna-random", "tpe")}
SLOW: dict[str, Make] = {name: maker(name) for name in ("bayesian-gp", "gp")}
each_fast = pytest.mark.parametrize("make", FAST.values(), ids=FAST)
each = pytest.mark.parametrize(
    "make",
    [*FAST.values(), *SLOWER.values(), *(pytest.param(make, marks=pytest.mark.long) for make in SLOW.values())],
    ids=[*FAST, *SLOWER, *SLOW],
)


def test_none_is_left_out() -> None:
    assert {*FAST, *SLOWER, *SLOW} == set(SEARCHERS)
    assert {check for name, check in vars(testing).items() if name.startswith("check_")} == {*CHECKS, check_searcher}


@each
def test_is_a_searcher(make: Make) -> None:
    assert isinstance(make(0, 5), Searcher)


@each
@pytest.mark.parametrize("check", CHECKS)
def test_contract(make: Make, check: Callable[[Make], None]) -> None:
    check(make)


@each_fast
def test_a_longer_search_is_replayed(make: Make) -> None:
    check_replay(make, evaluations=40)


@each_fast
@settings(deadline=None, max_examples=60)
@given(
    workers=st.integers(1, 64),
    seed=st.integers(0, 99),
    evaluations=st.integers(1, 90),
    failing=st.sampled_from([0, 0.3, 0.9]),
)
def test_any_number_of_workers_in_any_order(
    make: Make, workers: int, seed: int, evaluations: int, failing: float
) -> None:
    check_search(make, workers, seed, evaluations, failing)


@each
def test_another_seed_gives_other_proposals(make: Make) -> None:
    assert asked(search(make(0, 12), scores(), workers=2)) != asked(search(make(1, 12), scores(), workers=2))


@each_fast
def test_space_is_exhausted_where_all_fail(make: Make) -> None:
    searcher = make(0, 10)
    assert sorted(asked(search(searcher, lambda topology: None, workers=5))) == list(TOPOLOGIES)
    assert (searcher.best, searcher.successes) == (None, 0)


@each_fast
def test_space_is_exhausted_by_a_large_budget(make: Make) -> None:
    searcher, score = make(0, 1000), scores()
    assert sorted(asked(search(searcher, score, workers=7))) == list(TOPOLOGIES)
    best = max(TOPOLOGIES, key=lambda topology: score(topology) or 0)
    assert searcher.best == (best, score(best))


@each
@pytest.mark.parametrize(("seed", "evaluations"), [(0, 0), (-1, 5)])
def test_impossible_settings_are_refused(make: Make, seed: int, evaluations: int) -> None:
    with pytest.raises(ValueError, match="at least one evaluation"):
        make(seed, evaluations)


class Repeating(RandomSearch):
    """Proposes one topology all the time."""

    def ask(self) -> Proposal | None:
        proposal = super().ask()
        return proposal and replace(proposal, topology=TOPOLOGIES[0])

    def tell(self, topology: Any, score: float | None) -> None:
        super().tell(next(iter(self.history.running)), score)


class Endless(RandomSearch):
    """Proposes as long as there is a topology, and then the first one again."""

    def ask(self) -> Proposal | None:
        self._evaluations = 1000
        return super().ask() or Proposal(TOPOLOGIES[0], 0)

    def tell(self, topology: Any, score: float | None) -> None:
        pass


class Unseeded(RandomSearch):
    """Draws other topologies every time."""

    drawn = 0

    def choose(self, rng: Any) -> Any:
        Unseeded.drawn += 1
        return list(self.history.untrained)[Unseeded.drawn % len(self.history.untrained)], None, "random"


class Forgetful(RandomSearch):
    """Remembers nothing of a replay."""

    def replay(self, events: Any) -> None:
        pass


class Credulous(RandomSearch):
    """Takes any score."""

    def tell(self, topology: Any, score: float | None) -> None:
        super().tell(topology, None)
        self.history.scores |= {} if score is None else {topology: score}


class Impatient(RandomSearch):
    """Gives up after a failure."""

    def tell(self, topology: Any, score: float | None) -> None:
        super().tell(topology, score)
        self._evaluations -= score is None


class LastOfEquals(RandomSearch):
    """Takes the last of equal scores for the best."""

    @property
    def best(self) -> Any:
        return max(reversed(self.history.scores.items()), key=lambda item: item[1], default=None)


@pytest.mark.parametrize(
    ("broken", "fault"),
    [
        (Repeating, "twice"),
        (Endless, "does not end"),
        (Unseeded, "same seed"),
        (Forgetful, "replay"),
        (Credulous, "takes the score nan"),
        (Impatient, "before its budget was met"),
        (LastOfEquals, "first of the highest"),
    ],
)
def test_a_broken_searcher_is_found_out(broken: type[AsynchronousSearcher], fault: str) -> None:
    with pytest.raises(AssertionError, match=fault):
        check_searcher(broken)


def test_what_is_no_searcher_is_a_sentence() -> None:
    with pytest.raises(UserError, match=r"what it gives \(object\) is without successes, best, ask, tell, replay"):
        check_searcher(object)
