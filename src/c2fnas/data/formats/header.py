"""Headers of volume files, which are read and judged before a single voxel is."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Protocol

import numpy as np
import psutil

from c2fnas.cgroups import container_limit
from c2fnas.data.problem import CaseError, Finding
from c2fnas.errors import UserError, refuse_exhaustion


def _largest_voxels() -> int:
    text = os.environ.get("C2FNAS_MAX_VOXELS", str(2**30))
    if not text.isdigit():
        raise UserError(f"C2FNAS_MAX_VOXELS: {text!r} is no number of voxels. Set it to one such as {2**31}.")
    return int(text)


LARGEST_VOXELS = _largest_voxels()
"""Voxels of a file, over all its channels, above which it isn't read: 4 GiB as float32."""

AGAIN = "Copy or download the file again, or export it from its source again."

DEFLATE_RATIO = 1032
"""No deflate stream (gzip, zlib) unpacks to more than this many times its size."""
BZIP2_RATIO = 2_400_000
"""Nor any of bzip2: a block of 900,000 bytes stands for 259 of each five, and takes 20 bytes or more."""

UNITS = {"um": 1e-3, "µm": 1e-3, "micron": 1e-3, "microns": 1e-3, "mm": 1.0, "cm": 10.0, "m": 1000.0}
"""Millimetres of the units of length that headers of NRRD and MetaImage name."""

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From the axes of DICOM, ITK and NRRD (left, posterior, superior) to those of affines here, and back."""

SHEAR = 1e-3
"""Largest cosine between two axes of a grid that counts as rectangular."""


@dataclass(frozen=True)
class Header:
    """A volume file's header.

    ``shape`` holds the spatial axes (i, j, k), then the channels where the file has any. ``affine`` maps voxel indices
    to millimetres (right, anterior, superior). ``findings`` are the format's own. ``scaling``, slope and intercept, is
    there where the file holds integers that stand for other values. ``modality`` is DICOM's, such as CT; else empty.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype
    affine: np.ndarray
    findings: tuple[Finding, ...] = ()
    scaling: tuple[float, float] | None = None
    modality: str = ""

    @property
    def voxels(self) -> int:
        """Voxels over all channels."""
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        """Bytes of all voxels as stored, unpacked."""
        return self.voxels * self.dtype.itemsize


class Format(Protocol):
    """A file format. Reading raises :class:`c2fnas.data.problem.CaseError` for a file that can't be read at all."""

    def read_header(self, path: Path) -> Header:
        """Read the header alone."""

    def read_voxels(self, header: Header) -> np.ndarray:
        """Read the voxels ``[i, j, k]`` or ``[i, j, k, channels]``, scaled as the header says."""

    def data_file(self, path: Path) -> Path | None:
        """The file beside the header that holds the voxels; None where they follow the header."""

    def write(self, path: Path, labels: np.ndarray, affine: np.ndarray, template: Path | None) -> None:
        """Write labels ``[i, j, k]``; ``template`` is a file of this format whose orientation fields are kept."""


def header_findings(header: Header) -> tuple[Finding, ...]:
    """Return everything wrong that a header shows: findings of the format, sizes, data type and affine."""
    sizes = tuple(_shape_findings(header.shape)) or tuple(_size_findings(header))
    return (*header.findings, *sizes, *_type_findings(header.dtype), *_affine_findings(header.affine))


def _shape_findings(shape: tuple[int, ...]) -> Iterator[Finding]:
    text = "×".join(map(str, shape))
    if any(size < 1 for size in shape):
        yield Finding(f"size {text}", "at least one voxel along every axis", "Export the volume again.")
    elif not 3 <= len(shape) <= 4:
        fix = "Save the volume as (i, j, k) or (i, j, k, channels)."
        yield Finding(f"{len(shape)} axes ({text})", "three, or four with channels", fix)


def _size_findings(header: Header) -> Iterator[Finding]:
    needed, memory = header.bytes + 4 * header.voxels, min(psutil.virtual_memory().total, container_limit())
    if header.voxels > LARGEST_VOXELS:
        fix = "If the header is wrong, export the file again; if right, crop it or set C2FNAS_MAX_VOXELS higher."
        yield Finding(f"{header.voxels:,} voxels according to the header", f"at most {LARGEST_VOXELS:,}", fix)
    elif needed > memory:
        found, expected = f"{needed:,} bytes to read it, float32 included", f"at most {memory:,}, this machine's memory"
        yield Finding(found, expected, "Crop the volume, or save it as integers of 16 bits.")


def _type_findings(dtype: np.dtype) -> Iterator[Finding]:
    if dtype.kind == "c":
        yield Finding(f"complex numbers ({dtype})", "real numbers", "Save the magnitude, or another real number.")
    elif dtype.kind not in "iufb":
        yield Finding(f"data type {dtype}", "integers or real numbers", "Save the volume as grey values.")


