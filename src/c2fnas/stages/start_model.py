"""The model that a fine-tuning starts from: a copy in the run folder, and what of it comes over."""

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch

from c2fnas.errors import UserError
from c2fnas.inference.package import load_package
from c2fnas.networks.designs import Design, build_design
from c2fnas.runs.config import RunConfig
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.run import Setting
from c2fnas.training.weights import compare

SHOWN = 8
"""More tensors than this are told of by the part of the network that they are in."""


def claim_start(start: Path, config: RunConfig, folder: RunFolder) -> None:
    """Copy the model package ``start`` into the run folder, which then holds all that the run needs.

    Raises:
        UserError: the run has begun from scratch or from another model.
    """
    if config.deployment.start != load_package(start).checksum:
        raise UserError(
            f"{folder.root}: this run began {'from another model' if config.deployment.start else 'from scratch'}. "
            f"Choose another --run folder to fine-tune {start}."
        )
    if folder.start_model.exists():
        return
    unfinished = folder.start_model.with_name(".from")
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.copytree(start, unfinished)
    unfinished.rename(folder.start_model)


def transfer_report(setting: Setting, design: Design) -> str:
    """A paragraph on what is taken over and what is not; nothing is computed."""
    model = load_package(setting.folder.start_model)
    with torch.device("meta"):
        network = build_design(design, in_channels=setting.in_channels, classes=setting.classes)
    plan = compare(model.network.state_dict(), network)
    text = f"Fine-tuning: {len(plan.loaded)} of {len(plan.loaded) + len(plan.left)} tensors come over from the model."
    if plan.left:
        text += f" Begun anew: {in_words(plan.left)}."
    if plan.unused:
        text += f" Not used of the model: {in_words(plan.unused)}."
    return text


def in_words(names: Sequence[str]) -> str:
    """Tensors by name; many of them by cell or other part of their network, with how many these are.

    >>> in_words(["stem_out.classify.bias", "stem_out.classify.weight"])
    'stem_out.classify.bias, stem_out.classify.weight'
    >>> in_words([f"cells.{cell}.postprocess.{part}" for cell in (0, 1) for part in range(5)] + ["stem_in.first.0"])
    'cells.0 (5 tensors), cells.1 (5 tensors), stem_in (1 tensors)'
    """
    if len(names) <= SHOWN:
        return ", ".join(names)
    parts = Counter(".".join(name.split(".")[: 2 if name.startswith("cells.") else 1]) for name in names)
    return ", ".join(f"{part} ({count} tensors)" for part, count in parts.items())
