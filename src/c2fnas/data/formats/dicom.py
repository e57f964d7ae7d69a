"""DICOM: a folder with one series of slices, a file of a series among others, a multi-frame file, a SEG.

Slices are sorted by their position along the normal of their plane. Voxel axes are (columns, rows, slices), unflipped.
Values are rescaled slice by slice. What is no regular volume is refused by name: a gap, slices at the same place, a
tilted gantry, several series in one folder. Reading takes the extra ``dicom``.
"""

import os
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from c2fnas.data.formats.dicom_slices import Slice, is_image, series_affine, series_findings, slices_of
from c2fnas.data.formats.header import Header, cut_short
from c2fnas.data.problem import CaseError
from c2fnas.errors import UserError, refuse_exhaustion

if TYPE_CHECKING:
    from pydicom import Dataset

PREAMBLE, SUFFIXES = 128, (".dcm", ".dicom", ".ima")
SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
STRUCTURES = "1.2.840.10008.5.1.4.1.1.481.3"
IDENTIFIERS = ("PatientID", "PatientName", "StudyDate", "AccessionNumber", "StudyInstanceUID", "SeriesInstanceUID")
Stamp = tuple[tuple[str, int, int], ...]


def is_dicom(path: Path) -> bool:
    """True if a file has DICOM's preamble or suffix, or a folder holds such a file; DICOMDIR is an index, no image.

    What can't be read holds none.
    """
    try:
        if path.is_dir():
            return any(is_dicom(file) for file in _files(path))
        return _is_slice(path)
    except OSError as error:
        refuse_exhaustion(path, error)
        return False


def _is_slice(path: Path) -> bool:
    with path.open("rb") as file:
        told = path.suffix.lower() in SUFFIXES or file.read(PREAMBLE + 4)[PREAMBLE:] == b"DICM"
        return told and path.name.upper() != "DICOMDIR"


def find_series(folder: Path) -> tuple[tuple[str, Path], ...]:
    """Return the image series in a folder and below it: a name, and the folder or, of several in one, a file of each.

    A folder with a damaged file is taken for one series, whose reading says what is wrong.

    Raises:
        UserError: the package that reads them is absent.
    """
    found = []
    for place in sorted({folder, *(path for path in folder.rglob("*") if path.is_dir())}):
        if not is_dicom(place):
            continue
        base = "_".join(place.relative_to(folder).parts) or place.absolute().name
        try:
            groups = _series(place, _stamp(place))
        except CaseError:
            groups = None
        if groups is None or len(groups) == 1:
            found.append((base, place))
            continue
        numbers = [f"{base}_{each[0].number:03}" for each in groups]
        unique = numbers if len(set(numbers)) == len(groups) else [f"{base}_{i}" for i in range(1, len(groups) + 1)]
        found += [(name, each[0].path) for name, each in zip(unique, groups, strict=True)]
    return tuple(found)


def read_header(path: Path) -> Header:
    """Read the headers of a series, a multi-frame file or a SEG.

    Raises:
        CaseError: there is no image, or there are several series.
        UserError: the package that reads it is absent.
    """
    if not path.exists():
        raise CaseError("", path, "no such file", "a volume", "Correct the path, or put the file there.")
    if not path.is_dir() and (dataset := _read(path)).get("SOPClassUID") in (*SEGMENTATIONS, STRUCTURES):
        return _annotation_header(path, dataset)
    slices = _series_at(path)
    affine, size = series_affine(slices), (slices[0].columns, slices[0].rows, len(slices))
    findings = tuple(series_findings(slices))
    return Header(path, size, slices[0].dtype, affine, findings, modality=slices[0].modality)


