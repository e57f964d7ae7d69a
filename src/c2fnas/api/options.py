"""Checks of options that several functions make before anything heavy is loaded."""

import inspect
import math
import os
from collections.abc import Callable
from difflib import get_close_matches
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, get_args

from c2fnas.errors import UserError

if TYPE_CHECKING:
    from c2fnas.shapes import Spacing

Given = ParamSpec("Given")
Result = TypeVar("Result")


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


def most_bytes(size: str | None) -> float | None:
    """Return the bytes of a size such as ``8G``, infinity for ``inf``; None where none is given.

    Raises:
        UserError: it is no size.
    """
    from c2fnas.inference.options import parse_bytes

    if size is None:
        return None
    return math.inf if size.lower() == "inf" else parse_bytes(size)


def known_options(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """Have a function refuse keywords that neither it nor its typed dictionary of options has, as Python does.

    The ``TypeError`` names those that are near it.
    """
    known: list[str] = []
    for name, each in inspect.signature(function).parameters.items():
        group = get_args(each.annotation)[0] if each.kind is inspect.Parameter.VAR_KEYWORD else None
        known += [name] if group is None else sorted(group.__optional_keys__)

    @wraps(function)
    def checked(*args: Given.args, **options: Given.kwargs) -> Result:
        for name in options:
            if name not in known:
                near = get_close_matches(name, known, 1)
                meant = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(known)}."
                raise TypeError(f"{function.__name__}() got an unexpected keyword argument {name!r}. {meant}")
        return function(*args, **options)

    return checked


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
