"""Errors that a user can mend: one readable paragraph, exit code 2, no traceback."""


class UserError(Exception):
    """Something the user can put right; the message names the file and the mend."""


class Interrupted(Exception):
    """Stopped on request; the same command carries on."""
