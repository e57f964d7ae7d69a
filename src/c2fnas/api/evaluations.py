"""Predicted labels against true ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from c2fnas.errors import UserError

if TYPE_CHECKING:
    from c2fnas.data.dataset import LabelClass
    from c2fnas.evaluation.label_files import Pair
    from c2fnas.evaluation.metrics import Evaluation
    from c2fnas.runs.reporter import Reporter

SHOWN = 3


@dataclass(frozen=True)
class Evaluated:
    """Scores of predictions on disk.

    Attributes:
        evaluation: Dice and the other metrics, of each case and on average.
        missing: names of the labels that have no prediction, and so no score.
    """

    evaluation: "Evaluation"
    missing: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """A sentence on the labels without a prediction, if there are any."""
        shown = ", ".join(self.missing[:SHOWN]) + (", ..." if len(self.missing) > SHOWN else "")
        text = f"{len(self.missing)} labels have no prediction and are not in these figures: {shown}"
        return (text,) if self.missing else ()

    def to_json(self) -> dict[str, Any]:
        """Every figure, and the labels without a prediction."""
        return self.evaluation.to_json() | {"labels_without_prediction": list(self.missing)}


def evaluate(
    predictions: str | Path,
    labels: str | Path,
    *,
    classes: str | None = None,
    surface_tolerance: float | None = None,
    hausdorff: bool = False,
    reporter: "Reporter | None" = None,
) -> Evaluated:
    """Compute Dice of every case and class on whole volumes, its mean over cases, then over classes.

    Where label and prediction are both empty the pair is left out of the mean and counted; where the label alone is
    empty it is 0. Every prediction needs its label. Labels without a prediction are named.

    Args:
        predictions: A folder of predicted label files, or one such file.
        labels: The folder with the true labels, files of the same names.
        classes: A dataset.json, a model, or names of the values 1, 2, ... such as `liver,tumour`
            (`liver=1,tumour=4` for other values, and for a class that has the name of a model that comes with c2fnas).
            By default the dataset.json beside LABELS, else the values found.
        surface_tolerance: Surface Dice too, at this tolerance in millimetres.
        hausdorff: Hausdorff distance (95 %) in mm too.
        reporter: Hears of the progress.

    Raises:
        UserError: a file is missing, can't be read, lies on another grid than its label, or holds unknown values.

    Examples:
        c2fnas evaluate predictions Task04_Hippocampus/labelsTr --output scores.json
        c2fnas evaluate predictions labels --classes liver,tumour --surface-tolerance 2 --hausdorff
    """
    for path in (Path(predictions), Path(labels)):
        if not path.exists():
            raise UserError(f"{path}: no volumes here: there is no such file or folder. Correct the path.")
    if surface_tolerance is not None and surface_tolerance < 0:
        raise UserError(f"--surface-tolerance {surface_tolerance:g}: a tolerance is 0 mm or more.")
    from c2fnas.evaluation.label_files import evaluate_files, pair_files
    from c2fnas.evaluation.metrics import Options
    from c2fnas.runs.reporter import listening

    pairs, missing = pair_files(Path(predictions), Path(labels))
    known, listener = label_classes(classes, Path(labels), pairs), listening(reporter)
    listener.start("evaluate", len(pairs))
    evaluation = evaluate_files(
        pairs,
        known,
        options=Options(surface_tolerance, hausdorff),
        on_progress=lambda done, total: listener.update("evaluate", done),
    )
    listener.finish("evaluate")
    return Evaluated(evaluation, tuple(missing))


def label_classes(source: str | None, labels: Path, pairs: "Sequence[Pair]") -> "Sequence[LabelClass]":
    """Return the classes that ``--classes`` names, or those that are found.

    Raises:
        UserError: it names none.
    """
    from c2fnas.evaluation.label_files import found_classes
    from c2fnas.inference.pretrained import model_folders, on_disk_or_pretrained

    folder = labels if labels.is_dir() else labels.parent
    manifests = (folder / "dataset.json", folder.parent / "dataset.json")
    if source is None:
        manifest = next((path for path in manifests if path.is_file()), None)
        return found_classes(pairs) if manifest is None else _of_manifest(manifest)
    path = on_disk_or_pretrained(Path(source))
    if path.is_dir() and not (path / "dataset.json").is_file():
        from c2fnas.inference.package import load_package

        return load_package(model_folders([path])[0]).plan.label_classes
    return _of_manifest(path) if path.exists() else _of_names(source)


def _of_manifest(path: Path) -> "Sequence[LabelClass]":
    from c2fnas.data.layouts.labels import parse_classes
    from c2fnas.files import read_json

    manifest = path / "dataset.json" if path.is_dir() else path
    content = read_json(manifest)
    classes, findings = parse_classes(content.get("labels") if isinstance(content, dict) else None)
    for finding in findings:
        if finding.severity == "error":
            raise UserError(f"{manifest}: found {finding.found}, expected {finding.expected}. {finding.fix}")
    return classes


def _of_names(text: str) -> "Sequence[LabelClass]":
    """Return the classes of ``liver,tumour`` or ``liver=1,tumour=4``; the background has the value 0."""
    from c2fnas.data.layouts.labels import parse_classes

    labels: dict[str, int | str] = {"background": 0}
    for number, entry in enumerate(text.split(","), start=1):
        name, sign, value = (part.strip() for part in entry.partition("="))
        labels[name] = value if sign else number
    classes, findings = parse_classes(labels)
    if findings or len(classes) <= text.count(",") + 1 or "" in labels:
        raise UserError(f"--classes {text}: not a file, a model or names such as `liver,tumour` or `liver=1,tumour=4`.")
    return classes
