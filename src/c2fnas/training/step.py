"""One iteration: forward, backward, gradients shared among processes, and the step of the optimiser."""

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from c2fnas.data.scheme import LabelScheme
from c2fnas.errors import UserError
from c2fnas.memory import is_out_of_memory, release_memory
from c2fnas.training.device import make_fabric
from c2fnas.training.losses import DiceCrossEntropy
from c2fnas.training.precision import SmallConvolutions
from c2fnas.training.recipe import SECOND_MOMENTUM, Recipe

if TYPE_CHECKING:
    from lightning_fabric import Fabric

PATIENCE = 50
"""Overflows in a row that a loss scaler may answer by halving its scale, which begins at 65,536."""

ALL = 2**31
"""A micro-batch that no batch exceeds."""

log = logging.getLogger(__name__)
Forward = Callable[[nn.Module, Tensor, int], Tensor]


class Batch(Protocol):
    """Patches: ``image`` float [b, c, i, j, k] and ``label`` class indices [b, i, j, k] of any integer type."""

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
    """The result of an iteration; ``loss``, on the device, is None where fp16 overflowed and no weight was changed."""

    loss: Tensor | None
    flags: tuple[bool, ...]


def plain_forward(network: nn.Module, image: Tensor, iteration: int) -> Tensor:
    """Return ``network(image)``, as for a plain network at every iteration."""
    return network(image)


def make_optimiser(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Make the recipe's optimiser; either leaves a parameter without gradient as it is, whatever its momentum."""
    parameters, rate, decay = network.parameters(), recipe.learning_rate, recipe.weight_decay
    if recipe.optimiser == "adamw":
        return torch.optim.AdamW(parameters, lr=rate, betas=(recipe.momentum, SECOND_MOMENTUM), weight_decay=decay)
    return torch.optim.SGD(parameters, lr=rate, momentum=recipe.momentum, nesterov=recipe.nesterov, weight_decay=decay)


class Stepper:
    """A network on its device with optimiser and loss, trained by one iteration at a time.

    Raises:
        UserError: there are more processes than patches in an iteration.
    """

    def __init__(
        self,
        network: nn.Module,
        recipe: Recipe,
        device: str,
        forward: Forward = plain_forward,
        scheme: LabelScheme = LabelScheme(),
    ) -> None:
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
        self._loss = DiceCrossEntropy(recipe.dice_smoothing, scheme)
        self._at_a_time = recipe.micro_batch or ALL
        self.overflows = 0

    @property
    def micro_batch(self) -> int | None:
        """Patches that pass the network at a time; None for all of them."""
        return None if self._at_a_time == ALL else self._at_a_time

    @property
    def scaler(self) -> torch.amp.GradScaler | None:
        """The loss scaler of fp16, or None."""
        return getattr(self.fabric.strategy.precision, "scaler", None)

    def step(self, batch: Batch, iteration: int, flags: Callable[[], Sequence[bool]] = tuple) -> Stepped:
        """Train on ``batch``; ``flags``, asked for after the backward pass, are shared among the processes.

        Raises:
            TrainingFailed: fp16 has overflowed too often in a row.
        """
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.learning_rate_at(iteration)
        image, label = self.fabric.to_device(batch.image), self.fabric.to_device(batch.label)
        loss = self._in_parts_that_fit(image, label, iteration)
        loss, raised = share_gradients(self.fabric, self.network.parameters(), loss, len(image), flags())
        return Stepped(None if self._move(iteration) else loss, raised)

    def _in_parts_that_fit(self, image: Tensor, label: Tensor, iteration: int) -> Tensor:
        """Accumulate gradients; where memory runs out, with half as many patches at a time from here on."""
        while (loss := self._accumulate(image, label, iteration)) is None:
            release_memory()
        return loss

    def _accumulate(self, image: Tensor, label: Tensor, iteration: int) -> Tensor | None:
        """The loss, or None after halving the micro-batch: outside of ``except`` the frames of the error are freed."""
        self.optimiser.zero_grad(set_to_none=True)
        try:
            return self._backward(image, label, iteration)
        except (RuntimeError, MemoryError) as error:
            size = min(self._at_a_time, len(image))
            if size == 1 or not is_out_of_memory(error):
                raise
            self._at_a_time = -(-size // 2)
            message = "Out of memory with %d patches at a time; going on with %d, which gives the same result."
            log.warning(message, size, self._at_a_time)
        return None

    def _backward(self, image: Tensor, label: Tensor, iteration: int) -> Tensor:
        """Add up the gradients of micro-batches, weighted by their patches, to those of the whole batch."""
        size, total = self._at_a_time, torch.zeros((), device=self.fabric.device)
        for images, labels in zip(image.split(size), label.split(size), strict=True):
            with self.fabric.autocast(), self._exactly():
                logits = self._forward(self.network, images, iteration)
            loss = self._loss(logits, labels) * (len(images) / len(image))
            self.fabric.backward(loss)
            total += loss.detach()
        return total

    def _exactly(self) -> AbstractContextManager:
        needed = self.recipe.precision == "bf16" and self.fabric.device.type == "cpu"
        return SmallConvolutions() if needed else nullcontext()

    def _move(self, iteration: int) -> bool:
        """Clip and step; true where an overflow was skipped. fp16 alone waits for the device: its scaler must know."""
        scaler, before = self.scaler, self.scaler.get_scale() if self.scaler else 0.0
        if self.recipe.gradient_clip:
            # Gradients that are not finite are skipped by the scaler in fp16, else found in a later loss or checkpoint.
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
        return overflowed


def share_gradients(
    fabric: "Fabric", parameters: Iterable[nn.Parameter], loss: Tensor, patches: int, flags: Sequence[bool]
) -> tuple[Tensor, tuple[bool, ...]]:
    """Replace gradients, means over the ``patches`` of this process, by the means over the patches of all processes.

    Returns the loss of the whole batch, and for each flag true if any process has raised it. It is one all-reduce over
    the parameters that have a gradient. These must be the same on every rank, as they are where the path of a
    super-network depends on the iteration alone. The others keep none: momentum would follow a zero one.
    """
    if fabric.world_size == 1:
        return loss, tuple(flags)
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    extra = torch.tensor([float(patches), *map(float, flags)], device=fabric.device)
    flat = torch.cat(
        [*(gradient.flatten().float() * patches for gradient in gradients), loss.reshape(1) * patches, extra]
    )
    fabric.all_reduce(flat, reduce_op="sum")
    total = flat[-1 - len(flags)]
    parts = flat.split([*(gradient.numel() for gradient in gradients), 1, 1, len(flags)])
    for gradient, part in zip(gradients, parts, strict=False):
        gradient.copy_((part / total).view_as(gradient))
    return (parts[-3] / total).squeeze(), tuple(value > 0 for value in parts[-1].tolist())


def share_weights(fabric: "Fabric", network: nn.Module) -> None:
    """Give every process the weights of the first one."""
    if fabric.world_size > 1:
        for tensor in network.state_dict().values():
            torch.distributed.broadcast(tensor, src=0)
