"""Paired bootstrap of the difference of two trained networks' Dice over the same cases, of one fold or of several.

It says what other cases would give for these two networks, and nothing of their architectures: another training of
either is another network. Answers about architectures are :mod:`c2fnas.evaluation.replicates`'s.

Cases of a group, such as a patient's volumes, are alike, so groups are drawn, each with all of its cases; a case
without a group is one by itself. The interval is the expanded percentile one (Hesterberg, What Teachers Should Know
About the Bootstrap, The American Statistician 2015, 3.3): the plain one is too short on few draws, since resampling
uses n where n - 1 is due.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self

import numpy as np
import scipy  # whose `stats`, slow to import, is loaded when it is used

from c2fnas.evaluation.case_table import case_table, mean_over_classes, sums_by_group
from c2fnas.evaluation.metrics import Evaluation, summarise

LEVEL = 0.95
RESAMPLES = 10_000
LEAST_GROUPS = 8
"""With fewer, or as few cases without groups, neither of two trained networks is said to be higher.

Intervals of 8 cases miss a difference of nothing in 6 % of 3,000 draws where it spreads evenly and in 10 % where it is
as lopsided as an exponential (40 cases: 6 and 7 %); and n differences have one sign with probability 2 · 2⁻ⁿ, where no
interval of resampled means holds 0.
"""


@dataclass(frozen=True)
class Difference:
    """A mean difference of Dice with its interval.

    Args:
        mean: Of the first minus the second.
        low: Lower end; None where a single group says nothing of the spread.
        high: Upper end, or None.
        cases: Cases that count for it.
        groups: Groups of cases that belong together, or single cases; these are drawn.
    """

    mean: float
    low: float | None
    high: float | None
    cases: int
    groups: int

    @property
    def higher(self) -> Literal["first", "second"] | None:
        """The trained network that would be higher on other cases; None: the interval holds 0, or the groups are few.

        Of the architectures this says nothing: see :mod:`c2fnas.evaluation.replicates`.
        """
        if self.low is None or self.high is None or self.groups < LEAST_GROUPS or self.low <= 0 <= self.high:
            return None
        return "first" if self.low > 0 else "second"

    def to_json(self) -> dict[str, Any]:
        """Return the difference as JSON."""
        return {**asdict(self), "higher": self.higher}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the value of :meth:`to_json`; before there were groups, every case was one."""
        cases = value["cases"]
        return cls(value["mean"], value["low"], value["high"], cases, value.get("groups", cases))


