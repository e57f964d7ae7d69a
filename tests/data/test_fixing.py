"""Corrected copies: what is safe is corrected and passes the check, all else stays, and originals are never touched."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest
from dicom_files import write_series
from small_cases import write_case
from small_datasets import IDS, checked, reheader, resave, write_dataset

from c2fnas.api.checks import check
from c2fnas.data import fixing
from c2fnas.data.fixing import fix_dataset
from c2fnas.data.formats import format_of
from c2fnas.data.formats.dicom import read_header as read_dicom
from c2fnas.data.formats.dicom_seg import write_segments
from c2fnas.data.layouts import load_dataset
from c2fnas.data.scan import scan_dataset
from c2fnas.data.volume import read_image, read_label, read_stored
from c2fnas.errors import UserError


def digest(folder: Path) -> dict[str, str]:
    """Every file's content and time of change."""
    return {
        str(path.relative_to(folder)): f"{hashlib.sha256(path.read_bytes()).hexdigest()} {path.stat().st_mtime_ns}"
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def moved(by: float) -> np.ndarray:
    matrix = np.eye(4)
    matrix[1, 3] = by
    return matrix


SAFE: dict[str, tuple[Callable[[Path], object], str]] = {
    "an affine within tolerance": (lambda p: resave(p, lambda a: a, moved(5e-4)), "the affine of the image"),
    "a fourth axis of one voxel": (lambda p: resave(p, lambda a: a[..., None]), "three axes"),
    "two more axes of one voxel": (lambda p: resave(p, lambda a: a[..., None, None]), "three axes"),
    "float64": (lambda p: resave(p, lambda a: a.astype(np.float64)), "whole numbers stored as such"),
    "float32 nearly whole": (lambda p: resave(p, lambda a: a.astype(np.float32) + np.float32(3e-6)), "whole numbers"),
    "all at once": (
        lambda p: resave(p, lambda a: a.astype(np.float32)[..., None], moved(-3e-4)),
        "the affine of the image, three axes, whole numbers stored as such",
    ),
}


@pytest.mark.parametrize("name", SAFE)
def test_what_is_safe_is_corrected(name: str, tmp_path: Path) -> None:
    spoil, done = SAFE[name]
    root, fixed = write_dataset(tmp_path / "data"), tmp_path / "fixed"
    truth, _ = read_label(root / "b_label.nii.gz", load_dataset(root).classes)
    spoil(root / "b_label.nii.gz")
    before = digest(root)
    answer = checked(root, "--fix", str(fixed))
    assert digest(root) == before
    assert answer.code == 1
    (row,) = answer.content["fixed"]
    assert row["case"] == "b"
    assert row["file"] == str(root / "b_label.nii.gz")
    assert row["copy"] == str(fixed / "b_label.nii.gz")
    assert done in row["fixed"]
    assert (checked(fixed).code, checked(fixed).problems) == (0, [])
    dataset = load_dataset(fixed)
    label, geometry = read_label(dataset.training[1].label, dataset.classes)
    assert np.array_equal(label, truth)
    assert geometry == read_image(dataset.training[1].images).geometry
    stored = nibabel.load(fixed / "b_label.nii.gz")
    assert stored.ndim == 3
    assert stored.get_data_dtype() == np.uint8


UNSAFE: dict[str, Callable[[Path], object]] = {
    "an affine beyond tolerance": lambda f: resave(f / "b_label.nii.gz", lambda a: a, moved(0.01)),
    "another size": lambda f: resave(f / "b_label.nii.gz", lambda a: a[:-1]),
    "two channels": lambda f: resave(f / "b_label.nii.gz", lambda a: np.stack([a, a], -1)),
    "a label of 0.6": lambda f: resave(f / "b_label.nii.gz", lambda a: a * np.float32(0.6)),
    "a negative label": lambda f: resave(f / "b_label.nii.gz", lambda a: a.astype(np.float32) - 1),
    "an unknown label": lambda f: resave(f / "b_label.nii.gz", lambda a: a * 7),
    "NaN in an image": lambda f: resave(f / "b.nii.gz", lambda a: a * np.nan),
    "a file cut short": lambda f: (f / "b.nii.gz").write_bytes((f / "b.nii.gz").read_bytes()[:200]),
    "no volume": lambda f: (f / "b_label.nii.gz").write_text("nothing"),
}


@pytest.mark.parametrize("name", UNSAFE)
def test_what_is_not_safe_is_copied_as_it_is(name: str, tmp_path: Path) -> None:
    root, fixed = write_dataset(tmp_path / "data"), tmp_path / "fixed"
    UNSAFE[name](root)
    before = digest(root)
    answer = checked(root, "--fix", str(fixed))
    assert digest(root) == before
    assert (answer.code, answer.content["fixed"]) == (2, [])
    for path in root.iterdir():
        assert (fixed / path.name).read_bytes() == path.read_bytes()
    found = [[each["found"] for each in checked(folder).problems] for folder in (root, fixed)]
    assert found[0] == found[1] != []


def test_a_missing_file_stays_missing(tmp_path: Path) -> None:
    root, fixed = write_dataset(tmp_path / "data"), tmp_path / "fixed"
    (root / "b.nii.gz").unlink()
    resave(root / "b_label.nii.gz", lambda array: array.astype(np.float32))
    assert len(checked(root, "--fix", str(fixed)).content["fixed"]) == 1
    assert [each["found"] for each in checked(fixed).problems] == ["no such file"]


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
@pytest.mark.parametrize("channels", [1, 2])
def test_voxels_are_filled_on_request(value: float, channels: int, tmp_path: Path) -> None:
    modality = {str(index): f"MR{index}" for index in range(channels)}
    root, fixed = write_dataset(tmp_path / "data", modality=modality), tmp_path / "fixed"
    for name in IDS:
        resave(root / f"{name}.nii.gz", lambda array: np.stack([array] * channels, -1).astype(np.float64))
    image = root / "b.nii.gz"
    resave(image, lambda array: np.where(np.arange(array.size).reshape(array.shape) % 50 == 0, value, array))
    before = digest(root)
    answer = checked(root, "--fix", str(fixed), "--fill", "-5")
    assert digest(root) == before
    assert [each["case"] for each in answer.content["fixed"]] == ["b"]
    assert checked(fixed).code == 0
    found = read_image([fixed / "b.nii.gz"])
    with np.errstate(over="ignore"):
        stored = np.moveaxis(np.asanyarray(nibabel.load(image).dataobj), -1, 0).astype(np.float32)
    assert np.array_equal(found.array, np.where(np.isfinite(stored), stored, -5))
    assert found.geometry == read_image([root / "a.nii.gz"]).geometry


def test_fill_needs_a_place(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--fix DIR"):
        checked(write_dataset(tmp_path), "--fill", "0")


@pytest.mark.parametrize("place", ["data", "data/inside", ".", "full", "file"])
def test_places_that_will_not_do(place: str, tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "data")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "something").touch()
    (tmp_path / "file").touch()
    before = digest(tmp_path)
    with pytest.raises(UserError, match="Name a"):
        fix_dataset(scan_dataset(root), tmp_path / place)
    assert digest(tmp_path) == before


def test_a_disk_too_small_is_told_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fixing.shutil, "disk_usage", lambda path: SimpleNamespace(free=10))
    with pytest.raises(UserError, match="10 bytes free"):
        fix_dataset(scan_dataset(write_dataset(tmp_path / "data")), tmp_path / "fixed")
    assert not (tmp_path / "fixed").exists()


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_other_formats(suffix: str, tmp_path: Path) -> None:
    root = tmp_path / "data"
    write_dataset(root)
    dataset = load_dataset(root)
    for case in dataset.training:
        for path in (case.images[0], case.label):
            stored, header = read_stored(path, "")
            values = stored.astype(np.float32) if path == case.label else stored
            format_of(Path(suffix)).write(root / path.name.replace(".nii.gz", suffix), values, header.affine, None)
    (root / "dataset.json").write_text((root / "dataset.json").read_text().replace(".nii.gz", suffix))
    assert checked(root).code == 1
    fixed_files = fix_dataset(scan_dataset(root), tmp_path / "fixed")
    assert [each.case for each in fixed_files] == list(IDS)
    assert checked(tmp_path / "fixed").code == 0


