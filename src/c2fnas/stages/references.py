"""What a found network has to beat: a U-Net of equal multiply-accumulates, and the median of the random topologies."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch

from c2fnas.inference.designs import Design, build_design
from c2fnas.networks.baselines import Baseline
from c2fnas.networks.count import count_network
from c2fnas.runs.trial import Trial
from c2fnas.stages.setting import Setting

UNET = "unet3d"
FINEST = 2048
"""Filters of the U-Net are 32 to 512 times the width, rounded: they change at multiples of 1/1024 alone, so that odd
multiples of 1/2048 show every width there is, and never one where a half would be rounded."""

RANDOM_BRANCHES = ("random", "initial")
"""Where random topologies are looked for, in this order: the draws of Algorithm 1's random branch, of any cluster; the
first samples of the clusters."""


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


def median_random(trials: Sequence[Trial], sampler: str) -> tuple[Trial, int] | None:
    """The median of the coarse stage's random topologies that succeeded, and how many they are; None: there are none.

    By score, then by number; of an even number the lower of the two in the middle. ``sampler`` says whether its random
    branch is one: a surrogate chooses there too.
    """
    for branch in RANDOM_BRANCHES:
        if branch == "random" and sampler == "surrogate":
            continue
        drawn = [each for each in trials if each.score is not None and each.extra.get("branch") == branch]
        if drawn:
            ordered = sorted(drawn, key=lambda trial: (trial.score or 0.0, trial.number))
            return ordered[(len(ordered) - 1) // 2], len(ordered)
    return None
