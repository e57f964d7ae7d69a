"""DICOM series as volumes: place and values; what is no volume is named; SEG; without the package."""

import contextlib
import errno
import os
import shutil
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from dicom_files import AXIAL, OBLIQUE, ORIGIN, SPACING, affine_of, write_multiframe, write_series
from highdicom import get_volume_from_series
from highdicom.seg import segread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

import c2fnas
from c2fnas.data.dataset import LabelClass
from c2fnas.data.fingerprint import channel_kind
from c2fnas.data.formats import header_findings
from c2fnas.data.formats.dicom import find_series, is_dicom, read_header
from c2fnas.data.formats.dicom_seg import DEFAULT, write_segments
from c2fnas.data.layouts import load_dataset
from c2fnas.data.problem import CaseError
from c2fnas.data.volume import read_image, read_label
from c2fnas.errors import UserError

REAL = Path(pydicom.__file__).parent / "data" / "test_files" / "dicomdirtests"
CLASSES = (LabelClass("background", (0,)), LabelClass("liver", (1,)), LabelClass("tumour", (2,)))


def random(shape: tuple[int, int, int] = (6, 5, 4), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1000, 1000, shape).astype(np.int16)


@pytest.mark.parametrize("turn", [AXIAL, OBLIQUE])
def test_a_series_is_its_array_in_its_place(tmp_path: Path, turn: Any) -> None:
    array = random()
    write_series(tmp_path / "scan", array, turn=turn)
    volume = read_image([tmp_path / "scan"])
    assert volume.array.dtype == np.float32
    assert np.array_equal(volume.array[0], array)
    assert np.allclose(volume.geometry.matrix, affine_of(turn=turn), atol=1e-5)
    assert volume.geometry.spacing == pytest.approx(SPACING)


def test_ct_is_ct_whatever_the_channel_is_called(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", random())
    write_series(tmp_path / "mr", random(), change=lambda dataset, index: setattr(dataset, "Modality", "MR"))
    for name, channel, kind in (("ct", "channel 0 (CT)", "ct"), ("mr", "channel 0", "mr")):
        (tmp_path / f"{name}.csv").write_text(f"id,image\na,{name}\n")
        assert load_dataset(tmp_path / f"{name}.csv").channels == (channel,)
        assert channel_kind(channel) == kind


def test_itk_reads_the_same_series_the_same_way(tmp_path: Path) -> None:
    itk = pytest.importorskip("itk")
    array = random()
    write_series(tmp_path / "scan", array, turn=OBLIQUE)
    names = itk.GDCMSeriesFileNames.New()
    names.SetDirectory(str(tmp_path / "scan"))
    image = itk.imread(list(names.GetInputFileNames()), itk.F)
    ours = read_image([tmp_path / "scan"])
    matrix = np.eye(4)
    matrix[:3, :3] = itk.array_from_matrix(image.GetDirection()) * np.array(image.GetSpacing())
    matrix[:3, 3] = image.GetOrigin()
    assert np.allclose(np.diag([-1, -1, 1, 1]) @ matrix, ours.geometry.matrix, atol=1e-4)
    assert np.array_equal(itk.array_from_image(image).T, ours.array[0])


@pytest.mark.parametrize("step", [0.625, 2 / 3, 0.8333])
def test_positions_of_few_digits_do_not_add_up(tmp_path: Path, step: float) -> None:
    """Over 120 slices a step that is rounded as one of them is would be a slice off; ITK takes the mean of all."""
    origin = (-20.0, -30.0, 40.0)

    def rounded(dataset: Dataset, index: int) -> None:
        dataset.ImagePositionPatient = [f"{value:.2f}" for value in (*origin[:2], origin[2] + step * index)]

    write_series(tmp_path / "scan", random((3, 2, 120)), spacing=(0.8, 0.9, step), change=rounded)
    header = read_header(tmp_path / "scan")
    assert header_findings(header) == ()
    assert np.allclose(header.affine @ (0, 0, 119, 1), (20, 30, round(40 + 119 * step, 2), 1), atol=1e-6)


def test_every_slice_has_its_own_rescaling(tmp_path: Path) -> None:
    array = random()

    def scaled(dataset: Dataset, index: int) -> None:
        dataset.RescaleSlope, dataset.RescaleIntercept = index + 0.5, -1024 - index

    write_series(tmp_path / "scan", array, change=scaled)
    expected = array * (np.arange(4) + 0.5) - 1024 - np.arange(4)
    assert np.allclose(read_image([tmp_path / "scan"]).array[0], expected)


def test_frames_of_one_file_are_sorted_and_scaled(tmp_path: Path) -> None:
    array = random()
    write_multiframe(tmp_path / "scan" / "all.dcm", array, turn=OBLIQUE)
    expected = array * (np.arange(4) + 1.0) + 5
    for place in (tmp_path / "scan", tmp_path / "scan" / "all.dcm"):
        volume = read_image([place])
        assert np.allclose(volume.array[0], expected)
        assert np.allclose(volume.geometry.matrix, affine_of(turn=OBLIQUE), atol=1e-5)


def test_a_copy_of_a_file_and_files_of_other_kinds_change_nothing(tmp_path: Path) -> None:
    array = random()
    first, *_ = write_series(tmp_path / "scan", array)
    shutil.copy(first, tmp_path / "scan" / "copy")
    (tmp_path / "scan" / "notes.txt").write_text("nothing")
    for name in ("test-SR.dcm", "rtstruct.dcm", "liver_1frame.dcm"):
        shutil.copy(get_testdata_file(name), tmp_path / "scan" / name)
    shutil.copy(REAL / "DICOMDIR", tmp_path / "scan" / "DICOMDIR")
    assert np.array_equal(read_image([tmp_path / "scan"]).array[0], array)


def missing(dataset: Dataset, index: int) -> None:
    if index == 2:
        dataset.clear()


def doubled(dataset: Dataset, index: int) -> None:
    if index == 2:
        dataset.ImagePositionPatient = [*ORIGIN[:2], ORIGIN[2] + SPACING[2]]


def uneven(dataset: Dataset, index: int) -> None:
    if index == 2:
        dataset.ImagePositionPatient = [*ORIGIN[:2], ORIGIN[2] + 2.2 * SPACING[2]]


def tilted(dataset: Dataset, index: int) -> None:
    x, y, z = map(float, dataset.ImagePositionPatient)
    dataset.ImagePositionPatient = [x, y + index * SPACING[2] * np.tan(np.radians(12)), z]


def turned(dataset: Dataset, index: int) -> None:
    if index == 3:
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]


