"""Gradients of several processes become those of one process with the whole batch."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn


@dataclass(frozen=True)
class Shared:
    """What all processes agree on: the loss of the whole batch, and how many raised each flag."""

    loss: Tensor
    flags: tuple[bool, ...]


def share_gradients(
    fabric: Fabric, parameters: Iterable[nn.Parameter], loss: Tensor, patches: int, flags: Sequence[bool]
) -> Shared:
    """Replace gradients, each the mean over this process's ``patches``, by the mean over all processes' patches.

    One all-reduce of one buffer, of the parameters that have a gradient; on every rank these must be the same, as they
    are where the path of a super-network depends on the iteration alone. The others keep none, rather than a zero that
    momentum would follow. ``flags`` ride along. Alone, a process keeps what it has.
    """
    if fabric.world_size == 1:
        return Shared(loss, tuple(flags))
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
    return Shared((parts[-3] / total).squeeze(), tuple(value > 0 for value in parts[-1].tolist()))


def share_weights(fabric: Fabric, network: nn.Module) -> None:
    """Give every process the first one's weights."""
    if fabric.world_size > 1:
        for tensor in network.state_dict().values():
            torch.distributed.broadcast(tensor, src=0)
