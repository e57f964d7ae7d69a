"""Dice of whole volumes, with both rules for empty classes, and means over cases and classes."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np

from c2fnas.data.scheme import LabelScheme
from c2fnas.errors import UserError
from c2fnas.inference.components import keep_largest
from c2fnas.shapes import Spacing

ByClass = dict[str, float | None]


def dice_per_class(prediction: np.ndarray, truth: np.ndarray, scheme: LabelScheme) -> tuple[float | None, ...]:
    """Return DSC = 2|Y∩Z| / (|Y|+|Z|) of every foreground class or region on a whole volume (paper 4.1).

    Args:
        prediction: Indices of the scheme's parts, any shape.
        truth: Indices too, the same shape; where it is ignored, nothing counts.
        scheme: Of the labels.

    Returns:
        A value for each of the scheme's names: None where truth and prediction are both empty (to be left out of the
        mean), 0 where the truth is empty and the prediction is not (MONAI's default drops such a case).

    Raises:
        ValueError: the shapes differ, or a voxel is in no class.

    >>> scheme = LabelScheme.of("background", "a", "b", "c")
    >>> dice_per_class(np.array([0, 1, 1, 2]), np.array([0, 1, 0, 0]), scheme)
    (0.6666666666666666, 0.0, None)
    """
    return _dice(confusion(prediction, truth, len(scheme.parts)), scheme)


def _dice(table: np.ndarray, scheme: LabelScheme) -> tuple[float | None, ...]:
    """The same from the voxels of each pair ``[truth, prediction]`` of parts."""
    table = table[: scheme.ignored, : scheme.ignored]
    sizes = table.sum(0) + table.sum(1)
    overlap = [2 * int(table[np.ix_(region, region)].sum()) for region in scheme.regions]
    both = [int(sizes[list(region)].sum()) for region in scheme.regions]
    return tuple(inside / size if size else None for inside, size in zip(overlap, both, strict=True))


@dataclass(frozen=True)
class Options:
    """The metrics to compute besides Dice.

    Args:
        surface_tolerance: Millimetres; None leaves surface Dice out.
        hausdorff: Compute the Hausdorff distance's 95th percentile too.
        count_misses: Where label or prediction alone is empty, the distance is the length of the volume's diagonal;
            otherwise there is none.
        largest: Compute Dice with the largest component of every class alone too, in 3D; not of regions, which overlap.
    """

    surface_tolerance: float | None = None
    hausdorff: bool = False
    count_misses: bool = False
    largest: bool = False


@dataclass(frozen=True)
class CaseScores:
    """One case: Dice per class name, and the other metrics where they were asked for.

    Args:
        case: Its name.
        dice: By class; None where truth and prediction are both empty.
        false_positive: Classes that the prediction has invented.
        surface_dice: By class.
        hausdorff95_mm: By class.
        missed: Classes that the prediction shows nowhere.
        largest: Dice with the largest component of each class alone.
    """

    case: str
    dice: ByClass
    false_positive: tuple[str, ...] = ()
    surface_dice: ByClass | None = None
    hausdorff95_mm: ByClass | None = None
    missed: tuple[str, ...] = ()
    largest: ByClass | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the scores as JSON; metrics that were not asked for are left out."""
        return _present(self) | {"false_positive": list(self.false_positive), "missed": list(self.missed)}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Self:
        """Return the value of :meth:`to_json`."""
        names = {name: tuple(row.get(name, ())) for name in ("false_positive", "missed")}
        return cls(**{**row, **names})


@dataclass(frozen=True)
class Evaluation:
    """A set of cases: mean over cases, then over classes (spec of the DSC in ``docs/paper-map``).

    Args:
        cases: A row per case.
        per_class: Mean Dice per class name; None for a class that is empty in every case, truth and prediction.
        mean: Mean of ``per_class``, without the Nones.
        excluded_empty: Pairs of case and class left out since truth and prediction are both empty.
        false_positive_empty: Pairs that count as 0: truth empty, prediction not.
        surface_dice: Mean per class, or None where not computed.
        hausdorff95_mm: Mean per class over the cases where both are there, or None where not computed.
    """

    cases: tuple[CaseScores, ...]
    per_class: ByClass
    mean: float
    excluded_empty: int
    false_positive_empty: int
    surface_dice: ByClass | None = None
    hausdorff95_mm: ByClass | None = None

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Of each class the cases that its figures rest on: with a Dice, missed, invented, with a distance."""
        return {
            name: {
                "cases": sum(row.dice[name] is not None for row in self.cases),
                "missed": sum(name in row.missed for row in self.cases),
                "invented": sum(name in row.false_positive for row in self.cases),
                **(
                    {"distances": sum((row.hausdorff95_mm or {}).get(name) is not None for row in self.cases)}
                    if self.hausdorff95_mm is not None
                    else {}
                ),
            }
            for name in self.per_class
        }

    def to_csv(self) -> str:
        """Return a line for each case and class, with the metrics that were asked for; empty where there is none."""
        metrics = [name for name in ("surface_dice", "hausdorff95_mm") if getattr(self, name) is not None]
        lines = io.StringIO()
        table = csv.writer(lines, lineterminator="\n")
        table.writerow(["case", "class", "dice", "missed", "invented", *metrics])
        for row in self.cases:
            for name, dice in row.dice.items():
                flags = int(name in (row.missed)), int(name in row.false_positive)
                table.writerow(
                    [row.case, name, dice, *flags, *((getattr(row, each) or {}).get(name) for each in metrics)]
                )
        return lines.getvalue()

    def to_json(self) -> dict[str, Any]:
        """Return a JSON value that :meth:`from_json` reads."""
        return _present(self) | {"counts": self.counts, "cases": [case.to_json() for case in self.cases]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the value of :meth:`to_json`."""
        kept = {name: each for name, each in value.items() if name != "counts"}
        return cls(**{**kept, "cases": tuple(CaseScores.from_json(row) for row in value["cases"])})


def score_case(
    case: str,
    prediction: np.ndarray,
    truth: np.ndarray,
    scheme: LabelScheme,
    *,
    spacing: Spacing = (1.0, 1.0, 1.0),
    options: Options = Options(),
) -> CaseScores:
    """Return every metric of one case, of indices of the scheme's parts; ``spacing`` is in mm."""

    def named(values: Sequence[float | None]) -> ByClass:
        return dict(zip(scheme.names, values, strict=True))

    surface = distance = None
    if options.surface_tolerance is not None or options.hausdorff:
        from c2fnas.evaluation.surface import hausdorff95_per_class, surface_dice_per_class  # imports torch

        if options.surface_tolerance is not None:
            surface = surface_dice_per_class(prediction, truth, scheme, spacing, options.surface_tolerance)
        if options.hausdorff:
            diagonal = float(np.linalg.norm(np.multiply(truth.shape, spacing))) if options.count_misses else None
            distance = hausdorff95_per_class(prediction, truth, scheme, spacing, diagonal)
    scores, largest = scores_of(case, confusion(prediction, truth, len(scheme.parts)), scheme), None
    if options.largest and scheme.order is None:
        alone = prediction.copy()
        keep_largest(alone, range(1, len(scheme.classes)))
        largest = named(dice_per_class(alone, truth, scheme))
    return replace(
        scores,
        surface_dice=None if surface is None else named(surface),
        hausdorff95_mm=None if distance is None else named(distance),
        largest=largest,
    )


def scores_of(case: str, table: np.ndarray, scheme: LabelScheme) -> CaseScores:
    """Return the Dice of a case by the voxels ``[truth, prediction]`` of each pair of parts, see :func:`confusion`."""
    dice = dict(zip(scheme.names, _dice(table, scheme), strict=True))
    apart = [(name, list(scheme.regions[number])) for number, name in enumerate(dice) if dice[name] == 0]
    counted = table[: scheme.ignored]
    shown = {name: (table[parts].sum(), counted[:, parts].sum()) for name, parts in apart}
    return CaseScores(
        case,
        dice,
        false_positive=tuple(name for name, (truth, _) in shown.items() if not truth),
        missed=tuple(name for name, (_, prediction) in shown.items() if not prediction),
    )


def summarise(rows: Sequence[CaseScores]) -> Evaluation:
    """Return the mean over cases, then over classes.

    Raises:
        UserError: there is nothing to take a mean of.
    """
    if not rows:
        raise UserError("There is no Dice to report: no case validates. Evaluate other cases than those of training.")
    names = list(rows[0].dice)
    per_class = _means([row.dice for row in rows], names)
    scored = [value for value in per_class.values() if value is not None]
    if not scored:
        raise UserError(
            "There is no Dice to report: no case has any foreground, neither in its label nor in its "
            "prediction. Evaluate cases that show the structures."
        )
    surface = [row.surface_dice for row in rows if row.surface_dice is not None]
    distance = [row.hausdorff95_mm for row in rows if row.hausdorff95_mm is not None]
    return Evaluation(
        tuple(rows),
        per_class,
        sum(scored) / len(scored),
        sum(value is None for row in rows for value in row.dice.values()),
        sum(len(row.false_positive) for row in rows),
        _means(surface, names) if surface else None,
        _means(distance, names) if distance else None,
    )


def average(values: Sequence[float | None]) -> float | None:
    """Return the mean of the values that are there; None if there are none."""
    present = [value for value in values if value is not None]
    return sum(present) / len(present) if present else None


def _means(rows: Sequence[ByClass], names: Sequence[str]) -> ByClass:
    return {name: average([row[name] for row in rows]) for name in names}


def _present(row: "CaseScores | Evaluation") -> dict[str, Any]:
    values = ((each.name, getattr(row, each.name)) for each in fields(row))
    return {name: value for name, value in values if value is not None}


def confusion(prediction: np.ndarray, truth: np.ndarray, parts: int) -> np.ndarray:
    """Return the voxels of each pair ``[truth, prediction]`` of parts.

    They are counted plane by plane, so temporaries stay small. Most voxels of most volumes are background in both, and
    are counted by being left over.

    Raises:
        ValueError: the shapes differ, or a voxel is in no part.
    """
    if prediction.shape != truth.shape:
        raise ValueError(f"the prediction has shape {prediction.shape}, the truth {truth.shape}")
    table = np.zeros((parts, parts), dtype=np.int64)
    for ours, theirs in zip(np.atleast_1d(prediction), np.atleast_1d(truth), strict=True):
        if max(int(np.max(ours, initial=0)), int(np.max(theirs, initial=0))) >= parts:
            raise ValueError(f"a voxel has a class of {parts} or above")
        mine, true = np.ravel(ours), np.ravel(theirs)
        some = np.flatnonzero(mine | true)
        pairs = true[some].astype(np.int64) * parts + mine[some]
        table += np.bincount(pairs, minlength=parts**2).reshape(parts, parts)
        table[0, 0] += mine.size - len(some)
    return table
