"""Whatever the bytes of a file, the check has an answer and no traceback."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_cases import CLASSES

from c2fnas.data.dataset import Case, Dataset
from c2fnas.data.formats import format_of
from c2fnas.data.scan import scan_dataset

SUFFIXES = (".nii", ".nrrd", ".mha")
CHECKS = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
settings.register_profile("files", suppress_health_check=CHECKS, deadline=None)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A small label in every format."""
    folder, contents = tmp_path_factory.mktemp("sound"), {}
    label = np.arange(60, dtype=np.uint8).reshape(3, 4, 5) % 3
    for suffix in SUFFIXES:
        path = folder / f"a{suffix}"
        format_of(path).write(path, label, np.diag([1.0, 2.0, 3.0, 1.0]), None)
        contents[suffix] = path.read_bytes()
    return contents


def problems_of(content: bytes, suffix: str, folder: Path) -> int:
    path = folder / f"a{suffix}"
    path.write_bytes(content)
    case = Case("a", (path,), path)
    return len(scan_dataset(Dataset("a", folder, ("MRI",), CLASSES, (case,), ())).problems)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_sound_file_has_no_problem(suffix: str, sound: dict[str, bytes], tmp_path: Path) -> None:
    assert problems_of(sound[suffix], suffix, tmp_path) == 0


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(settings.get_profile("files"), max_examples=80)
@given(
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4),
    cut=st.one_of(st.none(), st.integers(0, 10**6)),
)
def test_changed_bytes_and_a_cut(
    suffix: str, changes: list[tuple[int, int]], cut: int | None, sound: dict[str, bytes], tmp_path: Path
) -> None:
    content = bytearray(sound[suffix])
    for place, value in changes:
        content[place % len(content)] = value
    changed = bytes(content if cut is None else content[: cut % len(content)])
    found = problems_of(changed, suffix, tmp_path)
    assert found == 0 or changed != sound[suffix]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_that_is_cut_anywhere_has_a_problem(suffix: str, sound: dict[str, bytes], tmp_path: Path) -> None:
    """Without a voxel at least: a gzip stream ends with its checksum and length, which NRRD's reader does without."""
    content = sound[suffix]
    voxels = len(content) - (16 if suffix == ".nrrd" else 0)
    assert [each for each in range(voxels) if not problems_of(content[:each], suffix, tmp_path)] == []


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".nii.gz", ".mhd", ".nhdr"])
@settings(settings.get_profile("files"), max_examples=40)
@given(content=st.binary(max_size=600))
def test_any_bytes_at_all_are_an_error(suffix: str, content: bytes, tmp_path: Path) -> None:
    assert problems_of(content, suffix, tmp_path) > 0


@pytest.mark.parametrize(("suffix", "separator"), [(".nrrd", ": "), (".mha", " = ")])
@settings(settings.get_profile("files"), max_examples=80)
@given(data=st.data())
def test_a_field_of_a_text_header_with_another_value(
    suffix: str, separator: str, data: st.DataObject, sound: dict[str, bytes], tmp_path: Path
) -> None:
    lines = sound[suffix].split(b"\n")
    fields = [number for number, line in enumerate(lines[:14]) if separator.encode() in line]
    number = data.draw(st.sampled_from(fields))
    values = st.one_of(
        st.text(st.characters(codec="ascii", exclude_characters="\n\r"), max_size=12),
        st.lists(st.floats(), max_size=9).map(lambda floats: " ".join(map(str, floats))),
        st.lists(st.integers(), max_size=4).map(lambda integers: " ".join(map(str, integers))),
        st.sampled_from(["none", "MET_FLOAT", "float", "True", "(1,0,0) (0,1,0) none", "/etc/passwd", "LIST"]),
    )
    name = lines[number].split(separator.encode())[0]
    lines[number] = name + separator.encode() + data.draw(values).encode()
    changed = b"\n".join(lines)
    found = problems_of(changed, suffix, tmp_path)
    assert found == 0 or changed != sound[suffix]


def test_lines_that_are_not_there_are_not_waited_for(sound: dict[str, bytes], tmp_path: Path) -> None:
    """A header may ask to skip more lines than a file of any size has."""
    changed = sound[".nrrd"].replace(b"encoding:", b"line skip: 1000000000000000\nencoding:")
    assert problems_of(changed, ".nrrd", tmp_path) > 0


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("field", nibabel.Nifti1Header.template_dtype.names)
def test_a_field_of_a_binary_header_with_odd_values(field: str, sound: dict[str, bytes], tmp_path: Path) -> None:
    """NaN, infinities, zero and the largest and smallest numbers, in every place of every field of NIfTI-1."""
    template = nibabel.Nifti1Header(sound[".nii"][:348], check=False)
    template["scl_slope"], template["scl_inter"], template["qform_code"] = 2, 1, 1
    kind = template[field].dtype
    if kind.kind == "f":
        odd = [np.nan, np.inf, -np.inf, 0, -1, np.finfo(kind).max]
    elif kind.kind in "iu":
        odd = [0, 1, np.iinfo(kind).min, np.iinfo(kind).max]
    else:
        odd = [b"\xff" * kind.itemsize]
    for value in odd:
        for place in range(template[field].size):
            header = template.copy()
            values = np.array(header[field]).reshape(-1)
            values[place] = value
            header[field] = values.reshape(template[field].shape)
            problems_of(header.binaryblock + sound[".nii"][348:], ".nii", tmp_path)
