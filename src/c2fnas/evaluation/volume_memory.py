"""Main memory that labelling and scoring one whole volume takes, predicted in closed form before anything is read."""

from dataclasses import dataclass
from math import prod

from c2fnas.shapes import Size

VALUE = 4
"""Bytes of a number in 32 bits."""

DISTANCE_BYTES = 60
"""Bytes a voxel of the box that holds a structure takes while SciPy finds distances to its surface."""


@dataclass(frozen=True)
class VolumeMemory:
    """Bytes at the peak on a CPU, besides Python, its libraries and the network's weights.

    Attributes:
        image: the prepared image, a memory map of which every page is read.
        sums: of the logits of a patch's thickness, and of the windows' weights.
        labels: prediction and truth in the case's own grid.
        window: activations and logits of a window, or the slab that is being restored, whichever is more.
    """

    image: int
    sums: int
    labels: int
    window: int

    @property
    def total(self) -> int:
        """All together."""
        return self.image + self.sums + self.labels + self.window


def volume_memory(
    prepared: Size, original: Size, *, channels: int, outputs: int, patch: Size, filters: int
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
    """
    _, j, k = (max(side, least) for side, least in zip(prepared, patch, strict=True))
    return VolumeMemory(
        image=VALUE * channels * prod(prepared),
        sums=VALUE * (outputs + 1) * patch[0] * j * k,
        labels=2 * prod(original),
        window=2 * VALUE * prod(patch) * max(filters, outputs),
    )


def distance_memory(box: Size) -> int:
    """Predict the memory, besides labels, of surface Dice and Hausdorff distance of a structure in ``box`` voxels."""
    return DISTANCE_BYTES * prod(side + 2 for side in box)
