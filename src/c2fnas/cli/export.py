"""`c2fnas export` and `c2fnas import`: models for other people's tools, and as one file."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from c2fnas.cli.predict import model_folders
from c2fnas.errors import UserError

if TYPE_CHECKING:
    from c2fnas.space.architecture import Architecture

Format = Literal["bundle", "onnx", "nnunet", "zip"]


def export(
    model: Annotated[
        str,
        typer.Argument(
            help="A model folder, or a run folder that holds one model. With `--format nnunet` an architecture will "
            "do: a name, a JSON file, the text form."
        ),
    ],
    format: Annotated[Format, typer.Option("--format", "-f", help="What to write.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder or file to write; nothing is replaced.")],
) -> None:
    """Write a trained model for other tools.

    `bundle`: a MONAI Bundle (a folder) with configurations for inference and fine-tuning; to run it takes
    `c2fnas[bundle]`.

    `onnx`: the network as one ONNX file for any batch and size, its preparation as metadata; takes `c2fnas[onnx]`.

    `nnunet`: a folder for `nnUNet_extTrainer`, with which nnU-Net v2 trains the architecture on its own.

    `zip`: the model folder as one file, which `c2fnas import` checks and unpacks.

    Examples:

    `c2fnas export runs/hippocampus/final/fold-0/model --format onnx --output hippocampus.onnx`

    `c2fnas export runs/hippocampus/final/fold-0 --format bundle --output HippocampusBundle`

    `c2fnas export c2fnas-panc --format nnunet --output trainer`
    """
    writers: dict[Format, Callable[[str, Path], str]] = {
        "bundle": _bundle, "onnx": _onnx, "nnunet": _nnunet, "zip": _zip,
    }  # fmt: skip
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
    from c2fnas.export.unpacking import unpack

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


def _zip(model: str, output: Path) -> str:
    from c2fnas.export.archive import pack

    pack(one_model(model), output)
    return f"`c2fnas import {output} --output FOLDER` unpacks it"


def _architecture(text: str) -> "Architecture":
    from c2fnas.space.architecture import Architecture

    try:
        return Architecture.load(text)
    except UserError as error:
        if (Path(text) / "network.json").is_file():
            raise UserError(
                f"{text}: a network of a fixed form, which nnU-Net has its own of; --format nnunet takes searched ones."
            ) from error
        folder = Path(text) / "model"
        if folder.is_dir():
            return _architecture(str(folder))
        raise
