"""Manifests and folders as users of nnU-Net and MONAI bring them: read, or refused in one line that says what to do."""

import json
import os
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from small_cases import write_case
from small_datasets import IDS, LABELS, checked, write_dataset
from typer.testing import CliRunner

from c2fnas.cli import app
from c2fnas.data.layouts import load_dataset, read_dataset
from c2fnas.data.problem import Problem, lines
from c2fnas.data.scan import scan_dataset

NAMES = {"background": 0, "organ": 1, "lesion": 2}


def nnunet(folder: Path, images: list[str], labels: list[str], channels: int = 1, **changes: Any) -> Path:
    """nnU-Net's layout, with files of these names."""
    names = (*(f"imagesTr/{each}" for each in images), *(f"labelsTr/{each}" for each in labels))
    for number, name in enumerate(names, start=3):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        array = np.zeros((6, 6, 6), np.uint8)
        array[1:4, 1:4, 1:4] = 1
        array[4:6, 4:6, 2:4] = 2
        array[0, 0, 0] = number if name.startswith("imagesTr") else 0  # no two images are alike
        nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), path.parent / "new.nii.gz")
        (path.parent / "new.nii.gz").rename(path)
    manifest = {
        "channel_names": {str(index): f"MR {index}" for index in range(channels)},
        "labels": NAMES,
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(manifest | changes))
    return folder


def said(path: Path, *options: str) -> list[str]:
    """The lines of ``c2fnas check``."""
    return CliRunner().invoke(app, ["check", str(path), *options]).stdout.splitlines()


@pytest.mark.parametrize("names", [[f"word_{n:04d}" for n in range(7)], [f"case{n}" for n in range(3)], ["Ä 1", "Ä 2"]])
def test_a_forgotten_channel_number_is_one_error_that_says_it(names: list[str], tmp_path: Path) -> None:
    files = [f"{name}.nii.gz" for name in names]
    line, summary = said(nnunet(tmp_path, files, files))
    assert f"{len(names)} images without a channel's number" in line
    assert f"{names[0]}_0000.nii.gz" in line
    assert "1 error" in summary


def test_forgotten_in_some_the_others_are_read(tmp_path: Path) -> None:
    images = ["a_0000.nii.gz", "b_0000.nii.gz", "c_0001.nii.gz", "d.nii.gz"]
    reading = read_dataset(nnunet(tmp_path, images, ["a.nii.gz", "b.nii.gz", "c_0001.nii.gz", "d.nii.gz"]))
    assert [case.id for case in reading.dataset.training] == ["a", "b"]
    assert [problem.severity for problem in reading.problems] == ["error"]
    assert "2 images without a channel's number" in reading.problems[0].found


def test_test_images_without_a_number_are_told_too(tmp_path: Path) -> None:
    folder = nnunet(tmp_path, ["a_0000.nii.gz"], ["a.nii.gz"])
    (folder / "imagesTs").mkdir()
    for number in (5, 6):
        (folder / "imagesTs" / f"t_{number:04d}.nii.gz").write_bytes((folder / "labelsTr" / "a.nii.gz").read_bytes())
    (problem,) = read_dataset(folder).problems
    assert "2 images without a channel's number, such as t_0005.nii.gz" in problem.found


def test_numbers_on_labels_are_one_error(tmp_path: Path) -> None:
    images = [f"{name}_0000.nii.gz" for name in "abc"]
    (problem,) = read_dataset(nnunet(tmp_path, images, images)).problems
    assert "3 labels with a channel's number, such as a_0000.nii.gz" in problem.found


def test_a_channel_that_one_case_lacks_is_named(tmp_path: Path) -> None:
    images = [f"{name}_{number:04d}.nii.gz" for name in "abc" for number in (0, 1)]
    line, _ = said(nnunet(tmp_path, images[:-1], ["a.nii.gz", "b.nii.gz", "c.nii.gz"], channels=2))
    assert "c_0001.nii.gz: found no such file" in line


def test_a_channel_too_many_is_one_line_whatever_the_cases(tmp_path: Path) -> None:
    images = [f"{name}_{number:04d}.nii.gz" for name in "abcdefg" for number in (0, 1)]
    line, summary = said(nnunet(tmp_path, images, [f"{name}.nii.gz" for name in "abcdefg"]))
    assert "a channel 0001 of 7 cases" in line
    assert "1 error" in summary


def test_an_ending_that_no_file_has_is_named_with_one_that_they_have(tmp_path: Path) -> None:
    folder = nnunet(tmp_path, ["a_0000.nii.gz"], ["a.nii.gz"], file_ending=".nrrd")
    line, _ = said(folder)
    assert "such as a_0000.nii.gz, expected file_ending .nrrd" in line


def test_an_ending_without_its_dot_is_meant(tmp_path: Path) -> None:
    dataset = load_dataset(nnunet(tmp_path, ["a_0000.nii.gz"], ["a.nii.gz"], file_ending="nii.gz"))
    assert [case.id for case in dataset.training] == ["a"]


