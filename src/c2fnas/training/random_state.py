"""Every random generator as tensors, so that a checkpoint holds them: torch on the CPU and the GPU, numpy, Python."""

import random

import numpy as np
import torch
from torch import Tensor

MODULUS = 2**32


def seed_everything(seed: int, rank: int = 0) -> None:
    """Seed every generator; each rank gets its own stream."""
    number = (seed + rank * 1_000_003) % MODULUS
    torch.manual_seed(number)
    np.random.seed(number)
    random.seed(number)


def random_state() -> dict[str, Tensor]:
    """The state of every generator, in tensors whose sizes never change.

    >>> state = random_state()
    >>> first = random.random(), np.random.rand(), torch.rand(()).item()
    >>> restore_random_state(state)
    >>> first == (random.random(), np.random.rand(), torch.rand(()).item())
    True
    """
    _, keys, position, has_gauss, gauss = np.random.get_state()
    _, words, python_gauss = random.getstate()
    state = {
        "torch": torch.get_rng_state(),
        "numpy": torch.tensor([*map(int, keys), int(position), int(has_gauss)]),
        "numpy_gauss": torch.tensor(gauss, dtype=torch.float64),
        "python": torch.tensor(words),
        # Whether there is one, and which: NaN for none would make equal states unequal.
        "python_gauss": torch.tensor([python_gauss is not None, python_gauss or 0.0], dtype=torch.float64),
    }
    return state | ({"cuda": torch.cuda.get_rng_state()} if torch.cuda.is_initialized() else {})


def restore_random_state(state: dict[str, Tensor]) -> None:
    """Set every generator that ``state`` knows and this process has."""
    # Cloned: torch crashes on a tensor that begins in the middle of its memory, as one row of many does.
    torch.set_rng_state(state["torch"].clone())
    *keys, position, has_gauss = state["numpy"].tolist()
    np.random.set_state(("MT19937", np.array(keys, np.uint32), position, has_gauss, state["numpy_gauss"].item()))
    there, gauss = state["python_gauss"].tolist()
    random.setstate((3, tuple(state["python"].tolist()), gauss if there else None))
    if "cuda" in state and torch.cuda.is_initialized():
        torch.cuda.set_rng_state(state["cuda"].clone())