def wider(dataset: Dataset, index: int) -> None:
    if index == 3:
        dataset.PixelSpacing = [2, 2]


def coloured(dataset: Dataset, index: int) -> None:
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "RGB", 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (missing, "5 mm between slices 2 and 3.*A slice is missing"),
        (doubled, "1 slices at the place of another one"),
        (uneven, "between slices.*Resample"),
        (tilted, r"a tilted gantry: slices shifted by 12\.00°"),
        (turned, "slices in several directions"),
        (wider, "2 sizes or pixel spacings"),
        (coloured, "colour images"),
    ],
)
def test_what_is_no_regular_volume_is_named(tmp_path: Path, change: Any, said: str) -> None:
    write_series(tmp_path / "scan", random(), change=change)
    with pytest.raises(CaseError, match=said):
        read_image([tmp_path / "scan"])


def test_slices_may_be_thinner_than_their_distance(tmp_path: Path) -> None:
    def thin(dataset: Dataset, index: int) -> None:
        dataset.SliceThickness = 1

    write_series(tmp_path / "scan", random(), change=thin)
    assert read_image([tmp_path / "scan"]).geometry.spacing == pytest.approx(SPACING)


def test_several_series_in_a_folder_are_named_and_taken_one_by_one(tmp_path: Path) -> None:
    arrays = {number: random(seed=number) for number in (2, 7)}
    for number, array in arrays.items():
        for path in write_series(tmp_path / "scan" / str(number), array, number=number):
            path.rename(tmp_path / "scan" / f"{number}{path.name}")
        (tmp_path / "scan" / str(number)).rmdir()
    with pytest.raises(CaseError, match=r"2 series in one folder: numbers 2 \(4 slices\), 7 \(4 slices\)"):
        read_image([tmp_path / "scan"])
    found = find_series(tmp_path)
    assert [name for name, _ in found] == ["scan_002", "scan_007"]
    for (_, place), array in zip(found, arrays.values(), strict=True):
        assert np.array_equal(read_image([place]).array[0], array)


def test_series_of_many_folders_have_their_names(tmp_path: Path) -> None:
    for name in ("a/CT", "b"):
        write_series(tmp_path / name, random())
    (tmp_path / "empty").mkdir()
    assert find_series(tmp_path) == (("a_CT", tmp_path / "a" / "CT"), ("b", tmp_path / "b"))
    assert find_series(tmp_path / "b") == (("b", tmp_path / "b"),)
    assert is_dicom(tmp_path / "b")
    assert not is_dicom(tmp_path)


