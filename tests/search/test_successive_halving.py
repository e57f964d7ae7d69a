"""Candidates and cases of every rung, and the candidates that go on."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2fnas.search.paths import random_paths
from c2fnas.search.ranks import is_on_front
from c2fnas.search.successive_halving import Rung, case_order, plan_rungs, survivors, work
from c2fnas.space.search_space import SearchSpace

PATHS = random_paths(SearchSpace(), 60, seed=0)
FREE = dict.fromkeys(PATHS, (0.0,))


@given(st.integers(1, 3000), st.integers(1, 300), st.integers(1, 5))
def test_rungs_narrow_down_to_all_cases(candidates: int, cases: int, rungs: int) -> None:
    plan = plan_rungs(candidates, cases, rungs)
    assert 1 <= len(plan) <= rungs
    assert plan[0].candidates == candidates
    assert plan[-1].cases == cases
    assert all(after.cases > before.cases for before, after in itertools.pairwise(plan))
    assert all(1 <= after.candidates <= before.candidates for before, after in itertools.pairwise(plan))
    assert work(plan) <= work(plan_rungs(candidates, cases, 1)) == candidates * cases


def test_work_is_what_is_scored_one_by_one() -> None:
    rungs = (Rung(10, 2), Rung(4, 5), Rung(1, 9))
    scored = {(candidate, case) for rung in rungs for candidate in range(rung.candidates) for case in range(rung.cases)}
    assert work(rungs) == len(scored)


@given(st.lists(st.none() | st.floats(0, 1), min_size=1, max_size=60), st.integers(1, 20))
def test_the_best_go_on(scores: list[float | None], keep: int) -> None:
    told = dict(zip(PATHS, scores, strict=False))
    kept = survivors(told, keep, FREE)
    assert len(kept) >= min(keep, sum(score is not None for score in scores))
    values = [told[path] for path in kept]
    assert None not in values
    assert values == sorted(values, reverse=True)  # type: ignore[type-var]
    out = [score for path, score in told.items() if score is not None and path not in kept]
    assert not out or max(out) <= min(values)  # type: ignore[type-var]


def test_a_cheap_network_is_not_lost() -> None:
    scores = {path: 0.9 - 0.01 * place for place, path in enumerate(PATHS[:20])}
    costs = dict.fromkeys(PATHS[:20], (100.0, 50.0))
    costs[PATHS[15]] = (10.0, 50.0)
    costs[PATHS[17]] = (10.0, 50.0)  # no better in anything than the one before
    assert survivors(scores, 3, costs) == [*PATHS[:3], PATHS[15]]


def test_equal_scores_are_told_apart_by_cost_then_by_the_paths() -> None:
    """The first is on the front: it is the one that is chosen."""
    told = dict.fromkeys(PATHS, 0.5)
    backwards = dict.fromkeys(reversed(PATHS), 0.5)
    costs = {path: (float(path != PATHS[7]),) for path in PATHS}
    others = sorted(path for path in PATHS if path != PATHS[7])
    assert survivors(told, 5, costs) == [PATHS[7], *others[:4]] == survivors(backwards, 5, costs)


@given(st.lists(st.sets(st.integers(1, 4)), max_size=40))
def test_every_case_once_and_every_class_first(shows: list[set[int]]) -> None:
    order = case_order(shows)
    assert sorted(order) == list(range(len(shows)))
    wanted = set().union(*shows)
    needed = next(
        count for count in range(len(shows) + 1) if set().union(*(shows[case] for case in order[:count])) == wanted
    )
    assert needed <= len(wanted)


@pytest.mark.parametrize("count", [1, 2, 3, 8, 40, 41])
def test_every_beginning_is_spread_evenly(count: int) -> None:
    order = case_order([{1}] * count)
    for few in range(2, count):
        gaps = np.diff(sorted(order[:few]))
        assert gaps.max() <= 2 * -(-count // few) + 1


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5)), max_size=25))
def test_the_front_by_brute_force(points: list[tuple[int, int, int]]) -> None:
    def beats(one: tuple, other: tuple) -> bool:
        return one != other and all(a <= b for a, b in zip(one, other, strict=True))

    assert is_on_front(points) == [not any(beats(other, point) for other in points) for point in points]
