"""What goes beside labels: probabilities, statistics, pictures, remarks; lists of images; largest components."""

import csv
import io
import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image as Picture
from scipy import ndimage
from small_models import PLAN, save_small_model, small_plan, write_image
from test_sinks import restorations

import c2fnas
from c2fnas.data.geometry import Geometry
from c2fnas.data.plan import ChannelPlan
from c2fnas.data.preprocess import prepare_image
from c2fnas.data.restoration import Restoration
from c2fnas.data.volume import Volume, read_geometry
from c2fnas.errors import UserError
from c2fnas.inference import predictor as predicting
from c2fnas.inference.components import keep_largest
from c2fnas.inference.model import Model, load_model, predict_folder
from c2fnas.inference.options import Extras, Options
from c2fnas.inference.package import load_package, save_package
from c2fnas.inference.prediction_files import find_cases, read_paths
from c2fnas.inference.predictor import Predictor
from c2fnas.inference.quality import Seen, foresee, remarks
from c2fnas.inference.statistics import class_statistics

SPACING = (1.5, 1.0, 2.0)
AFFINE = np.array([[0.0, 0, -1.5, 7], [1, 0, 0, -3], [0, -2, 0, 20], [0, 0, 0, 1]])
CPU: dict[str, Any] = {"device": "cpu", "precision": "fp32"}
ALL = Extras("image", statistics=True, preview=True)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with three folds' models."""
    folder = tmp_path_factory.mktemp("extras") / "run"
    for fold in range(3):
        save_small_model(folder / "final" / f"fold-{fold}" / "model", seed=fold)
    return folder


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for name in "ab":
        write_image(tmp_path / "in" / f"{name}.nii.gz", seed=ord(name), affine=AFFINE)
    return tmp_path / "in"


def read(path: Path) -> np.ndarray:
    return np.asarray(nibabel.load(path).dataobj)  # type: ignore[attr-defined]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_probabilities_in_files_are_those_in_memory(run: Path, images: Path, tmp_path: Path) -> None:
    model = load_model(run)
    predict_folder(model, images, tmp_path / "out", extras=Extras("image"), **CPU)
    with np.load(tmp_path / "out" / "a_probabilities.npz", allow_pickle=False) as file:
        assert file["probabilities"].dtype == np.float16
        _, expected = model.predict(images / "a.nii.gz", probabilities=True, **CPU)
        half = np.moveaxis(np.asarray(expected.dataobj), -1, 0).astype(np.float16)
        assert np.array_equal(file["probabilities"], half)
        assert np.array_equal(file["affine"], AFFINE)
        assert file["classes"].tolist() == ["background", "organ", "lesion"]


def test_probabilities_in_the_networks_grid_are_means_of_windows(run: Path, images: Path, tmp_path: Path) -> None:
    model = load_model(run)
    predict_folder(model, images, tmp_path / "out", extras=Extras("network"), **CPU)
    array, way = prepare_image((images / "b.nii.gz",), PLAN)
    each = [one.window().scores(one.network, array, device="cpu").softmax(0).numpy() for one in model.packages]
    with np.load(tmp_path / "out" / "b_probabilities.npz") as file:
        assert np.allclose(file["probabilities"], np.mean(each, 0), atol=1e-3)  # half precision
        assert np.array_equal(file["affine"], way.prepared.matrix)


@settings(deadline=None)
@given(way=restorations())
def test_the_prepared_grid_lies_where_its_voxels_are(way: Restoration) -> None:
    places = np.stack(np.meshgrid(*map(np.arange, way.original.shape), indexing="ij")).astype(float)
    turn, shift = way.original.matrix[:3, :3], way.original.matrix[:3, 3]
    world = np.einsum("ab,b...->a...", turn, places) + shift[:, None, None, None]
    shown = way.view(world)
    for end in ((0, 0, 0), (-1, -1, -1)):  # outer corners coincide, so these differ by half a voxel of each
        corner = np.array([-0.5 if side == 0 else n - 0.5 for side, n in zip(end, way.shape, strict=True)])
        own = np.array([0 if side == 0 else n - 1 for side, n in zip(end, way.crop_shape, strict=True)])
        step = np.array([-0.5 if side == 0 else 0.5 for side in end])
        turned = way.to_shape(way.crop_shape).prepared.matrix
        assert np.allclose(way.prepared.matrix @ [*corner, 1], turned @ [*(own + step), 1])
    if not way.resampled:
        index = tuple(n - 1 for n in way.shape)
        assert np.allclose((way.prepared.matrix @ [*index, 1])[:3], shown[(slice(None), *index)])