def test_voxels_beside_their_header_are_copied_with_it(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "data")
    image = nibabel.load(root / "b.nii.gz")
    values = np.asanyarray(image.dataobj).astype(np.float32)
    (root / "b.raw").write_bytes(values.tobytes("F"))
    (root / "b.mhd").write_text(
        "ObjectType = Image\nNDims = 3\nDimSize = 9 11 7\nTransformMatrix = -1 0 0 0 -1 0 0 0 1\n"
        "ElementType = MET_FLOAT\nElementDataFile = b.raw\n"
    )
    (root / "dataset.json").write_text((root / "dataset.json").read_text().replace("b.nii.gz", "b.mhd"))
    fix_dataset(scan_dataset(root), tmp_path / "fixed")
    assert checked(tmp_path / "fixed").code == 0
    assert np.array_equal(read_image([tmp_path / "fixed" / "b.mhd"]).array[0], values)


def test_nnunets_layout_stays_what_it_is(tmp_path: Path) -> None:
    root = tmp_path / "Dataset001_Small"
    for seed, name in enumerate(IDS):
        case = write_case(tmp_path / "raw", name, seed=seed)
        for path, place in ((case.images[0], f"imagesTr/{name}_0000.nii.gz"), (case.label, f"labelsTr/{name}.nii.gz")):
            (root / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, root / place)
    (root / "dataset.json").write_text(
        json.dumps(
            {
                "channel_names": {"0": "MRI"},
                "labels": {"background": 0, "organ": 1, "lesion": 2},
                "numTraining": 5,
                "file_ending": ".nii.gz",
            }
        )
    )
    resave(root / "labelsTr" / "c.nii.gz", lambda array: array.astype(np.float32))
    fix_dataset(scan_dataset(root), tmp_path / "fixed")
    assert checked(tmp_path / "fixed").code == 0
    assert sorted(path.name for path in (tmp_path / "fixed" / "imagesTr").iterdir()) == [
        f"{n}_0000.nii.gz" for n in IDS
    ]


