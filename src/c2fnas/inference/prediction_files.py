"""The cases that are to be predicted: of files, folders, lists and tables."""

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from glob import escape
from pathlib import Path
from typing import TextIO

from c2fnas.data.dataset import Case
from c2fnas.data.formats import FORMATS, suffix_of, without_suffix
from c2fnas.data.formats.dicom import find_series, is_dicom
from c2fnas.data.layouts import load_dataset
from c2fnas.data.layouts.nnunet import CHANNEL_FILE
from c2fnas.errors import UserError

Source = str | os.PathLike[str]


def read_paths(images: Source | Sequence[Source], stdin: TextIO | None = None) -> tuple[Path, ...]:
    """Return the files and folders that are meant: ``-`` stands for those that standard input names, a path a line.

    A file that ends in ``.txt`` names such paths too.

    Raises:
        UserError: one of them is not there, or there is none.
    """
    found = []
    for each in [images] if isinstance(images, str | os.PathLike) else images:
        path = Path(each)
        if str(path) == "-":
            found += _lines(_text_of_stream(stdin or sys.stdin))
        elif path.suffix.lower() == ".txt" and path.is_file():
            found += _lines(_text_of(path))
        else:
            found.append(path)
    for path in found:
        if not path.exists():
            raise UserError(f"{path}: no such file or folder. Name an image, or a folder of images.")
    if not found:
        raise UserError("No image is named: --input takes files, folders, a .txt with a path a line, or - for stdin.")
    return tuple(found)


def is_folder_of_images(path: Path) -> bool:
    """True if a folder holds volume files or several series; one series of slices is an image itself."""
    return path.is_dir() and not (is_dicom(path) and len(find_series(path)) == 1)


def find_cases(paths: Path | Sequence[Path], channels: int) -> tuple[Case, ...]:
    """Return the cases of volume files and of folders of such files, by name.

    Files ``CASE_0000``, ``CASE_0001`` ... are the channels of one case where they are exactly ``channels`` in number;
    otherwise every file is a case of its own (whose channels may lie along a fourth axis). In a folder without such
    files, every series of DICOM is a case. A CSV is read as :mod:`c2fnas.data.layouts.csv_table` says.

    Raises:
        UserError: nothing is there that could be predicted.
    """
    found = [case for path in ([paths] if isinstance(paths, Path) else paths) for case in _cases_at(path, channels)]
    unique = {case.images: case for case in found}  # two files of a list may be channels of one case
    return tuple(sorted(unique.values(), key=lambda case: (case.id, case.images)))


def _cases_at(path: Path, channels: int) -> tuple[Case, ...]:
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if suffix_of(file) and not file.name.startswith("."))
        series = () if files else find_series(path)
        if not files and not series:
            known = f"files that end in {', '.join(FORMATS)}, and series of DICOM"
            raise UserError(f"{path}: no images in this folder. Known are {known}.")
        return _cases(files, channels) or tuple(Case(name, (place,), None) for name, place in series)
    if not path.is_file():
        raise UserError(f"{path}: no such file or folder. Name an image, or a folder of images.")
    if path.suffix.lower() in (".csv", ".tsv"):
        table = load_dataset(path)
        return tuple(replace(case, label=None) for case in (*table.training, *table.test))
    match = CHANNEL_FILE.fullmatch(without_suffix(path))
    named = path.parent.glob(f"{escape(match['case'])}_*") if match else ()
    siblings = {each for each in named if suffix_of(each) == suffix_of(path)}
    return tuple(each for each in _cases(sorted({path, *siblings}), channels) if path in each.images)


def _text_of_stream(stream: TextIO) -> str:
    """The text of standard input, whose names may have any bytes; a stream in its place may have text alone."""
    raw = getattr(stream, "buffer", None)
    return stream.read() if raw is None else os.fsdecode(raw.read())


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: can't be read as a list of paths, a line each, in UTF-8 ({error}).") from error


def _lines(text: str) -> list[Path]:
    return [Path(line.strip()) for line in text.splitlines() if line.strip()]


def _cases(files: Iterable[Path], channels: int) -> tuple[Case, ...]:
    groups: dict[tuple[str, str], dict[int, Path]] = {}
    single = []
    for file in files:
        match = CHANNEL_FILE.fullmatch(without_suffix(file))
        if match:
            groups.setdefault((match["case"], suffix_of(file)), {})[int(match["channel"])] = file
        else:
            single.append(file)
    cases = []
    for (case, _), numbered in groups.items():
        if sorted(numbered) == list(range(channels)):
            cases.append(Case(case, tuple(numbered[channel] for channel in range(channels)), None))
        else:
            single += numbered.values()
    cases += [Case(without_suffix(file), (file,), None) for file in single]
    return tuple(cases)
