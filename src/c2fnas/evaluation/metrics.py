"""Dice of whole volumes, with both rules for empty classes, and means over cases and classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np

from c2fnas.errors import UserError
from c2fnas.inference.components import keep_largest
from c2fnas.shapes import Spacing

ByClass = dict[str, float | None]


def dice_per_class(prediction: np.ndarray, truth: np.ndarray, classes: int) -> tuple[float | None, ...]:
    """Return DSC = 2|Y∩Z| / (|Y|+|Z|) of every foreground class on a whole volume (paper 4.1).

    Args:
        prediction: Class indices, any shape.
        truth: Class indices, the same shape.
        classes: Classes, the background included.

    Returns:
        A value per class from 1: None where truth and prediction are both empty (to be left out of the mean), 0 where
        the truth is empty and the prediction is not (MONAI's default drops such a case).

    Raises:
        ValueError: the shapes differ, or a voxel is in no class.

    >>> dice_per_class(np.array([0, 1, 1, 2]), np.array([0, 1, 0, 0]), classes=4)
    (0.6666666666666666, 0.0, None)
    """
    if prediction.shape != truth.shape:
        raise ValueError(f"the prediction has shape {prediction.shape}, the truth {truth.shape}")
    table = _confusion(prediction, truth, classes)
    sizes = table.sum(0) + table.sum(1)
    return tuple(2 * int(table[c, c]) / int(sizes[c]) if sizes[c] else None for c in range(1, classes))


@dataclass(frozen=True)
class Options:
    """The metrics to compute besides Dice.

    Args:
        surface_tolerance: Millimetres; None leaves surface Dice out.
        hausdorff: Compute the Hausdorff distance's 95th percentile too.
        largest: Compute Dice with the largest component of every class alone too, in 3D.
    """

    surface_tolerance: float | None = None
    hausdorff: bool = False
    largest: bool = False


@dataclass(frozen=True)
class CaseScores:
    """One case: Dice per class name, and the other metrics where they were asked for.

    ``largest`` is Dice with the largest component of each class alone.
    """

    case: str
    dice: ByClass
    false_positive: tuple[str, ...] = ()
    surface_dice: ByClass | None = None
    hausdorff95_mm: ByClass | None = None
    largest: ByClass | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the scores as JSON; metrics that were not asked for are left out."""
        return _present(self) | {"false_positive": list(self.false_positive)}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Self:
        """Return the value of :meth:`to_json`."""
        return cls(**{**row, "false_positive": tuple(row["false_positive"])})


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

    def to_json(self) -> dict[str, Any]:
        """Return a JSON value that :meth:`from_json` reads."""
        return _present(self) | {"cases": [case.to_json() for case in self.cases]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the value of :meth:`to_json`."""
        return cls(**{**value, "cases": tuple(CaseScores.from_json(row) for row in value["cases"])})


def score_case(
    case: str,
    prediction: np.ndarray,
    truth: np.ndarray,
    class_names: Sequence[str],
    *,
    spacing: Spacing = (1.0, 1.0, 1.0),
    options: Options = Options(),
) -> CaseScores:
    """Return every metric of one case; ``class_names`` begin with the background, ``spacing`` is in mm."""
    classes = len(class_names)

    def named(values: Sequence[float | None]) -> ByClass:
        return dict(zip(class_names[1:], values, strict=True))

    surface = distance = None
    if options.surface_tolerance is not None or options.hausdorff:
        from c2fnas.evaluation.surface import hausdorff95_per_class, surface_dice_per_class  # imports torch

        if options.surface_tolerance is not None:
            surface = surface_dice_per_class(prediction, truth, classes, spacing, options.surface_tolerance)
        if options.hausdorff:
            distance = hausdorff95_per_class(prediction, truth, classes, spacing)
    dice, largest = named(dice_per_class(prediction, truth, classes)), None
    if options.largest:
        alone = prediction.copy()
        keep_largest(alone, range(1, classes))
        largest = named(dice_per_class(alone, truth, classes))
    return CaseScores(
        case,
        dice,
        tuple(name for index, name in enumerate(class_names) if dice.get(name) == 0 and not (truth == index).any()),
        None if surface is None else named(surface),
        None if distance is None else named(distance),
        largest,
    )


def summarise(rows: Sequence[CaseScores]) -> Evaluation:
    """Return the mean over cases, then over classes.

    Raises:
        UserError: there is nothing to take a mean of.
    """
    names = list(rows[0].dice) if rows else []
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


def _confusion(prediction: np.ndarray, truth: np.ndarray, classes: int) -> np.ndarray:
    """The voxels of each pair ``[truth, prediction]``; counted plane by plane, so temporaries stay small."""
    table = np.zeros((classes, classes), dtype=np.int64)
    for ours, theirs in zip(np.atleast_1d(prediction), np.atleast_1d(truth), strict=True):
        if max(int(np.max(ours, initial=0)), int(np.max(theirs, initial=0))) >= classes:
            raise ValueError(f"a voxel has a class of {classes} or above")
        pairs = np.ravel(theirs).astype(np.int64) * classes + np.ravel(ours)
        table += np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
    return table