def test_a_path_that_leads_out_of_the_data_set_and_on_writes_nothing_there(tmp_path: Path) -> None:
    """``root/../labels/b.nii.gz`` begins with the data set's folder, and a copy of it would be the original."""
    root = tmp_path / "data"
    rows = ["id;image;label"]
    for seed, name in enumerate(IDS):
        case = write_case(root, name, seed=seed)
        label = tmp_path / "labels" / f"{name}.nii.gz"
        label.parent.mkdir(exist_ok=True)
        case.label.rename(label)
        rows.append(";".join([name, case.images[0].name, f"{root}/../labels/{label.name}"]))
    (root / "cases.csv").write_text("\n".join(rows))
    resave(tmp_path / "labels" / "b.nii.gz", lambda array: array.astype(np.float32))
    before = digest(tmp_path)
    fixed = fix_dataset(scan_dataset(root / "cases.csv"), tmp_path / "fixed")
    after = digest(tmp_path)
    assert {path: after[path] for path in before} == before
    assert [Path(each.copy).is_relative_to(tmp_path / "fixed") for each in fixed] == [True]
    assert ".." not in fixed[0].copy


def test_a_tables_files_elsewhere_are_copied_only_where_corrected(tmp_path: Path) -> None:
    root = tmp_path / "data"
    rows = ["id;image;label"]
    for seed, name in enumerate(IDS):
        inside = name in "ab"
        case = write_case(root if inside else tmp_path / "elsewhere", name, seed=seed)
        paths = [path.name if inside else str(path) for path in (case.images[0], case.label)]
        rows.append(";".join([name, *paths]))
    (root / "cases.csv").write_text("\n".join(rows))
    for folder, name in ((root, "b"), (tmp_path / "elsewhere", "d")):
        resave(folder / f"{name}_label.nii.gz", lambda array: array.astype(np.float32))
    before = digest(tmp_path)
    fixed_files = fix_dataset(scan_dataset(root / "cases.csv"), tmp_path / "fixed")
    assert {name: content for name, content in digest(tmp_path).items() if not name.startswith("fixed")} == before
    assert [each.case for each in fixed_files] == ["b", "d"]
    assert checked(tmp_path / "fixed").code == 0
    dataset = load_dataset(tmp_path / "fixed")
    assert dataset.training[2].images == (tmp_path / "elsewhere" / "c.nii.gz",)
    assert dataset.training[3].label == tmp_path / "fixed" / "d" / "1.nii.gz"
    assert sorted(path.name for path in (tmp_path / "fixed").rglob("*.nii.gz")) == [
        "1.nii.gz",
        "a.nii.gz",
        "a_label.nii.gz",
        "b.nii.gz",
        "b_label.nii.gz",
    ]


