"""Files of a prediction: the cases of a file or folder, and the folder that labels go to.

What made the labels is written down beside them, so that a second call carries on.
"""

import os
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from glob import escape
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from c2fnas.data.dataset import Case
from c2fnas.data.formats import FORMATS, suffix_of, volume_files, without_suffix
from c2fnas.data.formats.dicom import find_series, is_dicom
from c2fnas.data.formats.dicom_seg import SUFFIX as SEG
from c2fnas.data.formats.dicom_seg import is_segmentation
from c2fnas.data.geometry import Geometry
from c2fnas.data.layouts import load_dataset
from c2fnas.data.plan import Plan
from c2fnas.data.volume import label_suffix
from c2fnas.errors import UserError
from c2fnas.files import read_json, write_atomically, write_json
from c2fnas.inference.options import LABELS_ALONE, Extras
from c2fnas.inference.statistics import StatisticsFiles
from c2fnas.shapes import Spacing

CHANNEL_FILE = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")
Source = str | os.PathLike[str]
RECORD, SPACINGS = "prediction.json", "spacings"
PROBABILITIES, PREVIEW = "_probabilities.npz", ".png"


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
            found += _lines((stdin or sys.stdin).read())
        elif path.suffix.lower() == ".txt" and path.is_file():
            found += _lines(path.read_text(encoding="utf-8-sig"))
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
    case = without_suffix(path)
    match = CHANNEL_FILE.fullmatch(case)
    siblings = path.parent.glob(f"{escape(match['case'])}_[0-9][0-9][0-9][0-9]{suffix_of(path)}") if match else ()
    return tuple(each for each in _cases(sorted({path, *siblings}), channels) if path in each.images)


def _lines(text: str) -> list[Path]:
    return [Path(line.strip()) for line in text.splitlines() if line.strip()]


def output_name(case: Case, dicom_seg: bool = False) -> str:
    """Return the file name of a case's labels: that of its image, without a channel's number, in the same format."""
    return case.id + (SEG if dicom_seg else label_suffix(case.images[0]))


def save_probabilities(path: Path, values: np.ndarray, place: Geometry, plan: Plan) -> None:
    """Write class probabilities ``[classes, i, j, k]`` as a compressed ``.npz`` of NumPy.

    Besides ``probabilities`` (half precision) it holds ``affine``, 4×4 from voxel indices to millimetres (right,
    anterior, superior), and ``classes``, their names; regions have none for the background.

    Args:
        path: Of the file.
        values: The probabilities.
        place: Their grid.
        plan: Names the classes.

    Raises:
        UserError: the file can't be written.
    """
    names, half = np.array([each.name for each in plan.classes[-plan.outputs :]]), values.astype(np.float16, copy=False)
    write_atomically(
        path, lambda temporary: np.savez_compressed(temporary, probabilities=half, affine=place.matrix, classes=names)
    )


