"""Checks of options that several functions make before anything heavy is loaded."""

import math
import os
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from c2fnas.errors import UserError

if TYPE_CHECKING:
    from c2fnas.shapes import Spacing


def given(**values: Any) -> dict[str, Any]:
    """Return the values that are not None; a name's ``__`` stands for the dot of a field.

    >>> given(coarse__sampler="tpe", seed=None)
    {'coarse.sampler': 'tpe'}
    """
    return {name.replace("__", "."): value for name, value in values.items() if value is not None}


def limit_or_none(limit: float) -> float | None:
    """Return a limit; None, which is no limit, for infinity.

    Raises:
        UserError: it is no number.
    """
    if math.isnan(limit):
        raise UserError("A limit of nan: give a number, or inf for none.")
    return None if limit == math.inf else limit


def whole_or_none(limit: float) -> int | None:
    """Return a limit as a whole number; None as :func:`limit_or_none`, which it raises as."""
    found = limit_or_none(limit)
    return None if found is None else round(found)


def refuse_other_options(options: Mapping[str, Any], kind: Any) -> None:
    """Refuse keywords that a function's typed dictionary of options does not have, as Python refuses others.

    Raises:
        TypeError: there is one; the message names those that are near it.
    """
    known = [*get_type_hints(kind)]
    for name in options:
        if name not in known:
            near = get_close_matches(name, known, 1)
            meant = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(known)}."
            raise TypeError(f"unexpected keyword argument {name!r}. {meant}")


def refuse_below(least: int, **values: int | None) -> None:
    """Refuse numbers that are too small.

    Raises:
        UserError: a value that is given is below ``least``.
    """
    for name, value in values.items():
        if value is not None and value < least:
            raise UserError(f"--{name.replace('_', '-')} {value}: give {least} or more.")


def stated(spacing: str | None) -> "Spacing | None":
    """Return the true spacing that ``--spacing`` states.

    Raises:
        UserError: it is none.
    """
    if spacing is None:
        return None
    from c2fnas.inference.options import stated_spacing

    return stated_spacing(spacing)


def refuse_figure(figure: str | Path | None) -> None:
    """Refuse a name of a figure that can't be drawn or written, before hours of work and not after them.

    Raises:
        UserError: it does not end in .png, .svg or .pdf, or its folder can't be made or written to.
    """
    if figure is None:
        return
    if Path(figure).suffix.lower() not in (".png", ".svg", ".pdf"):
        raise UserError(
            f"--figure {figure}: no kind of picture that can be drawn. Let its name end in .png, .svg or .pdf."
        )
    folder = next(parent for parent in Path(figure).absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UserError(f"{figure}: cannot be written, as {folder} is no folder to write to. Choose another.")
