"""`c2fnas evaluate`: predictions against labels."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from c2fnas.cli.options import Quiet
from c2fnas.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from c2fnas.data.dataset import LabelClass
    from c2fnas.evaluation.evaluate_files import Pair
    from c2fnas.evaluation.metrics import Evaluation

SHOWN = 3


def evaluate(
    predictions: Annotated[Path, typer.Argument(help="A folder of predicted label files, or one such file.")],
    labels: Annotated[Path, typer.Argument(help="The folder with the true labels, files of the same names.")],
    json: Annotated[Path | None, typer.Option("--json", help="Write every figure to this file.")] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            "--labels",
            help="The classes: a dataset.json, a model, or names of the values 1, 2, ... such as `liver,tumour` "
            "(`liver=1,tumour=4` for other values, and for a class that has the name of a model that comes with "
            "c2fnas). By default the dataset.json beside LABELS, else the values found.",
        ),
    ] = None,
    surface_tolerance: Annotated[
        float | None, typer.Option(min=0, help="Surface Dice too, at this tolerance in millimetres.")
    ] = None,
    hausdorff: Annotated[bool, typer.Option("--hausdorff", help="Hausdorff distance (95 %) in mm too.")] = False,
    quiet: Quiet = False,
) -> None:
    """Dice of every case and class on whole volumes, its mean over cases, then over classes.

    Where label and prediction are both empty the pair is left out of the mean and counted; where the label alone is
    empty it is 0. Every prediction needs its label; labels without a prediction are told of.

    Examples:

    `c2fnas evaluate predictions Task04_Hippocampus/labelsTr --json scores.json`

    `c2fnas evaluate predictions labels --labels liver,tumour --surface-tolerance 2 --hausdorff`
    """
    from c2fnas.cli.display import Display
    from c2fnas.evaluation.evaluate_files import evaluate_files, pair_files
    from c2fnas.evaluation.metrics import Options
    from c2fnas.files import write_json

    pairs, missing = pair_files(predictions, labels)
    known = label_classes(classes, labels, pairs)
    with Display(quiet=quiet) as display:
        display.start("evaluate", len(pairs))
        evaluation = evaluate_files(
            pairs,
            known,
            options=Options(surface_tolerance, hausdorff),
            on_progress=lambda done, total: display.update("evaluate", done),
        )
        display.finish("evaluate")
    if json is not None:
        write_json(json, evaluation.to_json() | {"labels_without_prediction": list(missing)})
    _print(evaluation)
    if missing:
        shown = ", ".join(missing[:SHOWN]) + (", ..." if len(missing) > SHOWN else "")
        typer.echo(f"{len(missing)} labels have no prediction and are not in these figures: {shown}", err=True)


def label_classes(source: str | None, labels: Path, pairs: "Sequence[Pair]") -> "Sequence[LabelClass]":
    """The classes that ``--labels`` names, or those that are found.

    Raises:
        UserError: it names none.
    """
    from c2fnas.evaluation.evaluate_files import found_classes
    from c2fnas.inference.pretrained import on_disk_or_pretrained

    folder = labels if labels.is_dir() else labels.parent
    manifests = (folder / "dataset.json", folder.parent / "dataset.json")
    if source is None:
        manifest = next((path for path in manifests if path.is_file()), None)
        return found_classes(pairs) if manifest is None else _of_manifest(manifest)
    path = on_disk_or_pretrained(Path(source))
    if path.is_dir() and not (path / "dataset.json").is_file():
        from c2fnas.cli.predict import model_folders
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
    """The classes of ``liver,tumour`` or ``liver=1,tumour=4``; the background has the value 0."""
    from c2fnas.data.layouts.labels import parse_classes

    labels: dict[str, int | str] = {"background": 0}
    for number, entry in enumerate(text.split(","), start=1):
        name, sign, value = (part.strip() for part in entry.partition("="))
        labels[name] = value if sign else number
    classes, findings = parse_classes(labels)
    if findings or len(classes) <= text.count(",") + 1 or "" in labels:
        raise UserError(f"--labels {text}: not a file, a model or names such as `liver,tumour` or `liver=1,tumour=4`.")
    return classes


def _print(evaluation: "Evaluation") -> None:
    columns = {
        "Dice": evaluation.per_class,
        "surface Dice": evaluation.surface_dice,
        "Hausdorff 95 (mm)": evaluation.hausdorff95_mm,
    }
    shown = {title: values for title, values in columns.items() if values is not None}
    width = max(len(name) for name in ["class", *evaluation.per_class])
    typer.echo("  ".join([f"{'class':{width}}", *(f"{title:>17}" for title in shown)]))
    for name in evaluation.per_class:
        cells = [values[name] for values in shown.values()]
        typer.echo("  ".join([f"{name:{width}}", *(f"{'-' if cell is None else f'{cell:.4f}':>17}" for cell in cells)]))
    typer.echo(
        f"mean Dice {evaluation.mean:.4f} on {len(evaluation.cases)} cases; {evaluation.excluded_empty} pairs of case "
        f"and class left out (both empty), {evaluation.false_positive_empty} count as 0 (label empty, prediction not)"
    )