def test_real_series_are_read_or_named() -> None:
    header = read_header(REAL / "98892001" / "CT5N")
    assert header_findings(header) == ()
    assert header.shape == (16, 16, 5)
    assert np.linalg.norm(header.affine[:3, 2]) == pytest.approx(2.5, abs=1e-4)
    image = read_image([REAL / "98892001" / "CT5N"])
    lowest = pydicom.dcmread(REAL / "98892001" / "CT5N" / "3353")
    assert np.array_equal(image.array[0, :, :, 0].T, pydicom.pixels.apply_rescale(lowest.pixel_array, lowest))
    with pytest.raises(CaseError, match="A slice is missing"):
        read_image([REAL / "77654033" / "CT2"])
    with pytest.raises(CaseError, match="no DICOM image with a position"):
        read_image([REAL / "77654033" / "CR1"])
    with pytest.raises(CaseError, match="series in one folder"):
        read_image([REAL / "98892003" / "MR2"])


@pytest.mark.parametrize(
    "name", ["MR_small.dcm", "MR_small_RLE.dcm", "MR_small_bigendian.dcm", "MR_small_implicit.dcm"]
)
def test_encodings_of_one_slice_are_one_volume(tmp_path: Path, name: str) -> None:
    (tmp_path / "scan").mkdir()
    shutil.copy(get_testdata_file(name), tmp_path / "scan" / name)
    found = read_image([tmp_path / "scan"]).array
    expected = pydicom.dcmread(get_testdata_file("MR_small.dcm")).pixel_array.T
    assert np.array_equal(found[0, :, :, 0], expected)


@pytest.mark.parametrize(("name", "said"), [("MR_truncated.dcm", "cut short"), ("rtstruct.dcm", "dcmrtstruct2nii")])
def test_damaged_pixels_and_contours_are_refused_with_the_remedy(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "scan").mkdir()
    path = Path(shutil.copy(get_testdata_file(name), tmp_path / "scan" / name))
    with pytest.raises(CaseError, match=said):
        read_image([path])


@pytest.mark.parametrize("content", [b"", b"no DICOM", bytes(128) + b"DICM" + bytes(range(256))])
def test_a_damaged_file_is_no_traceback(tmp_path: Path, content: bytes) -> None:
    write_series(tmp_path / "scan", random())
    (tmp_path / "scan" / "IM0001").write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(UserError):
            read_image([tmp_path / "scan"])


def test_slices_with_one_identifier_are_told_apart_by_their_places(tmp_path: Path) -> None:
    """Some anonymisers leave identifiers empty, or equal."""

    def anonymised(dataset: Dataset, index: int) -> None:
        dataset.SOPInstanceUID = "1.2.3"

    array = random()
    write_series(tmp_path / "scan", array, change=anonymised)
    assert np.array_equal(read_image([tmp_path / "scan"]).array[0], array)


def test_a_slice_cut_in_its_header_is_named(tmp_path: Path) -> None:
    files = write_series(tmp_path / "scan", random())
    last = max(files, key=lambda path: pydicom.dcmread(path).InstanceNumber)
    last.write_bytes(last.read_bytes()[:600])
    with pytest.raises(CaseError, match=f"{last.name}.*(cut short|damaged header|unreadable file)"):
        read_header(tmp_path / "scan")


def test_a_header_that_is_cut_or_flipped_anywhere_is_no_traceback(tmp_path: Path) -> None:
    files = write_series(tmp_path / "scan", random())
    whole = files[1].read_bytes()
    rng = np.random.default_rng(0)
    damaged = [whole[:end] for end in range(100, len(whole), 29)]
    for place, value in zip(rng.integers(132, len(whole) - 100, 60), rng.integers(0, 256, 60), strict=True):
        damaged.append(whole[:place] + bytes([value]) + whole[place + 1 :])
    for content in damaged:
        files[1].write_bytes(content)
        with contextlib.suppress(UserError), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read_image([tmp_path / "scan"])


def test_a_slice_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = write_series(tmp_path / "scan", random())
    monkeypatch.setattr("c2fnas.data.formats.dicom.os.access", lambda path, mode: path != files[0])  # root may read all
    with pytest.raises(CaseError, match=f"{files[0].name}.*may not be read"):
        read_header(tmp_path / "scan")


