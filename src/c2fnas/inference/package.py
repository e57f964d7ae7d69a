"""A model package: one folder that prediction needs and nothing else, whole or absent, checked when it is loaded.

``architecture.json`` says what network it is, ``weights.safetensors`` holds its weights, ``plan.json`` how images are
prepared, cut into windows and mapped to label values; ``SHA256SUMS`` covers these three and can be checked with
``sha256sum -c``. ``README.md`` is the model card, for people, who may add to it.
"""

import glob
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

import torch
from pydantic import ValidationError, model_validator
from torch import nn

from c2fnas.data.plan import Plan
from c2fnas.errors import UserError
from c2fnas.faults import faults_in_a_line
from c2fnas.files import new_folder, read_json, restore_folder, sha256, write_atomically, write_json, write_text
from c2fnas.inference.pretrained import SUMS, WEIGHTS
from c2fnas.inference.quality import Seen
from c2fnas.inference.sliding_window import SlidingWindow
from c2fnas.inference.windows import Weighting
from c2fnas.networks.designs import FILES, Design, build_design, design_file, read_design
from c2fnas.shapes import Size, Spacing
from c2fnas.training.recipe import Precision
from c2fnas.training.weights import read_tensors, write_tensors

PLAN, CARD = "plan.json", "README.md"
LARGEST = "**Largest components**:"
MEMBERS = (*FILES, PLAN, WEIGHTS, SUMS, CARD)
"""The files that a package may have; one of the first ones."""


class ModelPlan(Plan):
    """A plan with the needs of prediction: the blending of windows, mirrored views, and what training showed.

    Of the classes named in ``keep_largest`` the largest component alone stays: where cross-validation gains by it.
    Models of 0.1.0 do not tell what their training showed.
    """

    format: Literal["c2fnas-model-1", "c2fnas-model-2"] = "c2fnas-model-2"
    weighting: Weighting
    mirror: bool = False
    keep_largest: tuple[str, ...] = ()
    seen: Seen | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if not all(each.complete for each in self.channels):
            raise ValueError("a ct channel of a model needs clip, mean and std")
        return self

    @property
    def stated_headers(self) -> tuple[Spacing, ...]:
        """Spacings in headers of the training's data set in place of which others were stated."""
        return self.seen.stated_headers if self.seen else ()

    @property
    def largest(self) -> tuple[int, ...]:
        """Indices of the classes in ``keep_largest``."""
        return tuple(index for index, each in enumerate(self.classes) if index and each.name in self.keep_largest)

    @property
    def clips_first(self) -> bool:
        """True for CT of the first format: it was clipped and standardised before it was resampled."""
        return self.format == "c2fnas-model-1" and any(each.clip for each in self.channels)


@dataclass(frozen=True)
class Package:
    """A loaded package. ``checksum`` identifies it: the SHA-256 of its ``SHA256SUMS``."""

    folder: Path
    design: Design
    network: nn.Module
    plan: ModelPlan
    checksum: str

    def window(
        self,
        *,
        stride: Size | None = None,
        batch: int | None = None,
        precision: Precision = "fp32",
        max_memory: int | None = None,
    ) -> SlidingWindow:
        """Return the sliding window that the model was validated with, or another on request."""
        return SlidingWindow(
            self.plan.patch_size, stride or self.plan.stride, self.plan.weighting, batch, precision, max_memory
        )


def save_package(
    folder: Path,
    network: nn.Module,
    design: Design,
    plan: Plan,
    *,
    card: str,
    weighting: Weighting,
    mirror: bool = False,
    seen: Seen | None = None,
) -> None:
    """Write a package; one that was there before is replaced once the new one is whole.

    Args:
        folder: Of the package.
        network: Its weights are saved, in their own precision.
        design: What ``network`` was built from, an :class:`c2fnas.space.architecture.Architecture` say.
        plan: How its images were prepared.
        card: The model card, Markdown.
        weighting: How windows are blended.
        mirror: Average over mirrored views unless told otherwise.
        seen: What training showed; None keeps what ``plan`` says, that of another model.

    Raises:
        UserError: the disk is full or the folder can't be written; a package that was there is intact.
    """
    restore_folder(folder)
    for left_over in folder.parent.glob(f".[0-9]*-{glob.escape(folder.name)}*"):
        shutil.rmtree(left_over, ignore_errors=True)
    with new_folder(folder, replace=True) as unfinished:
        write_json(unfinished / design_file(design), design.to_json())
        write_json(unfinished / PLAN, _model_plan(plan, weighting, mirror, seen).model_dump(mode="json"))
        write_tensors(unfinished / WEIGHTS, network.state_dict())
        write_text(unfinished / CARD, card.rstrip() + "\n")
        names = sorted((design_file(design), PLAN, WEIGHTS))
        write_text(unfinished / SUMS, "".join(f"{sha256(unfinished / name)}  {name}\n" for name in names))


