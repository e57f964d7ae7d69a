"""Which cases a file or folder holds that is to be predicted, and which file each prediction goes to."""

import re
from collections.abc import Iterable
from pathlib import Path

from c2fnas.data.dataset import Case
from c2fnas.data.formats import FORMATS, suffix_of, without_suffix
from c2fnas.data.volume import label_suffix
from c2fnas.errors import UserError

CHANNEL_FILE = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")


def find_cases(path: Path, channels: int) -> tuple[Case, ...]:
    """The cases of a volume file or of a folder of such files, by name.

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
    siblings = path.parent.glob(f"{_escaped(match['case'])}_[0-9][0-9][0-9][0-9]{suffix_of(path)}") if match else ()
    return tuple(each for each in _cases(sorted({path, *siblings}), channels) if path in each.images)


def output_name(case: Case) -> str:
    """The file name of a case's prediction: that of its image, without a channel's number, in the same format."""
    return case.id + label_suffix(case.images[0])


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


def _escaped(text: str) -> str:
    """``text`` as a glob pattern that matches itself alone."""
    return re.sub(r"([*?[])", r"[\1]", text)
