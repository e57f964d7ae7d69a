"""The training loop, for any network, resumable at any iteration."""

import copy
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn

from c2fnas.data.scheme import LabelScheme
from c2fnas.errors import Interrupted
from c2fnas.memory import release_memory, used_memory
from c2fnas.training.checkpoint import FOLDER, load_newest, save_checkpoint
from c2fnas.training.device import use_threads
from c2fnas.training.metrics_log import MetricsLog, Progress, is_shown
from c2fnas.training.recipe import Recipe
from c2fnas.training.state import refuse_another, restore, seed_everything, state_meta, state_tensors
from c2fnas.training.step import Batch, Forward, Stepper, TrainingFailed, plain_forward, share_weights
from c2fnas.training.stop import StopRequest

CHECKPOINT_SECONDS = 60.0
PACE = 20
"""Iterations whose mean duration is the pace."""

Batches = Callable[[int, int], Iterator[Batch]]
Validate = Callable[[nn.Module], float]


@dataclass(frozen=True)
class TrainResult:
    """A finished training: ``loss`` of the last iteration, ``seconds`` of this session.

    ``micro_batch`` patches passed the network at a time in the end; None: all of them.
    """

    iterations: int
    loss: float | None
    seconds: float
    micro_batch: int | None = None


def train(
    network: nn.Module,
    batches: Batches,
    recipe: Recipe,
    *,
    folder: Path,
    seed: int = 0,
    device: str = "auto",
    forward: Forward = plain_forward,
    scheme: LabelScheme = LabelScheme(),
    on_progress: Callable[[Progress], None] | None = None,
    checkpoint_every: int | None = None,
    validate: Validate | None = None,
    validate_every: int | None = None,
    extend: bool = False,
    until: int | None = None,
) -> TrainResult:
    """Train ``network`` in place by ``recipe`` (paper 4.1), alone or, under torchrun, together with other processes.

    Carries on from the newest checkpoint in ``folder``; a finished training returns at once with its weights in
    ``network``. On a CPU an interrupted training ends with the weights of an uninterrupted one, bit for bit.

    Args:
        network: built alike on every call; under torchrun the first process's weights count.
        batches: ``batches(start, stop)`` yields the batches of these iterations, a function of the iteration alone.
            Under torchrun (see `ranks`) each process gets its share of them.
        folder: ``checkpoints/``, ``metrics.jsonl`` and ``tensorboard/`` go here.
        seed: of torch's, numpy's and Python's generators.
        device: "auto", "cpu", "cuda" or "cuda:1".
        forward: the forward pass of an iteration, such as along a path of a super-network. Parameters that it does not
            use have no gradient, and stay as they are.
        scheme: of the labels: classes, or regions that overlap, perhaps with ignored voxels.
        on_progress: called after every iteration, in the first process.
        checkpoint_every: iterations between checkpoints, besides one every minute.
        validate: returns a score of the network, in evaluation mode and without gradients, every ``validate_every``
            iterations and at the end, in every process.
        extend: continue the folder's training by another recipe, such as one of more iterations. The schedule of the
            new recipe holds from the iteration reached (a decayed learning rate rises again); weights and momenta stay.
        until: save and return after this iteration; a later call carries on with the same schedule.

    Raises:
        TrainingFailed: the loss is not finite. On a GPU it is read every few iterations, and before every checkpoint
            and validation, so that a network that has diverged is never saved.
        Interrupted: a file ``stop`` lies in ``folder``, or SIGINT or SIGTERM came; the state is saved.
        UserError: the folder holds another training, or can't be written.
        ValueError: there are fewer batches than iterations.
    """
    session = _Session(Stepper(network, recipe, device, forward, scheme), folder, seed, extend)
    if validate and validate_every:
        session.validate, session.validate_every = validate, validate_every
    result = session.run(batches, on_progress, checkpoint_every, until)
    release_memory()
    return result


def time_iterations(
    network: nn.Module,
    batches: Batches,
    recipe: Recipe,
    count: int,
    *,
    device: str = "auto",
    scheme: LabelScheme = LabelScheme(),
) -> float:
    """Return the seconds of an iteration: the median of ``count`` after a warm-up, on a copy of ``network``."""
    stepper = Stepper(copy.deepcopy(network).train(), recipe, device, scheme=scheme)
    use_threads(stepper.fabric)
    seconds = []
    for iteration, batch in enumerate(batches(0, count + 1)):
        start = time.perf_counter()
        stepper.step(batch, iteration)
        if stepper.fabric.device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return median(seconds[1:])


