"""Volume files: every format reads what another program wrote, writes what others read, and names what is wrong."""

import bz2
import gzip
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import itk
import nibabel
import nrrd
import numpy as np
import pytest

from c2fnas.data.dataset import LabelClass
from c2fnas.data.formats import FORMATS, format_of, header_findings
from c2fnas.data.formats.header import unreadable
from c2fnas.data.geometry import Geometry
from c2fnas.data.problem import CaseError
from c2fnas.data.volume import (
    label_suffix,
    read_geometry,
    read_header,
    read_image,
    read_label,
    read_stored,
    write_label,
)

ONE_FILE = [".nii", ".nii.gz", ".nrrd", ".mha"]
CLASSES = tuple(LabelClass(str(value), (value,)) for value in range(5))


def oblique(spacing: tuple[float, float, float] = (0.7, 0.9, 2.5)) -> np.ndarray:
    """An affine with turned axes, one of them flipped."""
    c, s = np.cos(0.3), np.sin(0.3)
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0, c, -s], [0, s, c], [-1, 0, 0]]) * spacing
    affine[:3, 3] = (-31.5, 12.25, 100)
    return affine


GEOMETRY = Geometry.from_array((5, 6, 7), oblique())
LABEL = np.random.default_rng(0).integers(0, 5, GEOMETRY.shape).astype(np.uint8)