def brute_statistics(labels: np.ndarray, image: np.ndarray, affine: np.ndarray, value: int) -> dict[str, Any]:
    places = np.argwhere(labels == value)
    low, high = (places.min(0), places.max(0)) if len(places) else ((), ())
    voxel = abs(np.dot(np.cross(affine[:3, 0], affine[:3, 1]), affine[:3, 2])) / 1000
    return {
        "voxels": len(places),
        "volume_ml": len(places) * voxel,
        "mean": np.mean([image[tuple(place)] for place in places]) if len(places) else None,
        "box": [[first, last + 1] for first, last in zip(low, high, strict=True)] or None,
    }


def test_statistics_are_those_of_the_files(run: Path, images: Path, tmp_path: Path) -> None:
    predict_folder(load_model(run), images, tmp_path / "out", extras=Extras(statistics=True), **CPU)
    found = json.loads((tmp_path / "out" / "statistics.json").read_text())
    assert list(found) == ["a", "b"]
    table = list(csv.DictReader((tmp_path / "out" / "statistics.csv").open()))
    assert [(line["case"], line["class"]) for line in table] == [(c, k) for c in "ab" for k in ("organ", "lesion")]
    for line in table:
        labels, image = read(tmp_path / "out" / f"{line['case']}.nii.gz"), read(images / f"{line['case']}.nii.gz")
        expected = brute_statistics(labels, image, AFFINE, int(line["value"]))
        own = found[line["case"]]["classes"][line["class"]]
        assert own["voxels"] == int(line["voxels"]) == expected["voxels"]
        assert own["volume_ml"] == pytest.approx(expected["volume_ml"])
        assert float(line["volume_ml"]) == pytest.approx(expected["volume_ml"])
        assert own["intensity_mean"]["MRI"] == pytest.approx(expected["mean"])
        assert own["box"] == expected["box"]
        assert (expected["box"] is None) == (line["i_first"] == "")


def test_a_class_without_a_voxel_has_no_mean_and_no_box() -> None:
    volume = Volume(np.ones((1, 3, 3, 3), np.float32), Geometry.from_array((3, 3, 3), np.eye(4)))
    found = class_statistics(np.zeros((3, 3, 3), np.uint8), volume, PLAN.scheme, ["MRI"])
    assert found["lesion"] == {"value": 5, "voxels": 0, "volume_ml": 0, "intensity_mean": {"MRI": None}, "box": None}


@pytest.mark.parametrize("vote", ["majority", "mean"])
def test_disagreement_is_the_share_of_disputed_foreground(run: Path, images: Path, vote: Any) -> None:
    path = images / "a.nii.gz"
    _, found = load_model(run).predict(path, statistics=True, vote=vote, **CPU)
    each = [read_label(load_model(run / "final" / f"fold-{fold}").predict(path, **CPU)) for fold in range(3)]
    stack = np.stack(each)
    disputed, foreground = (stack != stack[0]).any(0), (stack > 0).any(0)
    assert disputed.any()
    assert found["disagreement"] == pytest.approx(disputed.sum() / foreground.sum())
    _, alone = load_model(run / "final" / "fold-0").predict(path, statistics=True, **CPU)
    assert alone["disagreement"] is None


def read_label(image: Any) -> np.ndarray:
    return np.asarray(image.dataobj)


