"""Errors that a user can mend: one readable paragraph, exit code 2, no traceback."""


class UserError(Exception):
    """Something the user can put right; the message names the file and the mend."""


class Interrupted(Exception):
    """Stopped on request; the same command carries on."""


def in_a_line(error: Exception) -> str:
    """What another library's error says, in one line: of pydantic's, each key with what is wrong with it.

    >>> in_a_line(ValueError("a mapping\\n  in line 3"))
    'a mapping in line 3'
    """
    faults = getattr(error, "errors", None)
    if not callable(faults):
        return " ".join(str(error).split())
    return "; ".join(": ".join(filter(None, [".".join(map(str, each["loc"])), each["msg"]])) for each in faults())
