"""Writing labels: in the grid of the image they belong to, in its file format, whole or not at all."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from c2fnas.data.dataset import LabelClass
from c2fnas.data.formats import format_of
from c2fnas.data.geometry import Geometry
from c2fnas.files import write_atomically


def write_label(
    path: Path,
    labels: np.ndarray,
    geometry: Geometry,
    dtype: DTypeLike | None = None,
    classes: Sequence[LabelClass] | None = None,
    *,
    template: Path | None = None,
) -> None:
    """Write class indices ``[i, j, k]`` as the label values of ``classes``, in the format that ``path`` is named for.

    Args:
        path: .nii, .nii.gz, .nrrd or .mha.
        labels: class indices, or values as they are to be written where there are no ``classes``.
        geometry: the grid of ``labels``.
        dtype: the file's data type. By default that of ``template`` where it holds integers that fit; else the smallest
            unsigned integer type that holds every class.
        classes: maps class indices back to values (the first of each class).
        template: a NIfTI image whose header (codes of sform and qform, units) is kept.

    Raises:
        ValueError: ``labels`` has another shape than ``geometry``, or ``dtype`` can't hold a value.
        UserError: the file can't be written.
    """
    if labels.shape != geometry.shape:
        raise ValueError(f"labels of shape {labels.shape} don't fit the grid {geometry.shape}")
    own = format_of(template).read_header(template).dtype if template is not None else None
    typed = class_values(labels, classes, own, dtype)
    kind = format_of(path)
    same = template is not None and format_of(template) is kind
    write_atomically(path, lambda temporary: kind.write(temporary, typed, geometry.matrix, template if same else None))


def class_values(
    labels: np.ndarray,
    classes: Sequence[LabelClass] | None,
    own: np.dtype | None = None,
    dtype: DTypeLike | None = None,
) -> np.ndarray:
    """Return class indices as label values, the first of each class; as they are where there are no ``classes``.

    They have the type ``dtype``, else the type ``own`` of their image where it holds integers that fit, else the
    smallest unsigned integer type that holds every class.

    Raises:
        ValueError: ``dtype`` can't hold a value.
    """
    if classes is None:
        values = np.arange(int(labels.max(initial=0)) + 1)
    else:
        values = np.array([each.values[0] for each in classes])
    highest = int(values.max())
    chosen = _integers(own, highest) if dtype is None else np.dtype(dtype)
    if chosen.kind in "iu" and np.iinfo(chosen.str).max < highest:
        raise ValueError(f"{chosen} can't hold the label {highest}")
    return values.astype(chosen)[labels]


def _integers(own: np.dtype | None, highest: int) -> np.dtype:
    fits = own is not None and own.kind in "iu" and np.iinfo(own.str).max >= highest
    return own.newbyteorder("=") if own is not None and fits else np.min_scalar_type(highest)
