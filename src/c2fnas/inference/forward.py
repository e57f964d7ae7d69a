"""A network on a device, one batch of windows at a time, with a way out when memory runs out."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from c2fnas.devices import find_device
from c2fnas.errors import UserError
from c2fnas.inference.convolution import SingleSample
from c2fnas.inference.windows import windows_at_a_time
from c2fnas.memory import is_out_of_memory, measured, release_memory, used_memory
from c2fnas.training.precision import forbid_tf32, resolve_precision
from c2fnas.training.recipe import Precision

UNLIMITED = 2**30
MIB = 2**20
log = logging.getLogger(__name__)


class WindowTooLarge(UserError, MemoryError):
    """Not a single window fits into memory."""


_CAPPED: set[torch.device] = set()
"""GPUs whose memory this process has limited."""
_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def resolve_device(device: str | torch.device) -> torch.device:
    """Return the device that ``"auto"`` stands for: the first GPU, else the CPU; any other name is itself.

    "cuda" is the current GPU, by its number.
    """
    found = torch.device(find_device(device) if device == "auto" else device)
    unnumbered = found.type == "cuda" and found.index is None
    return torch.device("cuda", torch.cuda.current_device()) if unnumbered else found


@contextmanager
def computing(device: torch.device, precision: Precision) -> Iterator[None]:
    """Inference in ``precision``, without TF32; in fp32 on a CPU, a single sample takes the kernels of several."""
    fp32 = precision == "fp32"
    if fp32:
        forbid_tf32()
    own = SingleSample() if fp32 and device.type == "cpu" else nullcontext()
    with torch.inference_mode(), nullcontext() if fp32 else torch.autocast(device.type, _AUTOCAST[precision]), own:
        yield


def filled(batch: np.ndarray, size: int) -> np.ndarray:
    """Return the windows ``[b, ...]``, and the last one again until there are ``size``.

    >>> filled(np.array([[1], [2]]), 4).ravel().tolist()
    [1, 2, 2, 2]
    """
    return batch if len(batch) >= size else np.concatenate([batch, *[batch[-1:]] * (size - len(batch))])


class Forward:
    """Logits of batches of windows. Out of memory, it halves the batch; then it carries on, on the CPU.

    With ``max_memory``, a GPU's allocator refuses more than that, which starts the descent; on the CPU the first window
    is computed alone and measured, and the others go in batches that fit.

    Args:
        network: ``[b, channels, i, j, k] -> [b, classes, i, j, k]``; moved to ``device``.
        device: Where to compute first.
        precision: ``bf16`` and ``fp16`` compute under autocast; the logits are float32 in any case.
        max_memory: Bytes that this process may take, of the GPU's memory or else of the machine's.
        size: Windows of a whole batch, or None for :func:`c2fnas.inference.windows.windows_at_a_time`: a shorter one is
            filled up to it where memory allows, since kernels are chosen by the number of windows, and a window's
            logits are not to depend on how many come with it.
    """

    def __init__(
        self,
        network: nn.Module,
        device: str | torch.device = "auto",
        precision: Precision = "fp32",
        max_memory: int | None = None,
        size: int | None = None,
    ) -> None:
        self.device = resolve_device(device)
        self._network = network
        self._precision = precision
        self._max_memory = max_memory
        self._size = size
        self._limit = UNLIMITED
        self._needs = 0
        _cap(self.device, max_memory)
        self._place()

    def __call__(self, batch: np.ndarray) -> Tensor:
        """Logits ``[b, classes, i, j, k]``, float32, of the windows ``batch`` ``[b, channels, i, j, k]``.

        Raises:
            UserError: a single window doesn't fit, not even on the CPU.
        """
        parts = []
        while len(batch):
            size = self.size(batch[:1])  # another one once the CPU goes on
            part = batch[: min(self._limit, size)]
            whole = filled(part, size) if size <= self._limit else part
            logits = self._measured(batch) if self._unmeasured else self._try(whole)
            if logits is None:
                self._step_down(len(whole))
                continue
            parts.append(logits[: len(part)])
            batch = batch[len(parts[-1]) :]
        if len(parts) == 1:
            return parts[0]
        return torch.cat([part.to(self.device) for part in parts])

    def size(self, window: np.ndarray) -> int:
        """Return the windows of a whole batch, of the size of ``window`` ``[1, channels, i, j, k]``."""
        if self._size is None:
            self._size = self._found_size(window)
        return self._size

    def _found_size(self, window: np.ndarray) -> int:
        try:
            return windows_at_a_time(self._compute, torch.from_numpy(window).to(self.device), self._max_memory)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        release_memory()  # of what has been tried
        return 1  # where it does not fit, either, the CPU goes on

    def room(self) -> int | None:
        """Return the bytes of main memory that ``max_memory`` leaves besides a batch; None without a limit."""
        if self.device.type != "cpu" or self._max_memory is None:
            return None
        return max(0, self._max_memory - used_memory() - self._needs)

    def _try(self, batch: np.ndarray) -> Tensor | None:
        """The logits, or None if memory ran out (the failed pass's tensors are gone once this has returned)."""
        try:
            return self._compute(torch.from_numpy(batch).to(self.device))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return None

    def _compute(self, windows: Tensor) -> Tensor:
        with computing(self.device, self._precision):
            logits: Tensor = self._network(windows).float()
            return logits

    @property
    def _unmeasured(self) -> bool:
        return self.device.type == "cpu" and self._max_memory is not None and self._limit == UNLIMITED

    def _measured(self, batch: np.ndarray) -> Tensor | None:
        """The logits of the first window alone, from which the size of batches is set that ``max_memory`` allows."""
        assert self._max_memory is not None
        room = self._max_memory - used_memory()
        logits, each = measured(lambda: self._try(batch[:1]))
        self._limit = min(max(1, room // max(1, each)), UNLIMITED - 1)
        if each > room:
            log.warning(
                "One window takes %.0f MiB, and %.0f MiB in all leave %.0f MiB for it: going on, one window at a time.",
                each / MIB,
                self._max_memory / MIB,
                max(0, room) / MIB,
            )
        self._needs = each * min(self._limit, max(len(batch), self._size or 1))
        return logits

    def _step_down(self, tried: int) -> None:
        """The next rung: half the batch, then the CPU."""
        release_memory()
        if tried > 1:
            self._limit = tried // 2
        elif self.device.type != "cpu":
            self._go_on_with_the_cpu("one window")
        else:
            raise WindowTooLarge(
                "There is not enough memory for one window of this network, not even on the CPU. End other "
                "programs, or use a machine with more memory."
            )

    def _place(self) -> None:
        try:
            self._network.to(self.device)
        except RuntimeError as error:
            if not is_out_of_memory(error) or self.device.type == "cpu":
                raise
            self._go_on_with_the_cpu("the network")

    def _go_on_with_the_cpu(self, what: str) -> None:
        log.warning("%s has not enough memory for %s: going on with the CPU.", self.device, what)
        self.device = torch.device("cpu")
        self._limit, self._size = UNLIMITED, 1
        if self._precision != "fp32":  # what a GPU computes fast may be slow here
            self._precision = cast(Precision, resolve_precision("auto", "cpu"))
        self._network.to(self.device)


def _cap(device: torch.device, max_memory: int | None) -> None:
    """Have the GPU's allocator refuse more than ``max_memory`` bytes, which starts the descent above.

    Without a limit, one that an earlier prediction of this process has set is lifted.
    """
    if device.type == "cuda" and (max_memory is not None or device in _CAPPED):
        total = torch.cuda.get_device_properties(device).total_memory
        share = 1.0 if max_memory is None else min(1.0, max_memory / total)
        torch.cuda.set_per_process_memory_fraction(share, device)
        _CAPPED.add(device)