def _affine_findings(affine: np.ndarray) -> Iterator[Finding]:
    """An affine is finite, invertible and rectangular.

    A sheared grid (a CT with a tilted gantry, say) is refused rather than resampled: predictions come back in the
    input's own grid, exactly, and through a resampling they could not.
    """
    fix = "Correct the orientation fields of the header, or convert the volume from its source again."
    if not np.isfinite(affine).all():
        yield Finding("an affine with NaN or infinite entries", "finite numbers", fix)
        return
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if (spacing <= 0).any():
        yield Finding(f"spacing {tuple(spacing.tolist())} mm", "a positive spacing along every axis", fix)
        return
    axes = affine[:3, :3] / spacing
    shear = np.abs(axes.T @ axes - np.eye(3)).max()
    if abs(np.linalg.det(axes)) < 1e-3:
        yield Finding("a singular affine", "three independent axes", fix)
    elif shear > SHEAR:
        apart = np.degrees(np.arccos(min(1.0, shear)))
        fix = "Resample image and label to a rectangular grid (3D Slicer: Resample Image; ANTs: ResampleImage)."
        yield Finding(f"a sheared affine (two axes {apart:.2f}° apart)", "axes at right angles", fix)


def extent_findings(data: Path, start: int, size: int, *, ratio: int | None = None) -> list[Finding]:
    """Return a finding if a data file can't hold ``size`` bytes of voxels from byte ``start`` on.

    So a header that lies is found before memory is taken for its voxels. ``ratio`` is the most that a packed file
    unpacks to; None: it is not packed.
    """
    if not data.exists():
        return [Finding(f"no data file {data.name}", "the voxels' file beside the header", "Copy it there.")]
    length = data.stat().st_size
    if ratio and start + size > length * ratio:
        found, expected = (
            f"{size:,} bytes of voxels in {length:,} packed bytes",
            f"at most {ratio} times the packed size",
        )
        return [Finding(found, expected, AGAIN)]
    if not ratio and start + size > length:
        fix = f"The file is cut short, or its data offset is wrong. {AGAIN}"
        return [Finding(f"{length:,} bytes", f"{start + size:,} bytes, as the header says", fix)]
    return []


def unit_of(names: Iterable[str]) -> tuple[float, list[Finding]]:
    """Return the millimetres of a header's unit of length, and a warning where it is not known.

    Args:
        names: As the header has it, for each axis; without one, and for ``?``, it is the millimetre.

    >>> unit_of(["cm", "cm", "cm"])
    (10.0, [])
    """
    named = sorted({name.strip().lower() for name in names} - {"", "?", "???", "none"})
    if not named:
        return 1.0, []
    if len(named) == 1 and named[0] in UNITS:
        return UNITS[named[0]], []
    fix = "Millimetres are taken. Correct the header's unit, or convert the volume from its source again."
    return 1.0, [Finding(f"lengths in {', '.join(named)}", f"one of {', '.join(UNITS)}", fix, "warning")]


def negative_spacing(spacing: Iterable[float]) -> list[Finding]:
    """Return a finding if a spacing along an axis is negative, which one program reads as a flip and another does not.

    Args:
        spacing: Along each axis, as the header has it.
    """
    numbers = tuple(map(float, spacing))
    fix = "Set the spacing in the header, or convert the volume from its source again."
    return [Finding(f"spacing {numbers} in the header", "a positive spacing along every axis", fix)] * any(
        number < 0 for number in numbers
    )


def cut_short(header: Header, error: object) -> CaseError:
    """Return the error for a file whose voxels can't be read.

    Raises:
        UserError: ``error`` says that a resource of the system has run out.
    """
    if isinstance(error, Exception):
        refuse_exhaustion(header.path, error)
    found = f"a file that is cut short or damaged ({error})"
    return CaseError("", header.path, found, f"{header.bytes:,} bytes of voxels", AGAIN)


def unreadable(path: Path, error: Exception, kind: str) -> CaseError:
    """Return the error for a file whose header can't be read; ``kind`` is what was expected.

    Raises:
        UserError: ``error`` says that a resource of the system has run out.
    """
    if isinstance(error, FileNotFoundError):
        return CaseError("", path, "no such file", "a volume", "Correct the path, or put the file there.")
    if isinstance(error, PermissionError):
        return CaseError("", path, "a file that may not be read", kind, "Make it readable for this user.")
    refuse_exhaustion(path, error)
    return CaseError("", path, f"an unreadable file ({error})", kind, AGAIN)


def detached(header: Path, name: str) -> Path:
    """Return the data file that a header names, which must lie beside the header.

    Raises:
        CaseError: the name leads elsewhere, or to several files.
    """
    elsewhere = name in ("", ".", "..") or name != Path(name).name or "\\" in name
    if elsewhere or "%" in name or name.upper().startswith("LIST"):
        expected, fix = "one data file in the header's own folder", "Save the volume as one file (.nrrd, .mha)."
        raise CaseError("", header, f"voxels in {name!r}", expected, fix)
    return header.parent / name