def read_voxels(header: Header) -> np.ndarray:
    """Read the voxels of a series ``[columns, rows, slices]``, float32 and rescaled; of a SEG the segments' numbers.

    Raises:
        CaseError: a file is cut short, damaged or packed in a way for which no decoder is installed.
    """
    if not header.path.is_dir() and _read(header.path).get("SOPClassUID") in SEGMENTATIONS:
        from c2fnas.data.formats.dicom_seg import read_segments

        return read_segments(header.path)[0]
    array = np.empty(header.shape[::-1], np.float32)  # columns fastest, as the file has it
    places = list(enumerate(_series_at(header.path)))
    for path, group in groupby(sorted(places, key=lambda each: each[1].path), key=lambda each: each[1].path):
        pixels = _pixels(path, header)
        for place, own in group:
            frame = pixels if own.frame is None or pixels.ndim == 2 else pixels[own.frame]
            if frame.shape != array.shape[1:]:
                raise cut_short(header, f"{path.name}: pixels of size {frame.shape}")
            array[place] = frame
            with np.errstate(over="ignore", invalid="ignore"):  # what overflows is found in the voxels
                array[place] *= own.slope
                array[place] += own.intercept
    return array.transpose(2, 1, 0)


def data_file(path: Path) -> None:
    """Voxels are in the files themselves."""


def write(path: Path, labels: np.ndarray, affine: np.ndarray, template: Path | None) -> None:
    """Refuse: labels become a SEG by :func:`c2fnas.data.formats.dicom_seg.write_segments`, which needs more."""
    raise UserError(f"{path}: labels are written as DICOM by `c2fnas predict --format dicom-seg`.")


def source_images(path: Path) -> "list[Dataset]":
    """Return the headers of a series' files, whole but for their pixels, in the order of its slices."""
    return [_read(file) for file in dict.fromkeys(each.path for each in _series_at(path))]


def series_files(path: Path) -> tuple[Path, ...]:
    """Return the files of the series that a file belongs to; a SEG or a structure set itself.

    Raises:
        CaseError: there is no image, or it can't be read.
    """
    if _read(path).get("SOPClassUID") in (*SEGMENTATIONS, STRUCTURES):
        return (path,)
    return tuple(dict.fromkeys(each.path for each in _series_at(path)))


def segment_names(path: Path) -> dict[int, str]:
    """Return the labels of a SEG's segments, by number; empty of another file."""
    return {int(each.SegmentNumber): str(each.SegmentLabel) for each in _read(path).get("SegmentSequence", [])}


def identifiers(images: Sequence[Path]) -> dict[str, str]:
    """Return the files of an image and, of DICOM, the patient and the study: what is told on request alone."""
    found = {"files": " ".join(str(image.absolute()) for image in images)}
    if is_dicom(images[0]):
        header = _read(_series_at(images[0])[0].path)
        found |= {name: str(header.get(name, "")) for name in IDENTIFIERS}
    return found


def _annotation_header(path: Path, dataset: "Dataset") -> Header:
    """The header of a SEG; a structure set is contours, and refused."""
    if dataset.SOPClassUID == STRUCTURES:
        fix = "Convert it: `plastimatch convert --input RTSTRUCT --output-labelmap`, dcmrtstruct2nii, or 3D Slicer."
        raise CaseError("", path, "an RTSTRUCT, which holds contours", "an image or a label on a grid", fix)
    from c2fnas.data.formats.dicom_seg import read_segments

    segments, affine, findings = read_segments(path)
    return Header(path, segments.shape, segments.dtype, affine, findings)


def _series_at(path: Path) -> tuple[Slice, ...]:
    """The slices of the one series in a folder, or of that which a file belongs to."""
    folder = path if path.is_dir() else path.parent
    groups = _series(folder, _stamp(folder))
    if not path.is_dir():
        groups = tuple(group for group in groups if any(each.path == path for each in group))
    if not groups:
        fix = "Name the folder of a series of slices: CT, MR or PET with a position in the patient."
        raise CaseError("", path, "no DICOM image with a position", "a series of slices", fix)
    if len(groups) > 1:
        shown = ", ".join(f"{each[0].number} ({len(each)} slices)" for each in groups[:5])
        fix = "Put each into a folder of its own, or name a file of the one that is meant; predict takes them all."
        raise CaseError("", path, f"{len(groups)} series in one folder: numbers {shown}", "one series", fix)
    return groups[0]


