"""Models as folders to pass on: one as it is, or a run's folds with a card; on request in half precision."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from c2fnas.data.folds import EVERY_CASE, Fold
from c2fnas.errors import UserError
from c2fnas.export.ensemble_card import ensemble_card
from c2fnas.files import new_folder, write_text
from c2fnas.inference.package import CARD, copy_package, load_package, read_card, save_package
from c2fnas.inference.pretrained import WEIGHTS
from c2fnas.runs.folder import PACKAGE, RunFolder

NOTE = "Weights are stored in half precision (float16) and loaded into single precision; Dice is that before rounding."
"""A sentence on the card of such a model."""


def export_folder(
    models: Sequence[Path], folder: Path, *, half: bool = False, about: str = "", licence: str = ""
) -> None:
    """Write model packages to ``folder``: one as the folder itself, several of a run as ``fold-0``, ``fold-1`` ...

    Args:
        models: Packages; several are the folds of one run, or of a folder that this has written.
        folder: It must not hold anything.
        half: Round the weights to half precision.
        about: A paragraph for the cards, on where the data are from, say.
        licence: The same on the licence.

    Raises:
        UserError: a package is damaged, half precision can't hold it, a fold has no evaluation, something is at
            ``folder``, or it can't be written.
    """
    sections = "".join(f"\n## {title}\n\n{text}\n" for title, text in (("Data", about), ("Licence", licence)) if text)
    with new_folder(folder) as unfinished:
        if len(models) == 1:
            _write(models[0], unfinished, half, sections)
            return
        for model in models:
            _write(model, unfinished / fold_name(model), half, sections)
        write_text(unfinished / CARD, _card(models, folder.absolute().name, unfinished).rstrip() + "\n" + sections)


def save_half(model: Path, folder: Path) -> None:
    """Write the model package ``model`` as ``folder``, its weights rounded to half precision.

    Raises:
        UserError: ``model`` is damaged or has a weight that half precision can't hold, or ``folder`` can't be written.
    """
    whole = load_package(model)
    _refuse_beyond_half(whole.network, model / WEIGHTS)
    save_package(
        folder,
        whole.network.half(),
        whole.design,
        whole.plan,
        card=_noted(read_card(model)),
        weighting=whole.plan.weighting,
        mirror=whole.plan.mirror,
    )


def _write(model: Path, folder: Path, half: bool, sections: str) -> None:
    if half:
        save_half(model, folder)
    else:
        load_package(model)
        copy_package(model, folder)
    if sections:
        write_text(folder / CARD, f"{read_card(folder)}\n{sections}".lstrip("\n"))


def fold_name(model: Path) -> str:
    """Return ``fold-0`` of ``run/final/fold-0/model``, and of ``folder/fold-0``."""
    return model.parent.name if model.name == PACKAGE else model.name


def _card(models: Sequence[Path], name: str, written: Path) -> str:
    """A new card from the files of a run; that of a folder of folds as it is."""
    there = read_card(models[0].parent)
    if models[0].name != PACKAGE and there:
        return there
    run = RunFolder(models[0].absolute().parents[2])
    names = {fold_name(model).removeprefix("fold-"): model for model in models}
    folds: dict[Fold, Path] = {int(name): model for name, model in names.items() if name.isdigit()}
    folds |= {EVERY_CASE: names[EVERY_CASE]} if EVERY_CASE in names else {}
    if not run.config.is_file() or len(folds) < len(models):
        raise UserError(
            f"{models[0]}: not a fold of a run, and a card on {len(models)} models is made from a run's own files. "
            "Name the folder of a run, or one of these models."
        )
    return ensemble_card(run, folds, name, written)


def _refuse_beyond_half(network: nn.Module, path: Path) -> None:
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point() and not tensor.half().isfinite().all():
            largest = torch.finfo(torch.float16).max
            raise UserError(
                f"{path}: `{name}` holds {tensor.abs().max():g}, and half precision ends at {largest:g}. Export this "
                "model without --half."
            )


def _noted(card: str) -> str:
    return card if NOTE in card else f"{card or '# A model of c2fnas'}\n\n{NOTE}\n"