@dataclass(frozen=True)
class PairedDifference:
    """The difference of two evaluations of the same cases.

    Args:
        mean: Of the mean over cases, then over classes.
        per_class: By class name; None for a class that no case shows for both.
        level: Confidence of the intervals.
    """

    mean: Difference
    per_class: dict[str, Difference | None]
    level: float

    def to_json(self) -> dict[str, Any]:
        """Return the differences as JSON."""
        classes = {name: each and each.to_json() for name, each in self.per_class.items()}
        return {"mean": self.mean.to_json(), "per_class": classes, "level": self.level}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the value of :meth:`to_json`."""
        classes = {name: each and Difference.from_json(each) for name, each in value["per_class"].items()}
        return cls(Difference.from_json(value["mean"]), classes, value["level"])


def paired_bootstrap(
    first: Evaluation,
    second: Evaluation,
    *,
    groups: Mapping[str, str] | None = None,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> PairedDifference:
    """Return the difference of ``first`` minus ``second``, paired by case, with an interval over the groups of cases.

    A case that is left out of a class for one, since truth and prediction are both empty there, is left out for both.
    All classes of a case are drawn together, and all cases of a group; ``groups`` names the group of a case, and one
    that it does not know is a group of its own.

    Raises:
        UserError: the two are not of the same cases and classes, name a case twice, or no case is left.

    >>> from c2fnas.evaluation.metrics import CaseScores, summarise
    >>> ours, theirs = (summarise([CaseScores(str(case), {"organ": dice + case / 100}) for case in range(8)])
    ...                 for dice in (0.8, 0.7))
    >>> found = paired_bootstrap(ours, theirs).mean
    >>> round(found.mean, 3), found.cases, found.higher
    (0.1, 8, 'first')
    >>> patients = {str(case): f"patient {case // 2}" for case in range(8)}
    >>> found = paired_bootstrap(ours, theirs, groups=patients).mean
    >>> found.cases, found.groups, found.higher
    (8, 4, None)
    """
    table = case_table((first, second), groups)
    differences, belongs = table.dice[0] - table.dice[1], table.belongs

    def bootstrapped(columns: np.ndarray) -> Difference | None:
        shown = ~np.isnan(columns).all(axis=1)
        return _interval(columns[shown], belongs[shown], level, resamples, seed) if shown.any() else None

    mean = bootstrapped(differences)
    assert mean is not None
    return PairedDifference(
        mean, {name: bootstrapped(differences[:, [i]]) for i, name in enumerate(table.names)}, level
    )


def difference(
    first: Mapping[int, Evaluation],
    second: Mapping[int, Evaluation],
    *,
    groups: Mapping[str, str] | None = None,
    seed: int = 0,
) -> PairedDifference | None:
    """Return ``first`` minus ``second`` over the cases of the folds that both have; None if there are none.

    A case counts once for every fold that it validates, and these stay together as the cases of a group do; ``groups``
    names the group of a case that has one. Groups are resampled, trainings are not: the interval says nothing of what
    other seeds would give.

    Raises:
        UserError: the two are not of the same cases and classes, name a case of a fold twice, or no case is left.
    """
    folds = sorted(first.keys() & second.keys())
    if not folds:
        return None
    belongs = {_named(fold, case): group for fold in folds for case, group in _groups(first[fold], groups or {})}
    return paired_bootstrap(_together(first, folds), _together(second, folds), groups=belongs, seed=seed)


def _interval(rows: np.ndarray, belongs: np.ndarray, level: float, resamples: int, seed: int) -> Difference:
    """The mean of differences ``[case, class]``, each row with at least one; the groups of rows are resampled."""
    sums, shown = sums_by_group(rows, belongs)
    count, everything = len(sums), np.arange(len(sums))
    mean = float(_mean_of(sums, shown, everything))
    if count < 2:
        return Difference(mean, None, None, len(rows), count)
    found = scipy.stats.bootstrap(
        (everything,),
        lambda drawn, axis: _mean_of(sums, shown, drawn),
        n_resamples=resamples,
        batch=1000,
        confidence_level=_expanded(level, count),
        method="percentile",
        random_state=np.random.default_rng(seed),
    ).confidence_interval
    return Difference(mean, float(found.low), float(found.high), len(rows), count)


def _mean_of(sums: np.ndarray, shown: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Mean over the drawn groups' cases, then over the classes they show; indices ``[..., group]`` to ``[...]``."""
    return mean_over_classes(sums[drawn].sum(axis=-2), shown[drawn].sum(axis=-2))


def _expanded(level: float, count: int) -> float:
    """The level that makes a percentile interval of ``count`` draws as wide as Student's would be."""
    quantile = scipy.stats.t.ppf((1 + level) / 2, count - 1) * np.sqrt(count / (count - 1))
    return float(1 - 2 * scipy.stats.norm.sf(quantile))


def _together(evaluations: Mapping[int, Evaluation], folds: Sequence[int]) -> Evaluation:
    return summarise([replace(row, case=_named(fold, row.case)) for fold in folds for row in evaluations[fold].cases])


def _groups(evaluation: Evaluation, groups: Mapping[str, str]) -> list[tuple[str, str]]:
    """Each case with its group, or with itself in whatever fold."""
    return [
        (row.case, f"group {groups[row.case]}" if row.case in groups else f"case {row.case}")
        for row in evaluation.cases
    ]


def _named(fold: int, case: str) -> str:
    return f"fold {fold}: {case}"
