"""The plan that the time can pay: spacings and patches weighed by what labels lose there and by what can be trained.

Pure functions, but for ``pace``. What is expected of a plan is its ceiling less what a training of that length still
lacks, which falls with the views of a whole case's foreground (docs/decisions/0101).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import log, prod
from typing import Any

import numpy as np

from c2fnas.data.fingerprint import Fingerprint
from c2fnas.data.plan import Plan
from c2fnas.planning.budget import TO_DEPLOY, coverage
from c2fnas.planning.labels import SampledLabel, ceilings, chords
from c2fnas.planning.patch_size import SAME_SPACING
from c2fnas.runs.records.plan_choice import WeighedPlan

FACTORS = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0)
"""Of the native spacing, within the slices."""
PATCHES = (96**3, 64**3, 48**3)
"""The most voxels of a patch."""
ACROSS = 3.0
"""Voxels across a structure that have to remain, where the native grid has them."""
FEW_SLICES = 3
"""An axis with so many times fewer voxels than the others is the one through the slices, whatever its spacing says."""
HALF, BLURRED = 2, 0.25
"""Voxels along an axis for each that the network's last layer computes, and the part of what a label loses there that a
trained network lacks; measured, see docs/decisions/0173."""
FLOOR, FLOOR_OF_A_DAY, SAME_CEILING = 0.90, 0.95, 0.01
"""The least ceiling of a class, that of a day's budget, and the gain of native spacing that excuses a lower one."""
LACKING, FALLS = 5.0, 0.6
"""The Dice that a training of V views lacks: ``LACKING * V ** -FALLS``; measured, see docs/decisions/0101."""
CONTEXT, SURROUNDINGS = 0.1, 2.0
"""Dice that a patch of no extent would lack beside one that holds the foreground with its surroundings: twice its box,
or the whole case."""
MOST_MEASURED = 3
"""Patches whose steps are timed before one is chosen."""
ALIKE = 0.02
"""Plans that are expected to differ by less are alike: while views are few, the one that pays for most comes first."""
CLOSE, MOST_ENTRANTS = 0.03, 3
"""Plans that are expected to differ by less are raced, so many of them."""


@dataclass(frozen=True)
class Weighing:
    """The ground on which plans are weighed.

    Attributes:
        samples: some labels.
        fingerprint: of the data set.
        seconds: of the final network's training, if nothing is searched.
        training_cases: of a fold.
        floor: the least ceiling of a class.
    """

    samples: Sequence[SampledLabel]
    fingerprint: Fingerprint
    seconds: float
    training_cases: int
    floor: float

    @property
    def enough_views(self) -> float:
        """Views of a whole case that train the final network well."""
        return max(TO_DEPLOY.views, TO_DEPLOY.passes * self.training_cases)

    def paid(self, view_seconds: float) -> float:
        """Views that the final network's part of the time pays; a search takes three quarters once that is enough."""
        views = self.seconds / view_seconds
        return max(views / 4, min(views, self.enough_views))


def spacings(native: Sequence[float], voxels: Sequence[float]) -> list[tuple[float, float, float]]:
    """Return the spacings to weigh, finest first: coarser within the slices, and through them where these are as fine.

    Where slices are few, each also with twice as many: the network's last layer computes at half the resolution, and
    so sees every slice.

    >>> spacings((0.5, 0.5, 3.0), (384, 384, 19))[:3]
    [(0.5, 0.5, 3.0), (0.75, 0.75, 3.0), (1.0, 1.0, 3.0)]
    >>> spacings((1.0, 1.0, 1.0), (192, 192, 12))[2::6]
    [(2.0, 2.0, 1.0), (2.0, 2.0, 0.5)]
    >>> spacings((0.6, 0.6, 0.6), (200, 150, 88))[2]
    (1.2, 1.2, 1.2)
    """
    i, j, k = native
    few = FEW_SLICES * voxels[2] <= min(voxels[0], voxels[1])
    thick = k > SAME_SPACING * max(i, j)
    found = []
    for factor in FACTORS:
        through = k if few and not thick else max(k, factor * max(i, j)) if thick else factor * k
        found.append((round(factor * i, 4), round(factor * j, 4), round(through, 4)))
    return found + [(i, j, round(k / HALF, 4)) for i, j, k in found] if few else found


def weigh(
    plans: Sequence[Plan], by: Weighing, lost: Mapping[Any, Mapping[str, float]], pace: Callable[[Plan], float]
) -> list[WeighedPlan]:
    """Return the plans weighed, best first; the first of ``plans`` is the native one, by which the others are judged.

    Args:
        plans: to weigh.
        by: labels, time and the rest.
        lost: the ceilings on each spacing, and on each one's half resolution.
        pace: returns the seconds of a training step by voxel of a plan's patch.
    """
    native, extents = lost[plans[0].spacing], chords(by.samples, plans[0].scheme)
    found = []
    for plan in plans:
        own = lost[plan.spacing]
        allowed = all(own[name] >= min(by.floor, native[name] - SAME_CEILING) for name in own)
        allowed &= _enough_across(plan, plans[0], extents)
        patch = pace(plan) * prod(plan.patch_size)
        view = patch / _seen(plan, by)
        views = by.paid(view)
        lacking = LACKING * max(views, 1.0) ** -FALLS + CONTEXT * (1 - _reach(plan, by))
        lacking += BLURRED * (1 - float(np.mean([*lost[halved(plan).spacing].values()])))
        expected = float(np.mean([*own.values()])) - lacking
        found.append(WeighedPlan(plan, own, allowed or plan == plans[0], patch, view, views, expected))
    found.sort(key=lambda each: (not each.allowed, -each.expected))
    if found[0].views >= by.enough_views:
        return found
    alike = [each for each in found if each.allowed and each.expected >= found[0].expected - ALIKE]
    first = max(alike, key=lambda each: each.views)
    return [first, *(each for each in found if each is not first)]