@lru_cache(maxsize=32)
def _series(folder: Path, stamp: Stamp) -> tuple[tuple[Slice, ...], ...]:
    """The series in a folder whose files have ``stamp``, by number; slices in order, each file once."""
    if empty := [name for name, size, _ in stamp if size == 0]:
        raise CaseError("", folder / empty[0], "an empty file", "a slice", "Copy or export the series again.")
    if closed := [name for name, _, _ in stamp if not os.access(folder / name, os.R_OK)]:
        raise CaseError("", folder / closed[0], "a file that may not be read", "a slice", "Make it readable for you.")
    try:
        slices = [folder / name for name, _, _ in stamp if _is_slice(folder / name)]
    except OSError as error:  # a slice that is left out would be a volume that is shorter
        refuse_exhaustion(error.filename, error)
        fix = "Give the same command again; if it stays so, copy or export the series again."
        raise CaseError("", error.filename, f"a file that can't be read ({error.strerror})", "a slice", fix) from error
    return tuple(_grouped(slices))


def _grouped(files: Sequence[Path]) -> list[tuple[Slice, ...]]:
    groups: dict[tuple[str, str], dict[object, Slice]] = {}
    for file in files:
        for each in _slices(file):
            group = groups.setdefault((each.series, each.instance if each.frame is not None else ""), {})
            # A copy of a file is the same slice; equal identifiers at another place are what anonymisers leave.
            group.setdefault((each.instance, each.frame, each.position), each)
    ordered = [tuple(sorted(group.values(), key=lambda each: each.depth)) for group in groups.values()]
    return sorted(ordered, key=lambda group: (group[0].number, group[0].series, group[0].path))


def _slices(file: Path) -> list[Slice]:
    """The slices of a file.

    Raises:
        CaseError: its header is damaged, or ends before it tells the size of its image.
    """
    header = _read(file)
    fix = "Copy or export the file again."
    try:
        if "Rows" not in header and is_image(header):
            raise CaseError("", file, "a header that is cut short", "a DICOM image", fix)
        return list(slices_of(header, file))
    except UserError:
        raise
    except Exception as error:  # pydicom reads a value when it is asked for, and raises errors of many kinds
        refuse_exhaustion(file, error)
        raise CaseError("", file, f"a damaged header ({error})", "a DICOM image", fix) from error


def _files(folder: Path) -> Iterator[Path]:
    return (file for file in sorted(folder.iterdir()) if file.is_file() and not file.name.startswith("."))


def _stamp(folder: Path) -> Stamp:
    return tuple((file.name, (known := file.stat()).st_size, known.st_mtime_ns) for file in _files(folder))


def _read(path: Path) -> "Dataset":
    """The header of a file."""
    try:
        from pydicom import dcmread
    except ImportError as error:
        raise UserError(f"{path}: to read DICOM takes two more packages: pip install 'c2fnas[dicom]'") from error
    try:
        return dcmread(path, stop_before_pixels=True, force=True)
    except Exception as error:  # of a damaged file pydicom raises errors of many kinds
        refuse_exhaustion(path, error)
        fix = "Copy or export the file again."
        raise CaseError("", path, f"an unreadable file ({error})", "a DICOM file", fix) from error


def _pixels(path: Path, header: Header) -> np.ndarray:
    from pydicom import dcmread

    try:
        return dcmread(path, force=True).pixel_array
    except RuntimeError as error:
        fix = "Install a decoder, such as `pip install pylibjpeg[all]`, or convert: `gdcmconv --raw`, `dcmdjpeg`."
        raise CaseError("", path, f"packed pixels ({error})", "pixels that can be unpacked", fix) from error
    except Exception as error:
        raise cut_short(header, error) from error
