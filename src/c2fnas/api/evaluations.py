"""Predicted labels against true ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from c2fnas.api.options import stated
from c2fnas.errors import UserError
from c2fnas.files import is_there, read_json

if TYPE_CHECKING:
    from c2fnas.data.scheme import LabelScheme
    from c2fnas.evaluation.label_files import Pair as LabelFiles
    from c2fnas.evaluation.metrics import Evaluation
    from c2fnas.evaluation.pairs import Pair
    from c2fnas.runs.reporter import Reporter

SHOWN = 3


@dataclass(frozen=True)
class Evaluated:
    """Scores of predictions on disk.

    Attributes:
        evaluation: Dice and the other metrics, of each case and on average.
        missing: names of the labels that have no prediction, and so no score.
        against: these predictions and other ones, of networks that were trained once; None where none were given.
    """

    evaluation: "Evaluation"
    missing: tuple[str, ...] = ()
    against: "Pair | None" = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """A sentence on the labels without a prediction, if there are any."""
        shown = ", ".join(self.missing[:SHOWN]) + (", ..." if len(self.missing) > SHOWN else "")
        text = f"{len(self.missing)} labels have no prediction and are not in these figures: {shown}"
        return (text,) if self.missing else ()

    def to_json(self) -> dict[str, Any]:
        """Every figure, and the labels without a prediction."""
        against = {"against": self.against.to_json()} if self.against else {}
        return self.evaluation.to_json() | {"labels_without_prediction": list(self.missing)} | against


def evaluate(
    predictions: str | Path,
    labels: str | Path,
    *,
    classes: str | None = None,
    surface_tolerance: float | None = None,
    hausdorff: bool = False,
    against: str | Path | None = None,
    group_by: str | None = None,
    csv: str | Path | None = None,
    count_misses: bool = False,
    spacing: str | None = None,
    reporter: "Reporter | None" = None,
) -> Evaluated:
    """Compute Dice of every case and class on whole volumes, its mean over cases, then over classes.

    Where label and prediction are both empty the pair is left out of the mean and counted; where the label alone is
    empty it is 0. Every prediction needs its label. Labels without a prediction are named. Beside each class stand the
    cases that its figures rest on, and in how many it is missed (the prediction shows it nowhere) or invented. There is
    no distance to nothing, so that misses are no part of a mean distance unless they are counted.

    Args:
        predictions: A folder of predicted label files, or one such file. Segments of DICOM SEG (`.seg.dcm`) are the
            classes that have their names.
        labels: The folder with the true labels, files of the same names.
        classes: A dataset.json, a model, or names of the values 1, 2, ... such as `liver,tumour`
            (`liver=1,tumour=4` for other values, and for a class that has the name of a model that comes with c2fnas).
            By default the dataset.json beside LABELS, else the values found, which a DICOM SEG's are not.
        surface_tolerance: Surface Dice too, at this tolerance in millimetres.
        hausdorff: Hausdorff distance (95 %) in mm too.
        against: Other predictions of the same cases to compare with; the interval is about these two trained networks.
        group_by: With --against: cases of a group (a patient, say) count as one in the interval: `(.+)_E[DS]`
            takes the group from a case's id.
        csv: Write a line for each case and class into this file.
        count_misses: With --hausdorff: a structure that is missed or invented counts at the volume's diagonal in mm.
        spacing: State the true spacing, `1.25,1.25,8`, in mm along the labels' own axes, where headers have lost it.
        reporter: Hears of the progress.

    Returns:
        The scores of every case and class with their means, and the comparison with `against`.

    Raises:
        UserError: a file is missing, can't be read, lies on another grid than its label, or holds unknown values.

    Examples:
        c2fnas evaluate predictions Task04_Hippocampus/labelsTr --output scores.json
        c2fnas evaluate predictions labels --classes liver,tumour --surface-tolerance 2 --hausdorff
        c2fnas evaluate predictions labels --against others --csv scores.csv
        c2fnas evaluate predictions labels --against others --group-by '(.+)_E[DS]'
    """
    for path in map(Path, (predictions, labels, *([] if against is None else [against]))):
        if not path.exists():
            raise UserError(f"{path}: no volumes here: there is no such file or folder. Correct the path.")
    if surface_tolerance is not None and not 0 <= surface_tolerance < inf:
        raise UserError(f"--surface-tolerance {surface_tolerance:g}: a tolerance is 0 mm or more.")
    if count_misses and not hausdorff:
        raise UserError("--count-misses is for distances: give --hausdorff too.")
    if group_by is not None and against is None:
        raise UserError("--group-by is for the interval of a comparison: give --against too.")
    true_spacing = stated(spacing)
    from c2fnas.evaluation.label_files import evaluate_files, pair_files
    from c2fnas.evaluation.metrics import Evaluation, Options
    from c2fnas.evaluation.pairs import paired
    from c2fnas.files import write_text
    from c2fnas.runs.reporter import listening

    folders = [Path(each) for each in (predictions, against) if each is not None]
    files = [pair_files(folder, Path(labels)) for folder in folders]
    groups = _groups(files[0][0], group_by)
    known = label_classes(classes, Path(labels), [pair for pairs, _ in files for pair in pairs])
    if true_spacing is None and (hausdorff or surface_tolerance is not None):
        _refuse_unstated(classes, Path(predictions), files[0][0])
    listener, options = listening(reporter), Options(surface_tolerance, hausdorff, count_misses)
    found: list[Evaluation] = []
    listener.start("evaluate", sum(len(pairs) for pairs, _ in files))
    for pairs, _ in files:
        before = sum(len(each.cases) for each in found)

        def tell(done: int, total: int, before: int = before) -> None:
            listener.update("evaluate", before + done)

        found.append(evaluate_files(pairs, known, options=options, spacing=true_spacing, on_progress=tell))
    listener.finish("evaluate")
    if csv is not None:
        write_text(Path(csv), found[0].to_csv())
    named = [(str(folder), {(0, 0): each}) for folder, each in zip(folders, found, strict=True)]
    return Evaluated(found[0], tuple(files[0][1]), paired(*named, groups=groups) if against is not None else None)


def _groups(pairs: "Sequence[LabelFiles]", pattern: str | None) -> dict[str, str]:
    """The group of every case that shares it with another one; an expression that names none is refused."""
    if pattern is None:
        return {}
    from c2fnas.data.dataset import Case, group_cases, shared_groups

    return shared_groups(group_cases([Case(pair.case, (), None) for pair in pairs], pattern))


def _refuse_unstated(source: str | None, predictions: Path, pairs: "Sequence[LabelFiles]") -> None:
    """Refuse distances by headers that the model of ``--classes`` knows to be wrong, or that others were stated for."""
    from c2fnas.evaluation.label_files import unstated
    from c2fnas.inference.package import PLAN, read_plan
    from c2fnas.inference.prediction_folder import Record
    from c2fnas.inference.pretrained import is_package, model_folders, on_disk_or_pretrained

    record = Record.read(predictions)
    for_all = "spacing" in (record.maker or {})
    lost = [pair.label for pair in pairs if for_all or pair.prediction.name in record.spacings]
    path = on_disk_or_pretrained(Path(source)) if source else Path("dataset.json")
    if (
        is_there(path)
        and path.is_dir()
        and not (path / "dataset.json").is_file()
        and is_package(model := model_folders([path])[0])
    ):
        lost += unstated(pairs, read_plan(model / PLAN).stated_headers)
    if lost:
        raise UserError(
            f"{lost[0]}: the model's images have such headers, and another spacing was stated for them. State the true "
            "one here too: --spacing I,J,K in mm."
        )


def label_classes(source: str | None, labels: Path, pairs: "Sequence[LabelFiles]") -> "LabelScheme":
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
        content = {} if manifest is None else read_json(manifest)
        nameless = isinstance(content, dict) and "labels" not in content  # as data lists of MONAI are
        return found_classes(pairs) if manifest is None or nameless else _of_manifest(content, manifest)
    path = on_disk_or_pretrained(Path(source))
    if not is_there(path):
        return _of_names(source)
    if path.is_dir() and not (path / "dataset.json").is_file():
        from c2fnas.inference.package import load_package

        return load_package(model_folders([path])[0]).plan.scheme
    manifest = path / "dataset.json" if path.is_dir() else path
    return _of_manifest(read_json(manifest), manifest)


def _of_manifest(content: Any, manifest: Path) -> "LabelScheme":
    from c2fnas.data.layouts.labels import parse_labels

    manifest_labels = content if isinstance(content, dict) else {}
    scheme, findings = parse_labels(manifest_labels.get("labels"), manifest_labels.get("regions_class_order"))
    for finding in findings:
        if finding.severity == "error":
            raise UserError(f"{manifest}: {finding.text}")
    return scheme


def _of_names(text: str) -> "LabelScheme":
    """Return the classes of ``liver,tumour`` or ``liver=1,tumour=4``; the background has the value 0."""
    from c2fnas.data.layouts.labels import parse_labels

    labels: dict[str, int | str] = {"background": 0}
    for number, entry in enumerate(text.split(","), start=1):
        name, sign, value = (part.strip() for part in entry.partition("="))
        labels[name] = value if sign else number
    scheme, findings = parse_labels(labels)
    if findings or len(scheme.parts) <= text.count(",") + 1 or "" in labels:
        raise UserError(f"--classes {text}: not a file, a model or names such as `liver,tumour` or `liver=1,tumour=4`.")
    return scheme
