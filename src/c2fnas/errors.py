"""Errors that a user can fix: one readable paragraph, exit code 2, no traceback."""

import errno

EXHAUSTED = {
    errno.EMFILE: "Raise the limit of open files (`ulimit -n`), or use fewer workers.",
    errno.ENFILE: "Close other programs, or raise the machine's limit of open files.",
    errno.ENOMEM: "Close other programs, or use fewer workers.",
    errno.EAGAIN: "Close other programs, or use fewer workers.",
}
"""Resources of the system that run out, with the fix: no fault of the file that was being read."""
NO_THREAD = "can't start new thread"
"""Python's whole message where the system gives no more threads; it has no number."""


class UserError(Exception):
    """Something the user can put right; the message names the file and the fix."""


class Interrupted(Exception):
    """Stopped on request; the same command carries on."""


def refuse_exhaustion(path: object, error: BaseException | None) -> None:
    """Do nothing, unless an error, or what it came from, says that the system has run out of something.

    Raises:
        UserError: it has; the message names what, and not the file as damaged.
    """
    if told := exhaustion(error):
        raise UserError(f"{path}: {told}") from error


def exhaustion(error: BaseException | None) -> str:
    """Return what of the system has run out, with the fix, by an error or what it came from; empty if nothing has."""
    while error is not None:
        number = _number(error)
        if number in EXHAUSTED:
            what = getattr(error, "strerror", None) or str(error) or "Cannot allocate memory"
            return f"a resource of the system has run out ({what}). {EXHAUSTED[number]}"
        error = error.__cause__
    return ""


def _number(error: BaseException) -> int | None:
    if isinstance(error, MemoryError):
        return errno.ENOMEM
    if isinstance(error, RuntimeError) and str(error) == NO_THREAD:
        return errno.EAGAIN
    if getattr(error, "characters_written", None) is not None:  # a pipe that is full, and nothing of the system
        return None
    return getattr(error, "errno", None)


def in_a_line(error: Exception) -> str:
    """Return the message of another library's error in one line.

    >>> in_a_line(ValueError("a mapping\\n  in line 3"))
    'a mapping in line 3'
    """
    return " ".join(str(error).split())
