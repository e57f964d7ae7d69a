"""Parameters and multiply-accumulates of a built network, counted as it runs; the twin of :mod:`c2fnas.space.cost`."""

import copy
import math

import torch
from torch import Tensor, nn


def count_network(module: nn.Module, *, in_channels: int, input_size: tuple[int, int, int]) -> tuple[int, int]:
    """Count ``(parameters, macs)`` of ``module`` on one input: all parameters, multiply-accumulates of convolutions.

    A copy on the meta device is counted: nothing is computed, and a network has its plain form there, whatever faster
    one it may compute in. The paper calls these multiply-accumulates FLOPs.
    """
    macs, module = 0, copy.deepcopy(module).to("meta")

    def add(conv: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal macs
        assert isinstance(conv, nn.Conv3d | nn.ConvTranspose3d)
        voxels = (inputs[0] if isinstance(conv, nn.ConvTranspose3d) else output).shape[2:]
        macs += math.prod(voxels) * math.prod(conv.kernel_size) * conv.in_channels // conv.groups * conv.out_channels

    convolutions = [part for part in module.modules() if isinstance(part, nn.Conv3d | nn.ConvTranspose3d)]
    for conv in convolutions:
        conv.register_forward_hook(add)
    with torch.no_grad():
        module(torch.empty(1, in_channels, *input_size, device="meta"))
    return sum(parameter.numel() for parameter in module.parameters()), macs


def count_saved_values(module: nn.Module, *, in_channels: int, input_size: tuple[int, int, int]) -> int:
    """Count the numbers that one patch keeps from the forward to the backward pass, weights left out.

    Nothing is computed here, either; :func:`c2fnas.space.memory.saved_values` is the twin for an architecture.
    """
    module = copy.deepcopy(module).to("meta").train()
    weights = {parameter.untyped_storage()._cdata for parameter in module.parameters()}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        place = tensor.untyped_storage()._cdata
        if place not in weights:
            kept[place] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        module(torch.empty(1, in_channels, *input_size, device="meta"))
    return sum(each.untyped_storage().nbytes() // each.element_size() for each in kept.values())
