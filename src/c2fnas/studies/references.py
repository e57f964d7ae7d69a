"""What a found network has to beat: a U-Net of equal multiply-accumulates, and the median of the random topologies."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch

from c2fnas.networks.baselines import Baseline
from c2fnas.networks.count import count_network
from c2fnas.networks.designs import Design, build_design
from c2fnas.runs.run import Setting
from c2fnas.runs.trial import Trial

UNET = "unet3d"
FINEST = 2048
"""Filters of the U-Net are 32 to 512 times the width, rounded: they change at multiples of 1/1024 alone, so that odd
multiples of 1/2048 show every width there is, and never one where a half would be rounded."""

RANDOM_BRANCHES = ("random", "initial")
"""Where random topologies are looked for, in this order: the draws of a random branch, which for Algorithm 1 are of any
cluster; the first samples of its clusters, or of a population."""


@dataclass(frozen=True)
class Cost:
    """Learnable numbers, and multiply-accumulates of one patch."""

    parameters: int
    macs: int


def cost_of(setting: Setting, design: Design) -> Cost:
    """What the network of a design costs in this run, counted on the built network; nothing is computed."""
    with torch.device("meta"):
        network = build_design(design, in_channels=setting.in_channels, classes=setting.classes)
    return Cost(*count_network(network, in_channels=setting.in_channels, input_size=setting.plan.patch_size))


def unet_of_equal_macs(setting: Setting, macs: int) -> Baseline:
    """The 3D U-Net whose multiply-accumulates of a patch are nearest to ``macs``, as near as whole filters allow."""

    @cache
    def at(step: int) -> tuple[Baseline, int]:
        unet = Baseline(UNET, (2 * step + 1) / FINEST)
        return unet, cost_of(setting, unet).macs

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
        trial: The topology's candidate.
        drawn: Of how many it is the median; those that failed are not among them.
        stopped: How many of these were stopped early.
    """

    trial: Trial
    drawn: int
    stopped: int

    @property
    def note(self) -> str:
        """How it was chosen."""
        first = self.trial.extra["branch"] == "initial"
        drawn = "the search began with" if first else "were drawn at random"
        of = f"candidate {self.trial.number}, the median by coarse Dice of the {self.drawn} that {drawn}"
        if self.stopped:
            of += f", the {self.stopped} stopped early counted below the others"
        if self.trial.state == "stopped":
            of += ", where it is one of those and ranked by its rung and the Dice there"
        return f"{of}; 3D in every cell"


def median_random(trials: Sequence[Trial], sampler: str) -> Median | None:
    """The median of the coarse stage's random topologies that did not fail; None: there are none.

    By score, then by number; of an even number the lower of the two in the middle. One that was stopped early has no
    score and is below all that have one: among the stopped, the later rung is the higher, then the Dice there.
    ``sampler`` says whether its random branch is one: a surrogate chooses there too.
    """
    for drawn in _random_draws(trials, sampler):
        ended = sorted((each for each in drawn if each.evidence is not None), key=_standing)
        if ended:
            stopped = sum(each.state == "stopped" for each in ended)
            return Median(ended[(len(ended) - 1) // 2], len(ended), stopped)
    return None


def no_median(trials: Sequence[Trial], sampler: str) -> str:
    """Why there is none."""
    drawn = sum(map(len, _random_draws(trials, sampler)))
    if not drawn:
        return "the coarse stage has drawn no topology at random"
    return f"of the coarse stage's random topologies none has succeeded ({drawn} tried)"


def _random_draws(trials: Sequence[Trial], sampler: str) -> list[list[Trial]]:
    """By branch, as :data:`RANDOM_BRANCHES` has them."""
    branches = [branch for branch in RANDOM_BRANCHES if branch != "random" or sampler != "surrogate"]
    return [[each for each in trials if each.extra.get("branch") == branch] for branch in branches]


def _standing(trial: Trial) -> tuple[float, float, int]:
    """How far it came, its Dice there, its number."""
    far = trial.rungs[-1].iteration if trial.state == "stopped" else float("inf")
    return far, trial.evidence or 0.0, trial.number