@pytest.mark.parametrize("suffix", ONE_FILE)
def test_a_label_comes_back(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    write_label(path, LABEL, GEOMETRY, classes=CLASSES)
    label, geometry = read_label(path, CLASSES)
    assert np.array_equal(label, LABEL)
    assert geometry.affine_difference(GEOMETRY) < 1e-4
    assert read_geometry(path) == geometry
    assert header_findings(format_of(path).read_header(path)) == ()
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", ONE_FILE)
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
def test_other_programs_read_it(suffix: str, dtype: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    format_of(path).write(path, LABEL.astype(dtype), GEOMETRY.matrix, None)
    image = itk.imread(str(path))  # an independent reader of all of them
    assert np.array_equal(itk.array_from_image(image).T, LABEL)
    direction = itk.array_from_matrix(image.GetDirection()) * np.array(image.GetSpacing())
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ GEOMETRY.matrix
    assert np.allclose(direction, lps[:3, :3], atol=1e-5)
    assert np.allclose(image.GetOrigin(), lps[:3, 3], atol=1e-4)
    assert read_stored(path, "")[0].dtype == dtype


def write_itk(path: Path, array: np.ndarray, *, compression: bool = False) -> None:
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ GEOMETRY.matrix
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image = itk.image_from_array(np.ascontiguousarray(array.T))
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection(itk.matrix_from_array(np.ascontiguousarray(lps[:3, :3] / spacing)))
    itk.imwrite(image, str(path), compression=compression)


@pytest.mark.parametrize("suffix", [".mha", ".mhd", ".nrrd", ".nhdr", ".nii", ".nii.gz"])
@pytest.mark.parametrize("compression", [True, False])
@pytest.mark.parametrize("dtype", ["int16", "float32", "float64", "uint8"])
def test_what_itk_wrote(suffix: str, compression: bool, dtype: str, tmp_path: Path) -> None:
    path, array = tmp_path / f"a{suffix}", LABEL.astype(dtype) * 3
    write_itk(path, array, compression=compression)
    volume = read_image([path])
    assert np.array_equal(volume.array[0], array)
    assert volume.geometry.affine_difference(GEOMETRY) < 1e-4


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("endianness", ["<", ">"])
@pytest.mark.parametrize("dtype", ["u1", "i2", "f4", "f8"])
def test_both_versions_and_byte_orders_of_nifti(kind: Any, endianness: str, dtype: str, tmp_path: Path) -> None:
    header = kind.header_class(endianness=endianness)
    header.set_data_dtype(np.dtype(dtype).newbyteorder(endianness))
    nibabel.save(kind(LABEL.astype(dtype), GEOMETRY.matrix, header), tmp_path / "a.nii")
    volume = read_image([tmp_path / "a.nii"])
    assert np.array_equal(volume.array[0], LABEL)
    assert volume.geometry.affine_difference(GEOMETRY) < 1e-4


def test_scaled_integers_are_nibabels(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.linspace(-3, 8, 210).reshape(GEOMETRY.shape), GEOMETRY.matrix)
    image.set_data_dtype(np.int16)
    nibabel.save(image, tmp_path / "a.nii.gz")
    expected = nibabel.load(tmp_path / "a.nii.gz").get_fdata()
    assert np.allclose(read_image([tmp_path / "a.nii.gz"]).array[0], expected, rtol=1e-6, atol=1e-5)


def test_big_endian_metaimages(tmp_path: Path) -> None:
    header = (
        "ObjectType = Image\nNDims = 3\nBinaryDataByteOrderMSB = True\nDimSize = 5 6 7\nElementSpacing = 1 2 3\n"
        "ElementType = MET_SHORT\nElementDataFile = LOCAL\n"
    )
    path = tmp_path / "a.mha"
    path.write_bytes(header.encode() + LABEL.astype(">i2").tobytes("F"))
    volume = read_image([path])
    assert np.array_equal(volume.array[0], LABEL)
    assert volume.geometry.spacing == (1, 2, 3)
    assert np.array_equal(itk.array_from_image(itk.imread(str(path))).T, LABEL)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_channels_of_a_metaimage_run_fastest_or_are_a_fourth_axis(dtype: str, tmp_path: Path) -> None:
    array = np.random.default_rng(1).integers(0, 200, (5, 6, 7, 2)).astype(dtype)
    vector = itk.image_from_array(np.ascontiguousarray(array.transpose(2, 1, 0, 3)), is_vector=True)
    itk.imwrite(vector, str(tmp_path / "vector.mha"))
    itk.imwrite(itk.image_from_array(np.ascontiguousarray(array.T)), str(tmp_path / "axis.mha"))
    for name in ("vector", "axis"):
        assert np.array_equal(read_image([tmp_path / f"{name}.mha"]).array, np.moveaxis(array, -1, 0))


@pytest.mark.parametrize("space", ["right-anterior-superior", "left-posterior-superior", "LAS"])
def test_nrrds_in_every_space(space: str, tmp_path: Path) -> None:
    sign = {"right-anterior-superior": (1, 1), "left-posterior-superior": (-1, -1), "LAS": (-1, 1)}[space]
    to_space = np.diag([*sign, 1.0, 1.0]) @ GEOMETRY.matrix
    nrrd.write(
        str(tmp_path / "a.nrrd"),
        LABEL,
        {"space": space, "space directions": to_space[:3, :3].T, "space origin": to_space[:3, 3]},
    )
    assert read_geometry(tmp_path / "a.nrrd").affine_difference(GEOMETRY) < 1e-6


def test_an_nrrd_without_a_space_is_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "a.nrrd"
    nrrd.write(str(path), LABEL, {"spacings": [1.0, 2.0, 3.0]})
    header = format_of(path).read_header(path)
    assert [(each.severity, each.found) for each in header_findings(header)] == [
        ("warning", "no anatomical orientation")
    ]
    assert read_geometry(path).spacing == (1, 2, 3)


@pytest.mark.parametrize("suffix", [".mhd", ".nhdr"])
def test_voxels_beside_the_header(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    write_itk(path, LABEL)
    beside = format_of(path).data_file(path)
    assert beside is not None
    assert beside.parent == tmp_path
    content = beside.read_bytes()
    beside.write_bytes(content[:-1])
    with pytest.raises(CaseError, match="bytes"):
        read_image([path])
    beside.unlink()
    with pytest.raises(CaseError, match="no data file"):
        read_image([path])
    (tmp_path.parent / "outside.raw").write_bytes(content)
    for name in ("../outside.raw", str(tmp_path.parent / "outside.raw"), "LIST", "a%03d.raw 1 3 1"):
        path.write_text(path.read_text().replace(beside.name, name))
        with pytest.raises(CaseError, match="one data file in the header's own folder"):
            read_image([path])
        path.write_text(path.read_text().replace(name, beside.name))


@pytest.mark.parametrize("encoding", ["gzip", "bzip2"])
def test_an_nrrd_that_packs_well_is_read_and_one_that_lies_is_not(encoding: str, tmp_path: Path) -> None:
    """A label of hardly anything: bzip2 packs it far beyond what deflate can."""
    nrrd = pytest.importorskip("nrrd")
    label, path = np.zeros((200, 200, 100), np.uint8), tmp_path / "a.nrrd"
    label[:20, :20, :10] = 1
    nrrd.write(str(path), label, {"encoding": encoding, "space": "RAS", "space directions": np.eye(3)})
    assert np.array_equal(read_image([path]).array[0], label)
    content = path.read_bytes()
    assert content.count(b"sizes: 200 200 100") == 1
    path.write_bytes(content.replace(b"sizes: 200 200 100", b"sizes: 2000 2000 100"))
    with pytest.raises(CaseError, match=r"packed bytes|cut short"):
        read_image([path])


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("share", [0.5, 0.95])
def test_a_file_cut_short_is_noticed(suffix: str, share: float, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    values = np.random.default_rng(0).integers(0, 2**15, (20, 20, 20), np.int16)
    format_of(path).write(path, values, np.eye(4), None)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(CaseError, match=rf"a\{suffix}"):
        read_image([path])


@pytest.mark.parametrize("bomb", [LABEL.size + 1, 200_000_000])
def test_a_metaimage_that_unpacks_to_more_is_refused_early(bomb: int, tmp_path: Path) -> None:
    path = tmp_path / "a.mha"
    format_of(path).write(path, LABEL, np.eye(4), None)
    header = path.read_bytes().partition(b"LOCAL\n")[0] + b"LOCAL\n"
    path.write_bytes(header + zlib.compress(bytes(bomb), 9))
    with pytest.raises(CaseError, match="end after"):
        read_image([path])


NRRD = b"NRRD0004\ntype: uint8\ndimension: 3\nspace: right-anterior-superior\nsizes: 5 6 7\n" + (
    b"space directions: (1,0,0) (0,1,0) (0,0,1)\n"
)


@pytest.mark.parametrize(("encoding", "packed"), [("gzip", gzip.compress), ("bzip2", bz2.compress), ("raw", bytes)])
def test_no_more_of_an_nrrd_is_unpacked_than_its_header_says(
    encoding: str, packed: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    """A file of a few kilobytes may stand for gigabytes; raw bytes after the voxels are passed over."""
    path = tmp_path / "a.nrrd"
    path.write_bytes(NRRD + f"encoding: {encoding}\n\n".encode() + packed(bytes(100_000_000)))
    header = format_of(path).read_header(path)
    tracemalloc.start()
    try:
        if encoding == "raw":
            assert not format_of(path).read_voxels(header).any()
        else:
            with pytest.raises(CaseError, match="more voxels than the header says"):
                format_of(path).read_voxels(header)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("encoding", "skipped"),
    [("raw", 0), ("raw", 3), ("raw", -1), ("gzip", 0), ("gzip", 3), ("bzip2", 0), ("bzip2", 3), ("ascii", 0)],
)
@pytest.mark.parametrize("beside", [True, False])
def test_voxels_of_an_nrrd_are_pynrrds(encoding: str, skipped: int, beside: bool, tmp_path: Path) -> None:
    """Skipped bytes come after unpacking; -1 stands for all before the last voxels, of raw ones alone."""
    voxels = b"abc" * (skipped != 0) + LABEL.tobytes("F")
    packed = {"raw": bytes, "gzip": gzip.compress, "bzip2": bz2.compress}
    content = packed[encoding](voxels) if encoding in packed else " ".join(map(str, LABEL.ravel("F"))).encode()
    path = tmp_path / ("a.nhdr" if beside else "a.nrrd")
    named = b"data file: a.bin\n" if beside else b""
    header = NRRD + f"encoding: {encoding}\nbyte skip: {skipped}\n".encode() + named + b"\n"
    path.write_bytes(header + (b"" if beside else content))
    (tmp_path / "a.bin").write_bytes(content)
    if not skipped or encoding == "raw":  # of packed voxels pynrrd skips bytes twice
        assert np.array_equal(nrrd.read(str(path))[0], LABEL)
    assert np.array_equal(format_of(path).read_voxels(format_of(path).read_header(path)), LABEL)


@pytest.mark.parametrize("count", [LABEL.size - 1, LABEL.size + 1, 0])
def test_an_nrrd_of_text_has_as_many_numbers_as_its_header_says(count: int, tmp_path: Path) -> None:
    """Of too few, the rest would be what the memory held before."""
    path = tmp_path / "a.nrrd"
    path.write_bytes(NRRD + b"encoding: ascii\n\n" + b"1 " * count)
    with pytest.raises(CaseError, match=r"numbers|cut short"):
        read_image([path])


def test_an_nrrd_names_one_file_of_voxels(tmp_path: Path) -> None:
    """Pynrrd takes the second of two names, which another reader would not."""
    (tmp_path / "set").mkdir()
    path = tmp_path / "set" / "a.nhdr"
    path.write_bytes(NRRD + b"encoding: raw\ndata file: a.raw\ndatafile: ../secret.raw\n\n")
    for place in (tmp_path / "set" / "a.raw", tmp_path / "secret.raw"):
        place.write_bytes(LABEL.tobytes("F"))
    with pytest.raises(CaseError, match="both `data file` and `datafile`"):
        read_image([path])


@pytest.mark.parametrize("suffix", [".mhd", ".nhdr"])
def test_a_file_of_voxels_may_have_any_letters(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    write_itk(path, LABEL)
    beside = format_of(path).data_file(path)
    assert beside is not None
    beside.rename(tmp_path / "größe.raw")
    text = path.read_text().replace(beside.name, "größe.raw").replace("encoding: gzip", "encoding: raw")
    path.write_text(("Comment = Müller\n" if suffix == ".mhd" else "") + text, encoding="utf-8")
    assert np.array_equal(read_image([path]).array[0], LABEL)


@pytest.mark.parametrize(("unit", "spacing", "warnings"), [("mm", 2, 0), ("cm", 20, 0), ("inch", 2, 1), ("?", 2, 0)])
@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
def test_lengths_are_in_the_unit_that_a_header_names(
    suffix: str, unit: str, spacing: float, warnings: int, tmp_path: Path
) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix == ".nrrd":
        space = {"space": "RAS", "space directions": 2 * np.eye(3), "space origin": [1, 1, 1]}
        nrrd.write(str(path), LABEL, space | {"space units": [unit] * 3})
    else:
        format_of(path).write(path, LABEL, 2 * np.eye(4) + np.diag([0, 0, 0, -1]), None)
        path.write_bytes(f"DistanceUnits = {unit}\n".encode() + path.read_bytes())
    found = header_findings(format_of(path).read_header(path))
    assert [each.severity for each in found] == ["warning"] * warnings
    assert read_geometry(path).spacing == (spacing,) * 3


@pytest.mark.parametrize("suffix", [".nii", ".mha", ".nrrd"])
def test_a_negative_spacing_without_an_orientation_is_refused(suffix: str, tmp_path: Path) -> None:
    """One program takes it as a flip and another does not."""
    path = tmp_path / f"a{suffix}"
    if suffix == ".nrrd":
        nrrd.write(str(path), LABEL, {"spacings": [1.0, -2.0, 3.0]})
    elif suffix == ".mha":
        format_of(path).write(path, LABEL, np.eye(4), None)
        path.write_bytes(path.read_bytes().replace(b"ElementSpacing = 1.0 1.0", b"ElementSpacing = 1.0 -1.0"))
    else:
        image = nibabel.Nifti1Image(LABEL, None)
        nibabel.save(image, path)
        content = bytearray(path.read_bytes())
        content[84:88] = np.float32(-1).tobytes()  # pixdim[2]
        path.write_bytes(content)
    found = [each.found for each in header_findings(format_of(path).read_header(path)) if each.severity == "error"]
    assert len(found) == 1
    assert "spacing (1.0, -" in found[0]


@pytest.mark.parametrize("suffix", [".nii", ".mha", ".nrrd"])
def test_a_sheared_grid_is_refused_in_every_format(suffix: str, tmp_path: Path) -> None:
    """As of a CT with a tilted gantry."""
    path, sheared = tmp_path / f"a{suffix}", np.eye(4)
    sheared[1, 2] = 0.2
    format_of(path).write(path, LABEL, sheared, None)
    found = [each.found for each in header_findings(format_of(path).read_header(path)) if each.severity == "error"]
    assert len(found) == 1
    assert "a sheared affine" in found[0]


def test_a_file_that_may_not_be_read_is_no_damaged_one() -> None:
    error = unreadable(Path("a.nii"), PermissionError(13, "Permission denied"), "a NIfTI volume")
    assert "may not be read" in str(error)
    assert "Make it readable" in str(error)


@pytest.mark.parametrize(
    ("field", "found"),
    [
        ("BinaryData = False", "voxels as text"),
        ("HeaderSize = 12", "HeaderSize"),
        ("ElementType = MET_STRING", "MET_S"),
        ("DimSize = 5 0 7", "5×0×7"),
        ("DimSize = 5 x 7", "incomplete"),
        ("ElementSpacing = 1 0 1", "spacing"),
    ],
)
def test_what_a_metaimage_may_not_say(field: str, found: str, tmp_path: Path) -> None:
    path = tmp_path / "a.mha"
    format_of(path).write(path, LABEL, np.eye(4), None)
    lines = path.read_bytes().split(b"\n", 12)
    name = field.split(" ")[0].encode()
    kept = [line for line in lines[:12] if not line.startswith(name + b" =")]
    path.write_bytes(b"\n".join([field.encode(), *kept, *lines[12:]]))
    with pytest.raises(CaseError, match=found):
        read_image([path])


def test_labels_keep_the_codes_and_the_type_of_the_image(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(LABEL.astype(np.int16), GEOMETRY.matrix)
    image.set_sform(GEOMETRY.matrix, code=4)
    image.set_qform(GEOMETRY.matrix, code=2)
    nibabel.save(image, tmp_path / "image.nii.gz")
    write_label(tmp_path / "label.nii.gz", LABEL, GEOMETRY, template=tmp_path / "image.nii.gz")
    found = nibabel.load(tmp_path / "label.nii.gz")
    assert (int(found.header["sform_code"]), int(found.header["qform_code"])) == (4, 2)
    assert found.get_data_dtype() == np.int16
    assert read_geometry(tmp_path / "label.nii.gz") == read_geometry(tmp_path / "image.nii.gz")


def test_a_label_beside_an_image_whose_handedness_is_zero(tmp_path: Path) -> None:
    """The standard takes 0 for 1; nibabel fixes it while it loads a file, and refuses it in a header."""
    image = nibabel.Nifti1Image(np.zeros((4, 5, 6), np.uint8), np.diag([1, 2, 3, 1]))
    image.set_sform(None, code=0)
    image.set_qform(np.diag([1, 2, 3, 1]), code=1)
    nibabel.save(image, tmp_path / "image.nii")
    content = bytearray((tmp_path / "image.nii").read_bytes())
    content[76:80] = bytes(4)  # pixdim[0]
    (tmp_path / "image.nii").write_bytes(content)
    geometry = read_geometry(tmp_path / "image.nii")
    assert np.array_equal(geometry.matrix, np.diag([1, 2, 3, 1]))
    labels = np.ones((4, 5, 6), np.uint8)
    write_label(tmp_path / "label.nii", labels, geometry, template=tmp_path / "image.nii")
    assert np.array_equal(nibabel.load(tmp_path / "label.nii").affine, np.diag([1, 2, 3, 1]))


def test_a_type_that_cannot_hold_a_class_is_refused(tmp_path: Path) -> None:
    classes = (LabelClass("background", (0,)), LabelClass("a", (300,)))
    with pytest.raises(ValueError, match="300"):
        write_label(tmp_path / "a.nii", LABEL % 2, GEOMETRY, np.uint8, classes)
    write_label(tmp_path / "a.nii", LABEL % 2, GEOMETRY, classes=classes)
    assert np.array_equal(read_stored(tmp_path / "a.nii", "")[0], (LABEL % 2) * np.uint16(300))
    with pytest.raises(ValueError, match="grid"):
        write_label(tmp_path / "a.nii", LABEL[1:], GEOMETRY)


def test_files_on_two_grids_are_no_image(tmp_path: Path) -> None:
    for name, shift in (("a", 0.0), ("b", 0.002)):
        affine = GEOMETRY.matrix
        affine[1, 3] += shift
        format_of(tmp_path / f"{name}.nii").write(tmp_path / f"{name}.nii", LABEL, affine, None)
    with pytest.raises(CaseError, match=r"b\.nii .* differs by 0\.002 mm"):
        read_image([tmp_path / "a.nii", tmp_path / "b.nii"])


def test_voxels_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    values = LABEL.astype(np.float32)
    values[0, 0, 0], values[1, 1, 1] = np.nan, -np.inf
    format_of(tmp_path / "a.nii").write(tmp_path / "a.nii", values, np.eye(4), None)
    with pytest.raises(CaseError, match="2 voxels"):
        read_image([tmp_path / "a.nii"])


def test_a_label_for_an_image_has_its_format() -> None:
    assert {suffix: label_suffix(Path(f"a{suffix}")) for suffix in FORMATS} == {
        ".nii.gz": ".nii.gz",
        ".nii": ".nii",
        ".nrrd": ".nrrd",
        ".nhdr": ".nrrd",
        ".mha": ".mha",
        ".mhd": ".mha",
    }


def test_the_error_of_a_file_names_the_case() -> None:
    with pytest.raises(CaseError, match=r"none\.nii\.gz \(case seven\): found no such file"):
        read_image([Path("none.nii.gz")], "seven")


@pytest.mark.parametrize("more", [{}, {"space": "left-posterior-superior-time", "space origin": [1, 2, 3, 0]}])
def test_a_fourth_axis_of_an_nrrd_that_may_be_space_is_refused(more: dict, tmp_path: Path) -> None:
    """Its spacing and orientation would be lost."""
    own = {"space directions": np.diag([0.5, 0.6, 3, 1])} if more else {"spacings": [0.5, 0.6, 3.0, np.nan]}
    nrrd.write(str(tmp_path / "a.nrrd"), np.zeros((4, 5, 6, 2), np.int16), own | more)
    with pytest.raises(CaseError, match=r"4 axes in space.*`list`"):
        read_geometry(tmp_path / "a.nrrd")


@pytest.mark.parametrize("lost", [None, np.full(3, np.nan)])
def test_an_nrrd_with_an_axis_of_no_direction_is_refused(lost: Any, tmp_path: Path) -> None:
    """Spacing and orientation would be made up."""
    directions = np.array([[0.8, 0, 0], [0, 0.8, 0], np.full(3, np.nan) if lost is not None else np.zeros(3)])
    header = {"space": "left-posterior-superior", "space directions": directions, "space origin": [0, 0, 0]}
    nrrd.write(str(tmp_path / "a.nrrd"), LABEL, header, index_order="F")
    if lost is None:
        content = (tmp_path / "a.nrrd").read_bytes()
        assert b" (0,0,0)\n" in content
        (tmp_path / "a.nrrd").write_bytes(content.replace(b" (0,0,0)\n", b" none\n", 1))
    with pytest.raises(CaseError, match=r"2 axes in space, the others without a direction"):
        read_geometry(tmp_path / "a.nrrd")


@pytest.mark.parametrize("space", ["ras", "Right-Anterior-Superior", "RAS"])
def test_the_space_of_an_nrrd_is_known_in_any_case(space: str, tmp_path: Path) -> None:
    header = {"space": "right-anterior-superior", "space directions": np.diag([2.0, 1, 1]), "space origin": [5, 0, 0]}
    nrrd.write(str(tmp_path / "a.nrrd"), LABEL, header)
    content = (tmp_path / "a.nrrd").read_bytes()
    (tmp_path / "a.nrrd").write_bytes(content.replace(b"right-anterior-superior", space.encode()))
    found = read_header(tmp_path / "a.nrrd")
    assert not found.findings
    assert found.affine[0, 0] == 2
    assert found.affine[0, 3] == 5
