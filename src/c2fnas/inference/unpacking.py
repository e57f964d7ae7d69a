"""A model's zip file back into a package: a stranger's file, so nothing in it is believed before it is checked.

Only the names of a package are accepted, at the top level or, of models that vote, in folders ``fold-0``, ``fold-1`` or
``fold-every-case``, and each once: no path can lead elsewhere, and a pickle has no name to come under. Only regular
files, stored or deflated. No file may be larger than it declares, nor declare more than it can need: text has fixed
limits, and the weights take what the architecture in the same archive says. Everything happens under another name; the
package gets its own once its checksums agree and its weights load.
"""

import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path

import torch

from c2fnas.data.folds import EVERY_CASE
from c2fnas.errors import UserError
from c2fnas.files import new_folder
from c2fnas.inference.package import CARD, MEMBERS, PLAN, SUMS, WEIGHTS, load_package, read_plan
from c2fnas.networks.designs import FILES, build_design, design_file, read_design

DESIGNS = tuple(FILES)
FOLD = re.compile(rf"fold-(\d{{1,4}}|{EVERY_CASE})")
KIB = 1 << 10
MOST_TEXT = {SUMS: 4 * KIB, CARD: 4096 * KIB, PLAN: 256 * KIB} | dict.fromkeys(DESIGNS, 16 * KIB)
"""Bytes that a file of text may have."""
MOST_INFLATED = 20
"""The most times the archive's size that its weights may have: trained ones shrink by a tenth."""
MOST_HEADER = 1024 * KIB
"""Bytes that the names and shapes of the weights may take."""
LARGEST_PATCH = 512**3
"""Voxels that a network may be made to see at a time."""
DEFLATE_LEVEL, SIZES_BEHIND, UTF8_NAME = 0x6, 0x8, 0x800
USUAL_FLAGS = DEFLATE_LEVEL | SIZES_BEHIND | UTF8_NAME
UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, OverflowError, RecursionError)
"""Errors of `zipfile` at damaged or crafted archives and, the last, of the reader of JSON that is nested too deep."""
WHOLE = "Ask for the file again, or have it written again with `c2fnas export --format zip`."


def unpack(archive: Path, folder: Path) -> None:
    """Write the model package in ``archive``, or the folders of several, to ``folder``, which must not hold anything.

    Raises:
        UserError: ``archive`` is no zip of a model package, is damaged, or holds anything that such a file has no need
            of; ``folder`` is untouched.
    """
    with _opened(archive) as file, new_folder(folder) as unfinished:
        try:
            for place, members in _models(file).items():
                target = unfinished / place
                target.mkdir(exist_ok=True)
                for name, member in members.items():
                    if name != WEIGHTS:
                        _extract(file, member, target / name)
                if WEIGHTS in members:
                    _refuse_other_size(target, members[WEIGHTS].file_size)
                    _extract(file, members[WEIGHTS], target / WEIGHTS)
                    load_package(target)
        except UNREADABLE as error:
            raise UserError(f"{archive}: a damaged zip file ({error}). {WHOLE}") from error
        except _Refused as error:
            raise UserError(f"{archive}: refused, because {error}. {WHOLE}") from error
        except UserError as error:  # a user knows the archive, not the folder of the moment
            raise UserError(str(error).replace(str(unfinished), str(archive))) from error


class _Refused(Exception):
    """The reason why an archive is not taken."""


@contextmanager
def _opened(archive: Path) -> Iterator[zipfile.ZipFile]:
    try:
        file = zipfile.ZipFile(archive)
    except OSError as error:
        raise UserError(f"{archive}: cannot be read ({error.strerror or error}). Name a model's zip file.") from error
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise UserError(f"{archive}: not a zip file ({error}). {WHOLE}") from error
    with file:
        yield file


def _models(file: zipfile.ZipFile) -> dict[str, dict[str, zipfile.ZipInfo]]:
    """The files to extract by folder and name, all of them acceptable by what the archive says of them."""
    found: dict[str, dict[str, zipfile.ZipInfo]] = {}
    size = Path(str(file.filename)).stat().st_size
    for member in file.infolist():
        place, name = _place(member.filename)
        _refuse_entry(member, name, size)
        if name in found.setdefault(place, {}):
            raise _Refused(f"it holds {member.filename} twice")
        found[place][name] = member
    models = {place: members for place, members in found.items() if place} or {"": found.get("", {})}
    if "" not in models and found.get("", {}).keys() - {CARD}:
        raise _Refused(f"a model beside {', '.join(models)} belongs to no fold")
    for members in models.values():
        missing = [name for name in (PLAN, WEIGHTS, SUMS) if name not in members]
        if missing:
            raise _Refused(f"it holds no {missing[0]}, and so no model")
        if sum(name in members for name in DESIGNS) != 1:
            raise _Refused(f"a model has one of {' and '.join(DESIGNS)}")
    return found


def _place(path: str) -> tuple[str, str]:
    """The folder of a fold, empty for none, and the name of a member; another path is refused as a name."""
    folder, _, name = path.rpartition("/")
    return (folder, name) if FOLD.fullmatch(folder) else ("", path)


def _refuse_entry(member: zipfile.ZipInfo, name: str, archive_size: int) -> None:
    """See that an entry is a file that a model has, of a size that it can have."""
    size = member.file_size
    kind = stat.S_IFMT(member.external_attr >> 16)
    if name not in MEMBERS:
        raise _Refused(f"{name!r} is none of the files of a model ({', '.join(MEMBERS)})")
    if kind not in (0, stat.S_IFREG):
        raise _Refused(f"{name} is a link or a device, not a regular file")
    if member.flag_bits & ~USUAL_FLAGS or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _Refused(f"{name} is encrypted, or compressed in an unusual way")
    if size > MOST_TEXT.get(name, MOST_INFLATED * archive_size):
        raise _Refused(f"{name} would take {size} bytes, far more than such a file needs")


def _refuse_other_size(folder: Path, found: int) -> None:
    """See, before weights are written or a network is allocated, that the weights are as large as the network's."""
    design = read_design(folder)
    plan = read_plan(folder / PLAN)
    if prod(plan.patch_size) > LARGEST_PATCH:
        raise _Refused(f"{PLAN} has a patch of {prod(plan.patch_size):,} voxels, far more than any memory holds")
    try:
        with torch.device("meta"):
            network = build_design(design, in_channels=len(plan.channels), classes=plan.outputs)
    except (RuntimeError, ValueError, OverflowError, TypeError) as error:
        raise _Refused(f"{design_file(design)} describes no network that could be built ({error})") from error
    needed = sum(prod(tensor.shape) * tensor.element_size() for tensor in network.state_dict().values())
    if not needed / 4 <= found <= needed + MOST_HEADER:  # a quarter: weights may be kept in a shorter type
        raise _Refused(f"{WEIGHTS} takes {found} bytes, but the weights of {design_file(design)} take {needed}")


def _extract(file: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> None:
    """Write a member: `zipfile` hands out no byte more than is declared, and then finds the checksum wrong."""
    try:
        opened = file.open(member)
    except OSError as error:  # of the archive: one of the folder means another fix
        raise zipfile.BadZipFile(str(error)) from error
    with opened as source, path.open("xb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
