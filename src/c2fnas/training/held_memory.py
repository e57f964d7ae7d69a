"""The memory that a training or evaluation holds on its device."""

import psutil
import torch


def held_memory(device: str | torch.device) -> int:
    """Bytes that this process holds now: on a GPU what PyTorch has reserved there, on a CPU its resident memory.

    >>> held_memory("cpu") > 1_000_000
    True
    """
    place = torch.device(device)
    if place.type == "cuda":
        return torch.cuda.memory_reserved(place)
    return int(psutil.Process().memory_info().rss)
