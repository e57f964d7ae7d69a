"""Every fault that files of a data set can have, made for real: what `c2fnas check` says of it, and its exit code."""

import errno
import gzip
import json
import tracemalloc
import weakref
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from small_cases import CLASSES, write_case
from small_datasets import IDS, LABELS, checked, reheader, resave, write_dataset
from typer.testing import CliRunner

from c2fnas.cli import app
from c2fnas.data.case_scan import CaseReading, CaseScan
from c2fnas.data.formats import header as header_module
from c2fnas.data.formats import nifti
from c2fnas.data.layouts import load_dataset
from c2fnas.data.problem import CaseError, Problem
from c2fnas.data.scan import scan_dataset
from c2fnas.data.volume import read_image, read_label, write_label
from c2fnas.errors import UserError

Spoil = Callable[[Path], object]


@pytest.mark.parametrize(("name", "low", "told"), [("T2", -1000, True), ("T2", -20, False), ("CT", -1000, False)])
def test_hounsfield_units_of_a_channel_that_does_not_say_so_are_told(
    tmp_path: Path, name: str, low: int, told: bool
) -> None:
    write_dataset(tmp_path / "data", modality={"0": name})
    for each in IDS[:3]:
        path = tmp_path / "data" / f"{each}.nii.gz"
        resave(path, setting(lambda array: array.__setitem__((0, 0, 0), low), np.int16))
    found = [each.found for each in scan_dataset(tmp_path / "data").problems if "down to" in each.found]
    expected = [f"the channel {name!r}, down to {low} in 3 of {len(IDS)} training images"]
    assert found == (expected if told else [])


FIELDS = {"case", "file", "found", "expected", "fix", "severity"}


def cut(path: Path, share: float = 0.6) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def unpacked(folder: Path, name: str = "b") -> Path:
    """Replace a case's image by an unpacked one."""
    path = folder / f"{name}.nii"
    path.write_bytes(gzip.decompress((folder / f"{name}.nii.gz").read_bytes()))
    (folder / f"{name}.nii.gz").unlink()
    manifest = json.loads((folder / "dataset.json").read_text())
    manifest["training"][IDS.index(name)]["image"] = f"./{name}.nii"
    (folder / "dataset.json").write_text(json.dumps(manifest))
    return path


def setting(change: Callable[[np.ndarray], object], dtype: Any = None) -> Callable[[np.ndarray], np.ndarray]:
    """A change of voxels in place, after a cast."""

    def changed(array: np.ndarray) -> np.ndarray:
        copy = array.astype(dtype or array.dtype)
        change(copy)
        return copy

    return changed


def one_voxel(value: float, dtype: Any = None) -> Callable[[np.ndarray], np.ndarray]:
    return setting(lambda array: array.__setitem__((0, 0, 0), value), dtype)


def affine(*changes: tuple[tuple[int, int], float]) -> np.ndarray:
    matrix = np.eye(4)
    for place, value in changes:
        matrix[place] = value
    return matrix


def sform(matrix: np.ndarray) -> dict[str, Any]:
    return {"sform_code": 1, "srow_x": matrix[0], "srow_y": matrix[1], "srow_z": matrix[2]}


def image(folder: Path) -> Path:
    return folder / "b.nii.gz"


def label(folder: Path) -> Path:
    return folder / "b_label.nii.gz"


