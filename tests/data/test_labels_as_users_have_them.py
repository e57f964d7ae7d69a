"""Labels and images as other programs write them: along other axes, behind a slope, in metres, without codes."""

from itertools import permutations, product
from pathlib import Path

import itk
import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layout_files import write_mha, write_nifti, write_nrrd
from small_cases import CLASSES, write_case
from small_datasets import checked, reheader, resave, write_dataset

from c2fnas.data.dataset import Case
from c2fnas.data.geometry import Geometry, Turn
from c2fnas.data.plan import ChannelPlan, ClassPlan, Plan
from c2fnas.data.preprocess import prepare_case, prepare_image
from c2fnas.data.problem import CaseError
from c2fnas.data.scan import scan_dataset
from c2fnas.data.scheme import LabelScheme
from c2fnas.data.volume import read_geometry, read_image, read_label
from c2fnas.evaluation.label_files import Pair, evaluate_files

WRITERS = {".nii": write_nifti, ".nii.gz": write_nifti, ".nrrd": write_nrrd, ".mha": write_mha}
ORIENTATIONS = [
    "".join(axes) for order in permutations(("LR", "AP", "IS")) for axes in product(*order)
]  # fmt: skip
SHAPE = (6, 5, 4)


def oblique(angle: float = 0.3) -> np.ndarray:
    """An affine with a tilt, three spacings and a negative one."""
    tilt = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = tilt * (-0.7, 1.3, 2.9)
    affine[:3, 3] = (12.5, -31.25, 7)
    return affine


def reoriented(array: np.ndarray, affine: np.ndarray, axes: str) -> tuple[np.ndarray, np.ndarray]:
    """By nibabel: the same voxels at the same places, stored along other axes."""
    image = nibabel.Nifti1Image(array, affine)
    way = nibabel.orientations.ornt_transform(
        nibabel.io_orientation(affine), nibabel.orientations.axcodes2ornt(tuple(axes))
    )
    turned = image.as_reoriented(way)
    return np.asarray(turned.dataobj), turned.affine


def values(shape: tuple[int, ...] = SHAPE, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 3, shape).astype(np.uint8)


@pytest.mark.parametrize("axes", ORIENTATIONS)
def test_a_label_along_any_axes_is_read_onto_its_image(axes: str, tmp_path: Path) -> None:
    """All 48 orders and flips, an oblique grid: voxel for voxel the label that nibabel turned away."""
    label = values()
    write_nifti(tmp_path / "image.nii.gz", label * np.float32(10), oblique())
    write_nifti(tmp_path / "label.nii.gz", *reoriented(label, oblique(), axes))
    found, geometry = read_label(tmp_path / "label.nii.gz", CLASSES, on=tmp_path / "image.nii.gz")
    assert np.array_equal(found, label)
    assert geometry == read_geometry(tmp_path / "image.nii.gz")


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("axes", ["PIR", "SAL"])
def test_so_it_is_in_every_format_and_where_the_sides_are_equal(suffix: str, axes: str, tmp_path: Path) -> None:
    """A cube hides the turn from a look at sizes."""
    label, affine = values((5, 5, 5)), np.diag([-1.0, -1, 1, 1])
    WRITERS[suffix](tmp_path / f"image{suffix}", label * np.float32(10), affine)
    WRITERS[suffix](tmp_path / f"label{suffix}", *reoriented(label, affine, axes))
    found, _ = read_label(tmp_path / f"label{suffix}", CLASSES, on=tmp_path / f"image{suffix}")
    assert np.array_equal(found, label)


