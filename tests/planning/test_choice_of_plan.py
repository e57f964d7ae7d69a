"""The plan that the time can pay, by tables of data sets, speeds and budgets."""

from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
import pytest

from c2fnas.data.fingerprint import CaseFingerprint, ChannelFingerprint, ClassFingerprint, Fingerprint
from c2fnas.data.plan import Plan
from c2fnas.planning.choice import ALIKE, Weighing, choose_plan, close_ones
from c2fnas.planning.labels import SampledLabel
from c2fnas.planning.plan import make_plan
from c2fnas.runs.records.plan_choice import WeighedPlan

CORES, GPU = 2e-6, 4e-9
"""Seconds of a training step by voxel: two cores at width 0.25, and a GPU."""


def fingerprint(shape: tuple[int, int, int], spacing: tuple[float, float, float], cases: int = 20) -> Fingerprint:
    case = {"shape": shape, "nonzero_shape": shape, "spacing": spacing, "voxels": (1, 1), "sha256": "", "files": ()}
    return Fingerprint(
        name="Data",
        folder="Data",
        channels=(ChannelFingerprint(name="MRI", kind="mr", low=0, high=1, mean=0, std=1),),
        classes=tuple(ClassFingerprint(name=name, values=(n,), cases=cases) for n, name in enumerate(("bg", "organ"))),
        cases=tuple(CaseFingerprint(id=f"{number}", **case) for number in range(cases)),
    )


def organ(radii: tuple[float, float, float], spacing: tuple[float, float, float]) -> SampledLabel:
    """An ellipsoid of these half axes in millimetres."""
    sides = [int(2 * radius / mm) + 17 for radius, mm in zip(radii, spacing, strict=True)]
    places = [
        ((np.arange(side) - (side - 1) / 2) * mm / radius) ** 2
        for side, mm, radius in zip(sides, spacing, radii, strict=True)
    ]
    inside = places[0][:, None, None] + places[1][None, :, None] + places[2][None, None, :] <= 1
    i, j, k = (2 * radius for radius in radii)
    return SampledLabel(inside.astype(np.uint8), spacing, (i, j, k))


def chosen(
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
    radii: tuple[float, float, float],
    seconds: float,
    pace: float = CORES,
    floor: float = 0.9,
    given: dict[str, Any] | None = None,
) -> list[WeighedPlan]:
    found = fingerprint(shape, spacing)

    def make(given: dict[str, Any], most: int) -> Plan:
        return make_plan(found, style="planned", given=given, most_voxels=most)

    weighing = Weighing([organ(radii, spacing)], found, seconds, training_cases=16, floor=floor)
    return choose_plan(make, lambda plan: pace, weighing, given or {})


HEART = ((192, 192, 12), (1.0, 1.0, 1.0), (30.0, 30.0, 5.0))
ATRIUM = ((200, 150, 88), (0.6, 0.6, 0.6), (40.0, 25.0, 20.0))
SMALL = ((36, 50, 35), (1.0, 1.0, 1.0), (4.0, 9.0, 4.0))


@pytest.mark.parametrize(("data", "axes"), [(HEART, (0, 1)), (ATRIUM, (0, 1, 2))])
def test_the_less_time_the_coarser(data: Any, axes: tuple[int, ...]) -> None:
    """Within the slices alone where there are few of them."""
    spacings = [np.array(chosen(*data, seconds)[0].plan.spacing) for seconds in (300, 3600, 86_400, 8_640_000)]
    assert all((finer <= coarser).all() for coarser, finer in pairwise(spacings))
    assert (spacings[0][list(axes)] >= 2 * np.array(data[1])[list(axes)]).all()
    others = [axis for axis in range(3) if axis not in axes]
    assert (spacings[0][others] <= np.array(data[1])[others]).all()
    assert (spacings[-1] <= 1.5 * np.array(data[1]) + 1e-6).all()  # where a patch holds it all, context weighs too


@pytest.mark.parametrize(("shape", "twice"), [((192, 192, 12), True), ((192, 192, 72), False)])
def test_few_slices_are_doubled_since_the_network_s_last_layer_takes_two_for_one(
    shape: tuple[int, int, int], twice: bool
) -> None:
    found = chosen(shape, (1.0, 1.0, 1.0), (30.0, 30.0, 5.0), 3600)
    assert ((found[0].plan.spacing or ())[2] == 0.5) == twice
    assert (min((each.plan.spacing or ())[2] for each in found) < 1) == twice


def test_while_views_are_few_the_plan_that_pays_for_most_of_those_that_are_alike() -> None:
    """Half an hour of a core on the heart: a finer grid is expected to be best, by less than is known."""
    found = chosen(*HEART, 1800)
    best = max(each.expected for each in found if each.allowed)
    alike = [each for each in found if each.allowed and each.expected >= best - ALIKE]
    assert len(alike) > 1
    assert found[0].views == max(each.views for each in alike)
    assert found[0].expected < best
    well_paid = chosen(*HEART, 864_000)
    assert well_paid[0].expected == max(each.expected for each in well_paid if each.allowed)


