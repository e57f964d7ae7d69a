"""Memory that training an architecture takes on a device, predicted in closed form and without torch."""

from dataclasses import dataclass
from math import prod

from c2fnas.shapes import Size
from c2fnas.space.architecture import Architecture
from c2fnas.space.cost import KERNELS, network_cost
from c2fnas.space.geometry import level_sizes, padded_size
from c2fnas.space.topology import Move

STATES = 4
"""Numbers kept for every weight: itself, its gradient, and AdamW's two averages; SGD has its momentum alone."""

LOSS_VALUES = 5
"""Full-resolution numbers of every class that the loss keeps in 32 bits: logits, probabilities and their like."""

PEAK = 1.5
"""The peak beside what is kept: gradients under way, scratch space of convolutions (1.45 measured on a CPU in fp32)."""


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes: ``states`` whatever the batch, and ``activations`` kept for every patch of a micro-batch."""

    states: int
    activations: int

    def of(self, patches: int) -> int:
        """Return the bytes at the peak with ``patches`` patches in a micro-batch."""
        return self.states + round(PEAK * patches * self.activations)


def training_memory(
    architecture: Architecture, *, in_channels: int, classes: int, input_size: Size, precision: str = "fp32"
) -> TrainingMemory:
    """Predict the memory of a training, besides the hundreds of MB of the framework itself.

    Counted are the weights with gradient and momentum, and the activations that the backward pass needs: of every block
    the convolution's output (the norm's input) and the ReLU's output (the next convolution's input), and the results
    of interpolation, addition and concatenation between blocks.

    Args:
        precision: of activations: 4 bytes a value in fp32, 2 in bf16 and fp16.
    """
    cost = network_cost(architecture, in_channels=in_channels, classes=classes, input_size=input_size)
    saved = saved_values(architecture, in_channels=in_channels, input_size=input_size)
    voxels = prod(padded_size(input_size, architecture.topology.downsamplings))
    return memory_of_values(cost.parameters, saved, classes * voxels, precision)


def memory_of_values(parameters: int, saved: int, outputs: int, precision: str = "fp32") -> TrainingMemory:
    """Predict the memory of training any network by its numbers.

    Args:
        parameters: its weights.
        saved: numbers that one patch keeps from the forward to the backward pass.
        outputs: numbers in the logits of one patch.
        precision: of activations.
    """
    value_bytes = 4 if precision == "fp32" else 2
    return TrainingMemory(states=4 * STATES * parameters, activations=value_bytes * saved + 4 * LOSS_VALUES * outputs)


def saved_values(architecture: Architecture, *, in_channels: int, input_size: Size) -> int:
    """Count the numbers that one patch keeps from the forward to the backward pass, without those of the loss."""
    topology, depth = architecture.topology, architecture.topology.downsamplings
    sizes = level_sizes(padded_size(input_size, depth), depth)
    full, half = architecture.stem_filters
    voxels, level_0 = prod(sizes[0]), prod(sizes[1])
    total = in_channels * voxels + 2 * full * voxels + 2 * half * level_0
    total += sum(_cell(architecture, cell, sizes) for cell in range(topology.cells))
    joined = half * len(topology.outputs) * level_0 if len(topology.outputs) > 1 else 0
    doubled = all(fine == 2 * side and side > 1 for fine, side in zip(sizes[0], sizes[1], strict=True))
    return total + joined + 2 * half * level_0 + (0 if doubled else half * voxels)


def _cell(architecture: Architecture, cell: int, sizes: tuple[Size, ...]) -> int:
    topology = architecture.topology
    level = topology.code[cell]
    features = architecture.filters(level) * prod(sizes[level + 1])
    convolutions = 1 + len(KERNELS[architecture.operations[cell]])
    inputs = len(topology.inputs[cell])
    total = 2 * features * (inputs * convolutions + 1)
    if inputs > 1:
        total += features  # the sum
    if topology.moves[cell] is not Move.SAME:
        total += 2 * features  # of an up cell, after the interpolation, whose own input nothing needs
    return total
