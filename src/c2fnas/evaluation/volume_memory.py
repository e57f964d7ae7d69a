"""Main memory that labelling and scoring one whole volume takes, predicted in closed form before anything is read."""

from dataclasses import dataclass
from math import prod

from c2fnas.data.resample import SLAB_VOXELS
from c2fnas.shapes import Size

VALUE = 4
"""Bytes of a number in 32 bits."""

TEMPORARIES = 6
"""Arrays of a slab that interpolating one class holds."""

DISTANCE_BYTES = 13
"""Bytes a voxel of the box that holds a structure takes while MONAI finds surfaces and distances: 12 to 14 measured."""

COMPONENT_BYTES = 8
"""The most that a voxel takes while components are numbered, of speckles all over the volume: 7.3 were measured."""


@dataclass(frozen=True)
class VolumeMemory:
    """Bytes at the peak on a CPU, besides Python, its libraries and the network's weights.

    Attributes:
        image: the prepared image, a memory map of which every page is read.
        sums: of the logits of a patch's thickness, and of the windows' weights.
        labels: prediction and truth in the case's own grid.
        work: logits of a window, beside the activations of the next one or what is being restored.
        components: a copy of the prediction and its components, numbered, where they are scored after the windows.
    """

    image: int
    sums: int
    labels: int
    work: int
    components: int = 0

    @property
    def total(self) -> int:
        """The most at a time."""
        return self.image + self.labels + max(self.sums + self.work, self.components)


def volume_memory(
    prepared: Size, original: Size, *, channels: int, outputs: int, patch: Size, filters: int, components: bool = False
) -> VolumeMemory:
    """Predict the memory of :func:`c2fnas.evaluation.evaluate.evaluate_network` for one case, one window at a time.

    Sums that memory does not hold go to a temporary file, which then takes as much of the disk.

    Args:
        prepared: voxels of the prepared grid.
        original: voxels of the case's own grid.
        channels: of the image.
        outputs: of the network: classes with the background, or regions.
        patch: voxels of a window.
        filters: of the network at full resolution.
        components: whether the largest component alone is scored, too.
    """
    _, j, k = (max(side, least) for side, least in zip(prepared, patch, strict=True))
    network = 2 * prod(patch) * max(filters, outputs)
    restoring = outputs * (SLAB_VOXELS + 3 * j * k) + TEMPORARIES * SLAB_VOXELS
    return VolumeMemory(
        image=VALUE * channels * prod(prepared),
        sums=VALUE * (outputs + 1) * patch[0] * j * k,
        labels=2 * prod(original),
        work=VALUE * (outputs * prod(patch) + max(network, restoring)),
        components=COMPONENT_BYTES * prod(original) if components else 0,
    )


def distance_memory(original: Size, box: Size) -> int:
    """Predict the memory, besides labels, of surface Dice and Hausdorff distance of structures on a volume.

    Args:
        original: voxels of the volume: three masks of a structure are made of it.
        box: voxels of the box that holds the largest structure, in truth or prediction.
    """
    return max(3 * prod(original), DISTANCE_BYTES * prod(side + 2 for side in box))