def test_upper_case_endings(tmp_path: Path) -> None:
    dataset = load_dataset(nnunet(tmp_path, ["A_0000.NII.GZ", "b_0000.nii.gz"], ["A.NII.GZ", "b.Nii.gz"]))
    assert [case.id for case in dataset.training] == ["A", "b"]
    assert scan_dataset(dataset).problems == ()


def rewrite(folder: Path, **changes: Any) -> Path:
    """Change the manifest; None takes a key out."""
    path = folder / "dataset.json"
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))
    return folder


def entries(folder: Path, **more: Any) -> list[dict[str, Any]]:
    return [{"image": f"{name}.nii.gz", "label": f"{name}_label.nii.gz", **more} for name in IDS]


def test_monais_data_list(tmp_path: Path) -> None:
    """``testing``, folds, a label in a list, and no ``labels``: those in the files are taken."""
    folder = write_dataset(tmp_path)
    write_case(folder, "t", labelled=False)
    training = entries(folder, fold=1) + [{"image": ["a.nii.gz"], "label": ["a_label.nii.gz"]}][:0]
    training[0] |= {"label": ["a_label.nii.gz"], "fold": 0}
    rewrite(folder, training=training, testing=[{"image": "t.nii.gz"}], test=None, labels=None, numTraining=None)
    dataset = load_dataset(folder)
    assert [case.id for case in dataset.test] == ["t"]
    assert [case.fold for case in dataset.training] == [0, 1, 1, 1, 1]
    assert [(each.name, each.values) for each in dataset.classes] == [
        ("background", (0,)),
        ("label 1", (1,)),
        ("label 2", (2,)),
    ]
    (folder / "t.nii.gz").write_bytes(b"nothing")
    assert [(each["case"], each["severity"]) for each in checked(folder).problems] == [("t", "error")]


def test_keys_that_nothing_reads_are_named_once_with_their_count(tmp_path: Path) -> None:
    folder = rewrite(write_dataset(tmp_path), training=entries(tmp_path, **{"fold:": 1}), validating=entries(tmp_path))
    told = said(folder)
    assert len(told) == 3
    assert any("the key 'fold:' in 5 entries, expected image, label, fold" in line for line in told)
    assert any("a list 'validating' of 5 cases" in line for line in told)


@pytest.mark.parametrize("linked", [False, True])
def test_absolute_paths_inside_are_read(linked: bool, tmp_path: Path) -> None:
    """By the folder's own name, or by that of a link to it."""
    real = write_dataset(tmp_path / "real")
    folder = real
    if linked:
        folder = tmp_path / "link"
        folder.symlink_to(real, target_is_directory=True)
    rewrite(real, training=[{key: str(real / name) for key, name in entry.items()} for entry in entries(real)])
    assert checked(folder).problems == []
    assert [case.images[0] for case in load_dataset(folder).training] == [folder / f"{name}.nii.gz" for name in IDS]


def test_a_corrected_copy_names_its_own_files(tmp_path: Path) -> None:
    real = write_dataset(tmp_path / "real")
    rewrite(real, training=[{key: str(real / name) for key, name in entry.items()} for entry in entries(real)])
    assert checked(real, "--fix", str(tmp_path / "copy")).code == 0
    copy = load_dataset(tmp_path / "copy")
    assert all(path.is_relative_to(tmp_path / "copy") for case in copy.training for path in case.files)
    assert checked(tmp_path / "copy").code == 0


def test_paths_outside_are_refused_for_what_they_are_in_one_line(tmp_path: Path) -> None:
    elsewhere = write_dataset(tmp_path / "elsewhere")
    folder = write_dataset(tmp_path / "data")
    rewrite(folder, training=[{key: str(elsewhere / name) for key, name in entry.items()} for entry in entries(folder)])
    line, _ = said(folder)
    assert "the absolute path" in line
    assert "leads out of the data set" in line
    assert "CSV" in line
    climbing = [{"image": f"../data/{name}.nii.gz", "label": f"../data/{name}_label.nii.gz"} for name in IDS]
    assert checked(rewrite(folder, training=climbing)).code == 0  # out and in again


