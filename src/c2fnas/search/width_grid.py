"""Candidates of the third stage: a grid over the width multiplier (paper 5.3 and Table 4)."""

from collections.abc import Sequence
from dataclasses import replace

from c2fnas.errors import UserError
from c2fnas.space.architecture import Architecture

WIDTHS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)
"""The paper's grid."""


def refuse_factors(factors: Sequence[float]) -> None:
    """Refuse factors of a patch's sides that no patch can have.

    Raises:
        UserError: there is none, or one is too small or too large.
    """
    if not factors or any(not 0 < factor < 8 for factor in factors):
        raise UserError("--patches: give at least one factor, above 0 and below 8.")


def scaling_grid(architecture: Architecture, widths: Sequence[float] = WIDTHS) -> tuple[Architecture, ...]:
    """Return ``architecture`` at every width, in the order given; its own width is not used.

    Raises:
        UserError: no width, one that is given twice, or one that gives no whole number of filters.

    >>> panc = Architecture.named("c2fnas-panc")
    >>> [scaled.filters(0) for scaled in scaling_grid(panc)]
    [16, 32, 48, 64, 80, 96, 112, 128]
    """
    if not widths:
        raise UserError("--widths: give at least one.")
    if len(set(widths)) != len(widths):
        raise UserError(f"--widths: a width is given twice among {', '.join(map(str, widths))}.")
    try:
        return tuple(replace(architecture, width=width) for width in widths)
    except ValueError as error:
        raise UserError(f"--widths: {error}.") from error
