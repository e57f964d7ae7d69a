"""Files that are whole or absent: written to a temporary path, flushed, renamed."""

import glob
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from c2fnas.errors import EXHAUSTED, UserError, in_a_line

STOP = "stop"
"""The name of the file by which a job is asked to save and end."""


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, flush it to the disk and rename it into place.

    A crash at any moment leaves either the old file or the new one. The temporary name keeps the suffix of ``path``,
    since many writers choose their format by it. Where ``path`` is a link, the file that it leads to is written; a
    device such as ``/dev/stdout`` or a pipe is written to.

    Raises:
        UserError: the disk is full or the folder can't be written; the old file is untouched.
    """
    path = Path(os.path.realpath(path)) if os.path.islink(path) and not is_device(path) else path
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        if is_device(path):
            write(path)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        _flush_folder(path.parent)
    except OSError as error:
        raise cannot_be_written(path, error, "the previous version of the file, if any, is intact") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def is_device(path: Path) -> bool:
    """Return true of what is written to and never replaced: a device, a pipe, a socket, or a link to one."""
    return is_there(path) and not path.is_file() and not path.is_dir()


def cannot_be_written(path: Path, error: OSError, kept: str) -> UserError:
    """Return the error for a user whose disk is full or folder closed; ``kept`` says what is not lost."""
    fix = EXHAUSTED.get(error.errno or 0, "Free some space or choose another folder").rstrip(".")
    return UserError(f"{path}: cannot be written ({error.strerror or error}). {fix}; {kept}.")


def refuse_taken(path: Path) -> None:
    """Refuse a ``path`` where something is already; an empty folder is no obstacle.

    Raises:
        UserError: something is there.
    """
    if path.is_file() or path.is_symlink() or (path.is_dir() and any(path.iterdir())):
        raise UserError(f"{path}: there is something already. Delete it, or choose another place.")


@contextmanager
def new_folder(folder: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield a folder to fill, which gets the name ``folder`` when the block ends well and is removed when it fails.

    With ``replace``, a folder that is there stays until the new one is whole.

    Raises:
        UserError: something is at ``folder``, the disk is full, or the parent folder can't be written.
    """
    folder = folder.absolute()  # "." has no name to put another before
    unfinished, old = (folder.with_name(f".{os.getpid()}-{folder.name}{end}") for end in ("", "-old"))
    try:
        if not replace:
            refuse_taken(folder)
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        yield unfinished
        if folder.exists():  # no system exchanges two folders everywhere, so the old one steps aside
            shutil.rmtree(old, ignore_errors=True)  # left by a process of this number; in containers all are 1
            folder.rename(old)
        unfinished.rename(folder)
        _flush_folder(folder.parent)  # before the old one goes
    except BaseException as error:
        if old.exists() and not folder.exists():
            old.rename(folder)
        if not isinstance(error, OSError):
            raise
        kept = "the folder that was there is intact" if replace else "nothing is left of what was begun"
        raise cannot_be_written(folder, error, kept) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def restore_folder(folder: Path) -> None:
    """Give a folder its name back that stood aside for a new one in :func:`new_folder`, which was killed then."""
    aside = folder.parent.glob(f".[0-9]*-{glob.escape(folder.name)}-old")
    if not folder.exists() and (found := sorted(aside, key=lambda path: path.stat().st_mtime)):
        found[-1].rename(folder)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` (UTF-8) to ``path`` atomically."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON to ``path`` atomically; NaN and infinity are refused."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read the JSON of ``path``.

    Raises:
        UserError: the file is missing, unreadable or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read as JSON ({error}).") from error


def files_below(folder: Path, *names: str) -> Iterator[Path]:
    """Yield the files below ``folder`` that have one of ``names``; what vanishes meanwhile is passed over.

    ``Path.glob`` fails where a folder is renamed while it looks, as those of a run that is at work are. A folder right
    below may be a link, such as to another disk.
    """
    for place, folders, found in os.walk(folder):
        yield from (Path(place, name) for name in found if name in names)
        if place == str(folder):
            linked = (Path(place, each) for each in folders if os.path.islink(os.path.join(place, each)))
            for inner, _, others in (each for link in linked for each in os.walk(link)):
                yield from (Path(inner, name) for name in others if name in names)


def changed_at(path: Path) -> float:
    """Return when a file was written last, in seconds since the epoch; 0 where there is none."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


@contextmanager
def refusing_damage(path: Path, what: str, fix: str) -> Iterator[None]:
    """Refuse the content of a file that lacks a key, or has a value of another kind.

    Args:
        path: the file, which is being made sense of inside.
        what: it should be, such as "the folds of a run".
        fix: a sentence.

    Raises:
        UserError: it is not; the message names the file.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        why = f"{type(error).__name__}: {in_a_line(error)}"
        raise UserError(f"{path}: not {what} as this version of c2fnas writes it ({why}). {fix}") from error


def is_there(path: Path) -> bool:
    """Return true if something has this path; a text that no path can be, such as one too long, is nothing's."""
    try:
        return path.exists()
    except OSError:
        return False


def append_json_line(path: Path, value: Any) -> None:
    """Append ``value`` as one line of JSON.

    Raises:
        UserError: the disk is full or the folder can't be written; the lines before are intact.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps(value, allow_nan=False) + "\n"
        with path.open("ab+") as file:
            if file.tell() and not _ends_a_line(file):
                line = f"\n{line}"  # a crash has torn the last one
            file.write(line.encode())
    except OSError as error:
        raise cannot_be_written(path, error, "the lines before are intact") from error


def _ends_a_line(file: BinaryIO) -> bool:
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"


def read_json_lines(path: Path) -> Iterator[Any]:
    """Yield the values of a JSON-lines file; lines that are damaged, or cut short by a crash, are passed over."""
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            continue


def sha256(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush_folder(folder: Path) -> None:
    """Make a rename in ``folder`` durable; folders can't be flushed on every system."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)
