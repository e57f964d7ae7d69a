"""Label schemes: classes and regions, from label maps to targets and from outputs to label maps."""

import itertools
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_cases import CLASSES, dataset_of, plan_of, write_case

from c2fnas.data.cache import prepare_cases
from c2fnas.data.dataset import Case
from c2fnas.data.layouts.labels import parse_labels
from c2fnas.data.plan import ClassPlan, Plan, load_plan, save_plan
from c2fnas.data.scan import scan_dataset
from c2fnas.data.scheme import LabelClass, LabelScheme, best_class, suggested_order
from c2fnas.errors import UserError

BRAIN = LabelScheme.of(
    "background", "whole", "core", "enhancing", values=[(0,), (1, 2, 3), (2, 3), (3,)], order=(1, 2, 3), ignore=9
)


@st.composite
def nested(draw: st.DrawFn) -> LabelScheme:
    """Regions, each within the one before, that give up at least one value each time."""
    values = draw(st.lists(st.integers(1, 200), min_size=1, max_size=6, unique=True))
    cuts = sorted(draw(st.sets(st.integers(0, len(values) - 1), min_size=1)))
    regions = [LabelClass(f"region {cut}", tuple(sorted(values[cut:]))) for cut in cuts]
    return LabelScheme((LabelClass("background", (0,)), *regions), suggested_order(regions), ignore=255)


@given(scheme=nested(), seed=st.integers(0, 1000))
def test_nested_regions_come_back_from_their_own_masks(scheme: LabelScheme, seed: int) -> None:
    """Of a label map, masks become outputs and these a label map in which every voxel is in the same regions."""
    assert list(scheme.findings()) == []
    known = len(scheme.parts) - 1
    labels = np.random.default_rng(seed).integers(0, known, (4, 3, 2)).astype(np.uint8)
    outputs = [torch.from_numpy(scheme.mask(labels, n)).float() - 0.5 for n in range(len(scheme.names))]
    back = scheme.decode(outputs)
    for number in range(len(scheme.names)):
        assert np.array_equal(scheme.mask(back, number), scheme.mask(labels, number))


@given(st.integers(0, 1000))
def test_regions_are_written_as_nnunet_writes_them(seed: int) -> None:
    """Brute force: of every voxel the value of the last region whose probability is above one half."""
    logits = torch.from_numpy(np.random.default_rng(seed).normal(size=(3, 3, 2, 2)))
    expected = np.zeros((3, 2, 2), int)
    for place in itertools.product(range(3), range(2), range(2)):
        for region, value in enumerate(BRAIN.order or ()):
            if BRAIN.probabilities(logits)[(region, *place)] > 0.5:
                expected[place] = value
    written = np.array([part.values[0] for part in BRAIN.parts])
    assert np.array_equal(written[BRAIN.decode(logits)], expected)


def test_classes_are_the_largest_logit_and_add_up_to_one() -> None:
    scheme, logits = LabelScheme.of("background", "a", "b", ignore=7), torch.randn(3, 4, 5, 2)
    assert np.array_equal(scheme.decode(logits), logits.argmax(0).numpy())
    assert torch.equal(scheme.probabilities(logits), logits.softmax(0))
    assert (scheme.outputs, scheme.ignored, scheme.regions) == (3, 3, ((1,), (2,)))


def test_a_class_that_is_nowhere_is_passed_over() -> None:
    scores = [None, torch.tensor([0.2, 0.9]), None, torch.tensor([0.8, 0.1])]
    assert best_class(scores).tolist() == [3, 1]


def test_voxels_of_regions_count_in_each_and_ignored_ones_in_none() -> None:
    assert BRAIN.sums([10, 1, 2, 3, 99]) == (10, 6, 5, 3)


def test_a_report_shows_the_last_region_of_a_voxel() -> None:
    assert BRAIN.shown(np.array([0, 1, 2, 3, 4])).tolist() == [0, 1, 2, 3, 0]


