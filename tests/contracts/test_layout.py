"""The loader's contract: the same data set in every layout, format and way of storing channels is the same data set."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from layout_files import CHANNELS, CLASSES, FORMATS, LAYOUTS, Truth, truths

from c2fnas.data.cache import prepare_cases
from c2fnas.data.dataset import Case, Dataset
from c2fnas.data.layouts import layout_of, load_dataset, read_dataset
from c2fnas.data.plan import Plan
from c2fnas.data.scan import scan_dataset
from c2fnas.data.volume import read_geometry, read_image, read_label
from c2fnas.planning.plan import make_plan

VARIANTS = [
    (layout, suffix, channels, split)
    for layout in LAYOUTS
    for suffix in FORMATS
    for channels, split in ((1, False), (2, False), (2, True))
    if layout != "nnunet" or split or channels == 1  # nnU-Net has a file per channel
]


@pytest.fixture(
    scope="module", params=VARIANTS, ids=lambda each: f"{each[0]}{each[1]}-{each[2]}{'split' if each[3] else ''}"
)
def stored(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[Truth, ...]]:
    """The path of a data set, and what it should hold."""
    layout, suffix, channels, split = request.param
    cases = truths(channels)
    root = tmp_path_factory.mktemp("stored") / "Small"
    root.mkdir()
    return LAYOUTS[layout](root, suffix, cases, split=split), cases


def in_order(dataset: Dataset, cases: tuple[Truth, ...]) -> list[tuple[Case, Truth]]:
    """Each case with what it should be; nnU-Net's folders are listed by name, manifests have an order of their own."""
    by_id = {case.id: case for case in (*dataset.training, *dataset.test)}
    return [(by_id[truth.id], truth) for truth in cases]


def test_what_is_read_is_what_was_meant(stored: tuple[Path, tuple[Truth, ...]]) -> None:
    path, cases = stored
    dataset = load_dataset(path)
    assert dataset.name == "Small"
    assert dataset.channels == CHANNELS[: cases[0].image.shape[-1]] or len(dataset.channels) == 1
    assert tuple((each.name, each.values) for each in dataset.classes) == CLASSES
    assert (len(dataset.training), len(dataset.test)) == (5, 1)
    assert scan_dataset(path).problems == ()
    for case, truth in in_order(dataset, cases):
        volume = read_image(case.images)
        assert np.array_equal(volume.array, np.moveaxis(truth.image, -1, 0))
        assert np.allclose(volume.geometry.matrix, truth.affine, atol=1e-5)
        assert read_geometry(case.images[0]) == volume.geometry
        if case.label is not None:
            label, geometry = read_label(case.label, dataset.classes)
            assert np.array_equal(label, np.array([0, 1, 2, 0, 1])[truth.label])
            assert volume.geometry.affine_difference(geometry) < 1e-4
    assert {case.id for case, truth in in_order(dataset, cases) if case.label is None} == {dataset.test[0].id}


def test_the_manifest_keeps_its_order(stored: tuple[Path, tuple[Truth, ...]]) -> None:
    path, cases = stored
    ids = [case.id for case in load_dataset(path).training]
    listed = [truth.id for truth in cases[:-1]]
    assert ids == (sorted(listed) if layout_of(path).name == "nnU-Net raw" else listed)


def test_reading_the_manifest_names_its_own_files(stored: tuple[Path, tuple[Truth, ...]]) -> None:
    path, _ = stored
    reading = read_dataset(path)
    assert reading.problems == ()
    assert [file.name for file in reading.files] in (["dataset.json"], ["Small.csv", "Small.json"])
    assert load_dataset(reading.files[0]).training == reading.dataset.training
    assert load_dataset(reading.files[0].parent).training == reading.dataset.training


def test_what_networks_see_does_not_depend_on_the_layout(
    stored: tuple[Path, tuple[Truth, ...]], reference: dict[int, "Prepared"], tmp_path: Path
) -> None:
    path, cases = stored
    expected = reference[cases[0].image.shape[-1]]
    found = prepared(load_dataset(path), cases, tmp_path / "cache", expected.plan)
    for name, arrays in expected.arrays.items():
        for array, other in zip(arrays, found.arrays[name], strict=True):
            assert np.allclose(array, other, atol=1e-5)


class Prepared:
    """A plan, and the arrays of each case by it."""

    def __init__(self, plan: Plan, arrays: dict[str, tuple[np.ndarray, ...]]) -> None:
        self.plan, self.arrays = plan, arrays


def prepared(dataset: Dataset, cases: tuple[Truth, ...], folder: Path, plan: Plan | None = None) -> Prepared:
    """The training cases, prepared; the plan too is made from the data set where none is given."""
    ordered = tuple(case for case, _ in in_order(dataset, cases) if case.label is not None)
    own = make_plan(scan_dataset(replace(dataset, training=ordered)).fingerprint, style="planned")
    assert plan is None or own.model_dump(exclude={"channels"}) == plan.model_dump(exclude={"channels"})
    cache = prepare_cases(ordered, own, folder)
    arrays = [(np.array(cache[name].image), np.array(cache[name].label)) for name in cache.ids]
    return Prepared(own, dict(zip([truth.id for truth in cases], arrays, strict=False)))


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Prepared]:
    """What is seen of the Decathlon's layout in NIfTI, by the number of channels."""
    found = {}
    for channels in (1, 2):
        root = tmp_path_factory.mktemp("reference")
        path = LAYOUTS["msd"](root, ".nii.gz", truths(channels), split=False)
        found[channels] = prepared(load_dataset(path), truths(channels), root / "cache")
    return found