def test_codes_of_the_orientation_are_kept(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "data")
    for name, dtype in (("b", np.float32), ("b_label", np.float64)):
        image = nibabel.load(root / f"{name}.nii.gz")
        array = np.asanyarray(image.dataobj).astype(dtype)
        found = nibabel.Nifti1Image(array, image.affine)
        found.set_sform(image.affine, code=4)
        found.set_qform(image.affine, code=1)
        nibabel.save(found, root / f"{name}.nii.gz")
    fix_dataset(scan_dataset(root), tmp_path / "fixed")
    header = nibabel.load(tmp_path / "fixed" / "b_label.nii.gz").header
    assert (int(header["sform_code"]), int(header["qform_code"])) == (4, 1)


def test_in_words(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from c2fnas.cli import app

    root = write_dataset(tmp_path / "data")
    resave(root / "b_label.nii.gz", lambda array: array.astype(np.float32))
    result = CliRunner().invoke(app, ["check", str(root), "--fix", str(tmp_path / "fixed")])
    assert "b_label.nii.gz: whole numbers stored as such" in result.stdout
    assert f"c2fnas check {tmp_path / 'fixed'}" in result.stdout


def test_a_label_larger_than_its_stored_type_is_written_wider(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "data", labels={"background": 0, "organ": 1000})
    for name in IDS:
        path = root / f"{name}_label.nii.gz"
        resave(path, lambda a: (a > 0).astype(np.uint8))
        reheader(path, scl_slope=1000.0, scl_inter=0.0)
    fix_dataset(scan_dataset(root), tmp_path / "fixed")
    assert checked(tmp_path / "fixed").code == 0
    stored = nibabel.load(tmp_path / "fixed" / "b_label.nii.gz")
    assert stored.get_data_dtype() == np.uint16
    assert np.asarray(stored.dataobj).max() == 1000


@pytest.mark.parametrize("one_file", [False, True])
def test_series_and_segmentations_are_copied_whole(one_file: bool, tmp_path: Path) -> None:
    """A table may name a series by one of its files; the affine of a SEG differs by rounding."""
    root, rows = tmp_path / "data", ["id,image,label"]
    for name in "ab":
        array = np.random.default_rng(ord(name)).integers(0, 900, (6, 5, 4)).astype(np.int16)
        files = write_series(root / name, array, origin=(-10.123457, -20.3333, 5.1))
        labels = np.zeros(array.shape, np.uint8)
        labels[2:4, 1:3, 1:3] = 1
        place = root / f"{name}.seg.dcm"
        write_segments(place, labels, [("organ", None)], root / name, read_dicom(root / name).affine)
        rows.append(f"{name},{files[1].relative_to(root) if one_file else name},{place.name}")
    (root / "data.csv").write_text("\n".join(rows))
    before = checked(root)
    fix_dataset(scan_dataset(root), tmp_path / "fixed")
    after = checked(tmp_path / "fixed")
    assert (after.code, len(after.problems)) == (before.code, len(before.problems))
    assert after.code < 2
    assert len([*(tmp_path / "fixed" / "a").iterdir()]) == 4


def test_the_space_that_a_copy_takes_counts_every_slice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = write_series(tmp_path / "data" / "P1", np.zeros((6, 5, 4), np.int16))
    needed = sum(file.stat().st_size for file in files)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=needed - 1))
    with pytest.raises(UserError, match=f"{needed - 1:,} bytes free, but the copies take {needed:,}"):
        fix_dataset(scan_dataset(tmp_path / "data"), tmp_path / "fixed")


@pytest.mark.parametrize("fill", ["nan", "1e39", "inf"])
def test_what_no_voxel_can_hold_fills_nothing(fill: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--fill"):
        check(write_dataset(tmp_path / "data"), fix=tmp_path / "fixed", fill=float(fill))
