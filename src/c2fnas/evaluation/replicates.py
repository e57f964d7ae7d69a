"""Answers about two networks from several trainings of each: a training is the unit of evidence, not a case.

Trainings of one fold differ by their seeds and share its cases. They are analysed as several readers of the same images
are: Obuchowski and Rockette, Hypothesis Testing of Diagnostic Accuracy for Multiple Readers and Multiple Tests,
Communications in Statistics 24, 1995; with readers (here trainings) nested in tests (here networks): Hillis, A
Marginal-Mean ANOVA Approach for Analyzing Multireader Multicase Radiological Imaging Data, Statistics in Medicine 33,
2014. The variance of a difference is that of trainings about their network's mean, the same for both networks, and what
a jackknife over groups of cases adds. The interval is Student's with the degrees of freedom of the trainings alone, as
in 1995, which errs on the careful side where few trainings meet much noise of cases, or with Satterthwaite's of both
where these are fewer, as with many trainings on few groups.

Trainings of several folds share no cases: seeds of a fold are averaged, and the differences of folds are a t test's.

Several answers are corrected as in Holm, A Simple Sequentially Rejective Multiple Test Procedure, Scandinavian Journal
of Statistics 6, 1979.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import scipy  # whose `stats`, slow to import, is loaded when it is used

from c2fnas.evaluation.case_table import CaseTable, case_table
from c2fnas.evaluation.comparison import LEAST_GROUPS, LEVEL
from c2fnas.evaluation.metrics import Evaluation
from c2fnas.search.posterior import MARGIN

SEED_NOISE = 0.004
"""Standard deviation of Dice between seeds where nothing else is known: that of the recorded search on Hippocampus."""

MOST_TRAININGS = 100

Answer = Literal["better", "worse", "as good", "cannot tell"]
Replicate = tuple[int, int]
"""The fold and the seed of a training."""
Trainings = Mapping[Replicate, Evaluation]


class Estimate(NamedTuple):
    """A difference with its standard error: numbers, or arrays of them.

    ``spread`` is the standard deviation of a training about its network's mean, over folds that of a difference;
    ``cases`` the variance of the difference that more trainings would not lessen.
    """

    mean: Any
    se: Any
    df: Any
    spread: Any
    cases: Any


@dataclass(frozen=True)
class Comparison:
    """The difference in Dice of two networks, of the first minus the second, with what their trainings say of it.

    Args:
        mean: Over the trainings of each.
        se: Its standard error; None where one of the two was trained once, which says nothing of how trainings differ.
        df: Degrees of freedom of the standard error.
        spread: Standard deviation of a training, or over folds of a difference; None as ``se``.
        cases_variance: Variance of the difference that more trainings would not lessen.
        trainings: Of the first and of the second network.
        over: What the trainings differ in.
        groups: Groups of cases, or single cases, on which they were scored.
        margin: Differences within it do not matter.
        level: Confidence of the interval.
    """

    mean: float
    se: float | None
    df: float
    spread: float | None
    cases_variance: float
    trainings: tuple[int, int]
    over: Literal["seeds", "folds"]
    groups: int
    margin: float = MARGIN
    level: float = LEVEL

    @cached_property
    def interval(self) -> tuple[float, float] | None:
        """Student's interval; None with one training a side."""
        if self.se is None:
            return None
        half = float(scipy.stats.t.ppf((1 + self.level) / 2, self.df)) * self.se
        return self.mean - half, self.mean + half

    @property
    def p_value(self) -> float | None:
        """The two-sided probability of so large a difference between equal networks; None with one training a side."""
        if self.se is None:
            return None
        if self.se == 0:
            return float(self.mean == 0)
        return float(2 * scipy.stats.t.sf(abs(self.mean) / self.se, self.df))

    @property
    def answer(self) -> Answer:
        """The answer: whether the first network is better than the second."""
        if self.interval is None or self.groups < LEAST_GROUPS:
            return "cannot tell"
        low, high = self.interval
        if -self.margin <= low and high <= self.margin:
            return "as good"
        return "better" if low > 0 else "worse" if high < 0 else "cannot tell"

    @property
    def further(self) -> int | None:
        """Further trainings of each network that would tell; None where no number up to a hundred would.

        They would tell if the difference stayed as it is: from nothing, or within the margin, whichever takes fewer.
        Where one of the two was trained once, seeds are taken to differ as :data:`SEED_NOISE`.
        """
        reach = max(abs(self.mean), self.margin - abs(self.mean))
        spread = SEED_NOISE if self.spread is None else self.spread
        now = min(self.trainings)
        for count in range(max(2, now + 1), MOST_TRAININGS + 1):
            own = 1 if self.over == "folds" else 2
            df: float = own * (count - 1)
            trainings, cases = own * spread**2 / count, self.cases_variance
            se = math.sqrt(trainings + cases)
            if cases and self.groups > 1:
                df = min(df, float(_together(trainings, df, cases, self.groups - 1)))
            if scipy.stats.t.ppf((1 + self.level) / 2, df) * se < reach:
                return count - now
        return None

    def to_json(self) -> dict[str, Any]:
        """Return a JSON value that :meth:`from_json` reads, with the interval and the answer for other programs."""
        own = {each.name: getattr(self, each.name) for each in fields(self)}
        interval = None if self.interval is None else list(self.interval)
        derived = {"interval": interval, "p_value": self.p_value, "answer": self.answer, "further": self.further}
        return own | {"trainings": list(self.trainings)} | derived

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the value of :meth:`to_json`."""
        own = {each.name: value[each.name] for each in fields(cls)}
        return cls(**own | {"trainings": tuple(value["trainings"])})


def compare(
    first: Trainings, second: Trainings, *, groups: Mapping[str, str] | None = None, margin: float = MARGIN
) -> Comparison | None:
    """Return ``first`` minus ``second`` over the folds that both were trained on; None if there are none.

    ``groups`` names the group of a case that has one; a case by itself is one. Folds are replicates only where they
    share no cases, so one that validates cases of an earlier one again is left out.

    Raises:
        UserError: trainings of a fold were not scored on the same cases and classes, or no case shows a structure.

    >>> from c2fnas.evaluation.metrics import CaseScores, summarise
    >>> ours, theirs = ({(0, seed): summarise([CaseScores(str(case), {"organ": dice + seed / 1000 + case / 100})
    ...                 for case in range(10)]) for seed in range(3)} for dice in (0.8, 0.7))
    >>> found = compare(ours, theirs)
    >>> round(found.mean, 3), found.trainings, found.over, found.answer
    (0.1, (3, 3), 'seeds', 'better')
    """
    folds = sorted({fold for fold, _ in first} & {fold for fold, _ in second})
    if not folds:
        return None
    tables, seen = list[tuple[int, CaseTable]](), set[tuple[bool, str]]()
    for fold in folds:
        ours, theirs = ([each[key] for key in sorted(each) if key[0] == fold] for each in (first, second))
        table = case_table([*ours, *theirs], groups)
        if not seen & table.groups:
            tables.append((len(ours), table))
            seen |= table.groups
    count = len(frozenset().union(*(table.groups for _, table in tables)))
    if len(tables) > 1:
        found = over_folds(np.array([_of_fold(*each) for each in tables]))
        return Comparison(*_plain(found), (len(tables), len(tables)), "folds", count, margin)
    ((ours_count, table),) = tables
    dice, without = table.means(), table.means_without_each()
    trainings = ours_count, len(dice) - ours_count
    if min(trainings) < 2 or count < 2:
        mean = float(dice[:ours_count].mean() - dice[ours_count:].mean())
        return Comparison(mean, None, 0, None, 0.0, trainings, "seeds", count, margin)
    found = over_seeds(dice[:ours_count], dice[ours_count:], without[:ours_count], without[ours_count:])
    return Comparison(*_plain(found), trainings, "seeds", count, margin)


def over_seeds(
    first: np.ndarray, second: np.ndarray, first_without: np.ndarray, second_without: np.ndarray
) -> Estimate:
    """Return the difference of trainings on the same cases, at least two of each network.

    Args:
        first: Dice of each training, ``[..., training]``.
        second: Of the other network's.
        first_without: Dice without each group of cases, ``[..., training, group]``.
        second_without: Of the other network's.
    """
    ours, theirs = first.shape[-1], second.shape[-1]
    df = ours + theirs - 2
    squares = sum(((each - each.mean(-1, keepdims=True)) ** 2).sum(-1) for each in (first, second))
    variance = squares / df
    cases = np.maximum(_shared(first_without, second_without), 0)
    trainings = variance * (1 / ours + 1 / theirs)
    se = np.sqrt(trainings + cases)
    df = np.minimum(df, _together(trainings, df, cases, first_without.shape[-1] - 1))
    return Estimate(first.mean(-1) - second.mean(-1), se, df, np.sqrt(variance), cases)


def _together(trainings: Any, df: float, cases: Any, groups: int) -> Any:
    """Satterthwaite's degrees of freedom of a sum of two variances, that of trainings and that of groups of cases.

    With many trainings it is the groups, mostly fewer, that say how well the standard error is known.
    """
    whole = trainings**2 / df + cases**2 / groups
    return np.where(whole > 0, (trainings + cases) ** 2 / np.where(whole > 0, whole, 1.0), df)


def over_folds(differences: np.ndarray) -> Estimate:
    """Return the mean of the differences of folds ``[..., fold]``, at least two."""
    count = differences.shape[-1]
    spread = differences.std(-1, ddof=1)
    return Estimate(differences.mean(-1), spread / np.sqrt(count), count - 1, spread, 0.0 * spread)


def holm(comparisons: Sequence[Comparison | None]) -> tuple[Comparison | None, ...]:
    """Return the comparisons with intervals at the levels of Holm's steps.

    The smallest p-value of n has the level of 1/n of the errors, the next of 1/(n-1), until one does not differ from
    nothing: the others have its level. Comparisons without a p-value are no tests.
    """
    tests = sorted((each.p_value, place) for place, each in enumerate(comparisons) if each and each.p_value is not None)
    corrected, differs, error = list(comparisons), True, 1 - LEVEL
    for step, (p_value, place) in enumerate(tests):
        error = (1 - LEVEL) / (len(tests) - step) if differs else error
        differs = differs and p_value <= error
        found = corrected[place]
        assert found is not None
        corrected[place] = replace(found, level=1 - error)
    return tuple(corrected)


def _of_fold(ours: int, table: CaseTable) -> float:
    """The difference of a fold, over its seeds."""
    dice = table.means()
    return float(dice[:ours].mean() - dice[ours:].mean())


def _shared(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The variance of the difference by cases: covariances of trainings within networks less those between."""
    first, second = _centred(first), _centred(second)
    between = (first.mean(-2) * second.mean(-2)).sum(-1)
    return _within(first) + _within(second) - 2 * between


def _centred(without: np.ndarray) -> np.ndarray:
    """Jackknife values whose products, summed over groups, are covariances."""
    groups = without.shape[-1]
    return (without - without.mean(-1, keepdims=True)) * np.sqrt((groups - 1) / groups)


def _within(values: np.ndarray) -> np.ndarray:
    """The mean covariance of two trainings of a network."""
    count = values.shape[-2]
    return ((values.sum(-2) ** 2).sum(-1) - (values**2).sum((-1, -2))) / (count * (count - 1))


def _plain(found: Estimate) -> tuple[float, float, float, float, float]:
    mean, se, df, spread, cases = map(float, found)
    return mean, se, df, spread, cases