@settings(deadline=None)
@given(
    st.permutations([0, 1, 2]), st.tuples(*[st.booleans()] * 3), st.tuples(*[st.integers(1, 5)] * 3), st.floats(-3, 3)
)
def test_a_turn_moves_no_voxel_in_space(
    order: list[int], flipped: tuple[bool, bool, bool], shape: tuple[int, int, int], angle: float
) -> None:
    """Whatever the turn, every voxel lies where it lay: brute force over all voxels, at any tilt, at 45° too."""
    geometry = Geometry.from_array(shape, oblique(angle))
    turn = Turn((order[0], order[1], order[2]), flipped)
    places = np.moveaxis(np.indices(shape), 0, -1) @ geometry.matrix[:3, :3].T + geometry.matrix[:3, 3]
    turned = turn.array(places)
    steps = [
        turned[tuple(np.eye(3, dtype=int)[axis])] - turned[0, 0, 0] if turned.shape[axis] > 1 else None
        for axis in range(3)
    ]
    matrix = np.eye(4)
    for axis, step in enumerate(steps):
        sign = -1 if flipped[axis] else 1
        matrix[:3, axis] = geometry.matrix[:3, order[axis]] * sign if step is None else step
    matrix[:3, 3] = turned[0, 0, 0]
    other = Geometry.from_array(turned.shape[:3], matrix)
    found = geometry.turn_onto(other)
    assert found is not None
    assert np.allclose(found.array(places), turned)


def test_no_turn_lays_a_shifted_scaled_or_tilted_grid_on_another() -> None:
    grid = Geometry.from_array(SHAPE, oblique())
    shifted, scaled = oblique(), oblique()
    shifted[0, 3] += 0.01
    scaled[:3, 0] *= 2
    for matrix in (shifted, scaled, oblique(0.31)):
        assert Geometry.from_array(SHAPE, matrix).turn_onto(grid) is None
    assert grid.turn_onto(grid) == Turn()


def test_a_channel_along_other_axes_is_turned_onto_the_first(tmp_path: Path) -> None:
    first, second = values(seed=1).astype(np.float32), values(seed=2).astype(np.float32)
    write_nifti(tmp_path / "a_0000.nii.gz", first, oblique())
    write_nifti(tmp_path / "a_0001.nii.gz", *reoriented(second, oblique(), "PIR"))
    volume = read_image((tmp_path / "a_0000.nii.gz", tmp_path / "a_0001.nii.gz"))
    assert np.array_equal(volume.array, np.stack([first, second]))


def turn_labels(folder: Path, axes: str = "PIR") -> None:
    for path in folder.glob("*_label.nii.gz"):
        image = nibabel.load(path)
        array, affine = reoriented(np.asarray(image.dataobj), image.affine, axes)
        nibabel.save(nibabel.Nifti1Image(array, affine), path)


def test_turned_labels_are_one_warning_and_train_on_the_same_voxels(tmp_path: Path) -> None:
    """Fingerprint (class voxels, intensities under them) and prepared label are those of the untouched set."""
    plain, turned = write_dataset(tmp_path / "plain"), write_dataset(tmp_path / "turned")
    turn_labels(turned)
    answer = checked(turned)
    assert answer.code == 1
    assert {each["found"] for each in answer.problems} == {"a volume stored along other axes than its image"}
    ours, theirs = scan_dataset(turned).fingerprint, scan_dataset(plain).fingerprint
    assert ours.channels == theirs.channels
    assert [case.voxels for case in ours.cases] == [case.voxels for case in theirs.cases]
    plan = Plan(
        channels=(ChannelPlan(name="MRI", kind="mr"),),
        classes=tuple(ClassPlan(name=each.name, values=each.values) for each in CLASSES),
        spacing=(1.0, 1.0, 1.0),
        patch_size=(8, 8, 8),
        stride=(4, 4, 4),
        ranking_stride=(8, 8, 8),
    )

    def prepared(folder: Path) -> dict[str, np.ndarray]:
        arrays: dict[str, np.ndarray] = {}
        case = Case("a", (folder / "a.nii.gz",), folder / "a_label.nii.gz")
        prepare_case(case, plan, lambda name, shape, dtype: arrays.setdefault(name, np.empty(shape, dtype)))
        return arrays

    for name, array in prepared(plain).items():
        assert np.array_equal(prepared(turned)[name], array)


