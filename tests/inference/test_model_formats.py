"""Model packages of version 0.1.0 see what they were trained on, and models of several folds each see their own."""

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from scipy import ndimage
from small_models import ARCHITECTURE, PLAN, save_small_model, small_plan, write_image

from c2fnas.data.plan import ChannelPlan, Plan
from c2fnas.data.preprocess import prepare_image
from c2fnas.data.restoration import Restoration
from c2fnas.data.volume import read_image
from c2fnas.errors import UserError
from c2fnas.export.model_folder import save_half
from c2fnas.files import sha256
from c2fnas.inference.ensemble import Fusion
from c2fnas.inference.model import load_model
from c2fnas.inference.options import Vote
from c2fnas.inference.package import PLAN as PLAN_FILE
from c2fnas.inference.package import SUMS, Package, load_package, save_package, store_keep_largest
from c2fnas.inference.predict import predict_cases
from c2fnas.inference.prediction_files import find_cases
from c2fnas.inference.predictor import Predictor
from c2fnas.inference.pretrained import pretrained

CT = ChannelPlan(name="CT", kind="ct", clip=(60, 120), mean=95, std=12)
OTHER = ChannelPlan(name="CT", kind="ct", clip=(80, 150), mean=120, std=30)
MR = PLAN.channels[0]
COARSE = np.diag([0.6, 1.7, 1.2, 1.0])
VALUES = np.array([0, 2, 5])


def model(folder: Path, plan: Plan, seed: int = 0, old: bool = False) -> Package:
    """A model package; an old one is written as version 0.1.0 did."""
    save_small_model(folder, seed=seed, plan=plan)
    if old:
        path = folder / PLAN_FILE
        path.write_text(json.dumps(json.loads(path.read_text()) | {"format": "c2fnas-model-1"}))
        names = [line.split()[1] for line in (folder / SUMS).read_text().splitlines()]
        (folder / SUMS).write_text("".join(f"{sha256(folder / name)}  {name}\n" for name in names))
    return load_package(folder)


def resampled(values: np.ndarray, way: Restoration) -> np.ndarray:
    factors = [new / old for new, old in zip(way.shape, values.shape, strict=True)]
    return ndimage.zoom(values.astype(float), factors, order=3, mode="nearest", grid_mode=True)


def standardised(values: np.ndarray, channel: ChannelPlan) -> np.ndarray:
    clipped = values if channel.clip is None else values.clip(*channel.clip)
    mean, std = (values.mean(), values.std()) if channel.mean is None else (channel.mean, channel.std)
    return (clipped - mean) / std


def labels(models: list[Package], folder: Path, out: Path, vote: Vote = "majority") -> np.ndarray:
    predictor = Predictor(tuple(models), models[0].window(), vote, device="cpu")
    predict_cases(predictor, find_cases(folder, 1), out)
    return np.asarray(nibabel.load(out / "a.nii.gz").dataobj)


@pytest.mark.parametrize("channel", [CT, MR], ids=["ct", "mr"])
def test_an_old_model_sees_values_normalised_before_they_were_resampled(channel: ChannelPlan, tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "a.nii.gz", affine=COARSE, dtype=np.float32)
    old = model(tmp_path / "old", small_plan(channels=(channel,)), old=True)
    array, way = prepare_image([tmp_path / "in" / "a.nii.gz"], old.plan)
    values = read_image([tmp_path / "in" / "a.nii.gz"]).array[0]
    expected = resampled(standardised(values, channel), way)[None].astype(np.float32)
    assert np.allclose(array, expected, atol=2e-4)
    truth = VALUES[way.argmax(old.window().scores(old.network, expected, device="cpu"))]
    assert (labels([old], tmp_path / "in", tmp_path / "out") == truth).mean() > 0.995


def test_a_new_model_sees_values_clipped_after_they_were_resampled(tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "a.nii.gz", affine=COARSE, dtype=np.float32)
    plan = small_plan(channels=(CT,))
    new, old = model(tmp_path / "new", plan), model(tmp_path / "old", plan, old=True)
    (array, way), (other, _) = (prepare_image([tmp_path / "in" / "a.nii.gz"], each.plan) for each in (new, old))
    values = read_image([tmp_path / "in" / "a.nii.gz"]).array[0]
    assert np.allclose(array[0], standardised(resampled(values, way), CT), atol=2e-4)
    assert np.abs(array - other).max() > 1e-3
    assert array.min() >= (60 - 95) / 12 - 1e-6
    with pytest.raises(UserError, match="can't be one ensemble"):
        Predictor((new, old), new.window())


