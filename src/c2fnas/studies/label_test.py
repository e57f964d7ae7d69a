"""Test images of a data set, labelled by majority vote of its folds' models (paper 4.2)."""

from collections.abc import Sequence
from pathlib import Path

from c2fnas.data.dataset import Case
from c2fnas.data.layouts import load_dataset
from c2fnas.devices import find_device
from c2fnas.errors import UserError
from c2fnas.inference.model import load_model
from c2fnas.inference.options import Options
from c2fnas.inference.predict import predict_cases
from c2fnas.inference.prediction_folder import Record
from c2fnas.inference.predictor import Predictor
from c2fnas.runs.run import Run
from c2fnas.stages.deployment import trained_folds
from c2fnas.training.precision import resolve_precision

STAGE = "predict"


def label_test_images(run: Run, dataset: Path, device: str) -> Path | None:
    """Label the test images of ``dataset`` into the folder ``predictions`` of the run.

    Every fold that is trained has a vote, but for those that an extension left behind. Labels by the same models are
    kept; where a fold was added or trained on, all images are labelled again.

    Args:
        run: with trained folds.
        dataset: the data set.
        device: where they are labelled; on a machine without it, where ``auto`` would.

    Returns:
        The folder of the labels, or None if the data set has no test images.

    Raises:
        UserError: cases could not be labelled; the others are.
        Interrupted: stopped on request; the same call carries on.
    """
    cases = load_dataset(dataset).with_spacing(run.config.stated_spacing).test
    if not cases:
        return None
    with run.locked(), run.time.stopped():  # two that label into one folder would be in each other's way
        return _label(Run.open(run.folder.root, run.reporter), cases, device)


def _label(run: Run, cases: Sequence[Case], device: str) -> Path:
    model = load_model(*(run.folder.final_model(fold) for fold in trained_folds(run)))
    predictor, output = model.predictor(_options(run, device)), run.folder.predictions

    def tell(done: int, failed: int) -> None:
        run.reporter.update(STAGE, done, f"{failed} failed" if failed else "")
        run.refuse_stop()

    run.reporter.start(STAGE, len(cases))
    predicted = predict_cases(predictor, cases, output, overwrite=_of_other_models(output, predictor), on_progress=tell)
    run.reporter.finish(STAGE, f"{len(cases)} test images by {len(model.packages)} models: {output}")
    if predicted.failures:
        shown = "; ".join(failure.reason for failure in predicted.failures[:3])
        raise UserError(f"{output}: {len(predicted.failures)} cases could not be labelled: {shown}")
    return output


def _options(run: Run, device: str) -> Options:
    """The device and precision in which the folds were validated, or what this machine has where it has no such device.

    The driver of a cluster needs no GPU.
    """
    precision = run.config.deployment.recipe.precision
    try:
        return Options(device=find_device(device), precision=precision)
    except UserError:
        found = find_device("auto")
    run.reporter.say(f"{device} is not on this machine, so {found} labels the test images.")
    return Options(device=found, precision=precision if precision == resolve_precision("auto", found) else "fp32")


def _of_other_models(folder: Path, predictor: Predictor) -> bool:
    """True if other models have labelled into ``folder`` before."""
    maker = Record.read(folder).maker
    return maker is not None and maker != predictor.maker
