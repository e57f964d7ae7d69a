"""The plan that the time can pay: spacings and patches weighed by what labels lose there and by what can be trained.

Pure functions, but for ``pace``. What is expected of a plan is its ceiling less what a training of that length still
lacks, which falls with the views of a whole case's foreground (docs/decisions/0101).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from math import log, prod
from typing import Any, Self

import numpy as np

from c2fnas.data.fingerprint import Fingerprint
from c2fnas.data.plan import Plan
from c2fnas.planning.budget import TO_DEPLOY, coverage
from c2fnas.planning.labels import SampledLabel, ceilings, chords
from c2fnas.planning.patch_size import SAME_SPACING
from c2fnas.space.geometry import by

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
class Candidate:
    """A plan and what is expected of it.

    Attributes:
        plan: the plan.
        ceilings: the Dice of a perfect label that is mapped there and back, by class.
        allowed: false where a class would lose too much, or too few voxels lie across it.
        patch_seconds: of a training step, by patch.
        view_seconds: of a view of a whole case's foreground.
        views: that the final network's time pays for.
        expected: Dice, for comparison with other candidates alone.
    """

    plan: Plan
    ceilings: Mapping[str, float]
    allowed: bool
    patch_seconds: float
    view_seconds: float
    views: float
    expected: float

    @property
    def ceiling(self) -> float:
        """The mean over classes."""
        return float(np.mean([*self.ceilings.values()]))

    def to_json(self) -> dict[str, Any]:
        """Return a JSON value."""
        return {**asdict(self), "plan": self.plan.model_dump(mode="json")}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the value of :meth:`to_json`."""
        return cls(**{**value, "plan": Plan.model_validate(value["plan"])})

    @property
    def text(self) -> str:
        """A line about it: spacing, patch, ceiling by class, what its time pays for."""
        lost = ", ".join(f"{name} {value:.3f}" for name, value in self.ceilings.items())
        spacing = "×".join(f"{mm:g}" for mm in self.plan.spacing or ())
        return f"{spacing} mm, patch {by(self.plan.patch_size)}: ceiling {lost}; {self.views:,.0f} views of a case"


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
    plans: Sequence[Plan],
    samples: Sequence[SampledLabel],
    fingerprint: Fingerprint,
    *,
    lost: Mapping[Any, Mapping[str, float]],
    pace: Callable[[Plan], float],
    seconds: float,
    training_cases: int,
    floor: float,
) -> list[Candidate]:
    """Return the candidates, best first; the first of ``plans`` is the native one, by which the others are judged.

    Args:
        plans: to weigh.
        samples: some labels.
        fingerprint: of the data set.
        lost: the ceilings on each spacing, and on each one's half resolution.
        pace: returns the seconds of a training step by voxel of a plan's patch.
        seconds: of the final network's training, if nothing is searched.
        training_cases: of a fold.
        floor: the least ceiling of a class.
    """
    native, extents = lost[plans[0].spacing], chords(samples, plans[0].scheme)
    found = []
    for plan in plans:
        own = lost[plan.spacing]
        allowed = all(own[name] >= min(floor, native[name] - SAME_CEILING) for name in own)
        allowed &= _enough_across(plan, plans[0], extents)
        patch = pace(plan) * prod(plan.patch_size)
        view = patch / _seen(plan, samples, fingerprint)
        views = _paid(seconds / view, training_cases)
        lacking = LACKING * max(views, 1.0) ** -FALLS + CONTEXT * (1 - _reach(plan, samples, fingerprint))
        lacking += BLURRED * (1 - float(np.mean([*lost[halved(plan).spacing].values()])))
        expected = float(np.mean([*own.values()])) - lacking
        found.append(Candidate(plan, own, allowed or plan == plans[0], patch, view, views, expected))
    found.sort(key=lambda each: (not each.allowed, -each.expected))
    if found[0].views >= _enough_views(training_cases):
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