def brain_case(folder: Path) -> Case:
    """A case of two boxes with the values 1 and 3, and a last plane to be ignored."""
    case = write_case(folder)
    assert case.label is not None
    image = nibabel.load(case.label)
    label = np.array(image.dataobj)
    label[label == 2] = 3
    label[-1] = 9
    nibabel.save(nibabel.Nifti1Image(label, image.affine), case.label)
    return case


def region_plan(**changes: object) -> Plan:
    classes = tuple(ClassPlan(name=each.name, values=each.values) for each in BRAIN.classes)
    return plan_of(classes=classes, regions_class_order=BRAIN.order, ignore=9, **changes)


def test_a_scan_counts_regions_and_leaves_out_ignored_voxels(tmp_path: Path) -> None:
    plain = scan_dataset(dataset_of(tmp_path, (write_case(tmp_path / "plain"),))).training[0].voxels
    dataset = dataset_of(tmp_path, (brain_case(tmp_path / "brain"),))
    found = scan_dataset(replace(dataset, classes=BRAIN.classes, regions_class_order=BRAIN.order, ignore=BRAIN.ignore))
    assert plain is not None
    assert found.training[0].voxels == (plain[0] - 11 * 7, plain[1] + plain[2], plain[2], plain[2])
    (problem,) = found.problems
    assert problem.severity == "warning"
    assert "label 2, of the regions: whole, core" in problem.found
    assert found.fingerprint.scheme == BRAIN


def test_prepared_cases_know_their_regions_and_where_labels_are(tmp_path: Path) -> None:
    prepared = prepare_cases((brain_case(tmp_path),), region_plan(), tmp_path / "cache")["a"]
    label = np.asarray(prepared.label)
    assert sorted(np.unique(label)) == [0, 1, 3, 4]
    for number, places in enumerate(prepared.foreground):
        assert np.array_equal(places, np.argwhere(BRAIN.mask(label, number)))
    assert np.array_equal(prepared.known, np.argwhere(label != 4))
    foreground = np.asarray(prepared.truth).ravel()
    assert prepared.sample.shape[1] == int(((foreground > 0) & (foreground < 4)).sum())


def test_a_case_without_ignored_voxels_is_prepared_as_if_there_were_no_such_label(tmp_path: Path) -> None:
    case = write_case(tmp_path)
    with_label, without = (
        prepare_cases((case,), plan, tmp_path / str(plan.ignore))["a"] for plan in (plan_of(ignore=9), plan_of())
    )
    assert with_label.known is None
    assert np.array_equal(with_label.label, without.label)
    assert all(map(np.array_equal, with_label.foreground, without.foreground))


def test_a_plan_keeps_regions_in_its_file_and_plain_plans_do_not_name_them(tmp_path: Path) -> None:
    save_plan(region_plan(), tmp_path / "plan.yaml")
    assert load_plan(tmp_path / "plan.yaml") == region_plan()
    assert load_plan(tmp_path / "plan.yaml").scheme == BRAIN
    assert not {"ignore", "regions_class_order"} & plan_of().model_dump().keys()
    assert region_plan().preparation_key != plan_of().preparation_key
    assert plan_of(ignore=9).preparation_key != plan_of().preparation_key


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("regions_class_order", (1, 2), "for each of whole, core"),
        ("ignore", 2, "the highest"),
        ("ignore", 0, "highest"),
    ],
)
def test_a_plan_with_labels_that_cannot_be_meant_is_refused(tmp_path: Path, key: str, value: object, told: str) -> None:
    save_plan(region_plan().model_copy(update={key: value}), tmp_path / "plan.yaml")
    with pytest.raises(UserError, match=told):
        load_plan(tmp_path / "plan.yaml")


def test_disjoint_regions_of_one_value_are_classes() -> None:
    """Stated as nnU-Net's regions of one value each they are the same scheme, so that all that follows is the same."""
    labels = {each.name: list(each.values) for each in CLASSES[1:]}
    assert parse_labels({"background": 0, **labels}, [1, 2])[0] == LabelScheme(CLASSES)
