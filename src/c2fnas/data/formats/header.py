"""What a volume's header says, read before a single voxel is."""

import os
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Protocol

import numpy as np
import psutil

from c2fnas.data.problem import Finding
from c2fnas.errors import UserError


def _largest_voxels() -> int:
    text = os.environ.get("C2FNAS_MAX_VOXELS", str(2**30))
    if not text.isdigit():
        raise UserError(f"C2FNAS_MAX_VOXELS: {text!r} is no number of voxels. Set it to one such as {2**31}.")
    return int(text)


LARGEST_VOXELS = _largest_voxels()
"""Voxels of a file, over all its channels, above which it isn't read: 4 GiB as float32."""

DEFLATE_RATIO = 1032
"""No deflate stream (gzip, zlib) unpacks to more than this many times its size."""

SHEAR = 1e-3
"""Largest cosine between two axes of a grid that counts as rectangular."""


@dataclass(frozen=True)
class Header:
    """A volume file's header.

    ``shape`` holds the spatial axes (i, j, k), then the channels where the file has any. ``affine`` maps voxel indices
    to millimetres (right, anterior, superior). ``findings`` is what the format itself found strange.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype
    affine: np.ndarray
    findings: tuple[Finding, ...] = ()

    @property
    def voxels(self) -> int:
        """Voxels over all channels."""
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        """Bytes of all voxels as stored, unpacked."""
        return self.voxels * self.dtype.itemsize


class Format(Protocol):
    """A file format. Both functions raise :class:`c2fnas.data.problem.CaseError` for what can't be read at all."""

    def read_header(self, path: Path) -> Header:
        """Read the header alone."""

    def read_voxels(self, header: Header) -> np.ndarray:
        """Read the voxels ``[i, j, k]`` or ``[i, j, k, channels]``, scaled as the header says."""

    def data_file(self, path: Path) -> Path | None:
        """The file beside the header that holds the voxels; None where they follow the header."""

    def write(self, path: Path, labels: np.ndarray, affine: np.ndarray, template: Path | None) -> None:
        """Write labels ``[i, j, k]``; ``template`` is a file of this format whose orientation fields are kept."""


def header_findings(header: Header) -> tuple[Finding, ...]:
    """Everything wrong that a header shows: what the format found, sizes, data type and affine."""
    shape = _shape_findings(header.shape)
    return (
        *header.findings,
        *(shape or _size_findings(header)),
        *_type_findings(header),
        *_affine_findings(header.affine),
    )


def _shape_findings(shape: tuple[int, ...]) -> list[Finding]:
    text = "×".join(map(str, shape))
    if any(size < 1 for size in shape):
        return [Finding(f"size {text}", "at least one voxel along every axis", "Export the volume again.")]
    if len(shape) < 3 or len(shape) > 4:
        return [
            Finding(
                f"{len(shape)} axes ({text})",
                "three, or four with channels",
                "Save the volume as (i, j, k) or (i, j, k, channels).",
            )
        ]
    return []


def _size_findings(header: Header) -> list[Finding]:
    if header.voxels > LARGEST_VOXELS:
        return [
            Finding(
                f"{header.voxels:,} voxels according to the header",
                f"at most {LARGEST_VOXELS:,}",
                "If the header is wrong, export the file again; if right, crop it or set C2FNAS_MAX_VOXELS higher.",
            )
        ]
    needed, memory = header.bytes + 4 * header.voxels, psutil.virtual_memory().total
    if needed > memory:
        fix = "Crop the volume, or save it as integers of 16 bits."
        return [
            Finding(f"{needed:,} bytes to read it, float32 included", f"at most {memory:,}, this machine's memory", fix)
        ]
    return []


def _type_findings(header: Header) -> list[Finding]:
    if header.dtype.kind == "c":
        return [
            Finding(
                f"complex numbers ({header.dtype})",
                "real numbers",
                "Save the magnitude (or what you need) as real numbers.",
            )
        ]
    if header.dtype.kind not in "iufb":
        return [Finding(f"data type {header.dtype}", "integers or real numbers", "Save the volume as grey values.")]
    return []


def _affine_findings(affine: np.ndarray) -> list[Finding]:
    """An affine is finite, invertible and rectangular.

    A sheared grid (a CT with a tilted gantry, say) is refused rather than resampled: predictions come back in the
    input's own grid, exactly, and through a resampling they could not.
    """
    fix = "Correct the orientation fields of the header, or convert the volume from its source again."
    if not np.isfinite(affine).all():
        return [Finding("an affine with NaN or infinite entries", "finite numbers", fix)]
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if (spacing <= 0).any():
        return [Finding(f"spacing {tuple(spacing.tolist())} mm", "a positive spacing along every axis", fix)]
    cosines = (affine[:3, :3] / spacing).T @ (affine[:3, :3] / spacing)
    if abs(np.linalg.det(affine[:3, :3] / spacing)) < 1e-3:
        return [Finding("a singular affine", "three independent axes", fix)]
    shear = np.abs(cosines - np.eye(3)).max()
    if shear > SHEAR:
        return [
            Finding(
                f"a sheared affine (two axes {np.degrees(np.arccos(min(1.0, shear))):.2f}° apart)",
                "axes at right angles",
                "Resample image and label to a rectangular grid (3D Slicer: Resample Image; ANTs: ResampleImage).",
            )
        ]
    return []