def test_a_tables_column_states_the_spacing(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path)
    (folder / "dataset.json").unlink()
    rows = [f"{name}.nii.gz,{name}_label.nii.gz,{'1.25 1.25 8' if name != 'e' else ''}" for name in IDS]
    (folder / "cases.csv").write_text("\n".join(["image,label,spacing", *rows]))
    scan = scan_dataset(folder)
    assert [case.spacing for case in scan.fingerprint.cases] == [(1.25, 1.25, 8.0)] * 4 + [(1.0, 1.0, 1.0)]
    assert scan.fingerprint.stated_headers == ((1.0, 1.0, 1.0),)
    stated = scan_dataset(folder, spacing=(2.0, 2.0, 3.0)).fingerprint
    assert [case.spacing for case in stated.cases][3:] == [(1.25, 1.25, 8.0), (2.0, 2.0, 3.0)]
    assert stated.contents != scan.fingerprint.contents
    assert scan.fingerprint.describes(load_dataset(folder))
    assert not scan.fingerprint.describes(load_dataset(folder).with_spacing((2.0, 2.0, 3.0)))
    (folder / "cases.csv").write_text("\n".join(["image,label,spacing", "a.nii.gz,a_label.nii.gz,thick"]))
    assert "spacing 'thick'" in read_dataset(folder).problems[0].found


def wide(folder: Path, shape: tuple[int, int, int], spacing: tuple[float, float, float] = (1, 1, 1)) -> Path:
    """A data set of images of a scanner's size."""
    folder.mkdir()
    for name in IDS:
        write_case(folder, name, shape, np.diag([*spacing, 1.0]))
    manifest = {"modality": {"0": "MRI"}, "labels": LABELS, "training": entries(folder)}
    (folder / "dataset.json").write_text(json.dumps(manifest))
    return folder


@pytest.mark.parametrize(
    ("shape", "spacing", "lost"),
    [
        ((96, 80, 9), (1, 1, 1), True),
        ((8, 72, 90), (1, 1, 1), True),
        ((96, 80, 9), (1, 1, 1.5), False),
        ((96, 80, 40), (1, 1, 1), False),
        ((20, 30, 6), (1, 1, 1), False),
        ((510, 505, 12), (1, 1, 1), True),
    ],
)
def test_a_spacing_that_looks_lost_is_told_and_stating_it_mends_that(
    shape: tuple[int, int, int], spacing: tuple[float, float, float], lost: bool, tmp_path: Path
) -> None:
    folder = wide(tmp_path / "data", shape, spacing)
    found = [each for each in checked(folder).problems if "exactly 1 mm" in each["found"]]
    assert len(found) == lost
    if lost:
        assert "5 of 5 images" in found[0]["found"]
        assert "--spacing" in found[0]["fix"]
    assert not any("mm" in each["found"] for each in checked(folder, "--spacing", "0.8,0.8,6").problems if lost)


def test_a_class_of_a_few_voxels_at_the_planned_spacing_is_told_with_a_spacing_that_mends_it(tmp_path: Path) -> None:
    """The lesion of 2×2×2 voxels in images of 0.5 mm: at the median spacing of the others, 1 mm, a single voxel."""
    folder = tmp_path
    for number, name in enumerate(IDS):
        write_case(folder, name, (24, 24, 24), np.diag([0.5, 0.5, 0.5, 1.0] if number < 2 else [1, 1, 1, 1.0]))
        if number >= 2:
            path = folder / f"{name}_label.nii.gz"
            array = np.minimum(np.asarray(nibabel.load(path).dataobj), 1)
            nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), path)
    (folder / "dataset.json").write_text(
        json.dumps({"modality": {"0": "MRI"}, "labels": LABELS, "training": entries(folder)})
    )
    (problem,) = [each for each in checked(folder).problems if "planned spacing" in each["found"]]
    assert "'lesion' of 1 voxels in the median case at the planned spacing of 1×1×1 mm" in problem["found"]
    assert "--set plan.spacing=[0.5,0.5,0.5]" in problem["fix"]


def test_a_line_for_a_problem_whatever_its_cases() -> None:
    """Numbers and names of files differ within a kind; what is found otherwise is another line."""
    problems = [
        Problem(f"c{n}", f"/data/c{n}.nii.gz", f"size 3×{n}", f"size 4, as i{n}.nii.gz has", "Crop.") for n in range(9)
    ]
    other = Problem("x", "/data/x.mha", "a sheared affine", "right angles", "Resample.")
    kinds = lines([*problems, other])
    assert len(kinds) == 2
    assert "c4.nii.gz and 4 more: found size 3×0, and 8 more of this kind" in kinds[0]
    manifest = [Problem(f"training[{n}]", "/data/dataset.json", "no text", "a path", "Correct it.") for n in range(7)]
    assert "/data/dataset.json (training[0], training[1]" in lines(manifest)[0]
    few = [Problem(name, f"{name}.nii", f"label {value}", "1", "Add it.") for name, value in (("a", 7), ("b", 9))]
    assert "found label 7; label 9," in lines(few)[0]


@pytest.mark.skipif(os.name != "posix", reason="a drive's letter is a path of its own there")
def test_a_drives_letter_is_no_folder(tmp_path: Path) -> None:
    folder = rewrite(write_dataset(tmp_path), training=[{"image": "C:/a.nii.gz", "label": "a_label.nii.gz"}])
    assert [each["severity"] for each in checked(folder).problems if each["case"]] == ["error"]