class _Session:
    """A session of a training, from the checkpoint of the last one to the end or an interruption."""

    validate: Validate | None = None
    validate_every = 0

    def __init__(self, stepper: Stepper, folder: Path, seed: int, extend: bool) -> None:
        self.stepper, self.recipe, self.folder, self.seed = stepper, stepper.recipe, folder, seed
        self.threads = use_threads(stepper.fabric)
        self.first = stepper.fabric.global_rank == 0
        self.loss: float | None = None
        self._unread: list[tuple[int, Tensor | None]] = []
        self.start = self._resume(extend)
        self.saved_at = time.monotonic()

    def run(
        self, batches: Batches, on_progress: Callable[[Progress], None] | None, every: int | None, until: int | None
    ) -> TrainResult:
        """Iterate to the end, or to ``until``."""
        began, end = time.monotonic(), min(self.recipe.iterations, until or self.recipe.iterations)
        if self.start >= end:
            return TrainResult(self.start, self.loss, 0.0, self.stepper.micro_batch)
        self.stepper.network.train()
        source = batches(self.start, end)
        with (
            _closing(source),
            StopRequest(self.folder) as stop,
            MetricsLog(self.folder, self.start, active=self.first) as log,
        ):
            for progress, stopped, due in self._iterate(source, stop, end):
                if self.first:
                    log.iteration(progress, memory=used_memory(self.stepper.fabric.device))
                    if on_progress:
                        on_progress(progress)
                self._validate(progress.iteration, log)
                if progress.iteration == end or stopped or due or (every and progress.iteration % every == 0):
                    self._save(progress.iteration)
                if stopped and progress.iteration < end:
                    stop.obeyed()
                    raise Interrupted(
                        f"{self.folder}: stopped after iteration {progress.iteration}; the same command carries on."
                    )
        return TrainResult(end, self.loss, time.monotonic() - began, self.stepper.micro_batch)

    def _iterate(self, source: Iterator[Batch], stop: StopRequest, end: int) -> Iterator[tuple[Progress, bool, bool]]:
        """Yield every iteration's progress, true if any process wants to stop, and true if a checkpoint is due."""
        durations: deque[float] = deque(maxlen=PACE)
        then, alone = time.monotonic(), self.stepper.fabric.world_size == 1

        def flags() -> tuple[bool, bool]:
            return bool(stop), self.first and time.monotonic() - self.saved_at > CHECKPOINT_SECONDS

        for iteration in range(self.start, end):
            batch = next(source, None)
            if batch is None:
                raise ValueError(f"the batches ended at iteration {iteration} of {self.recipe.iterations}")
            read = self._is_read(iteration + 1)
            # Several processes share the flags on the device, from where they have to be read.
            stepped = self.stepper.step(batch, iteration, flags if read or alone else tuple)
            self._unread.append((iteration + 1, stepped.loss))
            if read:
                self._read_losses()
            now = time.monotonic()
            durations.append(now - then)
            then = now
            pace = sum(durations) / len(durations)
            rate = self.recipe.learning_rate_at(iteration)
            stopped, due = stepped.flags or (False, False)
            yield Progress(iteration + 1, self.recipe.iterations, self.loss, rate, pace), stopped, due

    def _is_read(self, iteration: int) -> bool:
        """True after iterations whose loss is read: every one on a CPU, and on a GPU, which it keeps waiting, few."""
        return self.stepper.fabric.device.type == "cpu" or is_shown(iteration, self.recipe.iterations)

    def _read_losses(self) -> None:
        """Read the losses since the last time, all at once; the last one counts.

        Raises:
            TrainingFailed: one of them is not finite.
        """
        there = [(iteration, loss) for iteration, loss in self._unread if loss is not None]
        values = torch.stack([loss for _, loss in there]).tolist() if there else []
        for (iteration, _), value in zip(there, values, strict=True):
            if self.stepper.scaler is None and not math.isfinite(value):
                raise TrainingFailed(f"the loss is {value} at iteration {iteration}; a lower learning rate may help")
        if self._unread:
            self.loss = None if self._unread[-1][1] is None else values[-1]
            self._unread.clear()

    def _resume(self, extend: bool) -> int:
        """Load the newest checkpoint, or seed; return the iteration to start with."""
        checkpoint = load_newest(self.folder / FOLDER)
        if checkpoint is None:
            share_weights(self.stepper.fabric, self.stepper.network)
            seed_everything(self.seed, self.stepper.fabric.global_rank)
            return 0
        refuse_another(checkpoint, self.recipe, self.seed, self.folder, extend=extend)
        restore(self.stepper, checkpoint, self.threads, self.folder)
        self.loss = checkpoint.meta["loss"]
        self.stepper.fabric.barrier()  # nobody writes while another still reads
        return checkpoint.iteration

    def _validate(self, iteration: int, log: MetricsLog) -> None:
        if self.validate is None or (iteration % self.validate_every and iteration != self.recipe.iterations):
            return
        self._read_losses()
        self.stepper.network.eval()
        with torch.no_grad():
            score = self.validate(self.stepper.network)
        self._return_to_device()
        self.stepper.network.train()
        log.validation(iteration, self.recipe.iterations, score)

    def _return_to_device(self) -> None:
        """A validation that was short of memory has gone on with the CPU, and left the network there."""
        network, device = self.stepper.network, self.stepper.fabric.device
        if any(each.device.type != device.type for each in network.parameters()):
            release_memory()
            network.to(device)

    def _save(self, iteration: int) -> None:
        self._read_losses()
        tensors = state_tensors(self.stepper)
        if self.first:
            meta = state_meta(self.stepper, self.seed, self.threads, self.loss)
            save_checkpoint(self.folder / FOLDER, iteration, tensors, meta)
        self.stepper.fabric.barrier()
        self.saved_at = time.monotonic()


def _closing(source: Iterator[Batch]) -> closing | nullcontext:
    """A context that ends prefetching threads with the loop."""
    return closing(source) if hasattr(source, "close") else nullcontext()
