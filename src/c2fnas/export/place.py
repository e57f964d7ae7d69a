"""Where an export goes: a place that was empty, and holds the whole of it or nothing."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from c2fnas.errors import UserError
from c2fnas.files import cannot_be_written


def refuse_taken(path: Path) -> None:
    """See that an export to ``path`` replaces nothing; an empty folder is no obstacle.

    Raises:
        UserError: something is there.
    """
    if path.is_file() or path.is_symlink() or (path.is_dir() and any(path.iterdir())):
        raise UserError(f"{path}: there is something already. Delete it, or choose another --output.")


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill; it gets the name ``folder`` when the block ends well, and is gone when it does not.

    Raises:
        UserError: something is at ``folder``, the disk is full, or the parent folder can't be written.
    """
    folder = folder.absolute()  # "." has no name to put another before
    unfinished = folder.with_name(f".{os.getpid()}-{folder.name}")
    try:
        refuse_taken(folder)
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        yield unfinished
        if folder.is_dir():  # empty; not every system renames onto an empty folder
            folder.rmdir()
        unfinished.rename(folder)
    except OSError as error:
        raise cannot_be_written(folder, error, "nothing is left of what was begun") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
