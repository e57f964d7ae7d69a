"""NRRD files (.nrrd, .nhdr); pynrrd reads their headers (extra ``formats``).

Voxels are read here, as pynrrd unpacks all that a stream holds, whatever the header says.
"""

import bz2
import gzip
import io
import os
import re
import zlib
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from c2fnas.data.formats.header import (
    AGAIN,
    BZIP2_RATIO,
    DEFLATE_RATIO,
    LPS_TO_RAS,
    Header,
    cut_short,
    detached,
    extent_findings,
    negative_spacing,
    unit_of,
    unreadable,
)
from c2fnas.data.problem import CaseError, Finding
from c2fnas.errors import UserError

ABBREVIATIONS = {"RAS": "right-anterior-superior", "LAS": "left-anterior-superior", "LPS": "left-posterior-superior"}
CHANNEL_KINDS = ("list", "vector", "covariant-vector", "RGB-color", "RGBA-color", "time", "point")
DIRECTIONS = {"right": 1, "left": -1, "anterior": 1, "posterior": -1, "superior": 1, "inferior": -1}
AXES = (("right", "left"), ("anterior", "posterior"), ("superior", "inferior"))
PACKED = {"gzip": DEFLATE_RATIO, "gz": DEFLATE_RATIO, "bzip2": BZIP2_RATIO, "bz2": BZIP2_RATIO}
UNPACKED: dict[str, Callable[..., io.BufferedIOBase]] = {
    **dict.fromkeys(("gzip", "gz"), lambda file: gzip.GzipFile(fileobj=file)),
    **dict.fromkeys(("bzip2", "bz2"), bz2.BZ2File),
}
TEXT = ("ascii", "text", "txt")
CHUNK = 2**20


def read_header(path: Path) -> Header:
    """Read the header of an NRRD file.

    Raises:
        CaseError: the file is absent or no NRRD.
    """
    fields, start = _fields(path)
    findings: list[Finding] = []
    try:
        sizes, spatial = [int(size) for size in fields["sizes"]], _spatial_axes(fields)
        dtype = _dtype(fields)
        affine = _affine(fields, spatial, findings)
    except (KeyError, ValueError, TypeError, IndexError, need("nrrd", path).NRRDError) as error:
        expected = "sizes, type and space directions"
        raise CaseError("", path, f"an incomplete NRRD header ({error})", expected, AGAIN) from error
    findings += _extent(path, fields, start, int(np.prod(sizes, dtype=object)) * dtype.itemsize)
    order = [*spatial, *(axis for axis in range(len(sizes)) if axis not in spatial)]
    return Header(path, tuple(sizes[axis] for axis in order), dtype, affine, tuple(findings))


def read_voxels(header: Header) -> np.ndarray:
    """Read the voxels of an NRRD file.

    Raises:
        CaseError: the file is cut short or damaged.
    """
    fields, start = _fields(header.path)
    sizes, spatial = [int(size) for size in fields["sizes"]], _spatial_axes(fields)
    try:
        stored = _voxels(header, fields, start)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise cut_short(header, error) from error
    order = [*spatial, *(axis for axis in range(len(sizes)) if axis not in spatial)]
    return np.transpose(stored.reshape(sizes, order="F"), order)


def data_file(path: Path) -> Path | None:
    """The file beside the header that holds the voxels; None where they follow the header.

    Raises:
        CaseError: the header is unreadable, or names a file elsewhere.
    """
    _, start = _fields(path)
    with path.open("rb") as file:  # pynrrd leaves letters beyond ASCII out
        names = re.findall(rb"(?m)^data ?file:(.*)$", file.read(start))
    if len(names) > 1:
        fix = "Remove one of the two from the header, or export the volume again."
        raise CaseError("", path, "both `data file` and `datafile`", "one file of voxels", fix)
    return detached(path, os.fsdecode(names[0].strip())) if names else None


def write(path: Path, labels: np.ndarray, affine: np.ndarray, template: Path | None) -> None:
    """Write labels ``[i, j, k]`` to an NRRD file in the space left-posterior-superior, gzip-packed."""
    nrrd = need("nrrd", path)
    lps = LPS_TO_RAS @ affine
    space = {"space": "left-posterior-superior", "space directions": lps[:3, :3].T, "space origin": lps[:3, 3]}
    nrrd.write(str(path), labels, {**space, "encoding": "gzip"})


def need(package: str, path: Path) -> Any:
    """Import an optional package.

    Raises:
        UserError: it is not installed.
    """
    try:
        return import_module(package)
    except ImportError as error:
        raise UserError(
            f"{path}: {path.suffix} files need the package {package}. Install it with `pip install 'c2fnas[formats]'`."
        ) from error


def to_ras(space: Iterable[str]) -> np.ndarray | None:
    """Return the 4×4 matrix from a named space to (right, anterior, superior); None where the space isn't anatomical.

    >>> to_ras(("left", "posterior", "superior")).diagonal().tolist()
    [-1.0, -1.0, 1.0, 1.0]
    """
    names = tuple(space)
    if len(names) != 3 or any(name not in pair for name, pair in zip(names, AXES, strict=True)):
        return None
    return np.diag([float(DIRECTIONS[name]) for name in names] + [1.0])


