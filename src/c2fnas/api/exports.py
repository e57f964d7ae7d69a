"""Models for other tools, and back: MONAI Bundle, ONNX, nnU-Net, a zip file, a folder to pass on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from c2fnas.errors import UserError
from c2fnas.files import refuse_taken
from c2fnas.inference.pretrained import model_folders, short_name, with_design

if TYPE_CHECKING:
    from c2fnas.runs.reporter import Reporter
    from c2fnas.space.architecture import Architecture

Format = Literal["bundle", "onnx", "nnunet", "zip", "model"]
DOING: dict[str, str] = {
    "bundle": "reading the model and writing its configurations",
    "onnx": "reading the model",
    "zip": "reading, checking and packing weights",
    "model": "reading, checking and copying weights",
}
FIXED = "a network of a fixed form, which nnU-Net has its own of; --format nnunet takes searched ones."


@dataclass(frozen=True)
class Exported:
    """A file or folder that was written for another tool, and how to use it there."""

    output: Path
    use: str

    def to_json(self) -> dict[str, str]:
        """The path and the sentence."""
        return {"output": str(self.output), "use": self.use}


class Exportable:
    """Exports to other tools: of a trained model, or of an architecture for nnU-Net's own training."""

    def export(
        self,
        format: Format,
        output: str | Path,
        *,
        half: bool = False,
        about: str = "",
        licence: str = "",
        reporter: "Reporter | None" = None,
    ) -> Exported:
        """Write a trained model for other tools. Nothing that exists is replaced.

        `bundle`: a MONAI Bundle (a folder) with configurations for inference and fine-tuning; to run it takes
        `c2fnas[bundle]`.

        `onnx`: the network as one ONNX file for any batch and size, its preparation as metadata; takes `c2fnas[onnx]`.
        Of a run with several folds it is a folder with a file of each.

        `nnunet`: a folder for `nnUNet_extTrainer`, with which nnU-Net v2 trains the architecture on its own.

        `zip`: a model, or all of a run's folds, as one file, which `c2fnas predict` takes and `c2fnas import` unpacks.

        `model`: a folder to pass on, which `c2fnas predict` takes: a copy of the model or, of a run with several folds,
        all of their models, with a card on their scores.

        Args:
            format: The kind of file or folder to write.
            output: The folder or file to write.
            half: Weights in half precision, half the size; for `model` and `zip`.
            about: A paragraph for the cards of `model`: where the data are from, what images it is for.
            licence: A paragraph for the cards of `model`: the licence of the weights.
            reporter: Hears of the progress.

        Raises:
            UserError: no such format, there is no model, more than one, or something lies at the output already.

        Examples:
            c2fnas export runs/hippocampus/final/fold-0/model --format onnx --output hippocampus.onnx
            c2fnas export runs/hippocampus/final/fold-0 --format bundle --output HippocampusBundle
            c2fnas export c2fnas-panc --format nnunet --output trainer
            c2fnas export runs/hippocampus --format model --half --output models/hippocampus --licence "CC-BY-SA 4.0"
        """
        if format not in get_args(Format):
            raise UserError(f"--format {format}: no such format. Choose {', '.join(get_args(Format))}.")
        if half and format not in ("model", "zip"):
            raise UserError(
                f"--half --format {format}: half precision is for `model` and `zip`. Leave one of the two out."
            )
        if (about or licence) and format != "model":
            raise UserError(f"--format {format}: --about and --licence write on the cards of `--format model` alone.")
        from c2fnas.runs.reporter import listening, ticking

        path = Path(output)
        if format == "nnunet":
            return Exported(path, _nnunet(self._searched(), path))
        folders = self._folders()
        if format == "bundle" and len(folders) > 1:
            raise UserError(f"{len(folders)} models lie here. Name one of them, such as {short_name(folders[0])}.")
        refuse_taken(path)
        listener = listening(reporter)
        with ticking(listener, format, DOING[format]) as tell:
            if format == "model":
                use = _folder(folders, path, half=half, about=about, licence=licence)
            elif format == "zip":
                use = _zip(folders, path, half)
            else:
                use = _bundle(folders[0], path) if format == "bundle" else _onnx(folders, path, tell)
        for warning in _warnings(folders):
            listener.say(f"Warning: {warning}")
        return Exported(path, use)

    def _folders(self) -> list[Path]:
        """Return the folders of the model packages."""
        raise NotImplementedError

    def _searched(self) -> "Architecture":
        """Return the architecture."""
        raise NotImplementedError