@pytest.mark.parametrize(("number", "said"), [(errno.EMFILE, "ulimit -n"), (errno.EIO, "can't be read")])
def test_a_slice_that_cannot_be_opened_at_the_moment_is_not_left_out(
    number: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The volume would be shorter, without a word."""
    files, opened = write_series(tmp_path / "scan", random()), Path.open

    def failing(path: Path, *arguments: Any, **options: Any) -> Any:
        if path == files[-1]:
            raise OSError(number, os.strerror(number), str(path))
        return opened(path, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", failing)
        with pytest.raises(UserError, match=f"{files[-1].name}.*{said}"):
            read_header(tmp_path / "scan")
    assert read_header(tmp_path / "scan").shape[2] == len(files)


@pytest.mark.parametrize("name", ["PatientID", "PatientName", "StudyTime", "AccessionNumber", "StudyID"])
def test_a_seg_is_written_of_a_series_without_identifiers(name: str, tmp_path: Path) -> None:
    def removed(dataset: Dataset, index: int) -> None:
        delattr(dataset, name)

    labels = labels_in((6, 5, 4))
    write_series(tmp_path / "scan", random(labels.shape), change=removed)  # type: ignore[arg-type]
    path, header = tmp_path / "label.seg.dcm", read_header(tmp_path / "scan")
    write_segments(path, labels, [("liver", None), ("tumour", None)], tmp_path / "scan", header.affine)
    assert np.array_equal(read_label(path, CLASSES)[0], labels)


@pytest.mark.parametrize("name", ["FrameOfReferenceUID", "StudyInstanceUID"])
def test_a_series_that_a_seg_cannot_refer_to_is_named(name: str, tmp_path: Path) -> None:
    def removed(dataset: Dataset, index: int) -> None:
        delattr(dataset, name)

    labels = labels_in((6, 5, 4))
    write_series(tmp_path / "scan", random(labels.shape), change=removed)  # type: ignore[arg-type]
    header = read_header(tmp_path / "scan")
    with pytest.raises(CaseError, match=f"no {name}"):
        write_segments(tmp_path / "a.seg.dcm", labels, [("liver", None)], tmp_path / "scan", header.affine)


def labels_in(shape: tuple[int, int, int]) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 3, shape).astype(np.uint8)


def written(tmp_path: Path, labels: np.ndarray, turn: Any = AXIAL, codes: Any = (None, None)) -> Path:
    write_series(tmp_path / "scan", random(labels.shape), turn=turn)  # type: ignore[arg-type]
    header = read_header(tmp_path / "scan")
    path = tmp_path / "label.seg.dcm"
    classes = list(zip(("liver", "tumour"), codes, strict=True))
    write_segments(path, labels, classes, tmp_path / "scan", header.affine)
    return path


@pytest.mark.parametrize("turn", [AXIAL, OBLIQUE])
def test_a_seg_comes_back_as_the_same_array(tmp_path: Path, turn: Any) -> None:
    labels = labels_in((6, 5, 4))
    labels[:, :, 0] = 0  # an empty slice
    path = written(tmp_path, labels, turn)
    ours, geometry = read_label(path, CLASSES)
    assert np.array_equal(ours, labels)
    assert np.allclose(geometry.matrix, read_image([tmp_path / "scan"]).geometry.matrix, atol=1e-4)
    reader = segread(path)
    sources = sorted((pydicom.dcmread(file) for file in (tmp_path / "scan").iterdir()), key=lambda x: x.InstanceNumber)
    by_source = reader.get_pixels_by_source_instance([each.SOPInstanceUID for each in sources], combine_segments=True)
    assert np.array_equal(by_source, labels.transpose(2, 1, 0))
    image = get_volume_from_series(sources)
    assert np.allclose(image.affine, reader.get_volume().affine, atol=1e-4)
    order = slice(None, None, 1 if np.array_equal(image.array[0], random(labels.shape)[:, :, 0].T) else -1)
    assert np.array_equal(reader.get_volume(combine_segments=True).array[order], labels.transpose(2, 1, 0))


def bits(path: Path) -> np.ndarray:
    """The frames of a SEG by the standard: one bit a pixel, lowest first."""
    dataset = pydicom.dcmread(path)
    flat = np.unpackbits(np.frombuffer(dataset.PixelData, np.uint8), bitorder="little")
    count = dataset.NumberOfFrames * dataset.Rows * dataset.Columns
    return flat[:count].reshape(-1, dataset.Rows, dataset.Columns)


def frames_of_itk(path: Path) -> np.ndarray:
    """The frames of a SEG as GDCM has them."""
    itk = pytest.importorskip("itk")
    return itk.array_from_image(itk.imread(str(path)))


@pytest.mark.parametrize("read", [bits, frames_of_itk])
@pytest.mark.parametrize("turn", [AXIAL, OBLIQUE])
def test_frames_of_a_seg_by_other_readers_are_the_classes(tmp_path: Path, turn: Any, read: Any) -> None:
    """Every frame belongs to the segment and lies at the position that it names."""
    labels = labels_in((8, 5, 4))
    path = written(tmp_path, labels, turn)
    dataset, frames = pydicom.dcmread(path), read(path)
    found, affine = np.zeros_like(labels), affine_of(turn=turn)
    for frame, group in zip(frames, dataset.PerFrameFunctionalGroupsSequence, strict=True):
        position = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float) * (-1, -1, 1)
        index = round((np.linalg.inv(affine) @ [*position, 1])[2])
        found[:, :, index][frame.T > 0] = group.SegmentIdentificationSequence[0].ReferencedSegmentNumber
    assert np.array_equal(found, labels)
    assert (dataset.Rows, dataset.Columns) == (5, 8)


def test_segments_have_their_codes_and_the_series_its_patient(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(written(tmp_path, labels_in((6, 5, 4)), codes=[("10200004", "SCT", "Liver"), None]))
    types = [each.SegmentedPropertyTypeCodeSequence[0] for each in dataset.SegmentSequence]
    found = [(each.CodeValue, each.CodingSchemeDesignator, each.CodeMeaning) for each in types]
    assert found == [("10200004", "SCT", "Liver"), DEFAULT]
    assert [each.SegmentLabel for each in dataset.SegmentSequence] == ["liver", "tumour"]
    source = pydicom.dcmread(next((tmp_path / "scan").iterdir()))
    for name in ("PatientID", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert dataset[name].value == source[name].value


def test_a_seg_without_its_empty_slices_is_refused_with_the_tool(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("c2fnas.data.formats.dicom_seg.MOST_BYTES", 0)
    labels = labels_in((6, 5, 4))
    labels[:, :, 0] = 0
    path = written(tmp_path, labels)
    assert len(pydicom.dcmread(path).PerFrameFunctionalGroupsSequence) == 6
    with pytest.raises(CaseError, match=r"3 slices of the 4 of its series.*dcmqi"):
        read_label(path, CLASSES)


def test_one_sentence_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_series(tmp_path / "scan", random())
    for name in ("pydicom", "highdicom", "highdicom.seg"):
        monkeypatch.setitem(sys.modules, name, None)
    for read in (lambda: read_image([tmp_path / "scan"]), lambda: find_series(tmp_path)):
        with pytest.raises(UserError, match=r"pip install 'c2fnas\[dicom\]'") as caught:
            read()
        assert "\n" not in str(caught.value)


def test_check_reads_every_series_of_a_folder(tmp_path: Path) -> None:
    write_series(tmp_path / "in" / "good", random())
    write_series(tmp_path / "in" / "gap", random(), change=missing)
    found = c2fnas.check(tmp_path / "in")
    assert [(each.case, each.severity) for each in found.problems] == [("gap", "error")]
    assert "A slice is missing" in found.problems[0].fix


def test_a_copy_of_a_folder_of_series_needs_no_manifest(tmp_path: Path) -> None:
    write_series(tmp_path / "in" / "P1", random())
    c2fnas.check(tmp_path / "in", fix=tmp_path / "copy")
    assert [each.name for each in (tmp_path / "copy").iterdir()] == ["P1"]
    assert np.array_equal(read_image([tmp_path / "copy" / "P1"]).array, read_image([tmp_path / "in" / "P1"]).array)


def test_a_folder_that_may_not_be_listed_holds_no_series(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_series(tmp_path / "in" / "P1", random())
    (tmp_path / "in" / "lost+found").mkdir()
    listed = Path.iterdir

    def iterdir(folder: Path) -> Any:
        if folder.name == "lost+found":
            raise PermissionError(13, "Permission denied", str(folder))
        return listed(folder)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    assert [name for name, _ in find_series(tmp_path / "in")] == ["P1"]
    assert [case.id for case in load_dataset(tmp_path / "in").test] == ["P1"]
