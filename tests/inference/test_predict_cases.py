"""Prediction of files: geometry, data types and values; ensembles; carrying on; failures."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from filelock import FileLock
from small_models import PLAN, save_small_model, small_plan, write_image
from torch import Tensor, nn

from c2fnas.data.dataset import Case
from c2fnas.data.preprocess import prepare_image
from c2fnas.errors import UserError
from c2fnas.inference.ensemble import Fusion
from c2fnas.inference.options import Extras, Vote
from c2fnas.inference.package import Package, load_package
from c2fnas.inference.predict import predict_cases
from c2fnas.inference.prediction_files import find_cases
from c2fnas.inference.prediction_folder import PredictionFolder, Record
from c2fnas.inference.predictor import Predictor

VALUES = np.array([0, 2, 5])
TURNED = np.array([[0.0, 0, -1.5, 7], [1, 0, 0, -3], [0, -2, 0, 20], [0, 0, 0, 1]])


def model(folder: Path, seed: int = 0, plan: object = PLAN) -> Package:
    save_small_model(folder / f"model{seed}", seed=seed, plan=plan)  # type: ignore[arg-type]
    return load_package(folder / f"model{seed}")


def predictor(*models: Package, vote: Vote = "majority", mirror: bool = False) -> Predictor:
    return Predictor(models, models[0].window(), vote, mirror, "cpu")


def images(folder: Path, count: int = 3) -> tuple[Case, ...]:
    for number in range(count):
        write_image(folder / f"case{number}.nii.gz", (9 + number, 11, 7), seed=number, affine=TURNED)
    return find_cases(folder, 1)


def read(path: Path) -> np.ndarray:
    return np.asarray(nibabel.load(path).dataobj)  # type: ignore[attr-defined]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_labels_come_in_the_images_own_grid_type_and_values(tmp_path: Path) -> None:
    cases, one = images(tmp_path / "in"), model(tmp_path)
    predicted = predict_cases(predictor(one), cases, tmp_path / "out")
    assert predicted.done == ("case0", "case1", "case2")
    for case in cases:
        image, label = (nibabel.load(path) for path in (case.images[0], tmp_path / "out" / case.images[0].name))
        assert label.shape == image.shape
        assert np.array_equal(label.affine, image.affine)
        assert label.get_data_dtype() == image.get_data_dtype() == np.int16
        array, way = prepare_image(case.images, one.plan)
        expected = way.argmax(one.window().scores(one.network, array, device="cpu"))
        assert np.array_equal(read(tmp_path / "out" / case.images[0].name), VALUES[expected])
    assert {value for case in cases for value in np.unique(read(tmp_path / "out" / case.images[0].name))} <= {0, 2, 5}


def test_an_image_of_real_numbers_gets_labels_of_the_smallest_integers(tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "a.nii", dtype=np.float32)
    predict_cases(predictor(model(tmp_path)), find_cases(tmp_path / "in", 1), tmp_path / "out")
    assert read(tmp_path / "out" / "a.nii").dtype == np.uint8


def test_channels_in_files_and_along_a_fourth_axis_are_alike(tmp_path: Path) -> None:
    plan = small_plan(channels=PLAN.channels * 2)
    one = model(tmp_path, plan=plan)
    parts = [write_image(tmp_path / "files" / f"a_000{channel}.nii.gz", seed=channel) for channel in (0, 1)]
    (tmp_path / "whole").mkdir()
    nibabel.save(nibabel.Nifti1Image(np.stack(parts, -1), np.eye(4)), tmp_path / "whole" / "a.nii.gz")
    for name in ("files", "whole"):
        predict_cases(predictor(one), find_cases(tmp_path / name, 2), tmp_path / f"out {name}")
    together = read(tmp_path / "out files" / "a.nii.gz")
    assert together.shape == parts[0].shape
    assert np.array_equal(together, read(tmp_path / "out whole" / "a.nii.gz"))


@pytest.mark.exact
@pytest.mark.parametrize("vote", ["majority", "mean"])
def test_an_ensemble_is_its_members_fused(tmp_path: Path, vote: Vote) -> None:
    cases, models = images(tmp_path / "in", 1), [model(tmp_path, seed) for seed in range(3)]
    predict_cases(predictor(*models, vote=vote), cases, tmp_path / "out")
    array, way = prepare_image(cases[0].images, PLAN)
    fusion = Fusion(vote, way.argmax)
    for each in models:
        fusion.add(each.window().scores(each.network, array, device="cpu"))
    assert np.array_equal(read(tmp_path / "out" / "case0.nii.gz"), VALUES[fusion.labels()])


def test_mirrored_prediction_of_a_mirrored_image_is_mirrored(tmp_path: Path) -> None:
    array = write_image(tmp_path / "in" / "a.nii.gz", (8, 8, 8))
    nibabel.save(nibabel.Nifti1Image(array[::-1], np.eye(4)), tmp_path / "in" / "b.nii.gz")
    predict_cases(predictor(model(tmp_path), mirror=True), find_cases(tmp_path / "in", 1), tmp_path / "out")
    a, b = (read(tmp_path / "out" / f"{name}.nii.gz") for name in "ab")
    assert (a == b[::-1]).mean() > 0.99  # but for rounding


def test_a_second_call_finds_everything_done(tmp_path: Path) -> None:
    cases, one = images(tmp_path / "in"), model(tmp_path)
    predict_cases(predictor(one), cases, tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    predicted = predict_cases(predictor(one), cases, tmp_path / "out")
    assert predicted.done == ()
    assert predicted.kept == ("case0", "case1", "case2")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == before


def test_labels_stay_where_their_images_are_gone(tmp_path: Path) -> None:
    """Of an archive that is not mounted, say: called again, nothing could take their place."""
    cases, one = images(tmp_path / "in"), model(tmp_path)
    predict_cases(predictor(one), cases, tmp_path / "out")
    before = contents(tmp_path / "out")
    (tmp_path / "in" / "case1.nii.gz").unlink()
    again = predict_cases(predictor(one), cases, tmp_path / "out")
    assert (again.done, again.kept) == ((), ("case0", "case1", "case2"))
    assert contents(tmp_path / "out") == before


def test_two_processes_do_not_predict_into_one_folder(tmp_path: Path) -> None:
    output = PredictionFolder(tmp_path / "out")
    with output.held():
        with pytest.raises(UserError, match="another process predicts into this folder"):
            predict_cases(predictor(model(tmp_path)), images(tmp_path / "in"), tmp_path / "out")
        assert output.root.is_dir()
    assert not output.root.exists()  # nothing was written


def test_a_folder_on_a_file_system_without_locks_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(FileLock, "acquire", no_locks)
    assert predict_cases(predictor(model(tmp_path)), images(tmp_path / "in", 1), tmp_path / "out").done == ("case0",)


def test_a_failure_without_words_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Predictor, "read", lambda *_: (_ for _ in ()).throw(MemoryError()))
    (failure,) = predict_cases(predictor(model(tmp_path)), images(tmp_path / "in", 1), tmp_path / "out").failures
    assert failure.reason.endswith("case0.nii.gz: MemoryError")


def test_a_changed_image_is_predicted_again(tmp_path: Path) -> None:
    cases, one = images(tmp_path / "in"), model(tmp_path)
    predict_cases(predictor(one), cases, tmp_path / "out")
    later = (tmp_path / "out" / "case1.nii.gz").stat().st_mtime + 10
    os.utime(cases[1].images[0], (later, later))
    assert predict_cases(predictor(one), cases, tmp_path / "out").done == ("case1",)


def test_predictions_of_other_models_are_not_taken_for_ours(tmp_path: Path) -> None:
    cases, models = images(tmp_path / "in"), [model(tmp_path, seed) for seed in (0, 1)]
    predict_cases(predictor(models[0]), cases, tmp_path / "out")
    before = contents(tmp_path / "out")
    for other in (predictor(models[1]), predictor(*models), predictor(models[0], mirror=True)):
        with pytest.raises(UserError, match="--overwrite"):
            predict_cases(other, cases, tmp_path / "out")
    assert contents(tmp_path / "out") == before
    with pytest.raises(UserError, match="other cases"):
        predict_cases(predictor(models[1]), cases[:1], tmp_path / "out", overwrite=True)
    assert contents(tmp_path / "out") == before
    assert predict_cases(predictor(models[1]), cases, tmp_path / "out", overwrite=True).done == (
        "case0",
        "case1",
        "case2",
    )
    assert predict_cases(predictor(models[1]), cases, tmp_path / "out").kept == ("case0", "case1", "case2")


def test_models_are_an_ensemble_in_any_order(tmp_path: Path) -> None:
    cases, models = images(tmp_path / "in", 1), [model(tmp_path, seed) for seed in (0, 1)]
    predict_cases(predictor(*models), cases, tmp_path / "out")
    assert predict_cases(predictor(*models[::-1]), cases, tmp_path / "out").kept == ("case0",)


def test_foreign_files_are_never_replaced(tmp_path: Path) -> None:
    cases = images(tmp_path / "in")
    with pytest.raises(UserError, match="would replace an image"):
        predict_cases(predictor(model(tmp_path)), cases, tmp_path / "in", overwrite=True)
    write_image(tmp_path / "out" / "mine.nii.gz")
    for overwrite in (False, True):
        with pytest.raises(UserError, match=r"mine\.nii\.gz"):
            predict_cases(predictor(model(tmp_path)), cases, tmp_path / "out", overwrite=overwrite)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.nii.gz"]


def test_two_images_of_one_name_are_refused(tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "a.nii.gz")
    write_image(tmp_path / "in" / "a_0000.nii.gz")
    with pytest.raises(UserError, match="both be predicted"):
        predict_cases(predictor(model(tmp_path)), find_cases(tmp_path / "in", 1), tmp_path / "out")


def test_an_unreadable_case_is_passed_over(tmp_path: Path) -> None:
    cases, one = images(tmp_path / "in"), model(tmp_path)
    data = cases[1].images[0].read_bytes()
    cases[1].images[0].write_bytes(data[: len(data) // 2])
    told: list[tuple[int, int]] = []
    predicted = predict_cases(
        predictor(one), cases, tmp_path / "out", on_progress=lambda done, failed: told.append((done, failed))
    )
    assert predicted.done == ("case0", "case2")
    assert [failure.case for failure in predicted.failures] == ["case1"]
    assert str(cases[1].images[0]) in predicted.failures[0].reason
    assert told[0] == (0, 0)
    assert told[-1] == (3, 1)
    cases[1].images[0].write_bytes(data)
    assert predict_cases(predictor(one), cases, tmp_path / "out").done == ("case1",)


class Fussy(nn.Module):
    """Fails on bright windows, in a way of its own."""

    def __init__(self, inner: nn.Module, error: Exception | None) -> None:
        super().__init__()
        self.inner, self.error = inner, error

    def forward(self, x: Tensor) -> Tensor:
        bad = x.amax(dim=(1, 2, 3, 4)) > 8
        if self.error is not None and bad.any():
            raise self.error
        return torch.where(bad[:, None, None, None, None], torch.nan, self.inner(x))


@pytest.mark.parametrize("error", [None, RuntimeError("a kernel failed"), MemoryError("out of memory")])
@pytest.mark.parametrize("bad", [{0}, {1}, {3}, {0, 1}, {0, 1, 2, 3}])
def test_a_case_fails_alone_in_a_shared_batch(tmp_path: Path, bad: set[int], error: Exception | None) -> None:
    one = model(tmp_path, plan=small_plan(patch_size=(12, 12, 12)))
    for number in range(4):
        array = write_image(tmp_path / "in" / f"case{number}.nii.gz", seed=number)
        if number in bad:
            array[4, 4, 4] = 30_000
            nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), tmp_path / "in" / f"case{number}.nii.gz")
    fussy = Predictor((replace(one, network=Fussy(one.network, error)),), one.window(batch=3), device="cpu")
    if isinstance(error, MemoryError):
        with pytest.raises(UserError, match="not enough memory"):
            predict_cases(fussy, find_cases(tmp_path / "in", 1), tmp_path / "out")
        return
    predicted = predict_cases(fussy, find_cases(tmp_path / "in", 1), tmp_path / "out")
    assert {failure.case for failure in predicted.failures} == {f"case{number}" for number in bad}
    assert sorted(predicted.done) == [f"case{number}" for number in range(4) if number not in bad]


class Immovable(nn.Module):
    """A network whose device is broken."""

    def to(self, *arguments: object, **options: object) -> "Immovable":
        raise RuntimeError("CUDA error: no such device")


def test_an_error_that_is_no_cases_fault_is_raised(tmp_path: Path) -> None:
    one = model(tmp_path)
    broken = Predictor((replace(one, network=Immovable()),), one.window(), device="cpu")
    with pytest.raises(RuntimeError, match="no such device"):
        predict_cases(broken, images(tmp_path / "in"), tmp_path / "out")


def test_a_case_that_fails_leaves_no_prediction_that_is_out_of_date(tmp_path: Path) -> None:
    cases, one = images(tmp_path / "in"), model(tmp_path)
    predict_cases(predictor(one), cases, tmp_path / "out")
    later = (tmp_path / "out" / "case1.nii.gz").stat().st_mtime + 10
    cases[1].images[0].write_bytes(b"no volume")
    os.utime(cases[1].images[0], (later, later))
    predicted = predict_cases(predictor(one), cases, tmp_path / "out")
    assert [failure.case for failure in predicted.failures] == ["case1"]
    assert predicted.kept == ("case0", "case2")
    assert not (tmp_path / "out" / "case1.nii.gz").exists()


def test_another_image_of_the_same_name_is_predicted_though_it_is_older(tmp_path: Path) -> None:
    one, out = model(tmp_path), tmp_path / "out"
    predict_cases(predictor(one), images(tmp_path / "in", 2), out)
    others = images(tmp_path / "others", 2)
    nibabel.save(nibabel.Nifti1Image(np.zeros((5, 6, 7), np.int16), np.eye(4)), others[1].images[0])
    os.utime(others[1].images[0], (1, 1))
    os.utime(others[0].images[0], ns=(0, (tmp_path / "in" / "case0.nii.gz").stat().st_mtime_ns))
    predicted = predict_cases(predictor(one), others, out)
    assert (predicted.done, predicted.kept) == (("case1",), ("case0",)), (
        "case0 is a copy of the image that was predicted"
    )
    assert read(out / "case1.nii.gz").shape == (5, 6, 7)


def test_a_record_of_an_earlier_version_goes_by_the_time_of_change(tmp_path: Path) -> None:
    one, out, cases = model(tmp_path), tmp_path / "out", images(tmp_path / "in", 2)
    predict_cases(predictor(one), cases, out)
    record = json.loads((out / "prediction.json").read_text())
    del record["images"]
    (out / "prediction.json").write_text(json.dumps(record))
    later = (out / "case1.nii.gz").stat().st_mtime + 10
    os.utime(cases[1].images[0], (later, later))
    assert predict_cases(predictor(one), cases, out).done == ("case1",)
    assert predict_cases(predictor(one), cases, out).done == ()


@pytest.mark.parametrize("text", ["[1, 2]", '"a"', '{"spacings": 3}', '{"images": {"a": 1}}'])
def test_a_record_that_is_none_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "prediction.json").write_text(text)
    with pytest.raises(UserError, match=r"prediction\.json: not the record"):
        predict_cases(predictor(model(tmp_path)), images(tmp_path / "in", 1), tmp_path / "out")


@pytest.mark.parametrize("there", [True, False])
def test_the_name_of_a_file_is_no_folder_for_labels(there: bool, tmp_path: Path) -> None:
    place = tmp_path / "labels.nii.gz"
    if there:
        place.write_bytes(b"mine")
    with pytest.raises(UserError, match="labels go to a folder"):
        predict_cases(predictor(model(tmp_path)), images(tmp_path / "in", 1), place)
    assert place.exists() == there


def test_files_that_no_prediction_has_written_stay(tmp_path: Path) -> None:
    one, out = model(tmp_path), tmp_path / "out"
    out.mkdir()
    for name in ("case0.png", "case0_probabilities.npz"):
        (out / name).write_bytes(b"mine")
    cases = images(tmp_path / "in", 1)
    wanted = replace(predictor(one), extras=Extras(preview=True))
    with pytest.raises(UserError, match=r"case0\.png: here already"):
        predict_cases(wanted, cases, out)
    assert predict_cases(predictor(one), cases, out).done == ("case0",)
    assert {(out / name).read_bytes() for name in ("case0.png", "case0_probabilities.npz")} == {b"mine"}


def test_the_record_tells_what_made_the_labels(tmp_path: Path) -> None:
    one = model(tmp_path)
    predict_cases(predictor(one), images(tmp_path / "in", 1), tmp_path / "out")
    record = json.loads((tmp_path / "out" / "prediction.json").read_text())
    assert record["models"] == [one.checksum]
    assert record["stride"] == [4, 4, 4]


def test_a_spacing_that_a_case_states_otherwise_predicts_it_again(tmp_path: Path) -> None:
    """Its file is as old as it was: what a table says of it has changed."""
    cases, one, out = images(tmp_path / "in"), model(tmp_path), tmp_path / "out"

    def done(*spacings: tuple[float, float, float] | None) -> tuple[str, ...]:
        told = [replace(case, spacing=spacing) for case, spacing in zip(cases, spacings, strict=True)]
        return predict_cases(predictor(one), told, out).done

    assert done(None, (1, 1, 2), None) == ("case0", "case1", "case2")
    assert done(None, (1, 1, 2), None) == ()
    first = nibabel.load(out / "case1.nii.gz").get_fdata()
    assert done(None, (1, 1, 3), (2, 2, 2)) == ("case1", "case2")
    assert done(None, (1, 1, 3), (2, 2, 2)) == ()
    stated = {"case1.nii.gz": (1, 1, 3), "case2.nii.gz": (2, 2, 2)}
    record = Record.read(out)
    assert record.maker == predictor(one).maker, "as a run asks whether other models have labelled there"
    assert record.spacings == stated
    assert predict_cases(predictor(one), cases[:1], out).done == ()
    assert done(None, (1, 1, 2), (2, 2, 2)) == ("case1",), "a call for other cases forgets no spacing"
    assert np.array_equal(nibabel.load(out / "case1.nii.gz").get_fdata(), first)
    assert done(None, None, None) == ("case1", "case2")
    assert "spacings" not in json.loads((out / "prediction.json").read_text())


@pytest.mark.parametrize("changes", [{"spacing": (1.0, 1.0, 2.0)}, {"patch_size": (8, 8, 16)}])
def test_models_of_different_plans_are_no_ensemble(tmp_path: Path, changes: dict) -> None:
    with pytest.raises(UserError, match="one ensemble"):
        predictor(model(tmp_path), model(tmp_path, 1, small_plan(**changes)))


def test_few_cases_are_in_memory_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases, one = images(tmp_path / "in", 6), model(tmp_path, plan=small_plan(patch_size=(24, 24, 24)))
    lock, alive, most = threading.Lock(), 0, 0
    plain_read, plain_write = Predictor.read, Predictor.write

    def counted_read(self: Predictor, case: Case) -> object:
        nonlocal alive, most
        with lock:
            alive += 1
            most = max(most, alive)
        return plain_read(self, case)

    def counted_write(self: Predictor, *arguments: object) -> None:
        nonlocal alive
        plain_write(self, *arguments)  # type: ignore[arg-type]
        with lock:
            alive -= 1

    monkeypatch.setattr(Predictor, "read", counted_read)
    monkeypatch.setattr(Predictor, "write", counted_write)
    predict_cases(predictor(one), cases, tmp_path / "out")
    assert alive == 0
    assert most <= 3  # a batch of two small volumes, and the next one


@pytest.mark.exact
def test_killed_at_any_point_it_carries_on(tmp_path: Path) -> None:
    cases, one = images(tmp_path / "in", 4), model(tmp_path)
    program = Path(__file__).parents[1] / "support" / "killed_predictions.py"
    points = ["0:before", "0:of", "0:after", "1:of", "1:before", "0:of"]
    result = subprocess.run(
        [sys.executable, program, one.folder, tmp_path / "in", tmp_path / "out", *points],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    kills = [line.split() for line in result.stdout.splitlines()]
    assert [kill[:2] for kill in kills] == [[point, str(int(signal.SIGKILL))] for point in points]
    assert [len(kill) - 2 for kill in kills] == [0, 0, 1, 2, 3, 3]
    leftovers = [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]
    assert leftovers
    done = predict_cases(predictor(one), cases, tmp_path / "out")
    assert len(done.done) == 1
    predict_cases(predictor(one), cases, tmp_path / "at once")
    assert contents(tmp_path / "out") == contents(tmp_path / "at once")


def test_a_suffix_in_mixed_case_is_kept(tmp_path: Path) -> None:
    cases = images(tmp_path / "in", 1)
    cases[0].images[0].rename(tmp_path / "in" / "a.Nii.gz")
    predicted = predict_cases(predictor(model(tmp_path)), find_cases(tmp_path / "in", 1), tmp_path / "out")
    assert predicted.done == ("a",)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.Nii.gz", "prediction.json"]


def test_a_case_that_fails_while_it_is_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError("no")

    monkeypatch.setattr("c2fnas.inference.predictor.write_label", broken)
    wanted = replace(predictor(model(tmp_path)), extras=Extras(preview=True, statistics=True))
    predicted = predict_cases(wanted, images(tmp_path / "in", 1), tmp_path / "out")
    assert [failure.case for failure in predicted.failures] == ["case0"]
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith("case0")]
    assert "case0" not in wanted_statistics(tmp_path / "out")


def wanted_statistics(folder: Path) -> dict:
    path = folder / "statistics.json"
    return dict(json.loads(path.read_text())) if path.exists() else {}