class Source(Exportable):
    """The source of ``c2fnas export``; nothing is read before it is exported.

    Args:
        model: A model folder, or a run folder that holds one model; but for `bundle` it may hold several. A model that
            comes with c2fnas goes by its name (`hippocampus/fold-0`). With `--format nnunet` an architecture will
            do: a name, a JSON file, the text form.
    """

    def __init__(self, model: str | Path) -> None:
        self.place = model

    def _folders(self) -> list[Path]:
        return model_folders([Path(self.place)])

    def _searched(self) -> "Architecture":
        return _architecture(str(self.place))


def import_model(archive: str | Path, output: str | Path) -> Exported:
    """Unpack a zip file of models, once everything in it has been checked: names, sizes, checksums, weights.

    A file that holds anything but a model is refused as a whole, so a stranger's file can be looked at safely.

    Args:
        archive: A zip file that `c2fnas export --format zip` has written.
        output: The model folder to make.

    Raises:
        UserError: the file can't be read or holds anything else, or something lies at the output already.

    Examples:
        c2fnas import hippocampus.zip --output models/hippocampus
    """
    if not Path(archive).is_file():
        raise UserError(f"{archive}: cannot be read (no such file). Name a model's zip file.")
    from c2fnas.inference.unpacking import unpack

    unpack(Path(archive), Path(output))
    return Exported(Path(output), f"a model to predict with, `c2fnas predict {output} --input IMAGES --output LABELS`")


def _warnings(models: Sequence[Path]) -> list[str]:
    """Return the warnings on the models' cards, each once."""
    from c2fnas.inference.package import read_card
    from c2fnas.training.shortness import warning_on

    return list(dict.fromkeys(filter(None, map(warning_on, map(read_card, models)))))


def _bundle(model: Path, output: Path) -> str:
    from c2fnas.export.bundle import export_bundle
    from c2fnas.inference.package import load_package

    export_bundle(load_package(model), output)
    return f"a MONAI Bundle; {output / 'docs' / 'README.md'} says how to use it"


def _onnx(models: Sequence[Path], output: Path, tell: Callable[[str], None]) -> str:
    from c2fnas.export.model_folder import fold_name
    from c2fnas.export.onnx_file import INPUT, OUTPUT, export_onnx
    from c2fnas.files import new_folder
    from c2fnas.inference.package import load_package

    package = load_package(models[0])
    channels, classes = len(package.plan.channels), package.plan.outputs
    use = f"{INPUT} [batch, {channels}, i, j, k] to {OUTPUT} [batch, {classes}, i, j, k]; metadata says the rest"
    if len(models) == 1:
        export_onnx(package, output, tell)
        return use
    with new_folder(output) as unfinished:
        for model in models:
            export_onnx(load_package(model), unfinished / f"{fold_name(model)}.onnx", tell)
    return f"{len(models)} files, each from {use}. Their labels vote; a tie goes to the largest mean probability"


def _nnunet(architecture: "Architecture", output: Path) -> str:
    from c2fnas.export.nnunet import TRAINER, export_nnunet

    export_nnunet(architecture, output)
    return f"set nnUNet_extTrainer to this folder, then `nnUNetv2_train DATASET 3d_fullres FOLD -tr {TRAINER}`"


def _zip(models: Sequence[Path], output: Path, half: bool) -> str:
    from c2fnas.export.archive import pack

    pack(models, output, half=half)
    return f"`c2fnas import {output} --output FOLDER` unpacks it"


def _folder(models: Sequence[Path], output: Path, *, half: bool, about: str, licence: str) -> str:
    from c2fnas.export.model_folder import export_folder

    export_folder(models, output, half=half, about=about, licence=licence)
    text = "a model" if len(models) == 1 else f"{len(models)} models that vote"
    return f"{text}, `c2fnas predict {output} --input IMAGES --output LABELS`"


def _architecture(text: str) -> "Architecture":
    from c2fnas.space.architecture import Architecture

    try:
        return Architecture.load(with_design(text))
    except UserError as error:
        if (Path(text) / "network.json").is_file():
            raise UserError(f"{text}: {FIXED}") from error
        folder = Path(text) / "model"
        if folder.is_dir():
            return _architecture(str(folder))
        raise