ERRORS: dict[str, tuple[Spoil, str, str]] = {
    "an image cut short": (lambda f: cut(image(f)), "b.nii.gz", "cut short"),
    "a label cut short": (lambda f: cut(label(f), 0.98), "b_label.nii.gz", "cut short"),
    "a packed file of a few bytes": (lambda f: cut(image(f), 0.01), "b.nii.gz", "unreadable"),
    "an empty file": (lambda f: cut(image(f), 0), "b.nii.gz", "no NIfTI header"),
    "a text in place of a volume": (lambda f: image(f).write_text("not found"), "b.nii.gz", "no NIfTI header"),
    "a damaged byte": (lambda f: damage(image(f)), "b.nii.gz", "damaged"),
    "an unpacked image cut short": (lambda f: cut(unpacked(f)), "b.nii", "bytes"),
    "a data offset beyond the end": (lambda f: reheader(unpacked(f), vox_offset=1e6), "b.nii", "bytes"),
    "a data offset within the header": (lambda f: reheader(unpacked(f), vox_offset=16), "b.nii", "voxels at byte 16"),
    "a data offset that is no number": (lambda f: reheader(unpacked(f), vox_offset=np.nan), "b.nii", "voxels at byte"),
    "a size of 32767 cubed": (lambda f: reheader(image(f), dim=[3, *[32767] * 3, 1, 1, 1, 1]), "b.nii.gz", "voxels"),
    "more voxels than bytes can unpack to": (
        lambda f: reheader(image(f), dim=[3, 1000, 1000, 500, 1, 1, 1, 1]),
        "b.nii.gz",
        "packed bytes",
    ),
    "a size of zero": (lambda f: reheader(image(f), dim=[3, 9, 0, 7, 1, 1, 1, 1]), "b.nii.gz", "9×0×7"),
    "a negative size": (lambda f: reheader(image(f), dim=[3, 9, -11, 7, 1, 1, 1, 1]), "b.nii.gz", "9×-11×7"),
    "two axes": (lambda f: reheader(image(f), dim=[2, 99, 7, 1, 1, 1, 1, 1]), "b.nii.gz", "2 axes"),
    "NaN": (lambda f: resave(image(f), one_voxel(np.nan)), "b.nii.gz", "NaN"),
    "infinity": (lambda f: resave(image(f), one_voxel(-np.inf)), "b.nii.gz", "infinite"),
    "a value beyond float32": (lambda f: resave(image(f), one_voxel(1e300, np.float64)), "b.nii.gz", "float32"),
    "an overflow by scaling": (lambda f: overflow(image(f)), "b.nii.gz", "float32"),
    "a scaling that is no number": (lambda f: reheader(image(f), scl_slope=2, scl_inter=np.nan), "b.nii.gz", "scaling"),
    "an invalid qform and no sform": (
        lambda f: reheader(image(f), qform_code=1, sform_code=0, quatern_b=1.2),
        "b.nii.gz",
        "invalid qform",
    ),
    "complex numbers": (lambda f: resave(image(f), lambda a: a.astype(np.complex64)), "b.nii.gz", "complex"),
    "colours": (lambda f: reheader(image(f), datatype=128, bitpix=24), "b.nii.gz", "data type"),
    "an unknown data type": (lambda f: reheader(image(f), datatype=77), "b.nii.gz", "code 77"),
    "NaN in the affine": (lambda f: reheader(image(f), **sform(affine(((0, 3), np.nan)))), "b.nii.gz", "NaN"),
    "a singular affine": (
        lambda f: reheader(image(f), **sform(affine(((1, 0), 1), ((1, 1), 0), ((0, 1), 0)))),
        "b.nii.gz",
        "spacing",
    ),
    "parallel axes": (lambda f: reheader(image(f), **sform(affine(((1, 1), 0), ((0, 1), 1)))), "b.nii.gz", "singular"),
    "a spacing of zero": (lambda f: reheader(image(f), pixdim=[1, 1, 0, 1, 0, 0, 0, 0]), "b.nii.gz", "spacing"),
    "a sheared affine": (lambda f: reheader(image(f), **sform(affine(((0, 2), 0.2)))), "b.nii.gz", "sheared"),
    "a label somewhere else": (
        lambda f: resave(label(f), lambda a: a, affine(((0, 3), 0.0011))),
        "b_label.nii.gz",
        "differs by 0.0011 mm",
    ),
    "a label of another spacing": (
        lambda f: resave(label(f), lambda a: a, affine(((2, 2), 1.01))),
        "b_label.nii.gz",
        "b.nii.gz",
    ),
    "a label of another size": (lambda f: resave(label(f), lambda a: a[:-1]), "b_label.nii.gz", "8×11×7"),
    "a label with two channels": (
        lambda f: resave(label(f), lambda a: np.stack([a, a], -1)),
        "b_label.nii.gz",
        "2 channels",
    ),
    "a label of 0.6": (lambda f: resave(label(f), one_voxel(0.6, np.float32)), "b_label.nii.gz", "0.6"),
    "a label of NaN": (lambda f: resave(label(f), one_voxel(np.nan, np.float32)), "b_label.nii.gz", "nan"),
    "a negative label": (lambda f: resave(label(f), one_voxel(-1, np.int16)), "b_label.nii.gz", "label -1"),
    "a label that the manifest lacks": (lambda f: resave(label(f), one_voxel(7)), "b_label.nii.gz", "label 7"),
    "no image": (lambda f: image(f).unlink(), "b.nii.gz", "no such file"),
    "no label file": (lambda f: label(f).unlink(), "b_label.nii.gz", "no such file"),
    "a channel too many": (lambda f: resave(image(f), lambda a: np.stack([a, a], -1)), "b.nii.gz", "2 channels"),
    "a file of an unknown format": (lambda f: rename(f, "b.tif"), "b.tif", "b.tif"),
    "a file that is called DICOM": (lambda f: rename(f, "b.dcm"), "b.dcm", "no DICOM image"),
}


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def overflow(path: Path) -> None:
    resave(path, lambda array: array.astype(np.int16))
    reheader(path, scl_slope=3e37, scl_inter=0)


