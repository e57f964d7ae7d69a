"""Every file of a volume counts: voxels beside a header, and the slices of a series that one file is named for."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_files import write_series
from small_cases import plan_of

from c2fnas.data.cache import prepare_cases
from c2fnas.data.dataset import Case
from c2fnas.data.fingerprint import content_hash, stamps
from c2fnas.data.formats import volume_files

DETACHED = {
    ".mhd": """ObjectType = Image
NDims = 3
DimSize = 9 11 7
ElementSpacing = 1 1 1
Offset = 0 0 0
ElementType = MET_SHORT
ElementDataFile = {name}.raw
""",
    ".nhdr": """NRRD0004
type: short
dimension: 3
sizes: 9 11 7
space: left-posterior-superior
space directions: (1,0,0) (0,1,0) (0,0,1)
space origin: (0,0,0)
endian: little
encoding: raw
data file: {name}.raw

""",
}


def detached(folder: Path, suffix: str, value: int) -> Case:
    """A case whose headers are like those of any other."""
    folder.mkdir()
    image, label = np.full((7, 11, 9), value, "<i2"), np.zeros((7, 11, 9), "<i2")
    image[0, 0, 0], label[1:3, 2 : 3 + value, 2:5] = 0, 1
    for name, array in (("image", image), ("label", label)):
        (folder / f"{name}{suffix}").write_text(DETACHED[suffix].format(name=name))
        array.tofile(folder / f"{name}.raw")
    return Case(folder.name, (folder / f"image{suffix}",), folder / f"label{suffix}")


@pytest.mark.parametrize("suffix", DETACHED)
def test_cases_of_equal_headers_are_prepared_each_by_its_own_voxels(suffix: str, tmp_path: Path) -> None:
    cases = [detached(tmp_path / f"case{value}", suffix, value) for value in (1, 2, 3)]
    cache = prepare_cases(cases, plan_of(), tmp_path / "cache")
    assert [int(cache[case.id].raw.max()) for case in cases] == [1, 2, 3]
    assert [int((cache[case.id].truth == 1).sum()) for case in cases] == [12, 18, 24]


@pytest.mark.parametrize("suffix", DETACHED)
def test_voxels_beside_a_header_are_among_its_files(suffix: str, tmp_path: Path) -> None:
    case = detached(tmp_path / "case", suffix, 1)
    assert volume_files(case.images[0]) == (case.images[0], tmp_path / "case" / "image.raw")
    before = content_hash(case), stamps(case)
    np.full((7, 11, 9), 5, "<i2").tofile(tmp_path / "case" / "image.raw")
    assert content_hash(case) != before[0]
    assert stamps(case) != before[1]


def test_what_is_missing_or_damaged_stands_for_itself(tmp_path: Path) -> None:
    (tmp_path / "a.nhdr").write_text("no header")
    for name in ("a.nhdr", "b.mhd", "c.nii.gz", "d"):
        assert volume_files(tmp_path / name) == (tmp_path / name,)


def test_a_file_of_a_series_stands_for_every_slice(tmp_path: Path) -> None:
    files = write_series(tmp_path / "scan", np.arange(6 * 5 * 4, dtype=np.int16).reshape(6, 5, 4))
    case = Case("a", (files[0],), None)
    assert {*volume_files(files[0])} == {*files}
    before = content_hash(case)
    other = pydicom.dcmread(files[2])
    other.PixelData = bytes(len(other.PixelData))
    other.save_as(files[2])
    assert content_hash(case) != before


def test_a_hidden_file_is_no_slice(tmp_path: Path) -> None:
    files = write_series(tmp_path / "scan", np.zeros((6, 5, 4), np.int16))
    before = content_hash(Case("a", (tmp_path / "scan",), None))
    (tmp_path / "scan" / ".DS_Store").write_bytes(b"x")
    assert {*volume_files(tmp_path / "scan")} == {*files}
    assert content_hash(Case("a", (tmp_path / "scan",), None)) == before
