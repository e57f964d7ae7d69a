"""The model that a fine-tuning starts from: a copy in the run folder, and what of it comes over."""

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch

from c2fnas.inference.package import load_package
from c2fnas.networks.designs import Design, build_design
from c2fnas.runs.run import Run
from c2fnas.training.weights import compare

SHOWN = 8
"""More tensors than this are told of by the part of the network that they are in."""


def claim_start(run: Run, start: Path) -> None:
    """Copy the model package ``start`` into the run folder, which then holds all that the run needs."""
    folder = run.folder.start_model
    if folder.exists():
        return
    unfinished = folder.with_name(".from")
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.copytree(start, unfinished)
    unfinished.rename(folder)


def transfer_report(run: Run, design: Design) -> str:
    """Return a paragraph on what is taken over and what is not; nothing is computed."""
    model = load_package(run.folder.start_model)
    with torch.device("meta"):
        network = build_design(design, in_channels=run.in_channels, classes=run.classes)
    plan = compare(model.network.state_dict(), network)
    text = f"Fine-tuning: {len(plan.loaded)} of {len(plan.loaded) + len(plan.left)} tensors come over from the model."
    if plan.left:
        text += f" Newly begun: {in_words(plan.left)}."
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
