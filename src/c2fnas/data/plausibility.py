"""Volumes and spacings that can hardly be true: a lost unit, a wrong spacing, swapped or empty labels.

The bounds are wide on purpose. They are to catch factors of ten and of a thousand, not illness.
"""

import re
from collections.abc import Iterator

import numpy as np

from c2fnas.data.fingerprint import CaseFingerprint, Fingerprint
from c2fnas.text import crossed, rough, some

SPACING_MM = (0.02, 20.0)
EXTENT_MM = (5.0, 2500.0)
VOXEL_FACTOR = 10.0
"""A voxel so many times larger or smaller than the median case's was measured otherwise, or lost its spacing."""

ANATOMY_ML: tuple[tuple[str, float, float], ...] = (
    (r"brain|cerebrum", 400, 2500),
    (r"hippocamp\w*", 0.3, 15),
    (r"liver", 300, 6000),
    (r"spleen", 20, 3000),
    (r"kidneys?", 20, 1200),
    (r"pancreas", 8, 350),
    (r"stomach", 15, 4000),
    (r"gall ?bladder", 0.5, 500),
    (r"bladder|urinary bladder", 3, 2000),
    (r"prostate", 5, 500),
    (r"lungs?", 200, 10000),
    (r"heart", 100, 3000),
    (r"(left |right )?atrium|la|ra", 8, 600),
    (r"(left |right )?ventricle|lv|rv|(lv|rv) cavity", 15, 900),
    (r"myo|myocardium|lv myocardium", 15, 700),
    (r"aorta", 10, 1200),
    (r"o?esophagus", 3, 250),
    (r"adrenal( gland)?s?|adrenal gland", 0.3, 60),
)
"""Structures by the name of a class, perhaps with a side before it, and bounds of their volume in people."""

SIDES = re.compile(r"^(left|right|l|r) ")
OUTLYING = 4.0
"""Spreads from the median; of the logarithms, by the median absolute deviation."""
LEAST_FACTOR, LEAST_CASES = 5.0, 6


def implausible(found: Fingerprint) -> tuple[str, ...]:
    """Return a sentence on each spacing, size or class volume of a data set that can hardly be true."""
    return (*_spacings(found.cases), *_anatomy(found), *_outliers(found))


def class_volumes(found: Fingerprint, index: int) -> dict[str, float]:
    """Return the volume of a class in ml, by the ids of the cases that have it."""
    return {case.id: case.voxels[index] * _voxel_ml(case) for case in found.cases if case.voxels[index]}


def _voxel_ml(case: CaseFingerprint) -> float:
    return float(np.prod(case.spacing)) / 1000


def _spacings(cases: tuple[CaseFingerprint, ...]) -> Iterator[str]:
    beyond = [case for case in cases if not SPACING_MM[0] <= min(case.spacing) <= max(case.spacing) <= SPACING_MM[1]]
    if beyond:
        yield (
            f"{_some(beyond)}: a spacing of {crossed(_short(beyond[0].spacing), ' × ')} mm. No scanner for people "
            "measures so; the header's unit may be wrong."
        )
    extents = [(case, max(n * mm for n, mm in zip(case.shape, case.spacing, strict=True))) for case in cases]
    odd = [(case, extent) for case, extent in extents if not EXTENT_MM[0] <= extent <= EXTENT_MM[1]]
    if odd and not beyond:
        yield f"{_some([case for case, _ in odd])}: {rough(odd[0][1])} mm along the longest side. Look at the spacing."
    middle = float(np.median([_voxel_ml(case) for case in cases]))
    far = [case for case in cases if not 1 / VOXEL_FACTOR <= _voxel_ml(case) / middle <= VOXEL_FACTOR]
    if far and not beyond:
        yield (
            f"{_some(far)}: voxels of {rough(1000 * _voxel_ml(far[0]))} mm³, where those of the median case have "
            f"{rough(1000 * middle)} mm³. Look at their spacing."
        )


def _anatomy(found: Fingerprint) -> Iterator[str]:
    for index, about in enumerate(found.classes):
        volumes, bounds = [*class_volumes(found, index).values()], _bounds(about.name)
        if not index or not volumes or bounds is None:
            continue
        middle, (low, high) = float(np.median(volumes)), bounds
        if not low <= middle <= high:
            yield (
                f"{about.name}: {rough(middle)} ml in the median case, where people have {rough(low)} to {rough(high)} "
                "ml. The spacing or the label's meaning may be wrong, unless images show a part of it or no adult."
            )


def _bounds(name: str) -> tuple[float, float] | None:
    """Return the bounds of the structure that a class is named after; None for anything else."""
    plain = re.sub(r"[\s_\-]+", " ", name.strip().lower())
    for pattern, low, high in ANATOMY_ML:
        if re.fullmatch(pattern, plain) or re.fullmatch(pattern, SIDES.sub("", plain)):
            return low, high
    return None


def _outliers(found: Fingerprint) -> Iterator[str]:
    for index, about in enumerate(found.classes):
        volumes = class_volumes(found, index)
        if not index or len(volumes) < LEAST_CASES:
            continue
        logs = np.log([*volumes.values()])
        away = np.abs(logs - np.median(logs))
        limit = max(np.log(LEAST_FACTOR), OUTLYING * 1.4826 * float(np.median(away)))
        far = [case for case, distance in zip(volumes, away, strict=True) if distance > limit]
        if far:
            middle = rough(float(np.exp(np.median(logs))))
            yield (
                f"{about.name}: {rough(volumes[far[0]])} ml in {some(far)}, where the median case has {middle} ml. "
                "Look at the label and the spacing."
            )


def _some(cases: list[CaseFingerprint]) -> str:
    return some([case.id for case in cases])


def _short(spacing: tuple[float, float, float]) -> tuple[float, ...]:
    return tuple(float(f"{mm:.3g}") for mm in spacing)
