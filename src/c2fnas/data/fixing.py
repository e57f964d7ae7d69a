"""Corrected copies of a data set: only what is safe to correct is corrected, and originals are only ever read.

Safe are a label's axes where an exact turn lays them on its image's, its affine within tolerance, a fourth axis of one
voxel, and whole numbers stored as real ones or behind a slope; on request, NaN and infinite voxels are filled.
Everything else is copied as it is, faults included.
"""

import csv
import io
import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from c2fnas.data.dataset import Case
from c2fnas.data.formats import Header, format_of, header_findings, suffix_of, volume_files
from c2fnas.data.geometry import Geometry, Turn
from c2fnas.data.parallel import Progress
from c2fnas.data.problem import CaseError
from c2fnas.data.scan import Scan
from c2fnas.data.volume import read_header, write_label
from c2fnas.data.voxels import fraction_finding, label_integers
from c2fnas.errors import UserError
from c2fnas.files import write_atomically, write_text


@dataclass(frozen=True)
class Fixed:
    """A file that was corrected: its case, the original, the copy and what was done."""

    case: str
    file: str
    copy: str
    fixed: str


def fix_dataset(
    scan: Scan, folder: Path, *, fill: float | None = None, progress: Progress | None = None
) -> tuple[Fixed, ...]:
    """Write a copy of a data set, in its own layout, with what is safe to correct corrected.

    Args:
        scan: the data set and its problems.
        folder: where the copy goes; empty or not there yet.
        fill: the value for NaN and infinite voxels of images; without it they stay.
        progress: called with the cases done and those there are.

    Raises:
        UserError: the folder holds something, lies in the data set or holds it, or can't be written.
    """
    _refuse_unfit(folder, scan)
    cases, places, fixed = (*scan.dataset.training, *scan.dataset.test), dict[Path, Path](), []
    for done, case in enumerate(cases, start=1):
        fixed += _fix_case(case, scan.dataset.root, folder, fill, places)
        if progress is not None:
            progress(done, len(cases))
    for file in filter(Path.is_file, scan.files):  # series have no manifest
        _copy_manifest(file, folder / file.name, places)
    return tuple(fixed)


def _refuse_unfit(folder: Path, scan: Scan) -> None:
    target, root = folder.resolve(), scan.dataset.root.resolve()
    if target == root or root in target.parents or target in root.parents:
        raise UserError(
            f"{folder}: lies in the data set or holds it. Name a folder beside it: originals stay as they are."
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder}: not an empty folder. Name a new one for the corrected copies.")
    cases = (*scan.dataset.training, *scan.dataset.test)
    sources = {each for case in cases for path in case.files if path.exists() for each in volume_files(path)}
    needed = sum(path.stat().st_size for path in sources if path.is_file())
    free = shutil.disk_usage(next(parent for parent in (target, *target.parents) if parent.exists())).free
    if needed > free:
        raise UserError(
            f"{folder}: {free:,} bytes free, but the copies take {needed:,}. Free some space, or name another."
        )


def _fix_case(case: Case, root: Path, folder: Path, fill: float | None, places: dict[Path, Path]) -> list[Fixed]:
    """Copy a case's files, corrected where that is safe; ``places`` learns where each file went.

    Files outside the data set, which a table may name, are copied only if they are corrected.
    """
    found = []
    for number, path in enumerate(case.files):
        outside = ".." in path.parts or not path.is_relative_to(root)  # a table's absolute path
        copy = folder / case.id / f"{number}{suffix_of(path)}" if outside else folder / path.relative_to(root)
        done = _fix_label(path, copy, case) if path == case.label else _fill_image(path, copy, case, fill)
        if done:
            found.append(Fixed(case.id, str(path), str(copy), done))
        elif not outside and path not in places:
            _copy(path, copy)
        if done or not outside:
            places[path] = copy
    return found