def rename(folder: Path, name: str) -> None:
    image(folder).rename(folder / name)
    text = (folder / "dataset.json").read_text()
    (folder / "dataset.json").write_text(text.replace("b.nii.gz", name))


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_names_the_case_the_file_and_what_was_found(name: str, tmp_path: Path) -> None:
    spoil, file, found = ERRORS[name]
    spoil(write_dataset(tmp_path))
    answer = checked(tmp_path)
    assert answer.code == 2
    assert [(each["case"], each["severity"]) for each in answer.problems] == [("b", "error")]
    problem = answer.problems[0]
    assert problem["file"] == str(tmp_path / file)
    assert found in problem["found"] + problem["expected"]
    assert problem.keys() == FIELDS
    assert all(problem.values())


WARNINGS: dict[str, tuple[Spoil, str, str]] = {
    "qform and sform apart": (lambda f: reheader(image(f), qform_code=1, qoffset_x=30), "b.nii.gz", "30 mm apart"),
    "neither qform nor sform": (
        lambda f: [reheader(path, qform_code=0, sform_code=0) for path in (image(f), label(f))],
        "b.nii.gz",
        "neither qform nor sform",
    ),
    "an invalid qform beside a sform": (
        lambda f: reheader(image(f), qform_code=1, quatern_b=1.2),
        "b.nii.gz",
        "invalid qform",
    ),
    "a label within tolerance": (
        lambda f: resave(label(f), lambda a: a, affine(((0, 3), 5e-4))),
        "b_label.nii.gz",
        "0.0005 mm",
    ),
    "a fourth axis of one voxel": (lambda f: resave(label(f), lambda a: a[..., None]), "b_label.nii.gz", "9×11×7×1"),
    "whole numbers as real ones": (
        lambda f: resave(label(f), lambda a: a.astype(np.float64)),
        "b_label.nii.gz",
        "float64",
    ),
}


@pytest.mark.parametrize("name", WARNINGS)
def test_a_warning_tells_and_lets_pass(name: str, tmp_path: Path) -> None:
    spoil, file, found = WARNINGS[name]
    spoil(write_dataset(tmp_path))
    answer = checked(tmp_path)
    assert answer.code == 1
    assert {(each["case"], each["severity"]) for each in answer.problems} == {("b", "warning")}
    assert answer.problems[0]["file"] == str(tmp_path / file)
    assert found in answer.problems[0]["found"]


CLEAN: dict[str, Spoil] = {
    "as written": lambda f: None,
    "rounding to float32": lambda f: resave(label(f), lambda a: a, affine(((0, 3), 3e-5))),
    "a handedness of zero, which stands for one": lambda f: reheader(
        image(f), qform_code=1, pixdim=[0, 1, 1, 1, 0, 0, 0, 0]
    ),
    "a single channel as a fourth axis": lambda f: resave(image(f), lambda a: a[..., None]),
    "scaled integers": lambda f: (resave(image(f), lambda a: a.astype(np.int16)), reheader(image(f), scl_slope=0.5)),
}


