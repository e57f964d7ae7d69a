"""Test images of a data set, labelled by majority vote of its folds' models (paper 4.2)."""

from pathlib import Path

from c2fnas.data.layouts import load_dataset
from c2fnas.errors import UserError
from c2fnas.inference.model import load_model
from c2fnas.inference.options import Options
from c2fnas.inference.predict import predict_cases
from c2fnas.inference.prediction_folder import Record
from c2fnas.inference.predictor import Predictor
from c2fnas.runs.run import Run
from c2fnas.stages.deployment import trained_folds

STAGE = "predict"


def label_test_images(run: Run, dataset: Path, device: str) -> Path | None:
    """Label the test images of ``dataset`` into the folder ``predictions`` of the run.

    Every fold that is trained has a vote, but for those that an extension left behind. Labels by the same models are
    kept; where a fold was added or trained on, all images are labelled again.

    Returns:
        The folder of the labels, or None if the data set has no test images.

    Raises:
        UserError: cases could not be labelled; the others are.
    """
    cases = load_dataset(dataset).with_spacing(run.config.stated_spacing).test
    if not cases:
        return None
    run = Run.open(run.folder.root, run.reporter)
    model = load_model(*(run.folder.final_model(fold) for fold in trained_folds(run)))
    predictor, output = model.predictor(Options(device=device)), run.folder.predictions
    run.reporter.start(STAGE, len(cases))
    predicted = predict_cases(
        predictor,
        cases,
        output,
        overwrite=_of_other_models(output, predictor),
        on_progress=lambda done, failed: run.reporter.update(STAGE, done, f"{failed} failed" if failed else ""),
    )
    run.reporter.finish(STAGE, f"{len(cases)} test images by {len(model.packages)} models: {output}")
    if predicted.failures:
        shown = "; ".join(failure.reason for failure in predicted.failures[:3])
        raise UserError(f"{output}: {len(predicted.failures)} cases could not be labelled: {shown}")
    return output


def _of_other_models(folder: Path, predictor: Predictor) -> bool:
    """True if other models have labelled into ``folder`` before."""
    maker = Record.read(folder).maker
    return maker is not None and maker != predictor.maker