def test_everything_comes_from_one_call_and_no_file_is_written(run: Path, tmp_path: Path, monkeypatch: Any) -> None:
    array = write_image(tmp_path / "a.nii.gz")
    model = load_model(run)
    plain = model.predict(array, affine=np.eye(4), **CPU)
    plain_open = open

    def reading(file: Any, mode: str = "r", *others: Any, **options: Any) -> Any:
        assert set(mode) <= set("rbt"), file
        return plain_open(file, mode, *others, **options)

    monkeypatch.setattr("builtins.open", reading)
    monkeypatch.setattr("io.open", reading)
    for name in ("TemporaryFile", "NamedTemporaryFile", "mkstemp", "mkdtemp"):
        monkeypatch.setattr(tempfile, name, lambda *each, **options: pytest.fail("a temporary file"))
    labels, scores, figures, picture = model.predict(
        array, affine=np.eye(4), probabilities=True, statistics=True, preview=True, **CPU
    )
    assert np.array_equal(labels, plain)
    assert scores.shape == (3, *array.shape)
    for name, value in (("organ", 2), ("lesion", 5)):
        expected = brute_statistics(labels, array, np.eye(4), value)
        assert figures["classes"][name]["voxels"] == expected["voxels"]
        assert figures["classes"][name]["intensity_mean"]["MRI"] == pytest.approx(expected["mean"])
    assert [axes.get_title().split()[0] for axes in picture.axes] == ["sagittal", "coronal", "axial"]


def test_a_preview_shows_the_labels_it_is_of(run: Path, images: Path, tmp_path: Path) -> None:
    predict_folder(load_model(run), images, tmp_path / "out", extras=Extras(preview=True), **CPU)
    picture = Picture.open(tmp_path / "out" / "a.png")
    assert picture.info.keys() <= {"dpi"}
    colours = np.asarray(picture.convert("RGB")).reshape(-1, 3).astype(int)
    tinted = (np.ptp(colours, axis=1) > 60).mean()
    volume = Volume(read(images / "a.nii.gz")[None].astype(np.float32), Geometry.from_array((9, 11, 7), AFFINE))
    predictor = load_model(run).predictor(Options(**CPU))
    sink, _ = predictor.label(replace(volume, array=volume.array.copy()), Path("a"))
    sink.labels[...] = 0
    predicting.save_preview(predictor.picture(sink, volume, "a"), tmp_path / "empty.png")
    empty = np.asarray(Picture.open(tmp_path / "empty.png").convert("RGB")).reshape(-1, 3).astype(int)
    assert tinted > 0.05
    assert (np.ptp(empty, axis=1) > 60).mean() < 0.001


def test_what_is_asked_for_later_is_added_and_what_changed_goes(run: Path, images: Path, tmp_path: Path) -> None:
    model, out = load_model(run), tmp_path / "out"
    predict_folder(model, images, out, **CPU)
    assert names(out) == {"a.nii.gz", "b.nii.gz", "prediction.json"}
    predicted = predict_folder(model, images, out, extras=ALL, **CPU)
    assert predicted.done == ("a", "b")
    asked = {f"{case}{end}" for case in "ab" for end in (".nii.gz", ".png", "_probabilities.npz")}
    assert names(out) == {*asked, "prediction.json", "statistics.json", "statistics.csv"}
    assert predict_folder(model, images, out, extras=ALL, **CPU).kept == ("a", "b")
    before = json.loads((out / "statistics.json").read_text())
    write_image(images / "a.nii.gz", seed=7, affine=np.eye(4))
    later = (out / "a.nii.gz").stat().st_mtime + 10
    os.utime(images / "a.nii.gz", (later, later))
    assert predict_folder(model, images, out, **CPU).done == ("a",)  # nothing asked for: what is out of date goes
    assert "a.png" not in names(out)
    assert "a_probabilities.npz" not in names(out)
    assert json.loads((out / "statistics.json").read_text()) == {"b": before["b"]}


