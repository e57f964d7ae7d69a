"""NIfTI-1 and NIfTI-2 single files (.nii, .nii.gz), through nibabel, after a look at the raw header.

The affine is the sform where its code is positive, else the qform where its code is, else the bare spacing (as nibabel
has it). nibabel fixes what it doesn't like in a header, a zero spacing say; so headers are judged before it does.
"""

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import IOBase
from pathlib import Path
from typing import cast

import nibabel
import numpy as np
from nibabel.spatialimages import HeaderDataError
from nibabel.volumeutils import array_from_file

from c2fnas.data.formats.header import (
    AGAIN,
    DEFLATE_RATIO,
    LARGEST_VOXELS,
    Header,
    cut_short,
    extent_findings,
    unreadable,
)
from c2fnas.data.geometry import AFFINE_TOLERANCE
from c2fnas.data.problem import CaseError, Finding

HEADER_SIZES = {348: nibabel.Nifti1Header, 540: nibabel.Nifti2Header}
USE_SFORM = "The sform is used. Copy it to the qform (nibabel: image.set_qform(image.get_sform()))."
DISAGREEMENT = 0.1  # of a voxel, at the corners: quaternions in float32 don't hold large volumes' corners any closer
ORIENTATION = (
    *("qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
    *("srow_x", "srow_y", "srow_z", "xyzt_units"),
)
MILLIMETRES = {1: 1e3, 3: 1e-3}
"""Of the header's units metre and micrometre; any other code stands for the millimetre, as ITK has it."""
DAMAGED = (EOFError, OSError, ValueError, zlib.error)


def read_header(path: Path) -> Header:
    """Read the header of a NIfTI file.

    Raises:
        CaseError: the file is absent, damaged or no NIfTI.
    """
    raw = raw_header(path)
    findings: list[Finding] = []
    shape = _shape(raw)
    dtype = _dtype(raw, findings)
    with np.errstate(all="ignore"):  # what isn't finite is a finding, not a warning of numpy's
        affine = in_millimetres(_affine(raw, findings), raw)
    findings += _spacing_findings(raw) + _scaling_findings(raw)
    sound = all(finding.severity == "warning" for finding in findings)
    if sound and 0 < np.prod(shape, dtype=float) <= LARGEST_VOXELS:
        findings += _extent_findings(path, raw, int(np.prod(shape)) * dtype.itemsize)
    return Header(path, shape, dtype, affine, tuple(findings), _scaling(raw) if sound and dtype.kind in "iu" else None)


def read_voxels(header: Header) -> np.ndarray:
    """Read the voxels of a NIfTI file, scaled by its slope and intercept.

    Raises:
        CaseError: the file is cut short or damaged.
    """
    raw = raw_header(header.path)
    try:
        with _opened(header.path) as stream:
            stored = array_from_file(header.shape, raw.get_data_dtype(), stream, int(raw["vox_offset"]), mmap=False)
            stream.read(1)  # the end of a gzip stream carries its checksum
    except DAMAGED as error:
        raise cut_short(header, error) from error
    return _scaled(stored, raw)


def data_file(path: Path) -> None:
    """Voxels follow the header: pairs of .hdr and .img aren't read."""


def write(path: Path, labels: np.ndarray, affine: np.ndarray, template: Path | None) -> None:
    """Write labels ``[i, j, k]`` to a NIfTI file; the codes and fields of sform and qform are the template's."""
    suffix = ".nii.gz" if path.name.lower().endswith(".gz") else ".nii"
    lower = path.with_name(path.name[: -len(suffix)] + suffix)  # nibabel writes no other, whatever it is asked
    nibabel.save(label_image(labels, affine, None if template is None else raw_header(template)), lower)
    if lower != path:
        lower.replace(path)


def label_image(labels: np.ndarray, affine: np.ndarray, like: nibabel.Nifti1Header | None) -> nibabel.Nifti1Image:
    """Return labels as an image; sform and qform have the codes and fields of the header ``like``."""
    header = None if like is None else _orientation(like)
    if header is not None:
        header.set_data_shape(labels.shape)  # the affine of a header without codes depends on it
    if header is None or not np.allclose(
        in_millimetres(header.get_best_affine(), header), affine, atol=AFFINE_TOLERANCE
    ):
        return nibabel.Nifti1Image(labels, affine, dtype=labels.dtype)
    kind = nibabel.Nifti2Image if isinstance(header, nibabel.Nifti2Header) else nibabel.Nifti1Image
    return kind(labels, header.get_best_affine(), header, dtype=labels.dtype)


def _orientation(like: nibabel.Nifti1Header) -> nibabel.Nifti1Header:
    """A fresh header with the orientation fields of another, as they are; nothing of its description."""
    kind = nibabel.Nifti2Header if isinstance(like, nibabel.Nifti2Header) else nibabel.Nifti1Header
    fresh = kind(endianness=like.endianness)
    for field in ORIENTATION:
        fresh[field] = like[field]
    fresh["pixdim"][:4] = like["pixdim"][:4]
    return fresh


def is_packed(path: Path) -> bool:
    """True if a file is gzip-packed, by its first bytes."""
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


@contextmanager
def _opened(path: Path) -> Iterator[IOBase]:
    with path.open("rb") as file:
        yield cast(IOBase, gzip.GzipFile(fileobj=file) if is_packed(path) else file)


def raw_header(path: Path) -> nibabel.Nifti1Header:
    """Read the header as it is in the file.

    Raises:
        CaseError: the file is absent, damaged or no NIfTI.
    """
    try:
        with _opened(path) as stream:
            start = stream.read(max(HEADER_SIZES))
    except DAMAGED as error:
        raise unreadable(path, error, "a NIfTI volume") from error
    for size, kind in HEADER_SIZES.items():
        if len(start) >= size and size in (int.from_bytes(start[:4], "little"), int.from_bytes(start[:4], "big")):
            header = kind.from_fileobj(io.BytesIO(start[:size]), check=False)
            if bytes(header["magic"].tobytes())[:3] in (b"n+1", b"n+2"):
                header["pixdim"][0] = header["pixdim"][0] or 1  # a handedness of 0 stands for 1
                return header
    raise CaseError("", path, "no NIfTI header", "a single-file NIfTI volume (.nii or .nii.gz)", AGAIN)


def _shape(raw: nibabel.Nifti1Header) -> tuple[int, ...]:
    """Sizes of the axes. A trailing axis of one voxel is no axis; channels may stand in the fifth, as vectors do."""
    axes = int(raw["dim"][0])
    shape = tuple(int(size) for size in raw["dim"][1 : 1 + max(0, min(axes, 7))])
    while len(shape) > 4 and (shape[-1] == 1 or shape[3] == 1):
        shape = shape[:-1] if shape[-1] == 1 else shape[:3] + shape[4:]
    return shape


def _dtype(raw: nibabel.Nifti1Header, findings: list[Finding]) -> np.dtype:
    try:
        return raw.get_data_dtype()
    except (HeaderDataError, KeyError):
        found = f"data type code {int(raw['datatype'])}"
        findings.append(Finding(found, "a data type of the NIfTI standard", AGAIN))
        return np.dtype(np.uint8)


def _affine(raw: nibabel.Nifti1Header, findings: list[Finding]) -> np.ndarray:
    sform = raw.get_sform() if int(raw["sform_code"]) > 0 else None
    is_spare = sform is not None
    qform = _qform(raw, findings, is_spare) if int(raw["qform_code"]) > 0 else None
    if sform is not None and qform is not None:
        findings += _disagreement(sform, qform, raw)
    if sform is None and qform is None:
        fix = "Left and right may be swapped; only the spacing is used. Set the sform if you know it."
        expected = "an orientation (sform or qform with a code above 0)"
        findings.append(Finding("neither qform nor sform", expected, fix, "warning"))
        return raw.get_base_affine()
    return sform if sform is not None else cast(np.ndarray, qform)


def in_millimetres(affine: np.ndarray, raw: nibabel.Nifti1Header) -> np.ndarray:
    """Return an affine of a header's own units in millimetres."""
    unit = MILLIMETRES.get(int(raw["xyzt_units"]) & 7, 1.0)
    return affine if unit == 1 else np.diag([unit, unit, unit, 1.0]) @ affine


def _qform(raw: nibabel.Nifti1Header, findings: list[Finding], is_spare: bool) -> np.ndarray | None:
    """The qform; where it is invalid, the bare spacing, or None beside a sform, which is used instead."""
    try:
        return raw.get_qform()
    except (HeaderDataError, ValueError) as error:
        fix = "Correct the orientation fields of the header, or convert the volume from its source again."
        if is_spare:
            fix = USE_SFORM
        found = f"an invalid qform ({error})"
        findings.append(Finding(found, "a rotation", fix, "warning" if is_spare else "error"))
        return None if is_spare else raw.get_base_affine()


def _disagreement(sform: np.ndarray, qform: np.ndarray, raw: nibabel.Nifti1Header) -> list[Finding]:
    """The precedence is the sform's; a reader with another one would see another place."""
    sizes = [max(1, int(size)) - 1 for size in raw["dim"][1:4]]
    corners = np.array([[i, j, k, 1] for i in (0, sizes[0]) for j in (0, sizes[1]) for k in (0, sizes[2])], dtype=float)
    apart = np.linalg.norm(corners @ (sform - qform)[:3].T, axis=1).max()
    spacing = np.linalg.norm(sform[:3, :3], axis=0)
    if not np.isfinite(apart) or apart <= DISAGREEMENT * spacing.min():
        return []
    return [Finding(f"qform and sform {apart:.3g} mm apart", "the same place from both", USE_SFORM, "warning")]


def _spacing_findings(raw: nibabel.Nifti1Header) -> list[Finding]:
    spacing = raw["pixdim"][1:4].astype(float)
    if raw["sform_code"] > 0 or raw["qform_code"] > 0:  # these tell the axes' directions, or have their own finding
        spacing = np.abs(spacing)
    if np.isfinite(spacing).all() and (spacing > 0).all():
        return []
    fix = "Set the spacing (pixdim) in the header, or convert the volume from its source again."
    return [Finding(f"spacing {tuple(spacing.tolist())} mm in the header", "a positive spacing along every axis", fix)]


def _scaling_findings(raw: nibabel.Nifti1Header) -> list[Finding]:
    try:
        raw.get_slope_inter()
    except HeaderDataError as error:
        fix = "Set scl_slope and scl_inter in the header, or convert the volume from its source again."
        return [Finding(f"an invalid scaling ({error})", "numbers for slope and intercept", fix)]
    return []


def _extent_findings(path: Path, raw: nibabel.Nifti1Header, size: int) -> list[Finding]:
    offset = float(raw["vox_offset"])
    if not np.isfinite(offset) or offset < raw.sizeof_hdr or offset != int(offset):
        return [Finding(f"voxels at byte {offset:g}", f"an offset of at least {raw.single_vox_offset}", AGAIN)]
    return extent_findings(path, int(offset), size, ratio=DEFLATE_RATIO if is_packed(path) else None)


def _scaling(raw: nibabel.Nifti1Header) -> tuple[float, float] | None:
    """Slope and intercept where they change a value."""
    slope, intercept = raw.get_slope_inter()
    return None if slope in (None, 1.0) and intercept in (None, 0.0) else (float(slope), float(intercept))


def _scaled(stored: np.ndarray, raw: nibabel.Nifti1Header) -> np.ndarray:
    scaling = _scaling(raw)
    if stored.dtype.kind not in "iuf" or scaling is None:
        return stored
    slope, intercept = scaling
    # float32 holds every integer of 16 bits; wider ones are scaled in double precision.
    precision = np.float32 if stored.dtype.itemsize <= 2 else np.float64
    with np.errstate(over="ignore", invalid="ignore"):
        scaled: np.ndarray = stored.astype(precision)
        scaled *= slope
        scaled += intercept
    return scaled