def _fix_label(path: Path, copy: Path, case: Case) -> str:
    """Write a corrected label and say what was corrected; nothing where nothing is to correct, or nothing safely."""
    header, image = _sound(path, case), _sound(case.images[0], case)
    if header is None or not suffix_of(path) or format_of(path).data_file(path) is not None:
        return ""  # DICOM stays as it is; a header with its voxels beside it would become another file
    turn = None if image is None else _geometry(header).turn_onto(_geometry(image))
    affine = header.affine if image is None or turn is None else image.affine
    moved = bool((affine != header.affine).any())
    done = [
        *(["the affine of the image" if turn == Turn() else "the axes of the image"] if moved else []),
        *(["three axes"] if header.shape[3:] == (1,) else []),
        *(["whole numbers stored as such"] if header.dtype.kind == "f" or header.scaling else []),
    ]
    stored = _stored(header) if done else None
    if stored is None or not _is_plain_label(stored, header):
        return ""
    labels = (turn or Turn()).array(label_integers(stored.reshape(stored.shape[:3])))
    largest = int(labels.max(initial=0))
    fits = header.dtype.kind in "iu" and largest <= np.iinfo(header.dtype).max
    dtype = header.dtype if fits else np.min_scalar_type(largest)
    template = path if not moved or image is None else image.path
    write_label(copy, labels, Geometry.from_array(labels.shape, affine), dtype.newbyteorder("="), template=template)
    return ", ".join(done)


def _geometry(header: Header) -> Geometry:
    return Geometry.from_array(header.shape[:3], header.affine)


def _is_plain_label(stored: np.ndarray, header: Header) -> bool:
    """True if these are whole numbers of 0 or above in one channel."""
    return (
        stored.size == np.prod(stored.shape[:3])
        and fraction_finding(stored, header.scaling) is None
        and label_integers(stored).min() >= 0
    )


def _fill_image(path: Path, copy: Path, case: Case, fill: float | None) -> str:
    """Write an image without NaN and infinite voxels and say how many there were; nothing where there are none."""
    header = _sound(path, case) if fill is not None and suffix_of(path) else None
    if header is not None and format_of(path).data_file(path) is not None:
        return ""  # as of labels
    stored = _stored(header) if header is not None else None
    if header is None or stored is None or fill is None:
        return ""
    with np.errstate(over="ignore"):
        array = stored.astype(np.float32)
    bad = ~np.isfinite(array)
    if not bad.any():
        return ""
    kind = format_of(path)
    if array.ndim > 3 and not suffix_of(path).startswith(".nii"):
        return ""  # the other formats are written with three axes
    array[bad] = np.float32(fill)
    write_atomically(copy, lambda temporary: kind.write(temporary, array, header.affine, path))
    return f"{int(bad.sum()):,} voxels filled with {fill:g}"


def _sound(path: Path, case: Case) -> Header | None:
    with suppress(CaseError):
        header = read_header(path, case.id)
        if not any(finding.severity == "error" for finding in header_findings(header)):
            return header
    return None


def _stored(header: Header) -> np.ndarray | None:
    with suppress(CaseError):
        return format_of(header.path).read_voxels(header)
    return None


def _copy(path: Path, copy: Path) -> None:
    """Copy a file with those that belong to it, or a folder of slices; what is missing can't be copied."""
    folder = copy if path.is_dir() else copy.parent
    for source in volume_files(path) if path.exists() else ():
        write_atomically(folder / source.name, partial(shutil.copyfile, source))


def _copy_manifest(file: Path, copy: Path, places: Mapping[Path, Path]) -> None:
    """Copy a manifest; absolute paths of copied files become relative ones."""
    text = file.read_text(encoding="utf-8-sig")
    moved: dict[str, str] = {}
    for path, copied in places.items():
        names = [path.absolute()]
        if path.is_relative_to(file.parent):  # the folder may be reached by a link
            names.append(file.parent.resolve() / path.relative_to(file.parent))
        moved |= {str(name): copied.relative_to(copy.parent).as_posix() for name in names}
    if file.suffix.lower() in (".csv", ".tsv"):
        text = _with_paths(text, moved) if any(path.is_absolute() for path in places) else text
    elif any(json.dumps(name)[1:-1] in text for name in moved):
        text = json.dumps(_replaced(json.loads(text), moved), indent=1, ensure_ascii=False)
    write_text(copy, text)


def _replaced(value: Any, moved: Mapping[str, str]) -> Any:
    """A JSON value with other names of files."""
    if isinstance(value, dict):
        return {key: _replaced(each, moved) for key, each in value.items()}
    if isinstance(value, list):
        return [_replaced(each, moved) for each in value]
    return moved.get(value, value) if isinstance(value, str) else value


def _with_paths(text: str, moved: Mapping[str, str]) -> str:
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    out = io.StringIO()
    csv.writer(out, delimiter=separator, lineterminator="\n").writerows(
        [moved.get(str(Path(cell.strip())), cell) for cell in row] for row in rows
    )
    return out.getvalue()
