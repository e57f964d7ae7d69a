"""The cache: keyed by content and plan, whole or absent, the same whatever the number of workers."""

import errno
import os
import pickle
import shutil
from pathlib import Path
from time import sleep
from typing import Any

import nibabel
import numpy as np
import pytest
from small_cases import contents, dataset_of, plan_of, prepared, write_case

from c2fnas.data import cache as cache_module
from c2fnas.data import preprocess
from c2fnas.data.cache import Cache, disk_needed, prepare_cases
from c2fnas.data.dataset import Case
from c2fnas.data.parallel import fitting_workers, in_order
from c2fnas.data.preprocess import prepare_image
from c2fnas.data.problem import CaseError
from c2fnas.data.scan import scan_dataset
from c2fnas.errors import UserError


def test_a_case_is_what_preparation_gives(tmp_path: Path) -> None:
    case = write_case(tmp_path)
    found = prepare_cases([case], plan_of(), tmp_path / "cache")["a"]
    image, way = prepare_image(case.images, plan_of())
    assert np.array_equal(found.image, image)
    assert found.restoration == way
    assert np.array_equal(found.restoration.labels(np.asarray(found.label)), found.truth)


def test_foreground_voxels_are_those_of_their_class(tmp_path: Path) -> None:
    found = prepared(tmp_path, 1)["case0"]
    assert [len(voxels) for voxels in found.foreground] == [int((found.label == index).sum()) for index in (1, 2)]
    for index, voxels in enumerate(found.foreground, start=1):
        assert (np.asarray(found.label)[tuple(voxels.T)] == index).all()


def test_a_class_that_is_absent_has_no_voxels(tmp_path: Path) -> None:
    plan = plan_of(classes=[{"name": str(n), "values": [n]} for n in range(4)])
    assert [len(voxels) > 0 for voxels in prepared(tmp_path, 1, plan)["case0"].foreground] == [True, True, False]


def test_large_classes_are_thinned_evenly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preprocess, "MOST_CENTRES", 10)
    voxels = prepared(tmp_path, 1)["case0"].foreground[0]
    assert 5 <= len(voxels) <= 10
    assert np.ptp(voxels[:, 0]) >= 3


@pytest.mark.parametrize("crop", [True, False])
@pytest.mark.parametrize("resampled", [True, False])
@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1)])
def test_the_disk_that_cases_take_is_known_before(
    crop: bool, resampled: bool, axes: tuple[int, int, int], tmp_path: Path
) -> None:
    """From headers and counts, to the byte where nothing is resampled; what is there already is not counted."""
    spacing = np.array([1.1, 1.5, 2.5])[list(axes)] * (1.2 if resampled else 1)
    plan = plan_of(axes=axes, crop_nonzero=crop, spacing=tuple(spacing))
    matrix = np.array([[0, -1.1, 0, 3], [1.5, 0, 0, 0], [0, 0, 2.5, -9], [0, 0, 0, 1.0]])
    cases = [write_case(tmp_path / "raw", f"case{n}", (9 + n, 11, 7 + 2 * n), matrix, seed=n) for n in range(3)]
    for case in cases:
        blank = nibabel.load(case.images[0])
        array = np.asarray(blank.dataobj).copy()
        array[:2], array[..., -1] = 0, 0
        nibabel.save(nibabel.Nifti1Image(array, matrix), case.images[0])
    found = scan_dataset(dataset_of(tmp_path / "raw", tuple(cases))).fingerprint.cases
    count, needed = disk_needed(found, plan, tmp_path / "cache")
    prepare_cases(cases[:2], plan, tmp_path / "cache")
    left = disk_needed(found, plan, tmp_path / "cache")
    prepare_cases(cases, plan, tmp_path / "cache")
    arrays = list((tmp_path / "cache").rglob("*.npy"))
    taken = sum(path.stat().st_size - 128 for path in arrays)  # without the headers of arrays
    assert count == 3
    assert needed == (pytest.approx(taken, rel=0.1) if resampled else taken)
    assert left == (1, disk_needed(found[2:], plan, tmp_path / "none")[1])
    assert disk_needed(found, plan, tmp_path / "cache") == (0, 0)


def test_without_a_label(tmp_path: Path) -> None:
    found = prepare_cases([write_case(tmp_path, labelled=False)], plan_of(), tmp_path / "cache")["a"]
    assert found.label is None
    assert found.truth is None
    assert found.foreground == ()


def test_workers_change_nothing(tmp_path: Path) -> None:
    cases = [write_case(tmp_path, f"case{n}", seed=n) for n in range(6)]
    one = prepare_cases(cases, plan_of(), tmp_path / "one")
    four = prepare_cases(cases, plan_of(), tmp_path / "four", workers=4)
    assert contents(one) == contents(four)
    assert one.ids == four.ids == tuple(case.id for case in cases)


def test_what_is_there_is_not_prepared_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(prepared(tmp_path))
    monkeypatch.setattr(cache_module, "prepare_case", None)
    assert contents(prepared(tmp_path)) == before


def test_cases_of_the_same_content_share_a_folder(tmp_path: Path) -> None:
    cases = [write_case(tmp_path, name) for name in ("a", "b")]
    found = prepare_cases(cases, plan_of(), tmp_path / "cache", workers=2)
    assert found["a"].folder == found["b"].folder


def test_a_changed_file_is_prepared_again(tmp_path: Path) -> None:
    first = prepare_cases([write_case(tmp_path, seed=0)], plan_of(), tmp_path / "cache")["a"]
    old = np.array(first.image)
    second = prepare_cases([write_case(tmp_path, seed=1)], plan_of(), tmp_path / "cache")["a"]
    assert not np.array_equal(old, second.image)
    assert not first.folder.exists()


