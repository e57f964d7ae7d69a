"""Which cases a folder holds, and the names of their predictions."""

import io
import os
from pathlib import Path

import pytest

from c2fnas.errors import UserError
from c2fnas.inference.prediction_files import find_cases, read_paths
from c2fnas.inference.prediction_folder import output_name


def folder_of(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).touch()
    return root


def found(root: Path, channels: int) -> dict[str, list[str]]:
    return {output_name(case): [image.name for image in case.images] for case in find_cases(root, channels)}


def test_single_files_keep_their_names(tmp_path: Path) -> None:
    names = ["a.nii", "b.nii.gz", "c.mha", "d.nrrd"]
    folder_of(tmp_path, *names, ".hidden.nii.gz", "notes.txt")
    assert found(tmp_path, 1) == {name: [name] for name in names}


def test_names_on_standard_input_may_have_any_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As ``find`` gives them: Linux asks no name to be UTF-8."""
    name = os.fsencode(tmp_path) + b"/gr\xf6sse.nii"
    Path(os.fsdecode(name)).touch()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(name + b"\n"), encoding="utf-8"))
    assert [os.fsencode(path) for path in read_paths("-")] == [name]


def test_files_of_channels_are_one_case(tmp_path: Path) -> None:
    folder_of(tmp_path, "a_0000.nii.gz", "a_0001.nii.gz", "b_0000.nii.gz", "b_0001.nii.gz")
    assert found(tmp_path, 2) == {
        "a.nii.gz": ["a_0000.nii.gz", "a_0001.nii.gz"],
        "b.nii.gz": ["b_0000.nii.gz", "b_0001.nii.gz"],
    }


def test_one_channel_has_a_number_too(tmp_path: Path) -> None:
    assert found(folder_of(tmp_path, "a_0000.nii.gz"), 1) == {"a.nii.gz": ["a_0000.nii.gz"]}


def test_numbers_that_are_no_channels_belong_to_the_names(tmp_path: Path) -> None:
    names = ["case_0000.nii.gz", "case_0001.nii.gz", "case_0007.nii.gz"]
    assert found(folder_of(tmp_path, *names), 1) == {name: [name] for name in names}


def test_a_single_file_brings_its_channels_and_no_other_case(tmp_path: Path) -> None:
    folder_of(tmp_path, "a[1]_0000.nii.gz", "a[1]_0001.nii.gz", "a1_0000.nii.gz", "b.nii.gz")
    cases = find_cases(tmp_path / "a[1]_0000.nii.gz", 2)
    assert [case.id for case in cases] == ["a[1]"]
    assert [image.name for image in cases[0].images] == ["a[1]_0000.nii.gz", "a[1]_0001.nii.gz"]
    assert [case.id for case in find_cases(tmp_path / "b.nii.gz", 2)] == ["b"]


def test_detached_headers_get_labels_in_one_file(tmp_path: Path) -> None:
    assert sorted(found(folder_of(tmp_path, "a.nhdr", "a.raw", "b.mhd"), 1)) == ["a.nrrd", "b.mha"]


@pytest.mark.parametrize("path", ["nothing", "."])
def test_nothing_to_predict(tmp_path: Path, path: str) -> None:
    with pytest.raises(UserError, match=r"no such file|no images"):
        find_cases(tmp_path / path, 1)


def test_channels_of_a_named_file_are_found_in_any_case(tmp_path: Path) -> None:
    for channel in (0, 1):
        (tmp_path / f"c_000{channel}.NII.GZ").touch()
    (case,) = find_cases(tmp_path / "c_0000.NII.GZ", 2)
    assert [path.name for path in case.images] == ["c_0000.NII.GZ", "c_0001.NII.GZ"]


def test_a_list_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"list\.txt: can't be read as a list"):
        read_paths(tmp_path / "list.txt")
