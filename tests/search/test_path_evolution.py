"""NSGA-II over paths on a problem whose front is known."""

import math

from c2fnas.search.paths import PathEvolution, random_paths
from c2fnas.search.ranks import is_on_front
from c2fnas.space.operation import Operation
from c2fnas.space.search_space import SearchSpace

SPACE = SearchSpace(cells=10, downsamplings=2)
PRICE = {Operation.CONV2D: 9.0, Operation.P3D: 12.0, Operation.CONV3D: 27.0}


def judge(path: tuple[Operation, ...]) -> tuple[float, float]:
    """A Dice that rises with the cost: cells are worth more the later they come, 3D twice as much as P3D."""
    worth = {Operation.CONV2D: 0, Operation.P3D: 1, Operation.CONV3D: 2}
    dice = sum(worth[operation] * (cell + 1) for cell, operation in enumerate(path)) / 110
    return dice, sum(PRICE[operation] for operation in path)


def evolved(candidates: int, seed: int, failing: Operation | None = None) -> dict:
    evolution, told = PathEvolution(SPACE, candidates=candidates, seed=seed), {}
    while not evolution.finished:
        results = {path: None if failing and path[0] is failing else judge(path) for path in evolution.ask()}
        told |= results
        evolution.tell(results)
    return told


def test_a_single_candidate_is_one() -> None:
    assert len(evolved(1, seed=0)) == 1


def hypervolume(results: list[tuple[float, float]]) -> float:
    """The area that the front dominates, towards Dice 0 and the dearest network."""
    points = sorted(
        {point for point, on in zip(results, is_on_front([(-d, c) for d, c in results]), strict=True) if on}
    )
    area, cost_before = 0.0, 27.0 * SPACE.cells
    for dice, cost in reversed(points):
        area += dice * max(0.0, cost_before - cost)
        cost_before = min(cost, cost_before)
    return area


def test_a_better_front_than_at_random() -> None:
    """In nine of ten seeds at least, with as many evaluations."""
    better = 0
    for seed in range(10):
        found = evolved(200, seed)
        random = [judge(path) for path in random_paths(SPACE, len(found), seed=seed)]
        better += hypervolume(list(found.values())) > hypervolume(random)
    assert better >= 9


def test_as_many_distinct_candidates_as_wanted() -> None:
    assert 200 <= len(evolved(200, 0)) < 200 + PathEvolution(SPACE, candidates=200, seed=0).population


def test_the_same_results_lead_the_same_way() -> None:
    assert list(evolved(80, 3)) == list(evolved(80, 3))
    assert list(evolved(80, 3)) != list(evolved(80, 4))


def test_failures_are_ordinary() -> None:
    told = evolved(80, 0, failing=Operation.P3D)
    failed = [path for path, result in told.items() if result is None]
    assert failed
    assert len(failed) < len(told) / 2


def test_a_space_that_is_exhausted_ends() -> None:
    space = SearchSpace(cells=2, downsamplings=1)
    evolution, seen = PathEvolution(space, candidates=2000, seed=0), set()
    while not evolution.finished:
        generation = evolution.ask()
        seen |= set(generation)
        evolution.tell(dict.fromkeys(generation, (0.5, math.pi)))
    assert len(seen) <= 9