@pytest.mark.parametrize("name", CLEAN)
def test_what_is_sound_is_clean(name: str, tmp_path: Path) -> None:
    CLEAN[name](write_dataset(tmp_path))
    answer = checked(tmp_path)
    assert (answer.code, answer.problems) == (0, [])


def test_everything_is_listed_in_one_pass(tmp_path: Path) -> None:
    write_dataset(tmp_path, numTraining=9)
    (tmp_path / "a.nii.gz").unlink()
    (tmp_path / "b_label.nii.gz").unlink()
    resave(tmp_path / "c.nii.gz", lambda array: np.stack([array, array], -1))
    resave(tmp_path / "d.nii.gz", one_voxel(np.nan))
    resave(tmp_path / "d_label.nii.gz", one_voxel(7))
    cut(tmp_path / "e_label.nii.gz")
    answer = checked(tmp_path, "--workers", "3")
    assert answer.code == 2
    assert [each["case"] for each in answer.problems] == ["", "a", "b", "c", "d", "d", "e"]


def test_a_training_case_without_a_label(tmp_path: Path) -> None:
    training = [{"image": f"./{name}.nii.gz", "label": f"./{name}_label.nii.gz"} for name in IDS]
    del training[3]["label"]
    answer = checked(write_dataset(tmp_path, training=training, test=["./d.nii.gz"]))
    assert answer.code == 2
    assert [(each["case"], each["found"]) for each in answer.problems] == [("d", "no label")]


@pytest.mark.parametrize("path", ["../outside/b.nii.gz", "/etc/b.nii.gz", "imagesTr/../../b.nii.gz", "C:\\b.nii.gz"])
@pytest.mark.parametrize("key", ["image", "label"])
def test_a_path_that_leads_out_of_the_data_set_is_refused(path: str, key: str, tmp_path: Path) -> None:
    write_case(tmp_path / "outside", "b")
    training = [{"image": f"./{name}.nii.gz", "label": f"./{name}_label.nii.gz"} for name in IDS]
    training[1][key] = path
    answer = checked(write_dataset(tmp_path / "data", training=training, numTraining=4))
    assert answer.code == 2
    assert [(each["case"], each["severity"]) for each in answer.problems] == [("training[1]", "error")]
    assert "leads out of the data set" in answer.problems[0]["found"]


