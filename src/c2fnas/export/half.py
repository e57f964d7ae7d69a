"""A model package with its weights in half precision (float16): half the size, nearly the same network."""

from pathlib import Path

import torch
from torch import nn

from c2fnas.errors import UserError
from c2fnas.inference.package import WEIGHTS, load_package, read_card, save_package

NOTE = "Weights are stored in half precision (float16) and loaded into single precision; Dice is that before rounding."
"""What the card of such a model says of it."""


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
