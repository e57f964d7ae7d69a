"""The fingerprint against numpy on cases of known content."""

import errno
import os
import shutil
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
from small_cases import dataset_of, write_case

from c2fnas.data import fingerprint
from c2fnas.data.dataset import Case
from c2fnas.data.fingerprint import Fingerprint
from c2fnas.data.normalisation import moments
from c2fnas.data.problem import CaseError
from c2fnas.data.restoration import nonzero_box
from c2fnas.data.scan import scan_dataset
from c2fnas.data.volume import read_image
from c2fnas.errors import UserError


def turned_case(folder: Path) -> tuple:
    affine = np.array([[0, 0, -3.0, 0], [0.5, 0, 0, 0], [0, 0.8, 0, 0], [0, 0, 0, 1]])  # axes A, S, L
    return (write_case(folder, affine=affine),)


def test_sizes_and_spacings_are_along_canonical_axes(tmp_path: Path) -> None:
    (case,) = scan_dataset(dataset_of(tmp_path, turned_case(tmp_path))).fingerprint.cases
    assert case.shape == (7, 9, 11)
    assert case.spacing == pytest.approx((3.0, 0.5, 0.8))


def test_statistics_are_those_of_the_foreground(tmp_path: Path) -> None:
    cases = tuple(write_case(tmp_path, name, seed=seed) for seed, name in enumerate("abc"))
    found = scan_dataset(dataset_of(tmp_path, cases, channels=("CT",)), workers=2).fingerprint
    inside = [read_image(c.images).array[0][nibabel.load(c.label).get_fdata() > 0] for c in cases]
    values = np.concatenate(inside)
    (channel,) = found.channels
    assert channel.kind == "ct"
    assert (channel.low, channel.high) == pytest.approx(np.percentile(values, [0.5, 99.5]), rel=1e-4)
    assert (channel.mean, channel.std) == pytest.approx((values.mean(), values.std()), rel=1e-5)
    assert found.cases[0].voxels == (9 * 11 * 7 - 5 * 7 * 5, 5 * 7 * 5 - 8, 8)
    assert [each.cases for each in found.classes] == [3, 3, 3]


@pytest.mark.parametrize("turned", [False, True])
def test_the_box_of_nonzero_voxels_is_that_of_all_channels(turned: bool, tmp_path: Path) -> None:
    affine = np.array([[0, 0, -3.0, 0], [0.5, 0, 0, 0], [0, 0.8, 0, 0], [0, 0, 0, 1]]) if turned else np.eye(4)
    case, other = (write_case(tmp_path, name, affine=affine) for name in "ab")
    for each, places in ((case, np.s_[2:5, 3:9, 1:4]), (other, np.s_[1:3, 4:10, 2:3])):
        values = np.zeros((9, 11, 7), np.float32)
        values[places] = -1.5
        nibabel.save(nibabel.Nifti1Image(values, affine), each.images[0])
    both = replace(case, images=(*case.images, *other.images))
    (found,) = scan_dataset(dataset_of(tmp_path, (both,), channels=("A", "B"))).fingerprint.cases
    assert found.nonzero_shape == ((3, 4, 7) if turned else (4, 7, 3))


def test_workers_change_nothing_and_progress_counts(tmp_path: Path) -> None:
    cases = tuple(write_case(tmp_path, str(n), seed=n) for n in range(5))
    seen: list[tuple[int, int]] = []
    dataset = dataset_of(tmp_path, cases)
    assert (
        scan_dataset(dataset, workers=4, progress=lambda *n: seen.append(n)).fingerprint
        == scan_dataset(dataset).fingerprint
    )
    assert seen == [(n, 5) for n in range(1, 6)]


def test_json_keeps_everything(tmp_path: Path) -> None:
    found = scan_dataset(dataset_of(tmp_path, turned_case(tmp_path))).fingerprint
    assert Fingerprint.model_validate_json(found.model_dump_json()) == found


def test_the_folder_has_its_name_from_within_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = (write_case(tmp_path / "Task05_Prostate", "a"),)
    monkeypatch.chdir(tmp_path / "Task05_Prostate")
    assert scan_dataset(dataset_of(Path("."), cases)).fingerprint.folder == "Task05_Prostate"


