"""Plans: the paper's to the letter, planned ones fitted to the data, readable and guarded when edited."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_cases import plan_of

from c2fnas.data.fingerprint import CaseFingerprint, ChannelFingerprint, ClassFingerprint, Fingerprint
from c2fnas.data.plan import differences, load_plan, refuse_unfit, save_plan
from c2fnas.errors import UserError
from c2fnas.planning.patch_size import fitted_patch, part_of, target_spacing
from c2fnas.planning.plan import make_plan
from c2fnas.shapes import Spacing

Shape = tuple[int, int, int]


def fingerprint_of(
    cases: list[tuple[Shape, Spacing]], name: str = "Liver", channels: tuple[str, ...] = ("mr",), nonzero: float = 1.0
) -> Fingerprint:
    return Fingerprint(
        name=name,
        folder="Task99",
        classes=(
            ClassFingerprint(name="background", values=(0,), cases=1),
            ClassFingerprint(name="organ", values=(1, 2), cases=1),
        ),
        channels=tuple(
            ChannelFingerprint(name=kind, kind=kind, low=-50, high=180, mean=90, std=30) for kind in channels
        ),
        cases=tuple(
            CaseFingerprint(
                id=str(number),
                shape=shape,
                spacing=spacing,
                voxels=(1, 1),
                sha256="",
                files=(),
                nonzero_shape=tuple(max(1, round(side * nonzero)) for side in shape),
            )
            for number, (shape, spacing) in enumerate(cases)
        ),
    )


HIPPOCAMPUS = [((35, 51, 35), (1.0, 1.0, 1.0)), ((36, 50, 35), (1, 1, 1)), ((38, 49, 40), (1, 1, 1))]


def test_the_paper_to_the_letter() -> None:
    plan = make_plan(fingerprint_of([((512, 512, 90), (0.8, 0.8, 2.5))]), style="paper")
    assert (plan.spacing, plan.resize, plan.patch_size) == ((1, 1, 1), None, (96, 96, 96))
    assert (plan.stride, plan.ranking_stride) == ((16, 16, 16), (48, 48, 48))
    assert (plan.batch_size, plan.foreground_rate, plan.axes, plan.crop_nonzero) == (16, 0, (0, 1, 2), False)


def test_the_papers_exceptions_are_known_by_name() -> None:
    prostate = make_plan(fingerprint_of(HIPPOCAMPUS, name="PROSTATE"), style="paper")
    assert (prostate.spacing, prostate.patch_size) == ((1, 1, 1), (128, 128, 32))
    assert (prostate.stride, prostate.ranking_stride) == ((16, 16, 4), (48, 48, 12))
    by_folder = fingerprint_of(HIPPOCAMPUS).model_copy(update={"folder": "Task04_Hippocampus"})
    hippocampus = make_plan(by_folder, style="paper")
    assert (hippocampus.spacing, hippocampus.resize, hippocampus.patch_size) == (None, (96, 96, 96), (96, 96, 96))
    assert make_plan(by_folder, style="planned").resize is None


def test_a_small_isotropic_set_keeps_its_resolution() -> None:
    plan = make_plan(fingerprint_of(HIPPOCAMPUS), style="planned")
    assert (plan.spacing, plan.axes, plan.patch_size) == ((1, 1, 1), (0, 1, 2), (40, 56, 40))
    assert (plan.stride, plan.ranking_stride) == ((20, 28, 20), (30, 42, 30))
    assert plan.foreground_rate == pytest.approx(1 / 3, abs=1e-3)


def test_the_through_plane_axis_comes_last() -> None:
    plan = make_plan(fingerprint_of([((20, 200, 160), (3.0, 0.5, 0.5))]), style="planned", most_voxels=10**9)
    assert plan.axes == (1, 2, 0)
    assert plan.spacing == (0.5, 0.5, 3.0)
    assert plan.patch_size == (200, 160, 24)


def test_thick_slices_take_their_tenth_percentile() -> None:
    assert target_spacing([(1, 1, mm) for mm in (3.0, 4, 5, 6, 7)], [(256, 256, 20)] * 5) == (1, 1, 3.4)
    assert target_spacing([(1, 1, mm) for mm in (0.5, 0.5, 5, 6, 7)], [(256, 256, 20)] * 5) == (1, 1, 1)
    assert target_spacing([(1, 1, 2.0), (1, 1, 3)], [(64, 64, 64)] * 2) == (1, 1, 2.5)


def test_black_margins_are_cropped_in_mr_alone() -> None:
    cases = [((100, 100, 100), (1.0, 1.0, 1.0))]
    assert make_plan(fingerprint_of(cases, nonzero=0.7), style="planned").crop_nonzero
    assert make_plan(fingerprint_of(cases, nonzero=0.7), style="planned").patch_size == (72, 72, 72)
    assert not make_plan(fingerprint_of(cases, nonzero=0.99), style="planned").crop_nonzero
    assert not make_plan(fingerprint_of(cases, nonzero=0.7, channels=("mr", "ct")), style="planned").crop_nonzero


def test_a_plan_leaves_statistics_to_the_folds() -> None:
    channels = make_plan(fingerprint_of(HIPPOCAMPUS, channels=("ct", "mr")), style="planned").channels
    assert [(each.kind, each.clip, each.mean, each.std, each.complete) for each in channels] == [
        ("ct", None, None, None, False),
        ("mr", None, None, None, True),
    ]


@settings(deadline=None)
@given(st.tuples(*[st.integers(1, 600)] * 3), st.tuples(*[st.floats(0.2, 8)] * 3), st.integers(512, 10**7))
def test_a_patch_covers_the_volume_or_fills_the_budget(shape: Shape, spacing: Spacing, budget: int) -> None:
    patch = fitted_patch(shape, spacing, budget)
    voxels = patch[0] * patch[1] * patch[2]
    assert voxels <= budget
    assert all(side % 8 == 0 and side >= 8 for side in patch)
    assert all(side < size + 8 for side, size in zip(patch, shape, strict=True))
    if any(side < size for side, size in zip(patch, shape, strict=True)):
        smaller = [side for side, size in zip(patch, shape, strict=True) if side < size]
        assert voxels // min(smaller) * (min(smaller) + 8) > budget  # one step back was too large


def test_a_patch_shrinks_until_the_measurement_says_it_fits() -> None:
    asked: list[Shape] = []

    def fits(patch: Shape) -> bool:
        asked.append(patch)
        return patch[0] * patch[1] * patch[2] <= 30_000

    plan = make_plan(fingerprint_of(HIPPOCAMPUS), style="planned", fits=fits)
    assert asked[0] == (40, 56, 40)
    assert asked[-1] == plan.patch_size
    with pytest.raises(ValueError, match="not even"):
        fitted_patch((50, 50, 50), (1, 1, 1), 10**6, lambda patch: False)


@settings(deadline=None)
@given(st.tuples(*[st.integers(1, 300)] * 3), st.sampled_from([1 / 2, 3 / 4, 1.0]))
def test_strides_never_leave_gaps(patch: Shape, share: float) -> None:
    assert all(1 <= step <= side for step, side in zip(part_of(patch, share), patch, strict=True))


@pytest.mark.parametrize("style", ["paper", "planned"])
@pytest.mark.parametrize("name", ["Liver", "Hippocampus"])
def test_a_plan_survives_its_file_and_every_key_has_a_comment(tmp_path: Path, style: Any, name: str) -> None:
    plan = make_plan(fingerprint_of(HIPPOCAMPUS, name=name, channels=("ct", "mr")), style=style)
    save_plan(plan, tmp_path / "plan.yaml")
    assert load_plan(tmp_path / "plan.yaml") == plan
    blocks = (tmp_path / "plan.yaml").read_text().strip().split("\n\n")[1:]
    assert len(blocks) == len(type(plan).model_fields)
    assert all(block.startswith("# ") for block in blocks)


def test_a_name_that_looks_like_yaml_survives(tmp_path: Path) -> None:
    plan = plan_of(channels=[{"name": "no: #1, {T2}", "kind": "mr"}])
    save_plan(plan, tmp_path / "plan.yaml")
    assert load_plan(tmp_path / "plan.yaml") == plan


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("patch_size: [8, 8, 8]", "patch_size: [8, 8]", "patch_size"),
        ("patch_size: [8, 8, 8]", "patch_size: [8, 0, 8]", "patch_size"),
        ("patch_size:", "patchsize:", "patchsize"),
        ("axes: [0, 1, 2]", "axes: [0, 1, 1]", "axes"),
        ("spacing: [1.0, 1.0, 1.0]", "spacing: null", "spacing and resize"),
        ("resize: null", "resize: [9, 9, 9]", "spacing and resize"),
        ("stride: [4, 4, 4]", "stride: [4, 9, 4]", "stride"),
        ("foreground_rate: 0.0", "foreground_rate: 1.5", "foreground_rate"),
        ("kind: mr, clip: null", "kind: ct, clip: [0, 9]", "channels.0"),
        ("kind: mr", "kind: pet", "channels.0.kind"),
        ("values: [2]", "values: [1]", "share a value"),
        ("values: [2]", "values: [-2]", "classes.2.values: -2 given"),
        ("values: [2]", "values: [99999999]", "classes.2.values: 99999999 given"),
        ("name: lesion", "name: organ", "share a value or a name"),
        ("values: [0]", "values: [7]", "background"),
        ("axes: [0, 1, 2]", "axes: [0, 1", "YAML"),
    ],
)
def test_a_faulty_edit_is_refused_by_name(tmp_path: Path, old: str, new: str, named: str) -> None:
    path = tmp_path / "plan.yaml"
    save_plan(plan_of(), path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(UserError) as error:
        load_plan(path)
    assert str(path) in str(error.value)
    assert named in str(error.value)


def test_an_edited_plan_must_fit_the_data(tmp_path: Path) -> None:
    fingerprint = fingerprint_of(HIPPOCAMPUS, channels=("mr", "ct"))
    plan = make_plan(fingerprint, style="planned")
    refuse_unfit(plan, fingerprint, tmp_path)
    background, organ = plan.classes
    merged = background.model_copy(update={"values": (0, 2)}), organ.model_copy(update={"values": (1,)})
    refuse_unfit(plan.model_copy(update={"classes": merged}), fingerprint, tmp_path)
    for change, message in (
        ({"classes": (background, merged[1])}, "label 2"),
        ({"channels": plan.channels[:1]}, "the images have 2"),
    ):
        with pytest.raises(UserError, match=message):
            refuse_unfit(plan.model_copy(update=change), fingerprint, tmp_path)


def test_two_plans_differ_in_keys() -> None:
    plan = plan_of()
    assert differences(plan, plan) == []
    assert differences(plan, plan_of(batch_size=7, axes=(1, 0, 2))) == ["axes", "batch_size"]


@pytest.mark.parametrize("content", ["", "- a\n- b\n", "\x00", "!!python/object/apply:os.getcwd []"])
def test_a_file_that_is_no_plan_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "plan.yaml").write_text(content)
    with pytest.raises(UserError, match=r"plan\.yaml"):
        load_plan(tmp_path / "plan.yaml")
    with pytest.raises(UserError, match=r"none\.yaml"):
        load_plan(tmp_path / "none.yaml")
