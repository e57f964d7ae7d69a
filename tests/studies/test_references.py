"""The median of the random topologies: which draws are random, where those stand that failed or were stopped."""

from collections.abc import Sequence
from datetime import UTC, datetime

from c2fnas.runs.trial import Trial
from c2fnas.search.choice import SEARCHERS, make_searcher
from c2fnas.search.successive_halving import RungResult
from c2fnas.space.architecture import Architecture
from c2fnas.space.clusters import cluster_topologies
from c2fnas.space.search_space import SearchSpace
from c2fnas.studies.references import Median, median_random, no_median


def trial(number: int, branch: str, score: float | None, stopped_at: int | None = None) -> Trial:
    """A candidate of the coarse stage; ``score`` is its Dice at its end or where it was stopped."""
    now, architecture = datetime.now(UTC), Architecture.named("c2fnas-panc")
    if stopped_at is not None and score is not None:
        rungs = tuple(RungResult(rung, score, 9, 9, rung < stopped_at) for rung in range(100, stopped_at + 1, 100))
        return Trial(
            number, architecture, "stopped", None, None, 0, number, now, now, rungs=rungs, extra={"branch": branch}
        )
    state = "failed" if score is None else "succeeded"
    return Trial(number, architecture, state, score, None, 0, number, now, now, extra={"branch": branch})


def trials(*rows: tuple[str, float | None] | tuple[str, float | None, int]) -> Sequence[Trial]:
    return [trial(number, *row) for number, row in enumerate(rows)]


def test_the_median_is_of_random_draws_that_succeeded() -> None:
    drawn = trials(("initial", 0.9), ("random", 0.4), ("best", 0.8), ("random", 0.6), ("random", 0.5), ("random", None))
    assert median_random(drawn, "algorithm1") == Median(drawn[4], 3, 0)
    assert median_random(drawn[:4], "algorithm1") == Median(drawn[1], 2, 0), "the lower of the two in the middle"
    equal = trials(("random", 0.5), ("random", 0.5), ("random", 0.5))
    assert median_random(equal[::-1], "random") == Median(equal[1], 3, 0), "equals by number"


def test_without_random_draws_it_is_of_the_first_samples() -> None:
    drawn = trials(("initial", 0.3), ("initial", 0.1), ("random", None), ("initial", 0.2), ("best", 0.9))
    median = median_random(drawn, "algorithm1")
    assert median == Median(drawn[3], 3, 0)
    assert "candidate 3, the median by coarse Dice of the 3 that the search began with; 3D" in median.note
    chosen = trials(("initial", 0.3), ("random", 0.9))
    assert median_random(chosen, "surrogate") == Median(chosen[0], 1, 0), "a surrogate chooses within a random cluster"


def test_why_there_is_no_median() -> None:
    none = trials(("best", 0.9), ("random", None), ("initial", None))
    assert median_random(none, "algorithm1") is None
    assert no_median(none, "algorithm1").endswith("none has succeeded (2 tried)")
    assert (
        no_median(none[:2], "surrogate") == no_median((), "tpe") == "the coarse stage has drawn no topology at random"
    )


def test_draws_that_were_stopped_early_are_below_the_median() -> None:
    drawn = trials(
        ("random", 0.8),
        ("random", 0.7, 100),
        ("random", 0.6),
        ("random", 0.75, 100),
        ("random", 0.9),
        ("random", 0.7),
        ("random", None),
        ("best", 0.1, 100),
    )
    median = median_random(drawn, "algorithm1")
    assert median == Median(drawn[2], 6, 2), "of the four that were trained to their end it would be 0.7"
    assert "of the 6 that were drawn at random, the 2 stopped early counted below the others; 3D" in median.note


def test_a_median_that_was_stopped_itself_is_the_one_in_the_middle_of_the_stopped() -> None:
    drawn = trials(
        ("random", 0.9),
        ("random", 0.3, 100),
        ("random", 0.2, 200),
        ("random", 0.4, 100),
        ("random", 0.1, 200),
        ("random", 0.5, 100),
        ("random", 0.6, 100),
    )
    median = median_random(drawn, "random")
    assert median == Median(drawn[6], 7, 6), "0.3, 0.4, 0.5, 0.6 at the first rung, 0.1, 0.2 at the second, 0.9"
    assert "the 6 stopped early counted below the others, where it is one of those" in median.note


def test_random_samplers_of_optuna_have_a_median() -> None:
    """Whatever the sampler, the searcher's first proposal is a random draw, and the reference knows it as one."""
    clusters = cluster_topologies(SearchSpace(cells=8, downsamplings=2).topologies(), clusters=3, seed=0)
    for name in SEARCHERS:
        proposal = make_searcher(name, clusters, seed=0, evaluations=5).ask()
        assert proposal is not None
        assert median_random(trials((proposal.branch, 0.5)), name) is not None, name
