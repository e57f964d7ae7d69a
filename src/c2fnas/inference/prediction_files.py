"""Files of a prediction: the cases of a file or folder, and the folder that labels go to.

What made the labels is written down beside them, so that a second call carries on.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any

from c2fnas.data.dataset import Case
from c2fnas.data.formats import FORMATS, suffix_of, without_suffix
from c2fnas.data.volume import label_suffix
from c2fnas.errors import UserError
from c2fnas.files import read_json, write_json

CHANNEL_FILE = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")
RECORD = "prediction.json"


def find_cases(path: Path, channels: int) -> tuple[Case, ...]:
    """Return the cases of a volume file or of a folder of such files, by name.

    Files ``CASE_0000``, ``CASE_0001`` ... are the channels of one case where they are exactly ``channels`` in number;
    otherwise every file is a case of its own (whose channels may lie along a fourth axis).

    Raises:
        UserError: nothing is there that could be predicted.
    """
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if suffix_of(file) and not file.name.startswith("."))
        if not files:
            raise UserError(f"{path}: no images in this folder. Known are files that end in {', '.join(FORMATS)}.")
        return _cases(files, channels)
    if not path.is_file():
        raise UserError(f"{path}: no such file or folder. Name an image, or a folder of images.")
    case = without_suffix(path)
    match = CHANNEL_FILE.fullmatch(case)
    siblings = path.parent.glob(f"{escape(match['case'])}_[0-9][0-9][0-9][0-9]{suffix_of(path)}") if match else ()
    return tuple(each for each in _cases(sorted({path, *siblings}), channels) if path in each.images)


def output_name(case: Case) -> str:
    """Return the file name of a case's labels: that of its image, without a channel's number, in the same format."""
    return case.id + label_suffix(case.images[0])


@dataclass(frozen=True)
class PredictionFolder:
    """A folder of labels by one maker: the models and every option that changes labels."""

    root: Path

    def path(self, case: Case) -> Path:
        """Return the file of a case's labels."""
        return self.root / output_name(case)

    def claim(self, cases: Sequence[Case], maker: dict[str, Any], *, overwrite: bool) -> tuple[Case, ...]:
        """Take the folder for ``maker`` and return the cases that are yet to be predicted.

        A prediction that is there counts where the same maker made it and its images have not changed since;
        ``overwrite`` predicts all again, and takes the folder from another maker, whose predictions it replaces.

        Raises:
            UserError: two cases share a file, a prediction would replace an image, or the files are another's.
        """
        self._refuse_clashes(cases)
        record = self.root / RECORD
        if not record.exists() or read_json(record) != maker:
            self._take_over(cases, overwrite)
            write_json(record, maker)
        self._clear_leftovers(cases)
        open_ = tuple(case for case in cases if overwrite or not self._is_current(case))
        for case in open_:
            self.path(case).unlink(missing_ok=True)  # a case that fails must not leave what is out of date
        return open_

    def _take_over(self, cases: Sequence[Case], overwrite: bool) -> None:
        """Remove another maker's predictions of ``cases``; there must be none of other cases, which would seem ours."""
        outputs = {self.path(case) for case in cases}
        others = sorted(file for file in self.root.glob("[!.]*") if suffix_of(file)) if self.root.is_dir() else []
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
        path = self.path(case)
        try:
            return path.stat().st_mtime_ns >= max(image.stat().st_mtime_ns for image in case.images)
        except OSError:
            return False

    def _refuse_clashes(self, cases: Sequence[Case]) -> None:
        owner: dict[Path, Case] = {}
        images = {image.resolve() for case in cases for image in case.images}
        for case in cases:
            path = self.path(case)
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
        names = {output_name(case) for case in cases}
        for path in self.root.glob(".[0-9]*-*"):
            if path.name.partition("-")[2] in names:
                path.unlink(missing_ok=True)


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
    return tuple(sorted(cases, key=lambda case: (case.id, case.images)))