@dataclass(frozen=True)
class PredictionFolder:
    """A folder of labels by one maker: the models and every option that changes labels.

    Args:
        root: The folder.
        extras: What is written there beside labels.
    """

    root: Path
    extras: Extras = LABELS_ALONE

    def path(self, case: Case) -> Path:
        """Return the file of a case's labels."""
        return self.root / output_name(case, self.extras.dicom_seg)

    def probabilities(self, case: Case) -> Path:
        """Return the file of a case's class probabilities."""
        return self.root / f"{case.id}{PROBABILITIES}"

    def preview(self, case: Case) -> Path:
        """Return the file of a case's picture."""
        return self.root / f"{case.id}{PREVIEW}"

    @cached_property
    def statistics(self) -> StatisticsFiles:
        """The figures of the folder's cases."""
        return StatisticsFiles(self.root)

    def _paths(self, case: Case) -> tuple[Path, ...]:
        """The files that are asked for; labels last, as they are written."""
        asked = [self.probabilities(case)] if self.extras.probabilities else []
        asked += [self.preview(case)] if self.extras.preview else []
        return (*asked, self.path(case))

    def claim(self, cases: Sequence[Case], maker: dict[str, Any], *, overwrite: bool) -> tuple[Case, ...]:
        """Take the folder for ``maker`` and return the cases that are yet to be predicted.

        A prediction that is there counts where the same maker made it, by the spacing that its case states, and its
        images have not changed since; ``overwrite`` predicts all again, and takes the folder from another maker, whose
        predictions it replaces.

        Raises:
            UserError: two cases share a file, a prediction would replace an image, or the files are another's.
        """
        self._refuse_clashes(cases)
        known, stated = read_record(self.root)
        if known != maker:
            self._take_over(cases, overwrite)
            stated = {}
        own = {self.path(case).name: case.spacing for case in cases}
        self._clear_leftovers(cases)
        open_ = tuple(
            case
            for case in cases
            if overwrite or stated.get(name := self.path(case).name) != own[name] or not self._is_current(case)
        )
        self.statistics.drop(case.id for case in open_)
        for case in open_:  # one that fails must not leave what is out of date
            for path in (self.path(case), self.probabilities(case), self.preview(case)):
                path.unlink(missing_ok=True)
        spacings = {name: spacing for name, spacing in {**stated, **own}.items() if spacing}
        if (known, stated) != (maker, spacings):
            write_json(self.root / RECORD, {**maker, **({SPACINGS: spacings} if spacings else {})})
        return open_

    def _take_over(self, cases: Sequence[Case], overwrite: bool) -> None:
        """Remove another maker's predictions of ``cases``; there must be none of other cases, which would seem ours."""
        outputs = {self.path(case) for case in cases}
        others = sorted(file for file in self.root.glob("[!.]*") if _is_label(file)) if self.root.is_dir() else []
        if others and not overwrite:
            raise UserError(
                f"{self.root}: {len(others)} volumes are here already that these models and options have not made, "
                f"such as {others[0].name}. Choose another folder, or give --overwrite to replace them."
            )
        strangers = [file for file in others if file not in outputs]
        if strangers:
            raise UserError(
                f"{self.root}: {len(strangers)} volumes here are of other cases, such as {strangers[0].name}, and of "
                "other models or options; a folder holds predictions of one kind. Choose another folder."
            )
        for file in others:
            file.unlink()

    def _is_current(self, case: Case) -> bool:
        try:
            changed = max(file.stat().st_mtime_ns for image in case.images for file in volume_files(image))
            there = all(path.stat().st_mtime_ns >= changed for path in self._paths(case))
        except OSError:
            return False
        return there and (case.id in self.statistics or not self.extras.statistics)

    def _refuse_clashes(self, cases: Sequence[Case]) -> None:
        owner: dict[Path, Case] = {}
        images = {image.resolve() for case in cases for image in case.images}
        if self.extras.dicom_seg and (others := [image for image in images if not is_dicom(image)]):
            raise UserError(f"{others[0]}: not DICOM, and a SEG refers to a series. Leave --format dicom-seg out.")
        places = [(each, path) for each in cases for path in self._paths(each)]
        if self.extras.statistics:
            places += [(each, self.root / f"statistics.json: {each.id}") for each in cases]
        for case, path in places:
            if path.resolve() in images:
                raise UserError(f"{path}: the prediction would replace an image. Choose another --output folder.")
            if path in owner:
                raise UserError(
                    f"{case.images[0]} and {owner[path].images[0]} would both be predicted into {path}. Rename one of "
                    "them, or predict them into two folders."
                )
            owner[path] = case

    def _clear_leftovers(self, cases: Sequence[Case]) -> None:
        """Remove what a kill in the middle of a write has left."""
        names = {path.name for case in cases for path in self._paths(case)}
        for path in self.root.glob(".[0-9]*-*"):
            if path.name.partition("-")[2] in names:
                path.unlink(missing_ok=True)


def read_record(folder: Path) -> tuple[dict[str, Any] | None, dict[str, Spacing]]:
    """Return the maker of the labels in a folder, None where none tells, and by file the spacings that cases stated."""
    record = folder / RECORD
    if not record.is_file() or not isinstance(maker := read_json(record), dict):
        return None, {}
    return maker, {name: tuple(spacing) for name, spacing in maker.pop(SPACINGS, {}).items()}


def _is_label(file: Path) -> bool:
    return bool(suffix_of(file)) or is_segmentation(file)


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
