"""One iteration: forward, backward, sharing of gradients, and the optimiser's step."""

import logging
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from c2fnas.errors import UserError
from c2fnas.training.device import make_fabric
from c2fnas.training.gradients import share_gradients
from c2fnas.training.losses import DiceCrossEntropy
from c2fnas.training.recipe import SECOND_MOMENTUM, Recipe
from c2fnas.training.small_convolutions import SmallConvolutions

PATIENCE = 50
"""Overflows in a row that a loss scaler may answer by halving its scale, which begins at 65,536."""
ALL = 2**31
"""More patches than any iteration has."""

log = logging.getLogger(__name__)
Forward = Callable[[nn.Module, Tensor, int], Tensor]


class Batch(Protocol):
    """Patches: ``image`` float [b, c, i, j, k] and ``label`` class indices [b, i, j, k]."""

    @property
    def image(self) -> Tensor:
        """The patches."""

    @property
    def label(self) -> Tensor:
        """Their classes."""


class TrainingFailed(ArithmeticError):
    """The loss or the weights are not finite any more."""


@dataclass(frozen=True)
class Stepped:
    """An iteration done; ``loss`` is None where fp16 overflowed and the weights were left alone."""

    loss: float | None
    flags: tuple[bool, ...]


def plain_forward(network: nn.Module, image: Tensor, iteration: int) -> Tensor:
    """``network(image)``: what a plain network does at every iteration."""
    return network(image)


def make_optimiser(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimiser; a parameter without gradient is left alone by either, whatever its momentum."""
    parameters, rate, decay = network.parameters(), recipe.learning_rate, recipe.weight_decay
    if recipe.optimiser == "adamw":
        return torch.optim.AdamW(parameters, lr=rate, betas=(recipe.momentum, SECOND_MOMENTUM), weight_decay=decay)
    return torch.optim.SGD(parameters, lr=rate, momentum=recipe.momentum, nesterov=recipe.nesterov, weight_decay=decay)


class Stepper:
    """A network on its device with optimiser and loss, moved by one iteration at a time.

    Raises:
        UserError: there are more processes than patches in an iteration.
    """

    def __init__(self, network: nn.Module, recipe: Recipe, device: str, forward: Forward = plain_forward) -> None:
        self.recipe, self._forward = recipe, forward
        self.fabric = make_fabric(device, recipe.precision)
        if self.fabric.world_size > recipe.batch_size:
            raise UserError(
                f"{self.fabric.world_size} processes have nothing to share: an iteration of recipe {recipe.name} takes "
                f"{recipe.batch_size} patches. Start {recipe.batch_size} at most."
            )
        self.network = self.fabric.to_device(network)
        self.optimiser = make_optimiser(network, recipe)
        self._scaled_optimiser: Any = self.fabric.setup_optimizers(self.optimiser)
        self._loss = DiceCrossEntropy(recipe.dice_smoothing)
        self._at_a_time = recipe.micro_batch or ALL
        self.overflows = 0

    @property
    def scaler(self) -> torch.amp.GradScaler | None:
        """The loss scaler, where fp16 needs one."""
        return getattr(self.fabric.strategy.precision, "scaler", None)

    def step(self, batch: Batch, iteration: int, flags: Callable[[], Sequence[bool]] = tuple) -> Stepped:
        """Train on ``batch``; ``flags``, asked for after the backward pass, are shared among the processes.

        Raises:
            TrainingFailed: the loss is not finite, or fp16 has overflowed too often in a row.
        """
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.learning_rate_at(iteration)
        image, label = self.fabric.to_device(batch.image), self.fabric.to_device(batch.label)
        loss = self._in_parts_that_fit(image, label, iteration)
        shared = share_gradients(self.fabric, self.network.parameters(), loss, len(image), flags())
        value = self._move(float(shared.loss), iteration)
        return Stepped(value, shared.flags)

    def _in_parts_that_fit(self, image: Tensor, label: Tensor, iteration: int) -> Tensor:
        """Accumulate; where a device's memory runs out, with half as many patches at a time from here on."""
        while (loss := self._accumulate(image, label, iteration)) is None:
            torch.cuda.empty_cache()
        return loss

    def _accumulate(self, image: Tensor, label: Tensor, iteration: int) -> Tensor | None:
        """The loss, or None after halving the micro-batch. An error's own frames would keep the memory it lacked."""
        self.optimiser.zero_grad(set_to_none=True)
        try:
            return self._backward(image, label, iteration)
        except torch.OutOfMemoryError:
            size = min(self._at_a_time, len(image))
            if size == 1:
                raise
            self._at_a_time = -(-size // 2)
            log.warning(
                "Out of memory with %d patches at a time; going on with %d, which gives the same result.",
                size,
                self._at_a_time,
            )
        return None

    def _backward(self, image: Tensor, label: Tensor, iteration: int) -> Tensor:
        """The gradients of micro-batches, weighted by their patches, add up to those of the whole batch."""
        size, total = self._at_a_time, torch.zeros((), device=self.fabric.device)
        for images, labels in zip(image.split(size), label.split(size), strict=True):
            with self.fabric.autocast(), self._exactly():
                logits = self._forward(self.network, images, iteration)
            loss = self._loss(logits, labels) * (len(images) / len(image))
            self.fabric.backward(loss)
            total += loss.detach()
        return total

    def _exactly(self) -> AbstractContextManager:
        """What bf16 needs on a CPU for its gradients to be right."""
        needed = self.recipe.precision == "bf16" and self.fabric.device.type == "cpu"
        return SmallConvolutions() if needed else nullcontext()

    def _move(self, loss: float, iteration: int) -> float | None:
        """Clip and step; the loss, or None where an overflow was skipped."""
        scaler, before = self.scaler, self.scaler.get_scale() if self.scaler else 0.0
        if scaler is None and not math.isfinite(loss):
            raise TrainingFailed(f"the loss is {loss} at iteration {iteration + 1}; a lower learning rate may help")
        if self.recipe.gradient_clip:
            # Not finite is the scaler's affair in fp16; elsewhere the weights would show it at the next iteration.
            self.fabric.clip_gradients(
                self.network, self._scaled_optimiser, max_norm=self.recipe.gradient_clip, error_if_nonfinite=False
            )
        self._scaled_optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        overflowed = scaler is not None and scaler.get_scale() < before
        self.overflows = self.overflows + 1 if overflowed else 0
        if self.overflows >= PATIENCE:
            raise TrainingFailed(
                f"fp16 overflowed {PATIENCE} times in a row up to iteration {iteration + 1}; use bf16 or fp32"
            )
        return None if overflowed else loss
