"""Labels for the images of a folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from c2fnas.inference.pretrained import model_folders

if TYPE_CHECKING:
    from c2fnas.inference.predict import Predicted
    from c2fnas.runs.reporter import Reporter


@dataclass(frozen=True)
class Prediction:
    """Labels in a folder: the names of the cases that are done, that were there already, and that failed."""

    predicted: "Predicted"

    @property
    def status(self) -> Literal["fine", "partial"]:
        """``partial`` where a case has failed."""
        return "partial" if self.predicted.failures else "fine"

    @property
    def warnings(self) -> tuple[str, ...]:
        """A line for each case that has failed, and what to do."""
        return tuple(f"c2fnas: {line}" for line in self.predicted.failure_text().splitlines())

    def text(self) -> str:
        """Return the number of cases that were predicted, and of those that were there already."""
        return self.predicted.text()

    def to_json(self) -> dict[str, Any]:
        """Return the folder and the names."""
        return self.predicted.to_json()


def predict(
    models: str | Path | Sequence[str | Path],
    *,
    input: str | Path | Sequence[str | Path],
    output: str | Path,
    format: Literal["image", "dicom-seg"] = "image",
    save_probabilities: Literal["image", "network"] | None = None,
    statistics: bool = False,
    preview: bool = False,
    keep_identifiers: bool = False,
    vote: Literal["majority", "mean"] = "majority",
    mirror: bool | None = None,
    keep_largest: bool | None = None,
    stride: str | None = None,
    device: str = "auto",
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto",
    max_memory: str | None = None,
    spacing: str | None = None,
    overwrite: bool = False,
    reporter: "Reporter | None" = None,
) -> Prediction:
    """Label images with one model, or with several that vote, each image in its own geometry.

    `CASE_0000`, `CASE_0001` ... are one case's channels, and its labels are named `CASE`; other files keep their names.
    `.nhdr` becomes `.nrrd`, `.mhd` becomes `.mha`. Labels have the type of an image of integers where it holds them,
    else the smallest unsigned one. Interrupted, the same command carries on. A case that fails is passed over and
    named, and the exit code is 1 at the end.

    Args:
        models: Model folders or zip files, a run folder, which stands for its folds' models, or the name of models
            that come with c2fnas, such as `hippocampus`; a folder of this name on disk goes before.
        input: An image, or a folder of images or of DICOM series; may be given several times. A .txt file names a path
            a line, `-` stands for such lines on standard input, and a CSV is a table of cases.
        output: The folder that the labels go to.
        format: Labels in the format of the `image` (NIfTI for DICOM), or as `dicom-seg`, for images in DICOM.
        save_probabilities: Write class probabilities too, `CASE_probabilities.npz` in half precision, in the grid of
            the `image` or of the `network`.
        statistics: Write statistics.json and statistics.csv: volume, mean intensity and box of each class, the
            disagreement of several models, and remarks on cases that are unlike those of the training.
        preview: Write a picture of each case, `CASE.png`: three planes with outlines.
        keep_identifiers: Statistics tell the path of each image too and, of DICOM, the patient and the study.
        vote: How several models are fused: majority voting (the paper), or the mean probability.
        mirror: Average over mirrored views; by default as trained.
        keep_largest: Keep the largest component of every class alone, or of none; by default of the classes that
            gained by it in cross-validation. Not for regions, which overlap.
        stride: Voxels between windows, one number or three (`16,16,4`) along the plan's axes, of which the last is the
            one through the slices; by default the model's.
        device: `auto` (the first GPU, else the CPU), `cpu`, `cuda:1` ...
        precision: `auto`: what the device computes fast. Labels that are there already stay as they were computed;
            `--overwrite` computes them again.
        max_memory: What to compute in, such as `8G`: the GPU's memory, or on the CPU all of this process's, in which
            windows and sums are fitted beside the image (whose preparation takes about five times its size).
        spacing: State the true spacing, `1.25,1.25,8`, in mm along the images' own axes, where headers have lost it;
            labels keep their images' headers.
        overwrite: Predict all again, and replace other models' predictions.
        reporter: Hears of the progress.

    Returns:
        The names of the cases that are done, that were there already, and that failed.

    Raises:
        UserError: there is no model, no image, or an option is wrong.

    Examples:
        c2fnas predict hippocampus --input Task04_Hippocampus/imagesTs --output predictions
        c2fnas predict runs/hippocampus --input Task04_Hippocampus/imagesTs --output predictions --statistics --preview
        c2fnas predict runs/hippocampus/final/fold-0/model --input scan.nii.gz --output predictions --mirror
        ls scans/*.nii.gz | c2fnas predict hippocampus --input - --output predictions
    """
    from c2fnas.inference.model import predict_folder
    from c2fnas.inference.options import Extras, refuse_other
    from c2fnas.runs.reporter import listening
    from c2fnas.text import plural

    refuse_other("--format", format, ("image", "dicom-seg"))
    sources = [models] if isinstance(models, str | Path) else list(models)
    listener, started = listening(reporter), False

    def progress(done: int, failed: int, total: int) -> None:
        nonlocal started
        if not started:
            listener.say(f"{plural(total, 'case')}, {plural(count, 'model')}: {', '.join(map(str, sources))}")
            listener.start("predict", total)
            started = True
        listener.update("predict", done, f"{failed} failed" if failed else "")

    count = len(model_folders([Path(source) for source in sources]))
    predicted = predict_folder(
        sources,
        input,
        output,
        overwrite=overwrite,
        on_progress=progress,
        vote=vote,
        mirror=mirror,
        stride=stride,
        device=device,
        precision=precision,
        max_memory=max_memory,
        spacing=spacing,
        keep_largest=keep_largest,
        extras=Extras(save_probabilities, statistics, preview, format == "dicom-seg", keep_identifiers),
    )
    if started:
        listener.finish("predict")
    return Prediction(predicted)