def store_keep_largest(folder: Path, classes: Sequence[str], remark: str) -> None:
    """Let a package keep the largest component of ``classes`` alone; its card says so in a ``remark``.

    Raises:
        UserError: it is no package, or can't be written; the one that was there is intact.
    """
    restore_folder(folder)
    plan = read_plan(folder / PLAN)
    if plan.keep_largest == tuple(classes):
        return
    sums, card = _sums(folder), read_card(folder)
    before, _, rest = card.partition(f"\n\n{LARGEST}")
    told = [f"{LARGEST} {remark}"] if classes else []
    paragraphs = [before, *told, rest.partition("\n\n")[2]]  # whatever people have added after it stays
    with new_folder(folder, replace=True) as unfinished:
        copy_package(folder, unfinished)
        changed = plan.model_copy(update={"keep_largest": tuple(classes)})
        write_json(unfinished / PLAN, changed.model_dump(mode="json"))
        sums[PLAN] = sha256(unfinished / PLAN)
        write_text(unfinished / SUMS, "".join(f"{sums[name]}  {name}\n" for name in sorted(sums)))
        write_text(unfinished / CARD, "\n\n".join(filter(None, paragraphs)).rstrip() + "\n")


def load_package(folder: Path) -> Package:
    """Load a package whose files are as they were written.

    Raises:
        UserError: it is no package, or a file is missing or damaged.
    """
    folder = Path(folder)
    sums = _sums(folder)
    design = read_design(folder)
    for name in (design_file(design), PLAN):
        _check(folder / name, sums)
    plan = read_plan(folder / PLAN)
    return Package(folder, design, _network(design, plan, folder, sums), plan, sha256(folder / SUMS))


def copy_package(package: Path, folder: Path) -> None:
    """Copy the files of a package, and nothing that lies beside them, into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in MEMBERS:
        if (package / name).is_file():
            write_atomically(folder / name, partial(shutil.copyfile, package / name))


def read_card(package: Path) -> str:
    """Return the model card, which people may have edited in any encoding; empty where there is none."""
    card = package / CARD
    return card.read_text(encoding="utf-8", errors="replace").rstrip() if card.is_file() else ""


_DAMAGED = "damaged, its SHA-256 is not the one in SHA256SUMS. Restore the model from a copy, or train it again."


def _check(path: Path, sums: dict[str, str]) -> None:
    if not path.is_file():
        raise UserError(f"{path}: missing. Restore the model from a copy, or train it again.")
    if sums.get(path.name) != sha256(path):
        raise UserError(f"{path}: {_DAMAGED}")


def _model_plan(plan: Plan, weighting: Weighting, mirror: bool, seen: Seen | None) -> ModelPlan:
    """The plan of a model; that of another model keeps its format, and what it remembers."""
    own = {name: getattr(plan, name) for name in type(plan).model_fields}
    return ModelPlan(**own | {"weighting": weighting, "mirror": mirror} | ({"seen": seen} if seen else {}))


def _network(design: Design, plan: Plan, folder: Path, sums: dict[str, str]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):  # loading a model must not move the caller's random numbers
        network = build_design(design, in_channels=len(plan.channels), classes=plan.outputs)
    tensors = read_tensors(folder / WEIGHTS, sums.get(WEIGHTS, ""))
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise UserError(f"{folder / WEIGHTS}: not the weights of {folder / design_file(design)} ({error}).") from error
    return network.eval()


def read_plan(path: Path) -> ModelPlan:
    """Return the plan in a package's file.

    Raises:
        UserError: it can't be read, or has a fault.
    """
    value: Any = read_json(path)
    try:
        return ModelPlan.model_validate(value)
    except ValidationError as error:
        raise UserError(
            f"{path}: no plan that this version of c2fnas reads ({faults_in_a_line(error, ModelPlan)})."
        ) from error


def _sums(folder: Path) -> dict[str, str]:
    """SHA-256 by name."""
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
        pairs = [line.split(maxsplit=1) for line in lines if line.strip()]
        return {name.lstrip("*"): checksum for checksum, name in pairs}
    except (OSError, ValueError) as error:
        raise UserError(
            f"{folder}: not a model package ({SUMS} cannot be read: {error}). Name the folder of a model, such as "
            "final/fold-0/model in a run folder."
        ) from error