def test_a_copy_is_the_same_data_set_and_a_change_is_not(tmp_path: Path) -> None:
    cases = tuple(write_case(tmp_path / "raw", str(n), seed=n) for n in range(2))
    dataset = dataset_of(tmp_path / "raw", cases)
    found = scan_dataset(dataset).fingerprint
    assert found.describes(dataset)
    shutil.copytree(tmp_path / "raw", tmp_path / "copy")
    for path in (tmp_path / "copy").iterdir():
        os.utime(path, (1, 1))
    moved = tuple(
        replace(c, images=(tmp_path / "copy" / c.images[0].name,), label=tmp_path / "copy" / c.label.name)
        for c in cases
    )
    assert found.describes(dataset_of(tmp_path / "copy", moved))
    assert not found.describes(dataset_of(tmp_path, cases[:1]))
    assert not found.describes(dataset_of(tmp_path, cases[::-1]))
    assert not found.describes(dataset_of(tmp_path, cases, channels=("CT",)))
    write_case(tmp_path / "raw", "1", seed=9)
    assert not found.describes(dataset)
    cases[0].images[0].unlink()
    assert not found.describes(dataset)


@pytest.mark.parametrize(("number", "said"), [(errno.EMFILE, "ulimit -n"), (errno.EACCES, "Make it readable")])
def test_a_file_that_cannot_be_looked_at_is_not_a_changed_one(
    number: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run folder would be said to belong to another data set."""
    dataset = dataset_of(tmp_path, (write_case(tmp_path),))
    found = scan_dataset(dataset).fingerprint

    def failing(case: Case) -> None:
        raise OSError(number, os.strerror(number), str(case.images[0]))

    monkeypatch.setattr(fingerprint, "stamps", failing)
    with pytest.raises(UserError, match=rf"{dataset.training[0].images[0].name}: .*{said}"):
        found.describes(dataset)


def test_box_of_nonzero_voxels() -> None:
    image = np.zeros((2, 6, 7, 8), np.float32)
    assert nonzero_box(image) == ((0, 6), (0, 7), (0, 8))
    image[0, 2, 3, 4], image[1, 4, 1, 4] = 1, -1
    assert nonzero_box(image) == ((2, 5), (1, 4), (4, 5))


def test_moments_are_exact_where_single_precision_is_not() -> None:
    values = (np.random.default_rng(0).normal(size=(10, 100, 100)) + 1e4).astype(np.float32)
    assert moments(values) == pytest.approx(
        (values.astype(np.float64).mean(), values.astype(np.float64).std()), rel=1e-9
    )


def test_an_unsound_case_is_an_error_that_names_it(tmp_path: Path) -> None:
    case = write_case(tmp_path)
    case.images[0].write_bytes(case.images[0].read_bytes()[:200])
    with pytest.raises(CaseError, match=r"a\.nii\.gz"):
        _ = scan_dataset(dataset_of(tmp_path, (case,))).fingerprint


def test_contents_are_those_of_the_files_whenever_they_were_written(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, (write_case(tmp_path),))
    first = scan_dataset(dataset).fingerprint
    os.utime(dataset.training[0].images[0], (0, 0))
    later = scan_dataset(dataset).fingerprint
    assert (later == first, later.contents == first.contents) == (False, True)
    assert scan_dataset(dataset_of(tmp_path, (write_case(tmp_path, seed=7),))).fingerprint.contents != first.contents


def test_a_case_is_known_again_in_other_files(tmp_path: Path) -> None:
    """Renamed, turned, of another type and compressed anew; but not where a voxel of a structure differs."""
    case = write_case(tmp_path)
    assert case.label is not None
    turned = {}
    for path in (case.images[0], case.label):
        loaded = nibabel.load(path)
        moved = nibabel.as_closest_canonical(nibabel.Nifti1Image(np.asarray(loaded.dataobj)[::-1], loaded.affine))
        turned[path] = tmp_path / f"renamed_{path.name.removesuffix('.gz')}"
        nibabel.save(moved, turned[path])
    again = replace(case, id="renamed", images=(turned[case.images[0]],), label=turned[case.label])
    first, second = (scan_dataset(dataset_of(tmp_path, (each,))).fingerprint for each in (case, again))
    assert first.contents != second.contents
    assert first.signatures == second.signatures
    other = write_case(tmp_path / "other", shape=(10, 11, 7))
    assert scan_dataset(dataset_of(tmp_path, (other,))).fingerprint.signatures != first.signatures
