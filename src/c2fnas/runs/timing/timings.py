"""The seconds of steps and windows on a device: what every forecast is made of."""

from dataclasses import dataclass

from c2fnas.runs.timing.allowance import slowdown
from c2fnas.training.recipe import Recipe


@dataclass(frozen=True)
class Timings:
    """Seconds on one device of the machine at hand.

    Attributes:
        patch: forward and backward of one patch through a network in the middle of the space.
        window: forward of one window.
        augmentation: of one patch, where a recipe warps patches; on a CPU it takes its time from the training.
        alone: the seconds of a job that has all the cores, in parts of those of one of several devices that share them.
    """

    patch: float
    window: float
    augmentation: float = 0.0
    alone: float = 1.0

    def augmenting(self, recipe: Recipe) -> float:
        """Return the seconds by which the recipe's augmentation makes a patch longer."""
        return self.augmentation if recipe.warped else 0.0

    def times(self, factor: float) -> "Timings":
        """Return the same for ``factor`` times as much work, or as slow a machine."""
        return Timings(factor * self.patch, factor * self.window, factor * self.augmentation, self.alone)

    def beside(self, jobs: int, devices: int) -> "Timings":
        """Return the same for one of so many jobs of a stage: of fewer jobs than devices, each has more cores."""
        return self.times(slowdown(self.alone, jobs, devices))
