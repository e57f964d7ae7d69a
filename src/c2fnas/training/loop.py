"""The one training loop: explicit, for any network, resumable at any iteration."""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from c2fnas.errors import Interrupted
from c2fnas.files import append_json_line
from c2fnas.training.checkpoint import load_newest, save_checkpoint
from c2fnas.training.losses import DiceCrossEntropy
from c2fnas.training.recipe import Recipe

CHECKPOINT_SECONDS = 60.0
LOG_EVERY = 10
FABRIC_PRECISION = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}

Forward = Callable[[nn.Module, Tensor, int], Tensor]
Batches = Callable[[int, int], Iterator[Any]]


class Progress(Protocol):
    """Hears of iterations."""

    def __call__(self, iteration: int, loss: float) -> None:
        """``iteration`` iterations are done; the last one's loss."""


class TrainingFailed(ArithmeticError):
    """The loss is not finite any more."""


@dataclass(frozen=True)
class TrainResult:
    """A finished training."""

    iterations: int
    loss: float | None
    seconds: float


def plain_forward(network: nn.Module, image: Tensor, iteration: int) -> Tensor:
    """``network(image)``: what a plain network does at every iteration."""
    return network(image)


def train(
    network: nn.Module, batches: Batches, recipe: Recipe, *, folder: Path, seed: int = 0, device: str = "cpu",
    forward: Forward = plain_forward, on_progress: Progress | None = None, checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> TrainResult:  # fmt: skip
    """Train ``network`` in place by ``recipe``.

    Args:
        batches: ``batches(start, stop)`` yields the batches of these iterations; each has ``image`` [b, c, i, j, k] and
            ``label`` [b, i, j, k].
        folder: checkpoints and ``metrics.jsonl`` go here, and a training that was stopped carries on from here.
        forward: how an image goes through the network at an iteration, such as along a path of a super-network.

    Raises:
        TrainingFailed: the loss is not finite.
        Interrupted: a file ``stop`` lies in ``folder``, or Ctrl-C; the state is saved.
    """
    return _Training(network, recipe, folder, seed, device, forward).run(batches, on_progress, checkpoint_seconds)


def time_iterations(network: nn.Module, batches: Batches, recipe: Recipe, count: int, *, device: str = "cpu") -> float:
    """Seconds of one iteration: the median of ``count`` after a warm-up; ``network`` is trained on the way."""
    training = _Training(network, recipe, None, 0, device, plain_forward)
    seconds = []
    for iteration, batch in enumerate(batches(0, count + 1)):
        start = time.perf_counter()
        training.step(batch, iteration)
        seconds.append(time.perf_counter() - start)
    return sorted(seconds[1:])[count // 2]


class _Training:
    """Network, optimiser and device of one training."""

    def __init__(
        self, network: nn.Module, recipe: Recipe, folder: Path | None, seed: int, device: str, forward: Forward
    ) -> None:
        self.recipe, self.folder, self.forward = recipe, folder, forward
        kind, _, index = device.partition(":")
        self.fabric = Fabric(
            accelerator=kind, devices=[int(index)] if index and kind == "cuda" else 1,
            precision=FABRIC_PRECISION[recipe.precision],
        )  # fmt: skip
        torch.manual_seed(seed)
        optimiser = torch.optim.SGD(
            network.parameters(), lr=recipe.learning_rate, momentum=recipe.momentum, nesterov=recipe.nesterov,
            weight_decay=recipe.weight_decay,
        )  # fmt: skip
        self.bare = network
        self.network, self.optimiser = self.fabric.setup(network, optimiser)
        self.loss = DiceCrossEntropy(recipe.dice_smoothing)

    def run(self, batches: Batches, on_progress: Progress | None, checkpoint_seconds: float) -> TrainResult:
        began = saved = time.monotonic()
        start, loss = self._resume(), None
        self.network.train()
        with _interruption() as interrupted:
            for iteration, batch in zip(
                range(start, self.recipe.iterations), batches(start, self.recipe.iterations), strict=False
            ):
                loss = self.step(batch, iteration)
                done = iteration + 1
                self._log(done, loss, (time.monotonic() - began) / (done - start))
                if on_progress:
                    on_progress(done, loss)
                if interrupted.is_set() or self._stop_requested():
                    self._save(done)
                    raise Interrupted(f"{self.folder}: stopped after iteration {done}; the same command carries on.")
                if time.monotonic() - saved > checkpoint_seconds:
                    self._save(done)
                    saved = time.monotonic()
        if start < self.recipe.iterations:
            self._save(self.recipe.iterations)
        return TrainResult(self.recipe.iterations, loss, time.monotonic() - began)

    def step(self, batch: Any, iteration: int) -> float:
        """One iteration; gradients of micro-batches add up to those of the whole batch."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.learning_rate_at(iteration)
        image, label = self.fabric.to_device(batch.image), self.fabric.to_device(batch.label)
        size = self.recipe.micro_batch or len(image)
        total = 0.0
        for images, labels in zip(image.split(size), label.split(size), strict=True):
            loss = self.loss(self.forward(self.network, images, iteration), labels) * (len(images) / len(image))
            self.fabric.backward(loss)
            total += float(loss.detach())
        if not math.isfinite(total):
            raise TrainingFailed(f"the loss is {total} at iteration {iteration + 1}")
        if self.recipe.gradient_clip:
            self.fabric.clip_gradients(self.network, self.optimiser, max_norm=self.recipe.gradient_clip)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        return total

    def _resume(self) -> int:
        assert self.folder is not None
        checkpoint = load_newest(self.folder / "checkpoints")
        if checkpoint is None:
            return 0
        weights = {key.removeprefix("model/"): value for key, value in checkpoint.tensors.items() if key.startswith("model/")}
        self.bare.load_state_dict(weights)
        for name, parameter in self.bare.named_parameters():
            momentum = checkpoint.tensors.get(f"momentum/{name}")
            if momentum is not None:
                self.optimiser.state[parameter]["momentum_buffer"] = momentum.to(parameter.device)
        torch.set_rng_state(checkpoint.tensors["random/torch"])
        return checkpoint.iteration

    def _save(self, iteration: int) -> None:
        assert self.folder is not None
        tensors = {f"model/{name}": value for name, value in self.bare.state_dict().items()}
        for name, parameter in self.bare.named_parameters():
            momentum = self.optimiser.state.get(parameter, {}).get("momentum_buffer")
            if momentum is not None:
                tensors[f"momentum/{name}"] = momentum
        tensors["random/torch"] = torch.get_rng_state()
        save_checkpoint(self.folder / "checkpoints", iteration, tensors, {})

    def _log(self, iteration: int, loss: float, seconds: float) -> None:
        if iteration % LOG_EVERY and iteration != self.recipe.iterations:
            return
        assert self.folder is not None
        append_json_line(self.folder / "metrics.jsonl", {
            "iteration": iteration, "iterations": self.recipe.iterations, "loss": loss,
            "learning_rate": self.recipe.learning_rate_at(iteration - 1), "seconds_per_iteration": seconds,
        })  # fmt: skip

    def _stop_requested(self) -> bool:
        return self.folder is not None and (self.folder / "stop").exists()


@contextmanager
def _interruption() -> Iterator[threading.Event]:
    """Ctrl-C sets a flag instead of breaking an iteration in the middle; only the main thread may ask for it."""
    flag = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    previous = signal.signal(signal.SIGINT, lambda *_: flag.set())
    try:
        yield flag
    finally:
        signal.signal(signal.SIGINT, previous)
