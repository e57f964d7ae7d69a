"""Training recipes: the paper's to the letter, and a modern one (paper 4.1)."""

from itertools import pairwise
from math import inf
from typing import Any, Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from c2fnas.frozen import Frozen

PaperStage = Literal["coarse", "supernet", "deployment"]
Precision = Literal["fp32", "bf16", "fp16"]
Optimiser = Literal["sgd", "adamw"]

SECOND_MOMENTUM = 0.99
"""AdamW's average of squared gradients; the span of PyTorch's 0.999 is longer than a short training."""

WARMUP_SHARE = 20
"""A recipe cut short warms up for one in so many of its iterations at most."""

LONG = 20_000
"""Iterations from which on a modern recipe is nnU-Net's: its optimiser, and patches that are mirrored."""

WORN, WORN_LENGTH, FEW_CASES = 75, 1_500, 100
"""Passes over fewer training cases than the last, from which on shorter trainings mirror patches too, and scale them
more; and the fewest iterations of these."""

FLIPPING = ("paper", "modern", "strong")
"""Augmentations that flip patches, so that a network knows mirrored views."""

RESULT_FREE = frozenset({"name", "micro_batch", "mirror"})
"""Fields that may change in the middle of a training, since its result does not depend on them."""


class Recipe(Frozen):
    """The settings of a training: all that decides the weights besides data, network and seed. A frozen value.

    An iteration takes ``volumes`` volumes and ``patches_per_volume`` patches from each. ``micro_batch`` patches at a
    time pass the network, and gradients are accumulated to those of the whole batch. With ``mirror``, predictions of a
    deployed network are averaged over mirrored views; it must have seen flips in training. ``momentum`` is SGD's, or
    AdamW's average of gradients; ``weight_decay`` is added to SGD's gradients and taken off AdamW's weights.
    """

    name: str
    iterations: PositiveInt
    volumes: PositiveInt = 8
    patches_per_volume: PositiveInt = 2
    micro_batch: PositiveInt | None = None
    learning_rate: PositiveFloat
    warmup_from: PositiveFloat
    warmup_iterations: NonNegativeInt
    schedule: Literal["multistep", "polynomial"]
    milestones: tuple[NonNegativeInt, ...] = ()
    gamma: PositiveFloat = 0.5
    power: PositiveFloat = 0.9
    optimiser: Optimiser = "sgd"
    momentum: float = Field(ge=0, lt=1)
    nesterov: bool
    weight_decay: NonNegativeFloat
    gradient_clip: PositiveFloat | None = None
    precision: Precision = "fp32"
    dice_smoothing: PositiveFloat = 1e-5
    augmentation: Literal["paper", "modern", "strong", "unmirrored", "none"]
    foreground_rate: float = Field(default=0.0, ge=0, le=1)
    mirror: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if any(later <= earlier for earlier, later in pairwise(self.milestones)):
            raise ValueError(f"milestones must rise, found {self.milestones}")
        if self.nesterov and (self.momentum == 0 or self.optimiser != "sgd"):
            raise ValueError("nesterov needs SGD with a momentum above 0")
        return self

    @property
    def batch_size(self) -> int:
        """Patches in an iteration, over all processes."""
        return self.volumes * self.patches_per_volume

    def learning_rate_at(self, iteration: int) -> float:
        """Return the learning rate of ``iteration`` (from 0).

        Linear warm-up, then multiplied by ``gamma`` at milestones, or polynomial decay.

        >>> [round(paper_recipe("coarse").learning_rate_at(step), 5) for step in (0, 500, 1000, 8000, 16000)]
        [0.0025, 0.01125, 0.02, 0.01, 0.005]
        """
        if iteration < self.warmup_iterations:
            share = iteration / self.warmup_iterations
            return self.warmup_from + share * (self.learning_rate - self.warmup_from)
        if self.schedule == "multistep":
            return self.learning_rate * self.gamma ** sum(iteration >= milestone for milestone in self.milestones)
        return self.learning_rate * max(0.0, 1 - iteration / self.iterations) ** self.power

    def with_iterations(self, iterations: int) -> Self:
        """Return the recipe for another number of iterations.

        Milestones keep their share of the whole, which is how the paper's super-network doubles those of a coarse
        candidate; the warm-up is shortened where it would take more than a twentieth, and never prolonged.

        >>> paper_recipe("coarse").with_iterations(40_000).milestones
        (16000, 32000)
        """
        milestones = {round(milestone * iterations / self.iterations) for milestone in self.milestones}
        warmup = min(self.warmup_iterations, max(1, iterations // WARMUP_SHARE))
        update = {"iterations": iterations, "milestones": tuple(sorted(milestones)), "warmup_iterations": warmup}
        return self.model_copy(update=update)

    @property
    def warped(self) -> bool:
        """True if patches are warped and their intensities changed, which takes a CPU's time."""
        return self.augmentation in ("modern", "strong", "unmirrored")

    def divided(self, divisor: int) -> Self:
        """Return the recipe with a smaller micro-batch, after an out-of-memory; the effective batch stays."""
        if divisor == 1:
            return self
        return self.model_copy(update={"micro_batch": max(1, (self.micro_batch or self.batch_size) // divisor)})


def paper_recipe(stage: PaperStage) -> Recipe:
    """Return the recipe of section 4.1. The super-network doubles iterations and milestones of a coarse candidate."""
    iterations, milestones = (20_000, (8_000, 16_000)) if stage == "coarse" else (40_000, (16_000, 32_000))
    return Recipe(
        name="paper",
        iterations=iterations,
        volumes=8,
        patches_per_volume=2,
        learning_rate=0.02,
        warmup_from=0.0025,
        warmup_iterations=1000,
        schedule="multistep",
        milestones=milestones,
        gamma=0.5,
        momentum=0.9,
        nesterov=False,
        weight_decay=4e-5,
        augmentation="paper",
    )


def modern_recipe(iterations: int, patches: int = 2, cases: float = inf) -> Recipe:
    """Return nnU-Net's recipe (SGD, Nesterov, polynomial decay of 0.9) with a short warm-up, for small batches.

    Its momentum of 0.99 averages over a hundred iterations and needs many: below ``LONG`` the optimiser is AdamW
    (docs/decisions/0018). There patches are not mirrored either, which slows a training, and so there are no mirrored
    views; unless it passes over few training cases so often that it would learn these by heart (docs/decisions/0170 and
    0180). They are then scaled more often, and by more (docs/decisions/0174).

    Args:
        iterations: of the training.
        patches: of an iteration, by which passes are counted.
        cases: to train on; infinite where that is not known yet.
    """
    long = iterations >= LONG
    worn = iterations >= WORN_LENGTH and iterations * patches >= WORN * cases and cases < FEW_CASES
    rate = 0.01 if long else 0.004
    stepping: dict[str, Any] = (
        {"optimiser": "sgd", "momentum": 0.99, "nesterov": True, "weight_decay": 3e-5}
        if long
        else {"optimiser": "adamw", "momentum": 0.9, "nesterov": False, "weight_decay": 0.01}
    )
    return Recipe(
        name="modern",
        iterations=iterations,
        volumes=2,
        patches_per_volume=1,
        learning_rate=rate,
        warmup_from=rate / 10,
        warmup_iterations=max(1, min(1000, iterations // WARMUP_SHARE)),
        schedule="polynomial",
        gradient_clip=12.0,
        augmentation="strong" if worn else "modern" if long else "unmirrored",
        foreground_rate=1 / 3,
        mirror=worn or long,
        **stepping,
    )