def _fields(path: Path) -> tuple[dict[str, Any], int]:
    """The header's fields, and the byte at which the header ends."""
    nrrd = need("nrrd", path)
    try:
        with path.open("rb") as file:
            return dict(nrrd.read_header(file)), file.tell()
    except Exception as error:  # pynrrd raises several kinds, some of them undocumented
        raise unreadable(path, error, "an NRRD volume") from error


def _voxels(header: Header, fields: dict[str, Any], start: int) -> np.ndarray:
    """The voxels in the file's order, flat; no more is unpacked than the header says, and one byte."""
    beside = data_file(header.path)
    encoding = str(fields.get("encoding", "raw")).lower()
    skipped = int(fields.get("byte skip", fields.get("byteskip", 0)))
    with (beside or header.path).open("rb") as file:
        file.seek(0 if beside else start)
        for _ in range(int(fields.get("line skip", fields.get("lineskip", 0)))):
            if not file.readline():
                raise ValueError("fewer lines than are to be skipped")
        if encoding in TEXT:
            numbers = np.fromstring(file.read().decode("ascii"), header.dtype, sep=" ")
            if len(numbers) != header.voxels:
                raise ValueError(f"{len(numbers):,} numbers")
            return numbers
        if encoding == "raw":  # of which -1 means that the voxels are its last bytes
            file.seek(-header.bytes if skipped == -1 else skipped, os.SEEK_END if skipped == -1 else os.SEEK_CUR)
            return _filled(header, file)
        if encoding not in UNPACKED:
            raise ValueError(f"the encoding {encoding}, which is not read")
        with UNPACKED[encoding](file) as stream:
            stream.seek(max(0, skipped), os.SEEK_CUR)
            voxels = _filled(header, stream)
            if stream.read(1):  # at the end of a stream stands its checksum, too
                raise ValueError("more voxels than the header says")
            return voxels


def _filled(header: Header, stream: io.BufferedIOBase) -> np.ndarray:
    stored, done = bytearray(header.bytes), 0
    view = memoryview(stored)
    while read := stream.readinto(view[done : done + CHUNK]):
        done += read
    if done != header.bytes:
        raise EOFError(f"voxels that end after {done:,} bytes")
    return np.frombuffer(stored, header.dtype)


def _spatial_axes(fields: dict[str, Any]) -> list[int]:
    kinds = fields.get("kinds") or [""] * len(fields["sizes"])
    directions = fields.get("space directions")
    axes = [axis for axis, kind in enumerate(kinds) if kind not in CHANNEL_KINDS]
    return axes if directions is None else [axis for axis in axes if _is_direction(directions[axis])]


def _is_direction(direction: Any) -> bool:
    return direction is not None and not np.isnan(np.asarray(direction, float)).all()


def _dtype(fields: dict[str, Any]) -> np.dtype:
    from nrrd.reader import _determine_datatype  # pynrrd keeps its table of type names to itself

    return np.dtype(_determine_datatype(fields))


def _affine(fields: dict[str, Any], spatial: list[int], findings: list[Finding]) -> np.ndarray:
    affine = np.eye(4)
    if len(spatial) != 3:
        if len(spatial) > 3:
            fix = "Give the channels' axis the kind `list`, and `none` among the space directions."
            findings.append(Finding(f"{len(spatial)} axes in space", "three, and channels marked as such", fix))
        elif len(fields["sizes"]) > 2:  # of two, the number of axes is a finding of its own
            fix = "Give every axis in space a direction without NaN and a kind such as `domain`, or convert it again."
            findings.append(Finding(f"{len(spatial)} axes in space, the others without a direction", "three", fix))
        return affine
    directions = fields.get("space directions")
    if directions is None:
        spacings = fields.get("spacings")
        if spacings is not None:
            along = [float(spacings[axis]) for axis in spatial]
            findings += negative_spacing(along)
            affine[:3, :3] = np.diag(along)
    else:
        affine[:3, :3] = np.array([np.asarray(directions[axis], float) for axis in spatial]).T
    affine[:3, 3] = fields.get("space origin", np.zeros(3))
    unit, doubts = unit_of(_units(fields, spatial))
    findings += doubts
    affine[:3] *= unit
    space = str(fields.get("space", ""))
    to_space = to_ras(ABBREVIATIONS.get(space.upper(), space.lower()).split("-"))
    if to_space is None or directions is None:
        fix = "Left and right may be swapped; left-posterior-superior is taken. Set the space if you know it."
        expected = "a space such as left-posterior-superior"
        findings.append(Finding("no anatomical orientation", expected, fix, "warning"))
        to_space = LPS_TO_RAS
    return to_space @ affine


def _units(fields: dict[str, Any], spatial: list[int]) -> list[str]:
    """The names of the unit of length: of the space as a whole, or else of each axis."""
    named = list(fields.get("space units") or ())
    each = list(fields.get("units") or ())
    return named or [each[axis] for axis in spatial if axis < len(each)]


def _extent(path: Path, fields: dict[str, Any], start: int, size: int) -> list[Finding]:
    beside = data_file(path)
    encoding = str(fields.get("encoding", "raw")).lower()
    if encoding in (*TEXT, "hex"):
        return []
    return extent_findings(beside or path, 0 if beside else start, size, ratio=PACKED.get(encoding))
