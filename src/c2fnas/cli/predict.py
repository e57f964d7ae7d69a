"""`c2fnas predict`: labels for images."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from c2fnas.cli.options import Quiet, device_names
from c2fnas.errors import UserError
from c2fnas.text import plural

if TYPE_CHECKING:
    from c2fnas.cli.display import Display
    from c2fnas.data.dataset import Case
    from c2fnas.inference.forward import Precision
    from c2fnas.inference.package import Model
    from c2fnas.inference.predict import Predicted, Predictor
    from c2fnas.inference.sliding_window import SlidingWindow

SOME_FAILED = 1
MODEL_PLACES = ("model", "fold-*", "fold-*/model", "final/fold-*/model")
"""Where models lie in the folder of a fold, of models that vote, of a run's final networks and of a run."""


def predict(
    models: Annotated[
        list[Path],
        typer.Argument(
            help="Model folders, a run folder, which stands for its folds' models, or the name of models that come "
            "with c2fnas, such as `hippocampus`; a folder of this name on disk goes before."
        ),
    ],
    input: Annotated[Path, typer.Option("--input", "-i", help="An image, or a folder of images.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder that the labels go to.")],
    vote: Annotated[
        Literal["majority", "mean"],
        typer.Option(help="How several models are fused: majority voting (the paper), or the mean probability."),
    ] = "majority",
    mirror: Annotated[
        bool | None, typer.Option("--mirror/--no-mirror", help="Average over mirrored views; by default as trained.")
    ] = None,
    stride: Annotated[
        str | None, typer.Option(help="Voxels between windows, one number or three (`16,16,4`); default: the model's.")
    ] = None,
    device: Annotated[str, typer.Option(help="`auto` (the first GPU, else the CPU), `cpu`, `cuda:1` ...")] = "auto",
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"], typer.Option(help="`auto`: what the device computes fast.")
    ] = "auto",
    max_memory: Annotated[
        str | None,
        typer.Option(
            help="What to compute in, such as `8G`: the GPU's memory, or on the CPU all of this process's, in which "
            "windows and sums are fitted beside the image (whose preparation takes about five times its size)."
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Predict all again, and replace other models' predictions.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Label images with one model, or with several that vote, each in its own geometry and data type.

    Files keep their names. `CASE_0000`, `CASE_0001` ... are one case's channels. Interrupted, the same command carries
    on; a case that fails is passed over and told of, and the exit code is 1 at the end.

    Examples:

    `c2fnas predict hippocampus --input Task04_Hippocampus/imagesTs --output predictions`

    `c2fnas predict runs/hippocampus --input Task04_Hippocampus/imagesTs --output predictions`

    `c2fnas predict runs/hippocampus/final/fold-0/model --input scan.nii.gz --output predictions --mirror`
    """
    from c2fnas.cli.display import Display
    from c2fnas.inference.inputs import find_cases
    from c2fnas.inference.package import load_package
    from c2fnas.inference.predict import Predictor

    folders = model_folders(models)
    packages = tuple(load_package(folder) for folder in folders)
    cases = find_cases(input, len(packages[0].plan.channels))
    place = device_names(device)[0]
    window = _window(packages[0], place, stride, precision, max_memory)
    predictor = Predictor(packages, window, vote, packages[0].plan.mirror if mirror is None else mirror, place)
    with Display(quiet=quiet) as display:
        counts = f"{plural(len(cases), 'case')}, {plural(len(folders), 'model')}"
        display.say(f"{counts}: {', '.join(map(str, models))}")
        predicted = _run(predictor, cases, output, overwrite, display)
    _finish(predicted, output)


def model_folders(paths: Sequence[Path]) -> list[Path]:
    """The model packages that paths stand for: packages themselves, a run's, a fold's, or those of a name.

    Raises:
        UserError: a path holds no model, and is no name of one that comes with c2fnas.
    """
    from c2fnas.inference.package import is_package
    from c2fnas.inference.pretrained import on_disk_or_pretrained

    found: list[Path] = []
    for path in paths:
        folder = on_disk_or_pretrained(path)
        places = [place for pattern in MODEL_PLACES for place in sorted(folder.glob(pattern))]
        packages = [place for place in [folder, *places] if is_package(place)]
        if not packages:
            raise UserError(f"{path}: no model here. {_where_models_are(path)}")
        found += [package for package in packages if package not in found]
    return found


def _where_models_are(path: Path) -> str:
    from c2fnas.inference.pretrained import pretrained, pretrained_names

    if path.exists() and pretrained(path):
        return "It hides the models of this name that come with c2fnas: rename it, or run this in another folder."
    return (
        "Name a model folder, such as runs/liver/final/fold-0/model, the folder of a run that has trained its final "
        f"networks, or a model that comes with c2fnas ({', '.join(pretrained_names()) or 'there is none'})."
    )


def parse_stride(text: str) -> tuple[int, int, int]:
    """``16`` or ``16,16,4`` as a number per axis.

    Raises:
        UserError: it is neither.
    """
    parts = text.split(",")
    if len(parts) not in (1, 3) or not all(part.strip().isdigit() and int(part) > 0 for part in parts):
        raise UserError(f"--stride {text}: give one number of voxels or three, such as 16 or 16,16,4.")
    i, j, k = map(int, parts if len(parts) == 3 else parts * 3)
    return i, j, k


def parse_bytes(text: str) -> int:
    """``8G``, ``512 MB``, ``1.5GiB`` or a plain number of bytes.

    Raises:
        UserError: it is none of these.

    >>> parse_bytes("1.5G")
    1610612736
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?\s*", text, re.IGNORECASE)
    if not match or float(match[1]) == 0:
        raise UserError(f"--max-memory {text}: give a number with a unit, such as 8G or 500M.")
    return int(float(match[1]) * 1024 ** ("kmgt".find(match[2].lower()) + 1 if match[2] else 0))


def _window(model: "Model", device: str, stride: str | None, precision: str, max_memory: str | None) -> "SlidingWindow":
    from c2fnas.inference.windows import windows_at_a_time
    from c2fnas.training.precision import resolve_precision

    try:
        return model.window(
            stride=parse_stride(stride) if stride else None,
            batch=windows_at_a_time(model.plan.patch_size, device),
            precision=cast("Precision", resolve_precision(precision, device)),
            max_memory=parse_bytes(max_memory) if max_memory else None,
        )
    except ValueError as error:
        raise UserError(f"--stride {stride}: {error}.") from error


def _run(
    predictor: "Predictor", cases: "Sequence[Case]", output: Path, overwrite: bool, display: "Display"
) -> "Predicted":
    from c2fnas.inference.predict import predict_cases

    display.start("predict", len(cases))
    predicted = predict_cases(
        predictor,
        cases,
        output,
        overwrite=overwrite,
        on_progress=lambda done, failed: display.update("predict", done, f"{failed} failed" if failed else ""),
    )
    display.finish("predict")
    return predicted


def _finish(predicted: "Predicted", output: Path) -> None:
    kept = f", {len(predicted.kept)} were there already" if predicted.kept else ""
    typer.echo(f"{plural(len(predicted.done), 'case')} predicted{kept}: {output}")
    if predicted.failures:
        for failure in predicted.failures:
            typer.echo(f"c2fnas: case {failure.case} failed: {failure.reason}", err=True)
        asked = len(predicted.done) + len(predicted.kept) + len(predicted.failures)
        typer.echo(
            f"c2fnas: {len(predicted.failures)} of {asked} cases failed. Mend them and run the same command again.",
            err=True,
        )
        raise typer.Exit(SOME_FAILED)
