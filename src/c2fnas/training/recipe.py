"""Training recipes: the paper's to the letter, and a modern one (paper 4.1)."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

PaperStage = Literal["coarse", "supernet", "deployment"]


class Recipe(BaseModel):
    """How a network is trained. A frozen value; everything that decides the weights besides data, network and seed.

    An iteration takes ``volumes`` volumes and ``patches_per_volume`` patches from each. ``micro_batch`` patches at a time
    go through the network, gradients are accumulated, and the result is that of the whole batch.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    iterations: PositiveInt
    volumes: PositiveInt = 8
    patches_per_volume: PositiveInt = 2
    micro_batch: PositiveInt | None = None
    learning_rate: PositiveFloat
    warmup_from: PositiveFloat
    warmup_iterations: NonNegativeInt
    schedule: Literal["multistep", "polynomial"]
    milestones: tuple[int, ...] = ()
    gamma: PositiveFloat = 0.5
    power: PositiveFloat = 0.9
    momentum: float = Field(ge=0, lt=1)
    nesterov: bool
    weight_decay: NonNegativeFloat
    gradient_clip: PositiveFloat | None = None
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    dice_smoothing: PositiveFloat = 1e-5
    augmentation: Literal["paper", "modern", "none"]
    foreground_rate: float = Field(0.0, ge=0, le=1)

    @property
    def batch_size(self) -> int:
        """Patches in an iteration."""
        return self.volumes * self.patches_per_volume

    def learning_rate_at(self, iteration: int) -> float:
        """The learning rate of ``iteration`` (from 0): linear warm-up, then halved at milestones or polynomial decay."""
        if iteration < self.warmup_iterations:
            share = iteration / self.warmup_iterations
            return self.warmup_from + share * (self.learning_rate - self.warmup_from)
        if self.schedule == "multistep":
            return self.learning_rate * self.gamma ** sum(iteration >= milestone for milestone in self.milestones)
        return self.learning_rate * max(0.0, 1 - iteration / self.iterations) ** self.power

    def with_iterations(self, iterations: int) -> Self:
        """The same recipe for another number of iterations; the warm-up keeps its share at most."""
        warmup = min(self.warmup_iterations, max(1, iterations // 20))
        return self.model_copy(update={"iterations": iterations, "warmup_iterations": warmup})


def paper_recipe(stage: PaperStage) -> Recipe:
    """Section 4.1 to the letter. The super-network doubles the iterations and the milestones of a coarse candidate."""
    iterations, milestones = (20_000, (8_000, 16_000)) if stage == "coarse" else (40_000, (16_000, 32_000))
    return Recipe(
        name="paper", iterations=iterations, volumes=8, patches_per_volume=2, learning_rate=0.02, warmup_from=0.0025,
        warmup_iterations=1000, schedule="multistep", milestones=milestones, gamma=0.5, momentum=0.9, nesterov=False,
        weight_decay=4e-5, augmentation="paper",
    )  # fmt: skip


def modern_recipe(iterations: int) -> Recipe:
    """Nesterov momentum, polynomial decay, a short warm-up and intensity augmentation, for small batches."""
    return Recipe(
        name="modern", iterations=iterations, volumes=2, patches_per_volume=1, learning_rate=0.01, warmup_from=0.001,
        warmup_iterations=max(1, iterations // 20), schedule="polynomial", momentum=0.95, nesterov=True,
        weight_decay=3e-5, gradient_clip=12.0, augmentation="modern", foreground_rate=1 / 3,
    )  # fmt: skip
