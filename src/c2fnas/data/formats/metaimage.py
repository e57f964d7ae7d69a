"""MetaImage files (.mha, .mhd), through ITK and MONAI's ITKReader (extra ``formats``)."""

import zlib
from pathlib import Path

import numpy as np

from c2fnas.data.formats.header import Header
from c2fnas.data.formats.text_header import AGAIN, detached, extent_findings, need
from c2fnas.data.problem import CaseError, Finding

TYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
    "MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip
LONGEST_HEADER = 2**16
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def read_header(path: Path) -> Header:
    """Read the header of a MetaImage file.

    Raises:
        CaseError: the file is absent or no MetaImage.
    """
    fields, start = _fields(path)
    try:
        sizes = [int(size) for size in fields["DimSize"].split()]
        dtype = np.dtype(TYPES[fields["ElementType"].removesuffix("_ARRAY")])
        affine = _affine(fields, len(sizes))
    except (KeyError, ValueError) as error:
        raise CaseError(
            "", path, f"an incomplete MetaImage header ({error})", "DimSize, ElementType and the orientation", AGAIN
        ) from error
    channels = int(fields.get("ElementNumberOfChannels", 1))
    shape = (*sizes, channels) if channels > 1 else tuple(sizes)
    findings = _extent(path, fields, start, int(np.prod(shape, dtype=object)) * dtype.itemsize)
    return Header(path, shape, dtype, affine, tuple(findings))


def read_voxels(header: Header) -> np.ndarray:
    """Read the voxels of a MetaImage file.

    Raises:
        CaseError: the file is cut short or damaged.
    """
    need("itk", header.path)
    from monai.data.image_reader import ITKReader

    _refuse_damaged(header)
    try:
        reader = ITKReader()
        return np.array(reader.get_data(reader.read(header.path))[0])
    except Exception as error:  # ITK's errors are RuntimeError and others
        raise CaseError(
            "",
            header.path,
            f"a file that ITK can't read ({str(error).strip().splitlines()[-1]})",
            "a MetaImage volume",
            AGAIN,
        ) from error


def data_file(path: Path) -> Path | None:
    """The file beside the header that holds the voxels; None where they follow the header.

    Raises:
        CaseError: the header is unreadable, or names a file elsewhere.
    """
    name = _fields(path)[0]["ElementDataFile"]
    return None if name.upper() == "LOCAL" else detached(path, name)


def write(path: Path, labels: np.ndarray, affine: np.ndarray, template: Path | None) -> None:
    """Write labels ``[i, j, k]`` to a MetaImage file, packed."""
    itk = need("itk", path)
    lps = LPS_TO_RAS @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image = itk.image_from_array(np.ascontiguousarray(labels.T))
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection(itk.matrix_from_array(np.ascontiguousarray(lps[:3, :3] / spacing)))
    itk.imwrite(image, str(path), compression=True)


def _fields(path: Path) -> tuple[dict[str, str], int]:
    """The header's fields, of which ``ElementDataFile`` is the last, and the byte at which it ends."""
    try:
        with path.open("rb") as file:
            fields: dict[str, str] = {}
            while "ElementDataFile" not in fields and file.tell() < LONGEST_HEADER:
                key, separator, value = file.readline(4096).decode("ascii").partition("=")
                if not separator:
                    break
                fields[key.strip()] = value.strip()
            end = file.tell()
    except FileNotFoundError as error:
        raise CaseError("", path, "no such file", "a volume", "Correct the path, or put the file there.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise CaseError("", path, f"an unreadable header ({error})", "a MetaImage volume", AGAIN) from error
    if "ElementDataFile" not in fields:
        raise CaseError("", path, "no MetaImage header", "a header that ends in ElementDataFile", AGAIN)
    return fields, end


def _affine(fields: dict[str, str], axes: int) -> np.ndarray:
    """The affine. A row of TransformMatrix is the direction of an axis, so its transpose is the direction matrix."""
    direction = _numbers(fields, ("TransformMatrix", "Rotation", "Orientation"), np.eye(axes).ravel()).reshape(
        axes, axes
    )
    spacing = _numbers(fields, ("ElementSpacing", "ElementSize"), np.ones(axes))
    affine = np.eye(4)
    if axes >= 3:
        affine[:3, :3] = direction[:3, :3].T * spacing[:3]
        affine[:3, 3] = _numbers(fields, ("Offset", "Position", "Origin"), np.zeros(axes))[:3]
    return LPS_TO_RAS @ affine


def _numbers(fields: dict[str, str], names: tuple[str, ...], default: np.ndarray) -> np.ndarray:
    text = next((fields[name] for name in names if name in fields), None)
    return default if text is None else np.array([float(number) for number in text.split()])


def _data(path: Path, start: int) -> tuple[Path, int]:
    beside = data_file(path)
    return (beside, 0) if beside else (path, start)


def _is_packed(fields: dict[str, str]) -> bool:
    return fields.get("CompressedData", "False").lower() in ("true", "1")


def _extent(path: Path, fields: dict[str, str], start: int, size: int) -> list[Finding]:
    data, first = _data(path, start)
    return extent_findings(data, first, size, packed=_is_packed(fields))


def _refuse_damaged(header: Header) -> None:
    """ITK reads a packed file that is cut short without a word; so the stream is unpacked once, to see that it ends."""
    fields, start = _fields(header.path)
    if not _is_packed(fields):
        return
    data, first = _data(header.path, start)
    stream, size = zlib.decompressobj(zlib.MAX_WBITS | 32), 0
    with data.open("rb") as file:
        file.seek(first)
        try:
            while (chunk := file.read(2**20)) and not stream.eof:
                size += len(stream.decompress(chunk, header.bytes + 1))
        except zlib.error as error:
            raise CaseError("", header.path, f"damaged voxels ({error})", f"{header.bytes:,} bytes", AGAIN) from error
    if not stream.eof or size != header.bytes:
        raise CaseError("", header.path, f"voxels that end after {size:,} bytes", f"{header.bytes:,} bytes", AGAIN)
