"""The stride that validates coarse candidates, chosen by what it costs."""

from collections.abc import Sequence
from fractions import Fraction

from c2fnas.data.plan import Plan
from c2fnas.inference.sliding_window import SlidingWindow
from c2fnas.shapes import Size
from c2fnas.training.recipe import Recipe

BACKWARD = 3
"""A training step of a patch in forward passes: the backward pass takes two."""

PARTS = (Fraction(1, 4), Fraction(1, 2), Fraction(3, 4), Fraction(1))
"""Strides to choose among, as parts of the patch."""


def affordable_stride(plan: Plan, shapes: Sequence[Size], recipe: Recipe, share: float) -> Size:
    """The finest stride, from the plan's on, whose windows over ``shapes`` are worth ``share`` of the recipe's steps.

    Where even windows without overlap cost more, these.
    """
    affordable = share * BACKWARD * recipe.iterations * recipe.batch_size
    choices = [plan.stride, *coarser_strides(plan)]
    return next((stride for stride in choices if _windows(plan, stride, shapes) <= affordable), choices[-1])


def coarser_strides(plan: Plan) -> list[Size]:
    """Parts of the patch that are nowhere finer than the plan's stride, and somewhere coarser."""
    parts = [_part(plan.patch_size, part) for part in PARTS]
    return [
        stride
        for stride in parts
        if stride != plan.stride and all(step >= least for step, least in zip(stride, plan.stride, strict=True))
    ]


def _part(patch: Size, part: Fraction) -> Size:
    i, j, k = (max(1, round(side * part)) for side in patch)
    return i, j, k


def _windows(plan: Plan, stride: Size, shapes: Sequence[Size]) -> int:
    window = SlidingWindow(patch_size=plan.patch_size, stride=stride)
    return sum(len(window.windows(shape)) for shape in shapes)