@pytest.mark.parametrize(
    ("change", "stale"),
    [
        ({"spacing": (2, 2, 2)}, True),
        ({"axes": (1, 0, 2)}, True),
        ({"patch_size": (16, 8, 8)}, False),
        ({"batch_size": 9}, False),
    ],
)
def test_a_changed_plan_is_prepared_again_unless_only_patches_changed(
    tmp_path: Path, change: dict, stale: bool
) -> None:
    old = prepared(tmp_path, 1)["case0"].folder
    new = prepared(tmp_path, 1, plan_of(**change))["case0"].folder
    assert (old != new) == stale
    assert Cache.open(tmp_path / "cache", plan_of(**change)).ids == ("case0",)
    if stale:
        with pytest.raises(UserError, match="another plan"):
            Cache.open(tmp_path / "cache", plan_of())


def test_interrupted_half_way_it_carries_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [write_case(tmp_path, f"case{n}", seed=n) for n in range(4)]
    whole = contents(prepare_cases(cases, plan_of(), tmp_path / "whole"))
    real, calls = cache_module.prepare_case, []

    def fails_in_the_third(case: Case, plan: object, allocate: Any) -> object:
        calls.append(case.id)
        if len(calls) == 3:
            allocate("image", (1, 5, 5, 5), np.float32)
            raise KeyboardInterrupt
        return real(case, plan, allocate)

    monkeypatch.setattr(cache_module, "prepare_case", fails_in_the_third)
    with pytest.raises(KeyboardInterrupt):
        prepare_cases(cases, plan_of(), tmp_path / "cut")
    again = prepare_cases(cases, plan_of(), tmp_path / "cut")
    assert sorted(calls) == ["case0", "case1", "case2", "case2", "case3"]
    assert contents(again) == whole


def test_an_unsound_case_is_named_and_the_others_are_kept(tmp_path: Path) -> None:
    cases = [write_case(tmp_path, name, seed=seed) for seed, name in enumerate("abc")]
    cases[2].label.write_bytes(b"no volume")
    with pytest.raises(CaseError, match=r"c_label\.nii\.gz"):
        prepare_cases(cases, plan_of(), tmp_path / "cache")
    assert len([path for path in (tmp_path / "cache").iterdir() if not path.name.startswith(".")]) == 2


def test_a_full_disk_is_an_error_that_leaves_what_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [write_case(tmp_path, name, seed=seed) for seed, name in enumerate("ab")]
    prepare_cases(cases[:1], plan_of(), tmp_path / "cache")

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(UserError, match="No space left"):
        prepare_cases(cases, plan_of(), tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 2  # the index and the case that was there
    assert Cache.open(tmp_path / "cache").ids == ("a",)


def test_a_cut_array_is_an_error_that_names_it(tmp_path: Path) -> None:
    found = prepared(tmp_path, 1)["case0"]
    path = found.folder / "image.npy"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"image\.npy"):
        _ = Cache.open(tmp_path / "cache")["case0"].image


class Planted:
    """Runs a command where it is unpickled."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.witness}'",)


@pytest.mark.parametrize("name", ["image.npy", "label.npy"])
@pytest.mark.parametrize("bare", [True, False])
def test_a_pickle_in_a_cache_is_refused_and_never_run(name: str, bare: bool, tmp_path: Path) -> None:
    """Run folders travel: somebody else's may hold anything."""
    found = prepared(tmp_path, 1)
    (path,) = (tmp_path / "cache").glob(f"*/{name}")
    witness = tmp_path / "run"
    if bare:
        path.write_bytes(pickle.dumps(Planted(witness)))
    else:
        np.save(path, np.array([Planted(witness)], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match=name):
        np.asarray(found["case0"].image), np.asarray(found["case0"].label)
    assert not witness.exists()


def test_a_file_that_can_not_be_opened_now_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = prepared(tmp_path, 1)["case0"]

    def fails(*arguments: object, **others: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(np, "load", fails)
    with pytest.raises(UserError, match=r"image\.npy.*Too many open files.*ulimit") as raised:
        _ = found.image
    assert "amaged" not in str(raised.value)


def test_unknown_case_and_absent_cache(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'nobody'"):
        prepared(tmp_path, 1)["nobody"]
    with pytest.raises(UserError, match="index"):
        Cache.open(tmp_path / "elsewhere")


def test_a_moved_cache_still_opens(tmp_path: Path) -> None:
    cache = prepared(tmp_path, 2)
    shutil.move(cache.folder, tmp_path / "moved")
    shutil.rmtree(tmp_path / "raw")
    assert Cache.open(tmp_path / "moved")["case1"].truth.shape == (10, 11, 9)


def test_progress_counts_every_case(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    prepare_cases(
        [write_case(tmp_path, n) for n in "ab"], plan_of(), tmp_path / "c", progress=lambda *n: seen.append(n)
    )
    assert seen == [(1, 2), (2, 2)]


def test_in_order_keeps_the_order_and_drops_what_has_not_begun_after_a_failure() -> None:
    begun: list[int] = []

    def half(number: int) -> int:
        begun.append(number)
        if number == 3:
            raise ValueError("three")
        sleep(0.001)  # lets the calling thread learn of the failure
        return number // 2

    assert list(in_order(half, [8, 6, 4], workers=3)) == [4, 3, 2]
    with pytest.raises(ValueError, match="three"):
        list(in_order(half, [3, *range(10, 1000)], workers=1))
    assert len(begun) < 900


def test_workers_that_do_not_fit_are_not_started() -> None:
    assert fitting_workers(1 << 30, workers=8, available=5 << 30) == 3