def test_small_volumes_keep_their_grid() -> None:
    best = chosen(*SMALL, 480)[0]
    assert (best.plan.spacing, best.plan.patch_size) == ((1.0, 1.0, 1.0), (40, 56, 40))


def test_a_faster_machine_takes_a_finer_grid() -> None:
    slow, fast = (chosen(*ATRIUM, 600, pace)[0].plan for pace in (CORES, GPU))
    assert max(fast.spacing) < max(slow.spacing)


def test_what_loses_a_class_is_out_however_short_the_time() -> None:
    """A thread of three voxels across: on no coarser grid are there three left."""
    thin = ((200, 200, 200), (1.0, 1.0, 1.0), (60.0, 1.5, 1.5))
    found = chosen(*thin, 60)
    assert found[0].plan.spacing == (1.0, 1.0, 1.0)
    assert not any(each.allowed for each in found if each.plan.spacing != (1.0, 1.0, 1.0))


def test_every_region_counts_and_what_is_ignored_does_not() -> None:
    """A thread inside an organ, as its core, keeps the grid; an ignored block beside them changes nothing."""
    shape, mm, (organ_radii, thread) = (96, 96, 96), (1.0, 1.0, 1.0), ((30.0, 25.0, 25.0), (20.0, 1.5, 1.5))
    outer, inner = organ(organ_radii, mm), organ(thread, mm).label.astype(bool)
    start = [(whole - part) // 2 for whole, part in zip(outer.label.shape, inner.shape, strict=True)]
    nested, marked = outer.label.copy(), outer.label.copy()
    nested[tuple(slice(a, a + side) for a, side in zip(start, inner.shape, strict=True))][inner] = 2
    marked[:3, :3, :3] = 2

    def weighed(label: np.ndarray, **scheme: Any) -> list[WeighedPlan]:
        found = fingerprint(shape, mm).model_copy(update=scheme)
        return choose_plan(
            lambda given, most: make_plan(found, style="planned", given=given, most_voxels=most),
            lambda plan: CORES,
            Weighing([SampledLabel(label, mm, outer.box)], found, seconds=300, training_cases=16, floor=0.9),
            {},
        )

    names = (("bg", (0,)), ("organ", (1, 2)), ("core", (2,)))
    regions = tuple(ClassFingerprint(name=name, values=values, cases=20) for name, values in names)
    plain = weighed(outer.label)
    cored = weighed(nested, classes=regions, regions_class_order=(1, 2))
    assert any(each.allowed for each in plain if each.plan.spacing != mm)
    assert not any(each.allowed for each in cored if each.plan.spacing != mm)
    assert {*cored[0].ceilings} == {"organ", "core"}
    organs = ({each.plan.spacing: each.ceilings["organ"] for each in found} for found in (plain, cored))
    assert next(organs) == pytest.approx(next(organs), abs=0.02), "the core is a part of the organ"
    ignoring = weighed(marked, ignore=2)
    assert [each.text for each in ignoring] == [each.text for each in plain]
    assert {each.plan.ignore for each in ignoring} == {2}


def test_a_day_asks_for_more_of_a_ceiling() -> None:
    hour, day = (chosen(*HEART, 300, floor=floor) for floor in (0.9, 0.97))
    allowed = [{each.plan.spacing for each in found if each.allowed} for found in (hour, day)]
    assert allowed[1] < allowed[0]
    assert all(min(each.ceilings.values()) >= 0.97 for each in day if each.allowed and each.plan.spacing[0] > 1)


def test_what_is_asked_for_is_kept() -> None:
    found = chosen(*ATRIUM, 300, given={"spacing": (0.6, 0.6, 0.6)})
    assert {each.plan.spacing for each in found} == {(0.6, 0.6, 0.6)}
    found = chosen(*ATRIUM, 300, given={"patch_size": (32, 32, 32)})
    assert {each.plan.patch_size for each in found} == {(32, 32, 32)}


def test_small_patches_that_take_long_by_voxel_are_not_taken_for_the_pace_of_large_ones() -> None:
    """Each step has a cost of its own, as many voxels as a patch of 32³."""
    found, measured = fingerprint(*SMALL[:2]), list[Plan]()

    def measure(plan: Plan) -> float:
        measured.append(plan)
        voxels = prod(plan.patch_size)
        return CORES * (voxels + 32**3) / voxels

    best = choose_plan(
        lambda given, most: make_plan(found, style="planned", given=given, most_voxels=most),
        measure,
        Weighing([organ(SMALL[2], SMALL[1])], found, seconds=480, training_cases=16, floor=0.9),
        {},
    )[0]
    assert best.plan.patch_size == (40, 56, 40)
    assert best.plan in measured
    assert best.patch_seconds == pytest.approx(CORES * (40 * 56 * 40 + 32**3))


def test_a_choice_can_be_written_down() -> None:
    for each in close_ones(chosen(*HEART, 600)):
        assert WeighedPlan.from_json(each.to_json()) == each
        assert "ceiling organ" in each.text