@pytest.mark.parametrize(
    ("text", "found"),
    [("{", "unreadable JSON"), ("[1]", "JSON list"), ("\udcff", "unreadable JSON"), ("{}", "no data")],
)
def test_an_unreadable_manifest(text: str, found: str, tmp_path: Path) -> None:
    write_dataset(tmp_path)
    (tmp_path / "dataset.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    answer = checked(tmp_path)
    assert answer.code == 2
    assert [each["severity"] for each in answer.problems] == ["error"]
    assert found in answer.problems[0]["found"]


def test_no_data_set_at_all(tmp_path: Path) -> None:
    assert checked(tmp_path / "nowhere").code == 2
    result = CliRunner().invoke(app, ["check", str(tmp_path)])
    assert result.exit_code == 2
    assert "no data set of a known layout" in result.stderr


def test_a_header_that_lies_takes_no_memory(tmp_path: Path) -> None:
    write_dataset(tmp_path)
    reheader(image(tmp_path), dim=[3, 1024, 1024, 1024, 1, 1, 1, 1])
    tracemalloc.start()
    try:
        assert checked(tmp_path).code == 2
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


def test_a_warning_hides_no_lie(tmp_path: Path) -> None:
    write_dataset(tmp_path)
    reheader(image(tmp_path), dim=[3, 1000, 1000, 500, 1, 1, 1, 1], qform_code=1, qoffset_x=30)
    found = [(each["severity"], each["found"]) for each in checked(tmp_path).problems]
    assert [severity for severity, _ in found] == ["warning", "error"]
    assert "packed bytes" in found[1][1]


def test_a_volume_beyond_the_memory_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Small:
        total, available = 100, 100

    monkeypatch.setattr(header_module.psutil, "virtual_memory", lambda: Small)
    problems = scan_dataset(load_dataset(write_dataset(tmp_path))).problems
    assert {each.case for each in problems} == set(IDS)
    assert "this machine's memory" in problems[0].expected


def test_a_volume_beyond_the_containers_memory_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the kernel ends the process without a word."""
    monkeypatch.setattr(header_module, "container_limit", lambda: 100)
    problems = scan_dataset(load_dataset(write_dataset(tmp_path))).problems
    assert {each.case for each in problems} == set(IDS)


def test_the_same_files_under_two_names_are_told(tmp_path: Path) -> None:
    write_dataset(tmp_path / "data")
    for end in ("", "_label"):
        (tmp_path / "data" / f"d{end}.nii.gz").write_bytes((tmp_path / "data" / f"b{end}.nii.gz").read_bytes())
    found = [each for each in scan_dataset(tmp_path / "data").problems if "the same files" in each.found]
    assert [(each.severity, each.found) for each in found] == [("warning", "the same files under several names: b = d")]


@pytest.mark.parametrize("text", ["2e9", "-1", ""])
def test_a_largest_size_that_is_no_number(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("C2FNAS_MAX_VOXELS", text)
    with pytest.raises(UserError, match="C2FNAS_MAX_VOXELS"):
        header_module._largest_voxels()


def test_what_follows_the_voxels_is_not_unpacked(tmp_path: Path) -> None:
    """A gzip bomb behind a small volume."""
    write_dataset(tmp_path)
    path = image(tmp_path)
    content = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(content + bytes(200_000_000), 9))
    tracemalloc.start()
    try:
        assert checked(tmp_path).code == 0
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


def test_labels_with_gaps_are_consecutive_inside_and_themselves_outside(tmp_path: Path) -> None:
    write_dataset(tmp_path, labels={"0": "background", "3": "organ", "200": "lesion"})
    for name in IDS:
        resave(tmp_path / f"{name}_label.nii.gz", lambda array: np.array([0, 3, 200], np.uint8)[array])
    assert checked(tmp_path).code == 0
    dataset = load_dataset(tmp_path)
    label, geometry = read_label(dataset.training[0].label, dataset.classes)
    assert np.unique(label).tolist() == [0, 1, 2]
    write_label(tmp_path / "back.nii.gz", label, geometry, classes=dataset.classes)
    stored = [
        np.asanyarray(nibabel.load(path).dataobj) for path in (tmp_path / "back.nii.gz", dataset.training[0].label)
    ]
    assert np.array_equal(*stored)


def test_a_class_that_no_case_has(tmp_path: Path) -> None:
    answer = checked(write_dataset(tmp_path, labels=LABELS | {"3": "cyst"}))
    assert answer.code == 1
    assert [each["severity"] for each in answer.problems] == ["warning"]
    assert "'cyst'" in answer.problems[0]["found"]
    assert "organ 5, lesion 5, cyst 0" in answer.problems[0]["found"]


def test_a_class_that_a_fold_lacks(tmp_path: Path) -> None:
    """A case an own fold: the one without a lesion leaves its fold's validation without."""
    write_dataset(tmp_path)
    resave(label(tmp_path), lambda array: np.minimum(array, 1))
    answer = checked(tmp_path)
    assert answer.code == 1
    assert [(each["case"], each["severity"]) for each in answer.problems] == [("", "warning")]
    assert answer.problems[0]["found"] == "no 'lesion' in validation of fold 1 (in 4 cases)"


def test_a_single_case_makes_no_folds(tmp_path: Path) -> None:
    training = [{"image": "./a.nii.gz", "label": "./a_label.nii.gz"}]
    answer = checked(write_dataset(tmp_path, training=training, numTraining=1))
    assert answer.code == 1
    assert [each["found"] for each in answer.problems] == ["a alone"]


def test_counts_are_those_of_the_voxels(tmp_path: Path) -> None:
    write_dataset(tmp_path)
    resave(tmp_path / "c_label.nii.gz", np.zeros_like)
    scan = scan_dataset(tmp_path)
    assert scan.class_cases == (5, 4, 4)
    assert scan.present["c"] == {0}
    truth = np.asanyarray(nibabel.load(tmp_path / "a_label.nii.gz").dataobj)
    assert scan.training[0].voxels == tuple(np.bincount(truth.ravel(), minlength=3))
    assert scan.training[0].geometry == read_image([tmp_path / "a.nii.gz"]).geometry


def test_every_file_is_read_once_for_problems_and_fingerprint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: Counter[str] = Counter()
    real = nifti.read_voxels

    def counted(header: header_module.Header) -> np.ndarray:
        read[header.path.name] += 1
        return real(header)

    monkeypatch.setattr(nifti, "read_voxels", counted)
    scan = scan_dataset(write_dataset(tmp_path), workers=3)
    assert (scan.problems, len(scan.fingerprint.cases)) == ((), len(IDS))
    assert read == {f"{name}{part}.nii.gz": 1 for name in IDS for part in ("", "_label")}


def test_no_voxel_of_a_case_is_kept_once_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte for each of all cases is tens of gigabytes of a large CT data set."""
    kept: list[int] = []
    masks: list[weakref.ref[np.ndarray]] = []
    real = CaseReading.run

    def run(reading: CaseReading) -> CaseScan:
        kept.append(sum(mask() is not None for mask in masks))
        found = real(reading)
        assert reading.filled is not None
        masks.append(weakref.ref(reading.filled))
        return found

    monkeypatch.setattr(CaseReading, "run", run)
    scan_dataset(write_dataset(tmp_path))
    assert len(kept) == len(IDS)
    assert max(kept) <= 1, "the one that has just been read"


def test_test_cases_and_warnings_have_no_say_in_the_fingerprint(tmp_path: Path) -> None:
    write_dataset(tmp_path, test=["./e.nii.gz"])
    whole = scan_dataset(tmp_path).fingerprint
    resave(tmp_path / "e.nii.gz", one_voxel(np.nan))
    training = [{"image": f"./{name}.nii.gz", "label": f"./{name}_label.nii.gz"} for name in IDS[:4]]
    write = json.loads((tmp_path / "dataset.json").read_text()) | {"training": training}
    (tmp_path / "dataset.json").write_text(json.dumps(write))
    scan = scan_dataset(tmp_path)
    assert {problem.severity for problem in scan.problems} == {"warning", "error"}
    assert scan.fingerprint.cases == whole.cases[:4]


@pytest.mark.parametrize(
    "error", [OSError(errno.EMFILE, "Too many open files"), OSError(errno.ENOMEM, "Cannot allocate")]
)
def test_a_resource_that_has_run_out_is_not_called_damage(
    error: OSError, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = load_dataset(write_dataset(tmp_path))

    def fails(*arguments: object, **others: object) -> None:
        raise error

    monkeypatch.setattr(nifti, "array_from_file", fails)
    with pytest.raises(UserError, match=f"run out \\({error.strerror}") as raised:
        scan_dataset(dataset)
    assert not isinstance(raised.value, CaseError)
    assert "damaged" not in str(raised.value)


def test_a_data_set_without_a_path_has_no_manifest_to_check(tmp_path: Path) -> None:
    dataset = load_dataset(write_dataset(tmp_path, numTraining=9))
    assert dataset.classes == CLASSES
    assert scan_dataset(dataset).problems == ()
    assert len(scan_dataset(tmp_path).problems) == 1


def test_progress_counts_every_case(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    scan_dataset(write_dataset(tmp_path, test=["./a.nii.gz"]), workers=2, progress=lambda *each: seen.append(each))
    assert seen == [(number, 6) for number in range(1, 7)]


def test_in_words_a_problem_of_many_cases_stands_once(tmp_path: Path) -> None:
    write_dataset(tmp_path)
    for name in IDS[:2]:
        resave(tmp_path / f"{name}_label.nii.gz", lambda array: array.astype(np.float32))
    resave(tmp_path / "c.nii.gz", one_voxel(np.nan))
    result = CliRunner().invoke(app, ["check", str(tmp_path)])
    assert result.exit_code == 2
    lines = result.stdout.splitlines()
    assert len(lines) == 3
    assert "a_label.nii.gz" in lines[0]
    assert "b_label.nii.gz: found labels stored as float32" in lines[0]
    assert lines[1].startswith("error: ")
    assert lines[2] == "Small: 5 training and 0 test cases, 1 error, 2 warnings."


@pytest.mark.parametrize(
    ("case", "file", "place"),
    [
        ("", "d/dataset.json", "d/dataset.json"),
        ("a", "d/a.nii.gz", "d/a.nii.gz"),
        ("a", "d/a_0000.nii.gz", "d/a_0000.nii.gz"),
        ("a", "d/imagesTr", "d/imagesTr (a)"),
        ("i", "d/imagesTr", "d/imagesTr (i)"),
        ("p1_image", "p1/image.nii.gz", "p1/image.nii.gz (p1_image)"),
    ],
)
def test_a_case_is_named_where_its_file_does_not_tell_it(case: str, file: str, place: str) -> None:
    assert Problem(case, file, "", "", "").place == place


def test_in_words_an_entry_of_the_manifest_is_named(tmp_path: Path) -> None:
    training = [{"image": f"./{name}.nii.gz", "label": f"./{name}_label.nii.gz"} for name in IDS]
    training[2]["label"] = "../c_label.nii.gz"
    result = CliRunner().invoke(app, ["check", str(write_dataset(tmp_path, training=training, numTraining=4))])
    assert f"error: {tmp_path / 'dataset.json'} (training[2]): found the path" in result.stdout


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"labels": {"background": 0, "whole": [1, 2], "core": 2}, "regions_class_order": [1]}, "regions_class_order"),
        (
            {"labels": {"background": 0, "whole": [1, 2], "core": 2}, "regions_class_order": [1, 1]},
            "regions_class_order",
        ),
        ({"labels": {"background": 0, "whole": [1, 2], "core": 2}}, "in both"),
        ({"labels": {"background": 0, "organ": 2, "ignore": 1}}, "ignore"),
        ({"labels": {"background": 0}}, "no class but the background"),
        ({"labels": 5}, "labels 5"),
        ({"labels": {str(value): f"c{value}" for value in range(300)}}, "300 classes"),
        ({"labels": {"1": "background", "2": "organ"}}, "without the value 0"),
        ({"labels": {"background": 0, "organ": 10**400}}, "label 'organ'"),
        ({"channel_names": {"²": "MRI"}}, ""),
    ],
)
def test_a_manifest_that_is_wrong_over_sound_files_is_listed(changes: dict, found: str, tmp_path: Path) -> None:
    answer = checked(write_dataset(tmp_path, **changes))
    assert answer.code == 2 if found else answer.code < 2
    assert found in " ".join(problem["found"] for problem in answer.problems)


def test_a_quotation_mark_that_is_not_closed_is_named(tmp_path: Path) -> None:
    rows = "\n".join(f"c{n},image{n}.nii.gz,label{n}.nii.gz" for n in range(6000))
    (tmp_path / "data.csv").write_text(f'id,image,label\n"a,b.nii.gz,c.nii.gz\n{rows}')
    (problem,) = checked(tmp_path).problems
    assert "quotation mark" in problem["fix"]


def test_a_row_ends_with_its_line_alone(tmp_path: Path) -> None:
    """Unicode's line separators are no ends of lines, nor is a form feed."""
    write_dataset(tmp_path)
    (tmp_path / "dataset.json").unlink()
    rows = "\n".join(f"{name}\x85\x0c\u2028x,{name}.nii.gz,{name}_label.nii.gz" for name in IDS)
    (tmp_path / "data.csv").write_text(f"id,image,label\n{rows}", encoding="utf-8")
    assert len(load_dataset(tmp_path).training) == len(IDS)
