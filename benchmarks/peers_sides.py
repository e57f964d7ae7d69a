"""The sides of `peers.py`: their names, their titles on its page, and the pairs that take a difference apart."""

from typing import NamedTuple

TITLES = {
    "c2fnas": "c2fnas",
    "nnunet": "nnU-Net",
    "auto3dseg": "SegResNet by Auto3DSeg",
    "auto3dseg-dints": "DiNTS by Auto3DSeg",
    "dynunet": "DynUNet in our loop",
    "segresnet": "SegResNet in our loop",
    "dints": "DiNTS in our loop",
    "c2fnas@c2fnas": "our network, our plan, in our loop",
    "c2fnas@nnunet": "our network, nnU-Net's spacing and patch, in our loop",
    "dynunet@nnunet": "DynUNet, nnU-Net's spacing and patch, in our loop",
}
SIDES = tuple(TITLES)
OTHERS = ("nnunet", "auto3dseg", "auto3dseg-dints")
"""Sides that train by a loop of their own."""
BY_AUTO3DSEG = ("auto3dseg", "auto3dseg-dints")


class Factor(NamedTuple):
    """Two sides that differ in one thing alone.

    Attributes:
        name: of the thing.
        first: the side that a difference is taken of.
        second: the side that is subtracted.
    """

    name: str
    first: str
    second: str


FACTORS = (
    Factor("Plan", "dynunet", "dynunet@nnunet"),
    Factor("Plan", "c2fnas@c2fnas", "c2fnas@nnunet"),
    Factor("Network", "c2fnas@c2fnas", "dynunet"),
    Factor("Recipe", "dynunet@nnunet", "nnunet"),
)


def in_our_loop(side: str) -> bool:
    """Return true if a side trains in c2fnas's loop, whose precision can be chosen."""
    return side not in OTHERS


def needed_by(side: str) -> frozenset[str]:
    """Return the sides that a side takes its plan and its network from.

    >>> sorted(needed_by("c2fnas@nnunet")), sorted(needed_by("dints")), sorted(needed_by("nnunet"))
    (['c2fnas', 'nnunet'], ['c2fnas'], [])
    """
    if side == "c2fnas" or not in_our_loop(side):
        return frozenset()
    network, _, planner = side.partition("@")
    return frozenset({planner or "c2fnas"} | {network} & {"c2fnas"})