def close_ones(found: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates that are as good as the best by all that is known, the best first."""
    near = [each for each in found if each.allowed and each.expected >= found[0].expected - CLOSE]
    return near[:MOST_ENTRANTS]


def _enough_across(plan: Plan, native: Plan, extents: np.ndarray) -> bool:
    assert plan.spacing is not None
    assert native.spacing is not None
    across, had = extents / np.array(plan.spacing), extents / np.array(native.spacing)
    return bool((across >= np.minimum(ACROSS, had) - 1e-6).all())


def _paid(views: float, training_cases: int) -> float:
    """The final network's part: a search takes three quarters of the time once what is left is enough for it."""
    return max(views / 4, min(views, _enough_views(training_cases)))


def _enough_views(training_cases: int) -> float:
    return max(TO_DEPLOY.views, TO_DEPLOY.passes * training_cases)


def _seen(plan: Plan, samples: Sequence[SampledLabel], fingerprint: Fingerprint) -> float:
    """The share of a case's foreground that a patch shows on average."""
    assert plan.spacing is not None
    return coverage(
        plan.patch_size, typical_shape(plan, fingerprint), _median_box(plan, samples).tolist(), plan.foreground_rate
    )


def _reach(plan: Plan, samples: Sequence[SampledLabel], fingerprint: Fingerprint) -> float:
    """The mean share of the sides of the foreground's surroundings that a patch holds."""
    wanted = np.minimum(typical_shape(plan, fingerprint), SURROUNDINGS * _median_box(plan, samples))
    return float(np.minimum(1.0, np.array(plan.patch_size) / wanted).mean())


def _median_box(plan: Plan, samples: Sequence[SampledLabel]) -> np.ndarray:
    return np.median([np.array(each.box) / np.array(plan.spacing) for each in samples], axis=0)


def typical_shape(plan: Plan, fingerprint: Fingerprint) -> list[float]:
    """Return the sides of the median case in voxels of the plan's grid."""
    extents = [[case.shape[axis] * case.spacing[axis] for axis in plan.axes] for case in fingerprint.cases]
    return (np.median(extents, axis=0) / np.array(plan.spacing)).tolist()


def choose_plan(
    make: Callable[..., Plan],
    measure: Callable[[Plan], float],
    samples: Sequence[SampledLabel],
    fingerprint: Fingerprint,
    *,
    seconds: float,
    training_cases: int,
    floor: float,
    given: Mapping[str, Any],
) -> list[Candidate]:
    """Return plans by what is expected of them, the best first.

    Args:
        make: makes a plan with some fields given, and at most so many voxels in a patch.
        measure: returns the seconds of a training step by voxel of a plan's patch.
        samples: some labels.
        fingerprint: of the data set.
        seconds: of the final network's training, if nothing is searched.
        training_cases: of a fold.
        floor: the least ceiling of a class.
        given: values of the plan that are asked for.

    Raises:
        ValueError: what is given contradicts the native plan; another one that it contradicts is not weighed.
    """
    native = make(given, PATCHES[0])
    assert native.spacing is not None
    voxels = typical_shape(native, fingerprint)
    asked = "spacing" in given
    grids = [native.spacing] if asked else spacings(native.spacing, voxels)
    sizes = PATCHES[:1] if "patch_size" in given else PATCHES
    plans = [native]
    for spacing, most in product(grids, sizes):
        try:
            plan = make({**given, "spacing": spacing}, most)
        except ValueError:  # what is given contradicts the smaller patch, such as a stride
            continue
        plans += [] if plan in plans else [plan]

    lost = _lost(plans, samples)

    # Steps of small patches take longer by voxel, so the pace of a plan is that of the nearest patch that was measured.
    paces: dict[int, float] = {}

    def pace(plan: Plan) -> float:
        return paces[min(paces, key=lambda voxels: abs(log(voxels / prod(plan.patch_size))))]

    likely = min(plans, key=lambda plan: abs(log(prod(plan.patch_size) / PATCHES[-1])))
    while prod(likely.patch_size) not in paces:
        paces[prod(likely.patch_size)] = measure(likely)
        found = weigh(
            plans,
            samples,
            fingerprint,
            lost=lost,
            pace=pace,
            seconds=seconds,
            training_cases=training_cases,
            floor=floor,
        )
        likely = found[0].plan if len(paces) < MOST_MEASURED else likely
    return found