def test_models_that_write_regions_in_another_order_do_not_vote_together(tmp_path: Path) -> None:
    classes = (PLAN.classes[0], *(each.model_copy(update={"values": (2, 5)}) for each in PLAN.classes[1:]))
    plans = [small_plan(classes=classes, regions_class_order=order) for order in ((2, 5), (5, 2))]
    for number, plan in enumerate(plans):
        save_small_model(tmp_path / str(number), plan=plan, classes=plan.outputs)
    with pytest.raises(UserError, match="differ in regions_class_order"):
        load_model(tmp_path / "0", tmp_path / "1")


def test_models_that_were_made_to_predict_in_other_ways_are_asked_for_one(tmp_path: Path) -> None:
    image = tmp_path / "in" / "a.nii.gz"
    write_image(image)
    save_small_model(tmp_path / "plain")
    save_small_model(tmp_path / "mirrored", mirror=True)
    save_small_model(tmp_path / "largest")
    store_keep_largest(tmp_path / "largest", ("organ",), "It is better.")
    for other, option, said in (("mirrored", "mirror", "--mirror or --no-m"), ("largest", "keep_largest", "--keep-l")):
        models = load_model(tmp_path / "plain", tmp_path / other)
        with pytest.raises(UserError, match=f"plain and .*{other} were not made to predict alike: say {said}"):
            models.predict(image, device="cpu")
        models.predict(image, device="cpu", **{option: False})


def test_to_mr_both_formats_are_the_same(tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "a.nii.gz", affine=COARSE)
    new, old = model(tmp_path / "new", PLAN), model(tmp_path / "old", PLAN, old=True)
    found = [labels(models, tmp_path / "in", tmp_path / str(n)) for n, models in enumerate(([new], [old], [new, old]))]
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


def test_an_old_model_stays_one_when_it_is_saved_again(tmp_path: Path) -> None:
    old = model(tmp_path / "old", small_plan(channels=(CT,)), old=True)
    save_package(tmp_path / "again", old.network, ARCHITECTURE, old.plan, card="", weighting="gaussian")
    save_half(tmp_path / "old", tmp_path / "half")
    for name in ("again", "half"):
        assert load_package(tmp_path / name).plan.clips_first
    assert load_package(tmp_path / "again").plan.weighting == "gaussian"


def test_a_model_has_the_statistics_of_its_fold(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs clip, mean and std"):
        save_small_model(tmp_path / "model", plan=small_plan(channels=({"name": "CT", "kind": "ct"},)))


@pytest.mark.parametrize("vote", ["majority", "mean"])
def test_models_of_several_folds_vote_on_what_each_would_see_alone(vote: Vote, tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "a.nii.gz", (7, 13, 9), affine=COARSE, dtype=np.float32)
    channels = [CT, OTHER, CT]
    models = [model(tmp_path / str(n), small_plan(channels=(channel,)), seed=n) for n, channel in enumerate(channels)]
    prepared = [prepare_image([tmp_path / "in" / "a.nii.gz"], each.plan) for each in models]
    fusion = Fusion(vote, prepared[0][1].argmax)
    for each, (array, _) in zip(models, prepared, strict=True):
        fusion.add(each.window().scores(each.network, array, device="cpu"))
    assert np.array_equal(labels(models, tmp_path / "in", tmp_path / "out", vote), VALUES[fusion.labels()])


def test_models_that_come_along_know_what_their_training_showed() -> None:
    folder = pretrained(Path("hippocampus"))
    assert folder is not None
    plans = [load_package(path).plan for path in sorted(folder.glob("fold-*"))]
    assert [(plan.format, plan.seen is None) for plan in plans] == 5 * [("c2fnas-model-2", False)]


def test_an_array_is_seen_by_each_fold_as_a_file_is(tmp_path: Path) -> None:
    for seed, channel in enumerate((CT, OTHER)):
        save_small_model(tmp_path / str(seed), seed=seed, plan=small_plan(channels=(channel,)))
    array = write_image(tmp_path / "a.nii.gz", affine=COARSE)
    both = load_model(tmp_path / "0", tmp_path / "1")
    options: dict[str, Any] = {"device": "cpu", "precision": "fp32", "vote": "mean"}
    expected = np.asarray(both.predict(tmp_path / "a.nii.gz", **options).dataobj)
    assert np.array_equal(both.predict(array, affine=COARSE, **options), expected)
