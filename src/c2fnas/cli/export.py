"""`c2fnas export` and `c2fnas import`: models for other people's tools, and to pass on as a folder or one file."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from c2fnas.errors import UserError
from c2fnas.inference.pretrained import model_folders

if TYPE_CHECKING:
    from c2fnas.space.architecture import Architecture

Format = Literal["bundle", "onnx", "nnunet", "zip", "model"]


def export(
    model: Annotated[
        str,
        typer.Argument(
            help="A model folder, or a run folder that holds one model; with `--format model` it may hold several. A "
            "model that comes with c2fnas goes by its name (`hippocampus/fold-0`). With `--format nnunet` an "
            "architecture will do: a name, a JSON file, the text form."
        ),
    ],
    format: Annotated[Format, typer.Option("--format", "-f", help="What to write.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder or file to write; nothing is replaced.")],
    half: Annotated[
        bool, typer.Option("--half", help="Weights in half precision, half the size; for `model` and `zip`.")
    ] = False,
    about: Annotated[
        str, typer.Option(help="A paragraph for the cards of `model`: where the data are from, what images it is for.")
    ] = "",
    licence: Annotated[
        str, typer.Option(help="A paragraph for the cards of `model`: the licence of the weights.")
    ] = "",
) -> None:
    """Write a trained model for other tools.

    `bundle`: a MONAI Bundle (a folder) with configurations for inference and fine-tuning; to run it takes
    `c2fnas[bundle]`.

    `onnx`: the network as one ONNX file for any batch and size, its preparation as metadata; takes `c2fnas[onnx]`.

    `nnunet`: a folder for `nnUNet_extTrainer`, with which nnU-Net v2 trains the architecture on its own.

    `zip`: the model folder as one file, which `c2fnas import` checks and unpacks.

    `model`: a folder to pass on, which `c2fnas predict` takes: a copy of the model or, of a run with several folds,
    all of their models, with a card on what they come to.

    Examples:

    `c2fnas export runs/hippocampus/final/fold-4/model --format onnx --output hippocampus.onnx`

    `c2fnas export runs/hippocampus/final/fold-4 --format bundle --output HippocampusBundle`

    `c2fnas export c2fnas-panc --format nnunet --output trainer`

    `c2fnas export runs/hippocampus --format model --half --output models/hippocampus --licence "CC-BY-SA 4.0"`
    """
    if half and format not in ("model", "zip"):
        raise UserError(f"--half --format {format}: half precision is for `model` and `zip`. Leave one of the two out.")
    if (about or licence) and format != "model":
        raise UserError(f"--format {format}: --about and --licence write on the cards of `--format model` alone.")
    writers: dict[Format, Callable[[str, Path], str]] = {
        "bundle": _bundle,
        "onnx": _onnx,
        "nnunet": _nnunet,
        "zip": partial(_zip, half=half),
        "model": partial(_folder, half=half, about=about, licence=licence),
    }
    typer.echo(f"{output}: {writers[format](model, output)}")


def import_(
    archive: Annotated[Path, typer.Argument(help="A zip file that `c2fnas export --format zip` has written.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The model folder to make.")],
) -> None:
    """Unpack a model's zip file, once everything in it has been checked: names, sizes, checksums, weights.

    A file that holds anything but a model is refused as a whole, so a stranger's file can be looked at safely.

    Examples:

    `c2fnas import hippocampus.zip --output models/hippocampus`
    """
    from c2fnas.inference.unpacking import unpack

    unpack(archive, output)
    typer.echo(f"{output}: a model to predict with, `c2fnas predict {output} --input IMAGES --output LABELS`")


def one_model(text: str) -> Path:
    """The only model package that a path stands for.

    Raises:
        UserError: there is none, or more than one.
    """
    first, *others = model_folders([Path(text)])
    if others:
        raise UserError(f"{text}: {1 + len(others)} models lie here. Name one of them, such as {first}.")
    return first


def _bundle(model: str, output: Path) -> str:
    from c2fnas.export.bundle import export_bundle
    from c2fnas.inference.package import load_package

    export_bundle(load_package(one_model(model)), output)
    return f"a MONAI Bundle; {output / 'docs' / 'README.md'} says how to use it"


def _onnx(model: str, output: Path) -> str:
    from c2fnas.export.onnx_file import INPUT, OUTPUT, export_onnx
    from c2fnas.inference.package import load_package

    package = load_package(one_model(model))
    export_onnx(package, output)
    channels, classes = len(package.plan.channels), len(package.plan.classes)
    return f"{INPUT} [batch, {channels}, i, j, k] to {OUTPUT} [batch, {classes}, i, j, k]; metadata says the rest"


def _nnunet(model: str, output: Path) -> str:
    from c2fnas.export.nnunet import TRAINER, export_nnunet

    export_nnunet(_architecture(model), output)
    return f"set nnUNet_extTrainer to this folder, then `nnUNetv2_train DATASET 3d_fullres FOLD -tr {TRAINER}`"


def _folder(model: str, output: Path, *, half: bool, about: str, licence: str) -> str:
    from c2fnas.export.model_folder import export_folder

    models = model_folders([Path(model)])
    export_folder(models, output, half=half, about=about, licence=licence)
    text = "a model" if len(models) == 1 else f"{len(models)} models that vote"
    return f"{text}, `c2fnas predict {output} --input IMAGES --output LABELS`"


def _zip(model: str, output: Path, *, half: bool) -> str:
    from c2fnas.export.archive import pack

    pack(one_model(model), output, half=half)
    return f"`c2fnas import {output} --output FOLDER` unpacks it"


def _architecture(text: str) -> "Architecture":
    from c2fnas.inference.pretrained import with_design
    from c2fnas.space.architecture import Architecture

    try:
        return Architecture.load(with_design(text))
    except UserError as error:
        if (Path(text) / "network.json").is_file():
            raise UserError(
                f"{text}: a network of a fixed form, which nnU-Net has its own of; --format nnunet takes searched ones."
            ) from error
        folder = Path(text) / "model"
        if folder.is_dir():
            return _architecture(str(folder))
        raise
