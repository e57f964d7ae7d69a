"""MetaImage files (.mha, .mhd): a text header and voxels, raw or zlib-packed.

Read here rather than through ITK, which ends the whole process on some damaged headers (docs/decisions/0030).
"""

import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from c2fnas.data.formats.header import (
    AGAIN,
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

TYPES = {
    **{"MET_CHAR": "i1", "MET_SHORT": "i2", "MET_INT": "i4", "MET_LONG": "i4", "MET_LONG_LONG": "i8"},
    **{"MET_UCHAR": "u1", "MET_USHORT": "u2", "MET_UINT": "u4", "MET_ULONG": "u4", "MET_ULONG_LONG": "u8"},
    **{"MET_FLOAT": "f4", "MET_DOUBLE": "f8"},
}
NAMES = {code: name for name, code in TYPES.items() if "MET_LONG" != name != "MET_ULONG"}
LONGEST_HEADER = 2**16
CHUNK = 2**20
Fields = dict[str, str]


def read_header(path: Path) -> Header:
    """Read the header of a MetaImage file.

    Raises:
        CaseError: the file is absent or no MetaImage.
    """
    fields, start = _fields(path)
    try:
        sizes = [int(size) for size in fields["DimSize"].split()]
        channels = int(fields.get("ElementNumberOfChannels", 1))
        dtype = np.dtype(TYPES[fields["ElementType"].removesuffix("_ARRAY")])
        affine = _affine(fields, len(sizes))
        skipped = int(fields.get("HeaderSize", 0))
    except (KeyError, ValueError, OverflowError) as error:
        expected = "DimSize, ElementType and the orientation"
        raise CaseError("", path, f"an incomplete MetaImage header ({error})", expected, AGAIN) from error
    shape = tuple(sizes) if channels == 1 else (*sizes, channels)
    findings = _layout_findings(fields, skipped)
    unit, doubts = unit_of([fields.get("DistanceUnits", "mm")])
    affine = np.diag([unit, unit, unit, 1.0]) @ affine
    if not findings and all(size > 0 for size in shape):
        data, first = _data(path, start)
        size = int(np.prod(shape, dtype=object)) * dtype.itemsize
        findings = extent_findings(data, first, size, ratio=DEFLATE_RATIO if _flag(fields, "CompressedData") else None)
    big_endian = _flag(fields, "BinaryDataByteOrderMSB") or _flag(fields, "ElementByteOrderMSB")
    findings += [*doubts, *negative_spacing(_spacing(fields, len(sizes)))]
    return Header(path, shape, dtype.newbyteorder(">" if big_endian else "<"), affine, tuple(findings))


def read_voxels(header: Header) -> np.ndarray:
    """Read the voxels of a MetaImage file.

    Raises:
        CaseError: the file is cut short or damaged.
    """
    fields, start = _fields(header.path)
    data, first = _data(header.path, start)
    stored, packed = bytearray(header.bytes), _flag(fields, "CompressedData")
    try:
        with data.open("rb") as file:
            file.seek(first)
            read = _unpack(file, stored, header) if packed else file.readinto(stored)
    except OSError as error:
        raise cut_short(header, error) from error
    if read != header.bytes:
        raise CaseError("", header.path, f"voxels that end after {read:,} bytes", f"{header.bytes:,} bytes", AGAIN)
    return _array(stored, header, axes=len(fields["DimSize"].split()))


def data_file(path: Path) -> Path | None:
    """The file beside the header that holds the voxels; None where they follow the header.

    Raises:
        CaseError: the header is unreadable, or names a file elsewhere.
    """
    name = _fields(path)[0]["ElementDataFile"]
    return None if name.upper() == "LOCAL" else detached(path, name)


def write(path: Path, labels: np.ndarray, affine: np.ndarray, template: Path | None) -> None:
    """Write an array ``[i, j, k]`` to a MetaImage file, packed."""
    lps = LPS_TO_RAS @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    packed = zlib.compress(labels.astype(labels.dtype.newbyteorder("<"), copy=False).tobytes("F"))
    fields = {
        **{"ObjectType": "Image", "NDims": "3", "BinaryData": "True", "BinaryDataByteOrderMSB": "False"},
        **{"CompressedData": "True", "CompressedDataSize": str(len(packed))},
        "TransformMatrix": _text((lps[:3, :3] / spacing).T.ravel()),
        "Offset": _text(lps[:3, 3]),
        "ElementSpacing": _text(spacing),
        "DimSize": " ".join(map(str, labels.shape)),
        "ElementType": NAMES[labels.dtype.str[1:]],
        "ElementDataFile": "LOCAL",
    }
    header = "".join(f"{name} = {value}\n" for name, value in fields.items())
    path.write_bytes(header.encode("ascii") + packed)


def _array(stored: bytearray, header: Header, axes: int) -> np.ndarray:
    """The first of the file's axes runs fastest; channels of one element run faster still."""
    sizes, channels = header.shape[:axes], header.shape[axes:]
    array = np.frombuffer(stored, header.dtype).reshape((*sizes[::-1], *channels))
    turned = array.transpose(*range(axes)[::-1], *range(axes, array.ndim))
    return turned if header.dtype.isnative else turned.astype(header.dtype.newbyteorder("="))


def _text(numbers: np.ndarray) -> str:
    return " ".join(repr(float(number)) for number in numbers)


def _fields(path: Path) -> tuple[Fields, int]:
    """The header's fields, of which ``ElementDataFile`` is the last, and the byte at which it ends."""
    try:
        with path.open("rb") as file:
            fields: Fields = {}
            while "ElementDataFile" not in fields and file.tell() < LONGEST_HEADER:
                key, separator, value = file.readline(4096).decode("utf-8", "surrogateescape").partition("=")
                if not separator:
                    break
                fields[key.strip()] = value.strip()
            end = file.tell()
    except OSError as error:
        raise unreadable(path, error, "a MetaImage volume") from error
    if "ElementDataFile" not in fields:
        raise CaseError("", path, "no MetaImage header", "a header that ends in ElementDataFile", AGAIN)
    return fields, end


def _affine(fields: Fields, axes: int) -> np.ndarray:
    """The affine. A row of TransformMatrix is the direction of an axis, so its transpose is the direction matrix."""
    direction = _numbers(fields, ("TransformMatrix", "Rotation", "Orientation"), np.eye(axes).ravel())
    spacing = _spacing(fields, axes)
    affine = np.eye(4)
    if axes >= 3:
        affine[:3, :3] = direction.reshape(axes, axes)[:3, :3].T * spacing[:3]
        affine[:3, 3] = _numbers(fields, ("Offset", "Position", "Origin"), np.zeros(axes))[:3]
    return LPS_TO_RAS @ affine


def _spacing(fields: Fields, axes: int) -> np.ndarray:
    return _numbers(fields, ("ElementSpacing", "ElementSize"), np.ones(axes))


def _numbers(fields: Fields, names: tuple[str, ...], default: np.ndarray) -> np.ndarray:
    text = next((fields[name] for name in names if name in fields), None)
    return default if text is None else np.array([float(number) for number in text.split()])


def _data(path: Path, start: int) -> tuple[Path, int]:
    beside = data_file(path)
    return (beside, 0) if beside else (path, start)


def _flag(fields: Fields, name: str, default: str = "False") -> bool:
    return fields.get(name, default).lower() in ("true", "1")


def _layout_findings(fields: Fields, skipped: int) -> list[Finding]:
    fix = "Save the volume again, as binary MetaImage in one file."
    if not _flag(fields, "BinaryData", "True"):
        return [Finding("voxels as text", "binary voxels", fix)]
    if skipped:
        return [Finding(f"a HeaderSize of {skipped}", "voxels from the first byte on", fix)]
    return []


def _unpack(file: BinaryIO, stored: bytearray, header: Header) -> int:
    """Fill ``stored`` from a zlib or gzip stream; the bytes it holds, or one more than there is room for.

    A stream that doesn't come to its end, where its checksum is, counts as short.
    """
    stream, size = zlib.decompressobj(zlib.MAX_WBITS | 32), 0
    try:
        while not stream.eof and size <= len(stored) and (chunk := file.read(CHUNK)):
            part = stream.decompress(chunk, len(stored) - size + 1)
            stored[size : size + len(part)] = part[: len(stored) - size]
            size += len(part)
    except zlib.error as error:
        raise CaseError("", header.path, f"damaged voxels ({error})", f"{header.bytes:,} bytes", AGAIN) from error
    return size if stream.eof or size != len(stored) else size - 1