def halved(plan: Plan) -> Plan:
    """Return the plan of the grid on which the network's last layer computes (decision 0019), for its ceilings."""
    i, j, k = (round(HALF * mm, 4) for mm in plan.spacing or (1.0, 1.0, 1.0))
    return plan.model_copy(update={"spacing": (i, j, k)})


def _lost(plans: Sequence[Plan], samples: Sequence[SampledLabel]) -> dict[Any, dict[str, float]]:
    """The ceilings on the grids of ``plans`` and on those of half their resolution, counted once for a spacing."""
    grids = {grid.spacing: grid for plan in plans for grid in (plan, halved(plan))}
    return {spacing: ceilings(samples, grid) for spacing, grid in grids.items()}


def close_ones(found: Sequence[WeighedPlan]) -> list[WeighedPlan]:
    """Return the plans that are as good as the best by all that is known, the best first."""
    near = [each for each in found if each.allowed and each.expected >= found[0].expected - CLOSE]
    return near[:MOST_ENTRANTS]


def _enough_across(plan: Plan, native: Plan, extents: np.ndarray) -> bool:
    assert plan.spacing is not None
    assert native.spacing is not None
    across, had = extents / np.array(plan.spacing), extents / np.array(native.spacing)
    return bool((across >= np.minimum(ACROSS, had) - 1e-6).all())


def _seen(plan: Plan, by: Weighing) -> float:
    """The share of a case's foreground that a patch shows on average."""
    box = _median_box(plan, by.samples).tolist()
    return coverage(plan.patch_size, typical_shape(plan, by.fingerprint), box, plan.foreground_rate)


def _reach(plan: Plan, by: Weighing) -> float:
    """The mean share of the sides of the foreground's surroundings that a patch holds."""
    wanted = np.minimum(typical_shape(plan, by.fingerprint), SURROUNDINGS * _median_box(plan, by.samples))
    return float(np.minimum(1.0, np.array(plan.patch_size) / wanted).mean())


def _median_box(plan: Plan, samples: Sequence[SampledLabel]) -> np.ndarray:
    return np.median([np.array(each.box) / np.array(plan.spacing) for each in samples], axis=0)


def typical_shape(plan: Plan, fingerprint: Fingerprint) -> list[float]:
    """Return the sides of the median case in voxels of the plan's grid."""
    extents = [[case.shape[axis] * case.spacing[axis] for axis in plan.axes] for case in fingerprint.cases]
    return (np.median(extents, axis=0) / np.array(plan.spacing)).tolist()


def choose_plan(
    make: Callable[..., Plan], measure: Callable[[Plan], float], by: Weighing, given: Mapping[str, Any]
) -> list[WeighedPlan]:
    """Return plans by what is expected of them, the best first.

    Args:
        make: makes a plan with some fields given, and at most so many voxels in a patch.
        measure: returns the seconds of a training step by voxel of a plan's patch.
        by: labels, time and the rest.
        given: values of the plan that are asked for.

    Raises:
        ValueError: what is given contradicts the native plan; another one that it contradicts is not weighed.
    """
    plans = _plans(make, by.fingerprint, given)
    lost = _lost(plans, by.samples)

    # Steps of small patches take longer by voxel, so the pace of a plan is that of the nearest patch that was measured.
    paces: dict[int, float] = {}

    def pace(plan: Plan) -> float:
        return paces[min(paces, key=lambda voxels: abs(log(voxels / prod(plan.patch_size))))]

    likely = min(plans, key=lambda plan: abs(log(prod(plan.patch_size) / PATCHES[-1])))
    while prod(likely.patch_size) not in paces:
        paces[prod(likely.patch_size)] = measure(likely)
        found = weigh(plans, by, lost, pace)
        likely = found[0].plan if len(paces) < MOST_MEASURED else likely
    return found


def _plans(make: Callable[..., Plan], fingerprint: Fingerprint, given: Mapping[str, Any]) -> list[Plan]:
    """The plans to weigh, the native one first."""
    native = make(given, PATCHES[0])
    assert native.spacing is not None
    voxels = typical_shape(native, fingerprint)
    grids = [native.spacing] if "spacing" in given else spacings(native.spacing, voxels)
    sizes = PATCHES[:1] if "patch_size" in given else PATCHES
    plans = [native]
    for spacing, most in product(grids, sizes):
        try:
            plan = make({**given, "spacing": spacing}, most)
        except ValueError:  # what is given contradicts the smaller patch, such as a stride
            continue
        plans += [] if plan in plans else [plan]
    return plans
