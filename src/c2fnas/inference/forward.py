"""A network on a device, one batch of windows at a time, with a way out when memory runs out."""

import warnings
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from c2fnas.errors import UserError
from c2fnas.execution.memory import free_memory, is_out_of_memory

Precision = Literal["fp32", "bf16", "fp16"]
_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def resolve_device(device: str | torch.device) -> torch.device:
    """The device that ``"auto"`` stands for: the first GPU, else the CPU; any other name is itself."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(device)


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """The context in which a network computes in ``precision``; none for fp32."""
    return torch.autocast(device.type, _AUTOCAST.get(precision, torch.float32), enabled=precision in _AUTOCAST)


class Forward:
    """Logits of batches of windows. Out of memory, it halves the batch; then it carries on, on the CPU.

    Args:
        network: ``[b, channels, i, j, k] -> [b, classes, i, j, k]``; moved to ``device``.
        device: Where to compute first.
        precision: ``bf16`` and ``fp16`` compute under autocast; the logits are float32 in any case.
        max_memory: Bytes the GPU may give to this process.
    """

    def __init__(
        self, network: nn.Module, device: str | torch.device = "auto", precision: Precision = "fp32",
        max_memory: int | None = None,
    ) -> None:  # fmt: skip
        self.device = resolve_device(device)
        self._network = network
        self._precision = precision
        self._limit = 2**30
        _cap(self.device, max_memory)
        self._place()

    def __call__(self, batch: np.ndarray) -> Tensor:
        """Logits ``[b, classes, i, j, k]``, float32, of the windows ``batch`` ``[b, channels, i, j, k]``.

        Raises:
            UserError: a single window doesn't fit, not even on the CPU.
        """
        parts = []
        while len(batch):
            logits = self._attempt(batch[: self._limit])
            if logits is None:
                self._step_down(min(len(batch), self._limit))
                continue
            parts.append(logits)
            batch = batch[len(logits) :]
        if len(parts) == 1:
            return parts[0]
        return torch.cat([part.to(self.device) for part in parts])

    def _attempt(self, batch: np.ndarray) -> Tensor | None:
        """The logits, or None where memory ran out (the failed attempt's tensors are gone once this has returned)."""
        try:
            with torch.inference_mode(), autocast(self.device, self._precision):
                logits: Tensor = self._network(torch.from_numpy(batch).to(self.device)).float()
                return logits
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return None

    def _step_down(self, tried: int) -> None:
        """The next rung: half the batch, then the CPU."""
        free_memory()
        if tried > 1:
            self._limit = tried // 2
        elif self.device.type != "cpu":
            warnings.warn(f"{self.device} has not enough memory for one window: going on with the CPU", stacklevel=3)
            self.device = torch.device("cpu")
            self._limit = 2**30
            self._place()
        else:
            raise UserError(
                "There is not enough memory for one window of this network, not even on the CPU. End other "
                "programs, or use a machine with more memory."
            )

    def _place(self) -> None:
        try:
            self._network.to(self.device)
        except RuntimeError as error:
            if not is_out_of_memory(error) or self.device.type == "cpu":
                raise
            self.device = torch.device("cpu")
            self._network.to(self.device)


def _cap(device: torch.device, max_memory: int | None) -> None:
    """Have the GPU's allocator refuse more than ``max_memory`` bytes, which starts the descent above."""
    if device.type == "cuda" and max_memory is not None:
        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, max_memory / total), device)