def test_figures_go_before_the_labels_that_they_are_of(
    run: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whenever the call is killed, no figures of the old image stand beside a label of the new one."""
    model, out, plain = load_model(run), tmp_path / "out", Path.unlink
    predict_folder(model, images, out, extras=Extras(statistics=True), **CPU)
    rows = json.loads((out / "statistics.json").read_text())
    write_image(images / "a.nii.gz", seed=7, affine=np.eye(4))
    later = (out / "a.nii.gz").stat().st_mtime + 10
    os.utime(images / "a.nii.gz", (later, later))

    def killed(path: Path, **options: Any) -> None:
        if path == out / "a.nii.gz":
            raise KeyboardInterrupt
        plain(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            predict_folder(model, images, out, **CPU)
    assert json.loads((out / "statistics.json").read_text()) == {"b": rows["b"]}
    assert "a" not in {line.split(",")[0] for line in (out / "statistics.csv").read_text().splitlines()}
    assert predict_folder(model, images, out, extras=Extras(statistics=True), **CPU).done == ("a",)
    assert json.loads((out / "statistics.json").read_text())["a"] != rows["a"]


def test_a_table_that_was_not_written_with_its_figures_is_written_again(
    run: Path, images: Path, tmp_path: Path
) -> None:
    model, out, extras = load_model(run), tmp_path / "out", Extras(statistics=True)
    predict_folder(model, images, out, extras=extras, **CPU)
    table = (out / "statistics.csv").read_bytes()
    (out / "statistics.csv").write_text("of before\n")
    os.utime(out / "statistics.csv", (1, 1))
    assert predict_folder(model, images, out, extras=extras, **CPU).kept == ("a", "b")
    assert (out / "statistics.csv").read_bytes() == table


def test_figures_of_an_interrupted_call_are_kept(
    run: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, out, plain = load_model(run), tmp_path / "out", Predictor.write

    def cut(self: Predictor, case: Any, *others: Any) -> None:
        if case.id == "b":
            raise KeyboardInterrupt
        plain(self, case, *others)

    with monkeypatch.context() as patch:
        patch.setattr(Predictor, "write", cut)
        with pytest.raises(KeyboardInterrupt):
            predict_folder(model, images, out, extras=ALL, **CPU)
    predicted = predict_folder(model, images, out, extras=ALL, **CPU)
    assert (predicted.done, predicted.kept) == (("b",), ("a",))
    predict_folder(model, images, tmp_path / "at once", extras=ALL, **CPU)
    for name in ("statistics.json", "statistics.csv", "a.png"):
        assert (out / name).read_bytes() == (tmp_path / "at once" / name).read_bytes()


def test_a_journal_that_a_kill_has_left_counts(run: Path, images: Path, tmp_path: Path) -> None:
    model, out = load_model(run), tmp_path / "out"
    predict_folder(model, images, out, extras=Extras(statistics=True), **CPU)
    rows = json.loads((out / "statistics.json").read_text())
    (out / "statistics.json").unlink()
    lines = [json.dumps({"case": case, **row}) for case, row in rows.items()]
    (out / ".statistics.jsonl").write_text(lines[0] + "\n" + lines[1][:40])  # cut in the middle of a line
    assert predict_folder(model, images, out, extras=Extras(statistics=True), **CPU).done == ("b",)
    assert json.loads((out / "statistics.json").read_text()) == rows
    assert ".statistics.jsonl" not in names(out)


def test_a_picture_that_fails_costs_its_case_alone(
    run: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = predicting.draw_preview

    def draw(volume: Volume, labels: np.ndarray, classes: Any, title: str) -> Any:
        if title == "a":
            raise ValueError("no ink")
        return plain(volume, labels, classes, title)

    monkeypatch.setattr(predicting, "draw_preview", draw)
    predicted = predict_folder(load_model(run), images, tmp_path / "out", extras=ALL, **CPU)
    assert predicted.done == ("b",)
    assert [(each.case, "no ink" in each.reason) for each in predicted.failures] == [("a", True)]
    assert not (tmp_path / "out" / "a.nii.gz").exists()


def voxels_apart(*shape: int) -> np.ndarray:
    """As many components of one voxel as a box holds."""
    labels = np.zeros(shape, np.uint8)
    labels[::2, ::2, ::2] = 1
    return labels


@settings(deadline=None, max_examples=50)
@given(labels=arrays(np.uint8, (5, 4, 6), elements=st.integers(0, 2)), classes=st.sets(st.integers(1, 2)))
@example(voxels_apart(3, 1, 1), {1})
@example(voxels_apart(1, 1, 9), {1})
@example(voxels_apart(7, 1, 3), {1})
@example(voxels_apart(5, 5, 5), {1})
def test_the_largest_component_stays(labels: np.ndarray, classes: set[int]) -> None:
    found = labels.copy()
    keep_largest(found, classes)
    for index in (1, 2):
        own, count = ndimage.label(labels == index, np.ones((3, 3, 3)))
        sizes = np.bincount(own.ravel(), minlength=count + 1)[1:]
        if index not in classes or count == 0:
            assert np.array_equal(found == index, labels == index)
            continue
        (kept,) = {int(own[place]) for place in zip(*np.nonzero(found == index), strict=True)}
        assert np.array_equal(found == index, own == kept)
        assert sizes[kept - 1] == sizes.max()
    assert np.array_equal(found[found > 0], labels[found > 0])


def test_components_go_as_the_model_says_and_as_is_asked(tmp_path: Path) -> None:
    network = save_small_model(tmp_path / "plain")
    package = load_package(tmp_path / "plain")
    plan = package.plan.model_copy(update={"keep_largest": ("organ",)})
    save_package(tmp_path / "largest", network, package.design, plan, card="# x", weighting="constant")
    array = write_image(tmp_path / "a.nii.gz", (20, 20, 20))
    models = {name: load_model(tmp_path / name) for name in ("plain", "largest")}

    def labels(name: str, **options: Any) -> np.ndarray:
        return models[name].predict(array, affine=np.eye(4), **CPU, **options)

    def components(found: np.ndarray, value: int) -> int:
        return int(ndimage.label(found == value, np.ones((3, 3, 3)))[1])

    plain = labels("plain")
    assert components(plain, 2) > 1
    assert components(plain, 5) > 1
    assert components(labels("largest"), 2) == 1
    assert np.array_equal(labels("largest") == 5, plain == 5)
    assert np.array_equal(labels("largest", keep_largest=False), plain)
    assert components(labels("plain", keep_largest=True), 5) == 1
    makers = [models[name].predictor(Options(**CPU)).maker for name in ("plain", "largest")]
    assert "largest" not in makers[0]
    assert makers[1]["largest"] == [1]


def test_lists_and_standard_input_name_images(run: Path, images: Path, tmp_path: Path) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text(f"{images / 'b.nii.gz'}\n\n")
    assert read_paths(listed) == (images / "b.nii.gz",)
    assert read_paths("-", io.StringIO(f"{images / 'a.nii.gz'}\n")) == (images / "a.nii.gz",)
    assert read_paths([images, listed]) == (images, images / "b.nii.gz")
    predicted = predict_folder(load_model(run), [images / "b.nii.gz", images / "a.nii.gz"], tmp_path / "out", **CPU)
    assert predicted.done == ("a", "b")
    for wrong in ([], str(tmp_path / "none.nii.gz"), str(tmp_path / "none.txt")):
        with pytest.raises(UserError, match=r"No image|no such file"):
            read_paths(wrong)


def test_a_list_of_channels_is_each_case_once(tmp_path: Path) -> None:
    files = [tmp_path / f"{case}_000{channel}.nii.gz" for case in "ab" for channel in (1, 0)]
    for file in files:
        file.touch()
    cases = find_cases(files, 2)
    assert [(case.id, [image.name[2:6] for image in case.images]) for case in cases] == [
        ("a", ["0000", "0001"]),
        ("b", ["0000", "0001"]),
    ]


SEEN = Seen(spacing=((1.0, 1.0),) * 3, volumes_ml=((1.0, 2.0), (0.0, 1.0)), intensities=((0.5, 1.0),))


def remarked(shape: tuple[int, int, int], spacing: float, organ: int, bright: float, seen: Seen | None) -> list[str]:
    """Remarks on a volume of ``organ`` voxels that are ``bright`` among zeros and ones."""
    array = np.random.default_rng(0).integers(0, 2, (1, *shape)).astype(np.float32)
    labels = np.zeros(shape, np.uint8)
    labels.reshape(-1)[:organ] = 1
    array[0][labels > 0] = bright
    volume = Volume(array, Geometry.from_array(shape, np.diag([spacing] * 3 + [1])))
    return remarks(labels, volume, Restoration.to_axes(volume.geometry), small_plan(), seen)


def test_remarks_on_what_training_did_not_show() -> None:
    assert remarked((20, 20, 20), 1.0, 1500, 0.9, SEEN) == []
    (small,) = remarked((20, 20, 20), 1.0, 700, 0.9, SEEN)
    assert small == "organ 0.7 ml, training had 1–2"
    (bright,) = remarked((20, 20, 20), 1.0, 1500, 50.0, SEEN)
    assert bright.startswith("MRI of the foreground ")
    (coarse,) = remarked((20, 20, 20), 1.3, 700, 0.9, SEEN)
    assert coarse == "spacing 1.3×1.3×1.3 mm, training had 1×1×1"
    assert remarked((20, 20, 20), 1.3, 0, 0.9, None) == []
    (far,) = remarked((20, 20, 20), 2.1, 0, 0.9, None)
    assert far == "spacing 2.1×2.1×2.1 mm, the model's is 1×1×1"


def test_ct_is_judged_in_hounsfield_units() -> None:
    plan = small_plan(channels=(ChannelPlan(name="CT", kind="ct", clip=(0, 200), mean=100, std=50),))
    array = np.full((1, 10, 10, 10), -1000, np.float32)
    labels = np.zeros((10, 10, 10), np.uint8)
    labels[:5] = 1
    seen = replace_ranges(intensities=((-0.2, 0.2),), volumes_ml=((0.5, 0.5), (0, 1)))
    for units, fine in ((100, True), (130, True), (200, False), (-1000, False)):
        array[0, :5] = units
        volume = Volume(array.copy(), Geometry.from_array((10, 10, 10), np.eye(4)))
        assert (remarks(labels, volume, Restoration.to_axes(volume.geometry), plan, seen) == []) is fine, units


def replace_ranges(**changes: Any) -> Seen:
    return SEEN.model_copy(update=changes)


def test_a_far_spacing_and_a_large_volume_are_said_at_once(
    run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_image(tmp_path / "in" / "near.nii.gz")
    write_image(tmp_path / "in" / "far.nii.gz", affine=np.diag([1, 1, 3, 1]))
    (tmp_path / "in" / "damaged.nii.gz").write_bytes(b"no volume")
    grids = [(name, read_geometry(tmp_path / "in" / name), None) for name in ("near.nii.gz", "far.nii.gz")]
    advice = ". If a header is wrong, state the true spacing: --spacing I,J,K in mm."
    foresee(grids, PLAN, None)
    assert caplog.messages == [
        f"far.nii.gz: spacing 1×1×3 mm, the model's is 1×1×1; 9×11×7 voxels become 9×11×21, 0 MiB{advice}"
    ]
    caplog.clear()
    begun: list[int] = []

    def progress(*each: int) -> None:
        begun.append(len(caplog.records))

    predict_folder(load_model(run), tmp_path / "in", tmp_path / "out", on_progress=progress, **CPU)
    assert set(begun) == {1}
    assert caplog.messages[0].startswith("far.nii.gz: ")
    monkeypatch.setattr("c2fnas.inference.quality.free_memory", lambda: 4 * 9 * 11 * 7 - 1)
    caplog.clear()
    foresee(grids[:1], PLAN, None)
    assert caplog.messages == [
        f"near.nii.gz: much to resample; 9×11×7 voxels become 9×11×7, 0 MiB, more than is free{advice}"
    ]


def test_the_front_door_writes_everything(run: Path, images: Path, tmp_path: Path) -> None:
    result = c2fnas.predict(
        run, input=[images / "a.nii.gz"], output=tmp_path / "out", save_probabilities="network", statistics=True
    )
    assert result.status == "fine"
    assert names(tmp_path / "out") == {
        *("a.nii.gz", "a_probabilities.npz", "prediction.json", "statistics.csv", "statistics.json")
    }


def test_pictures_of_two_images_of_one_name_clash(run: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "a.nii.gz")
    write_image(tmp_path / "in" / "a.nii")
    model: Model = load_model(run / "final" / "fold-0")
    assert predict_folder(model, tmp_path / "in", tmp_path / "plain", **CPU).done == ("a", "a")
    for extras in (Extras(preview=True), Extras("image"), Extras(statistics=True)):
        with pytest.raises(UserError, match="both"):
            predict_folder(model, tmp_path / "in", tmp_path / "out", extras=extras, **CPU)
