"""The networks that a found one has to beat: a U-Net of equal multiply-accumulates, the median random topology."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from c2fnas.networks.baselines import Baseline
from c2fnas.runs.run import Run
from c2fnas.runs.trial import Trial

UNET = "unet3d"
FINEST = 2048
"""Filters of the U-Net are 32 to 512 times the width, rounded: they change at multiples of 1/1024 alone, so that odd
multiples of 1/2048 show every width there is, and never one where a half would be rounded."""

RANDOM_BRANCHES = ("random", "initial")
"""The branches that hold random topologies, best first: the draws of a random branch, which for Algorithm 1 are of any
cluster; the first samples of its clusters, or of a population."""


def unet_of_equal_macs(run: Run, macs: int) -> Baseline:
    """Return the 3D U-Net whose multiply-accumulates of a patch are nearest to ``macs``, in whole filters."""

    @cache
    def at(step: int) -> tuple[Baseline, int]:
        unet = Baseline(UNET, (2 * step + 1) / FINEST)
        return unet, run.cost(unet).macs

    low, high = 0, 1
    while at(high)[1] < macs:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if at(middle)[1] < macs else (low, middle)
    return min((at(low), at(high)), key=lambda each: abs(each[1] - macs))[0]


@dataclass(frozen=True)
class Median:
    """The median of random topologies.

    Args:
        trial: the topology's candidate.
        drawn: of how many it is the median; those that failed are not among them.
        stopped: how many of these were stopped early.
    """

    trial: Trial
    drawn: int
    stopped: int

    @property
    def note(self) -> str:
        """The way it was chosen, as text."""
        first = self.trial.extra["branch"] == "initial"
        drawn = "the search began with" if first else "were drawn at random"
        of = f"candidate {self.trial.number}, the median by coarse Dice of the {self.drawn} that {drawn}"
        if self.stopped:
            of += f", the {self.stopped} stopped early counted below the others"
        if self.trial.state == "stopped":
            of += ", where it is one of those and ranked by its rung and the Dice there"
        return f"{of}; 3D in every cell"


def median_random(trials: Sequence[Trial], sampler: str) -> Median | None:
    """Return the median of the coarse stage's random topologies that did not fail, or None if there are none.

    By score, then by number; of an even number the lower of the two in the middle. One that was stopped early has no
    score and is below all that have one: among the stopped, the later rung is the higher, then the Dice there.
    ``sampler`` tells if the search's random branch is one: a surrogate chooses there too.
    """
    for drawn in _random_draws(trials, sampler):
        ended = sorted((each for each in drawn if each.evidence is not None), key=_place)
        if ended:
            stopped = sum(each.state == "stopped" for each in ended)
            return Median(ended[(len(ended) - 1) // 2], len(ended), stopped)
    return None


def no_median(trials: Sequence[Trial], sampler: str) -> str:
    """Return the reason for there being no median, as text."""
    drawn = sum(map(len, _random_draws(trials, sampler)))
    if not drawn:
        return "the coarse stage has drawn no topology at random"
    return f"of the coarse stage's random topologies none has succeeded ({drawn} tried)"


def _random_draws(trials: Sequence[Trial], sampler: str) -> list[list[Trial]]:
    """The random candidates of each of :data:`RANDOM_BRANCHES` that is one with this sampler."""
    branches = [branch for branch in RANDOM_BRANCHES if branch != "random" or sampler != "surrogate"]
    return [[each for each in trials if each.extra.get("branch") == branch] for branch in branches]


def _place(trial: Trial) -> tuple[float, float, int]:
    """Iterations, Dice after these, number."""
    far = trial.rungs[-1].iteration if trial.state == "stopped" else float("inf")
    return far, trial.evidence or 0.0, trial.number