def test_a_turned_label_is_corrected_in_a_copy(tmp_path: Path) -> None:
    write_dataset(tmp_path / "data")
    turn_labels(tmp_path / "data")
    assert checked(tmp_path / "data", "--fix", str(tmp_path / "copy")).code == 1
    assert checked(tmp_path / "copy").code == 0
    plain = write_dataset(tmp_path / "plain")
    for path in plain.glob("*_label.nii.gz"):
        assert np.array_equal(nibabel.load(tmp_path / "copy" / path.name).dataobj, nibabel.load(path).dataobj)


def test_a_prediction_along_other_axes_is_scored_as_if_it_were_not(tmp_path: Path) -> None:
    label, prediction = values(seed=1), values(seed=2)
    write_nifti(tmp_path / "label.nii.gz", label, oblique())
    write_nifti(tmp_path / "same.nii.gz", prediction, oblique())
    write_nifti(tmp_path / "turned.nii.gz", *reoriented(prediction, oblique(), "SRP"))
    same, turned = (
        evaluate_files([Pair("a", tmp_path / f"{name}.nii.gz", tmp_path / "label.nii.gz")], LabelScheme(CLASSES))
        for name in ("same", "turned")
    )
    assert turned == same


@pytest.mark.parametrize(
    ("change", "said", "not_said"),
    [
        (np.diag([-1.0, 1, 1, 1]), "would turn or mirror", "copy that file's affine"),
        (np.diag([1, 1, 3.0, 1]), "spacing was lost, copy", "mirror"),
        (np.array([[1, 0, 0, 4.0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), "same place, copy", "mirror"),
    ],
)
def test_advice_is_right_for_every_kind_of_mismatch(
    change: np.ndarray, said: str, not_said: str, tmp_path: Path
) -> None:
    """A mirrored grid at another place, a spacing, an origin: only the last two may be mended by a copied affine."""
    write_dataset(tmp_path)
    resave(tmp_path / "b_label.nii.gz", lambda array: array, change)
    (problem,) = checked(tmp_path).problems
    assert said in problem["fix"]
    assert not_said not in problem["fix"]


SLOPES = [24 / 65535, 24 / 255, 0.04, 0.7]


@pytest.mark.parametrize("slope", SLOPES)
def test_integers_behind_a_slope_are_whole_to_half_a_step(slope: float, tmp_path: Path) -> None:
    """Every label that an integer can stand for comes back, whatever the slope below one step a label."""
    wanted = np.array([0, 1, 2, 1, 0, 2] * 4, np.float64).reshape(2, 3, 4)
    stored = np.rint(wanted / slope).astype(np.uint16)
    path = tmp_path / "label.nii"
    nibabel.save(nibabel.Nifti1Image(stored, np.eye(4)), path)
    reheader(path, scl_slope=slope, scl_inter=0)
    found, _ = read_label(path, CLASSES)
    assert np.array_equal(found, wanted)


@pytest.mark.parametrize(("slope", "intercept", "stored"), [(0.2, 0.0, 3), (1.0, 0.4, 1), (0.5, 0.1, 1), (2.5, 0.0, 1)])
def test_beyond_half_a_step_slope_and_value_are_said_in_full(
    slope: float, intercept: float, stored: int, tmp_path: Path
) -> None:
    path = tmp_path / "label.nii"
    nibabel.save(nibabel.Nifti1Image(np.full((3, 3, 3), stored, np.uint8), np.eye(4)), path)
    reheader(path, scl_slope=slope, scl_inter=intercept)
    with pytest.raises(CaseError) as raised:
        read_label(path, CLASSES)
    value = np.float32(stored) * np.float32(slope) + np.float32(intercept)
    assert f"label {value:.9g}" in str(raised.value)
    assert f"{stored} · {np.float32(slope):.9g} + {np.float32(intercept):.9g}" in str(raised.value)


@pytest.mark.parametrize(("noise", "sound"), [(5e-5, True), (2e-4, False)])
def test_real_numbers_have_no_step(noise: float, sound: bool, tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(np.full((3, 3, 3), 1 + noise), np.eye(4)), tmp_path / "label.nii")
    if sound:
        assert (read_label(tmp_path / "label.nii", CLASSES)[0] == 1).all()
    else:
        with pytest.raises(CaseError, match=r"label 1\.0002"):
            read_label(tmp_path / "label.nii", CLASSES)


def test_scaled_labels_are_corrected_in_a_copy(tmp_path: Path) -> None:
    write_dataset(tmp_path / "data")
    path = tmp_path / "data" / "c_label.nii.gz"
    truth = np.asarray(nibabel.load(path).dataobj)
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.int16)
    nibabel.save(nibabel.Nifti1Image(truth * 1.0, np.eye(4), header), path)
    answer = checked(tmp_path / "data", "--fix", str(tmp_path / "copy"))
    assert [each["found"][:24] for each in answer.problems] == ["labels stored with slope"]
    copy = nibabel.load(tmp_path / "copy" / "c_label.nii.gz")
    assert np.array_equal(copy.dataobj, truth)
    assert checked(tmp_path / "copy").code == 0


@pytest.mark.parametrize(("code", "unit"), [(1, 1e3), (2, 1.0), (3, 1e-3), (0, 1.0)])
def test_units_of_a_header_count_as_itk_has_them(code: int, unit: float, tmp_path: Path) -> None:
    affine = np.diag([0.5, 0.75, 2.0, 1.0])
    affine[:3, 3] = (3, -4, 5)
    affine[:3] /= unit
    path = tmp_path / "a.nii"
    nibabel.save(nibabel.Nifti1Image(values(), affine), path)
    reheader(path, xyzt_units=code)
    geometry = read_geometry(path)
    assert geometry.spacing == pytest.approx((0.5, 0.75, 2.0))
    assert geometry.spacing == pytest.approx(tuple(itk.imread(str(path)).GetSpacing()))


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_stated_spacing_is_that_of_a_corrected_header(suffix: str, tmp_path: Path) -> None:
    """Two ways to one prepared image: the spacing stated, and a file whose header has it; along the file's own axes."""
    image = np.random.default_rng(0).normal(100, 20, (12, 9, 7)).astype(np.float32)
    turned, true = np.eye(4)[:, [1, 2, 0, 3]], (0.8, 2.5, 1.25)
    lost, right = turned.copy(), turned.copy()
    right[:3, :3] *= true
    write = WRITERS[suffix]
    write(tmp_path / f"lost{suffix}", image, lost)
    write(tmp_path / f"right{suffix}", image, right)
    plan = Plan(
        channels=(ChannelPlan(name="MRI", kind="mr"),),
        classes=(ClassPlan(name="background", values=(0,)), ClassPlan(name="organ", values=(1,))),
        spacing=(1.0, 1.0, 1.0),
        patch_size=(8, 8, 8),
        stride=(4, 4, 4),
        ranking_stride=(8, 8, 8),
    )
    stated, way = prepare_image((tmp_path / f"lost{suffix}",), plan, spacing=true)
    told, other = prepare_image((tmp_path / f"right{suffix}",), plan)
    assert np.allclose(stated, told, atol=1e-5)
    assert way.spacing == pytest.approx(other.spacing)


def test_an_image_of_codes_of_nothing_keeps_its_spacing(tmp_path: Path) -> None:
    case = write_case(tmp_path)
    reheader(case.images[0], sform_code=0, qform_code=0, pixdim=[1, 0.5, 0.75, 3, 0, 0, 0, 0])
    assert read_geometry(case.images[0]).spacing == pytest.approx((0.5, 0.75, 3.0))
