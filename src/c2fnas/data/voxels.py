"""Findings in voxels: images are finite, labels are whole numbers that a class has."""

from collections.abc import Sequence

import numpy as np

from c2fnas.data.dataset import LabelClass
from c2fnas.data.problem import Finding
from c2fnas.data.scheme import LARGEST_VALUE

WHOLE = 1e-4
"""Largest distance of a stored label from a whole number, which scaled integers miss by rounding."""

LARGEST = 2.0**31
"""Beyond any label."""

SHOWN_VALUES = 5

Scaling = tuple[float, float] | None
"""Slope and intercept of a header that scales integers."""


def image_findings(array: np.ndarray) -> list[Finding]:
    """Return the NaN and infinite voxels of a float32 image; a value beyond float32's range has become infinite."""
    bad = array.size - int(np.count_nonzero(np.isfinite(array)))
    if not bad:
        return []
    fix = (
        "Correct the export. Of a data set, `c2fnas check DATASET --fix DIR --fill 0` writes filled copies. DICOM, "
        "voxels in a file beside their header, and several channels in a NRRD or MetaImage: convert to NIfTI first."
    )
    return [Finding(f"{bad:,} voxels that are NaN, infinite or beyond the range of float32", "finite voxels", fix)]


def label_findings(stored: np.ndarray, classes: Sequence[LabelClass], scaling: Scaling = None) -> list[Finding]:
    """Return everything wrong with the voxels of a label file; ``scaling`` is that of its header."""
    channels = int(np.prod(stored.shape[3:]))
    if channels > 1:
        return [Finding(f"{channels} channels", "one", "Merge the channels to one label volume, a value per class.")]
    if finding := fraction_finding(stored, scaling):
        return [finding]
    known = {value for each in classes for value in each.values}
    unknown = [value for value in label_values(stored) if value not in known]
    if not unknown:
        return []
    shown = ", ".join(map(str, unknown[:SHOWN_VALUES])) + (", ..." if len(unknown) > SHOWN_VALUES else "")
    fix = f"Correct the file: a class has values from 0 to {LARGEST_VALUE}."
    if min(unknown) >= 0 and max(unknown) <= LARGEST_VALUE:
        fix = "Add the value to the classes, such as the manifest's labels, or correct the file."
    return [Finding(f"label {shown}", f"only {', '.join(map(str, sorted(known)))}, the values of the classes", fix)]


def storage_findings(shape: Sequence[int], dtype: np.dtype, scaling: Scaling = None) -> list[Finding]:
    """Return ways of storing labels that not every program reads: a fourth axis of one voxel, real numbers, a slope."""
    fix = (
        "It is read as it is meant. `c2fnas check DATASET --fix DIR` writes a copy that every program reads, unless "
        "its voxels are in a file beside the header."
    )
    findings = []
    if len(shape) > 3:
        findings.append(Finding(f"a label of size {'×'.join(map(str, shape))}", "three axes", fix, "warning"))
    if dtype.kind == "f":
        findings.append(Finding(f"labels stored as {dtype.newbyteorder('=')}", "an integer type", fix, "warning"))
    if scaling is not None:
        slope, intercept = scaling
        found = f"labels stored with slope {slope:.9g} and intercept {intercept:.9g}"
        findings.append(Finding(found, "labels stored as they are", fix, "warning"))
    return findings


def label_integers(stored: np.ndarray) -> np.ndarray:
    """Return label values as integers; float labels are rounded."""
    if stored.dtype.kind == "f":
        return np.rint(stored).astype(np.int64)
    return stored.astype(np.uint8) if stored.dtype.kind == "b" else stored


def label_values(stored: np.ndarray) -> list[int]:
    """Return the distinct values of a label, ascending."""
    values = label_integers(stored)
    if values.dtype.itemsize > 2:
        return [int(value) for value in np.unique(values)]
    # Faster than sorting: mark what occurs.
    low = int(np.iinfo(values.dtype).min)
    seen = np.zeros(int(np.iinfo(values.dtype).max) - low + 1, dtype=bool)
    seen[values if low == 0 else values.astype(np.int32) - low] = True
    return [int(value) + low for value in np.flatnonzero(seen)]


def class_lookup(classes: Sequence[LabelClass]) -> np.ndarray:
    """Return a table from label values to class indices, uint8; wider only where there are too many to be trained."""
    dtype = np.min_scalar_type(max(1, len(classes) - 1))
    table = np.zeros(max(value for each in classes for value in each.values) + 1, dtype=dtype)
    for index, each in enumerate(classes):
        table[list(each.values)] = index
    return table


def fraction_finding(stored: np.ndarray, scaling: Scaling = None) -> Finding | None:
    """Return a finding for labels that are no whole numbers; NaN and infinity are none.

    Integers behind a slope of less than one step a label show it to half a step.

    >>> fraction_finding(np.array([6.99986]), (24 / 65535, 0.0)) is None
    True
    """
    if stored.dtype.kind != "f":
        return None
    slope, intercept = scaling or (0.0, 0.0)
    half = abs(slope) / 2 if abs(slope) < 1 else 0.0
    with np.errstate(invalid="ignore"):
        # NaN compares false, so it is bad; so is what int64 can't hold.
        bad = ~((np.abs(stored - np.rint(stored)) <= half + WHOLE) & (np.abs(stored) < LARGEST))
    if not bad.any():
        return None
    value = float(stored[bad][0])
    behind = f" ({(value - intercept) / slope:.0f} · {slope:.9g} + {intercept:.9g})" if slope and scaling else ""
    found = f"label {value:.9g}{behind} in {int(bad.sum()):,} voxels"
    return Finding(found, "whole numbers", "Resample labels with nearest neighbours, or save them as integers.")
