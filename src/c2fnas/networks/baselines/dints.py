"""DiNTS: He et al., DiNTS: Differentiable Neural Network Topology Search for 3D Medical Image Segmentation, CVPR 2021.

MONAI has the space and no searched member of it, so one is fixed here: U-shaped, with 3×3×3 convolutions, and at each
level an identity that carries the encoder's features across. It shows the training of that space, not its search.
"""

import contextlib
import io

import numpy as np
import torch
from torch import nn

from c2fnas.networks.baselines.parts import scaled

LEVELS = (0, 0, 1, 1, 2, 2, 3, 2, 2, 1, 1, 0)
"""The level that each of the 12 blocks ends at."""
DEPTHS = 4
FILTERS = 32  # MONAI's at full resolution; a down-sampling halves their number, so it is even
IDENTITY, CONV3D = 0, 1  # among MONAI's operations of a cell


def dints(*, in_channels: int, classes: int, width: float = 1.0) -> nn.Module:
    """Build a network of DiNTS' space, of 32 filters at full and 64 … 512 at lower resolutions.

    ``[batch, in_channels, i, j, k] -> [batch, classes, i, j, k]``, each side a multiple of 16.
    """
    from monai.networks.nets import DiNTS, TopologyInstance  # here, since it takes seconds

    paths, operations, nodes = u_shape()
    with contextlib.redirect_stdout(io.StringIO()):  # MONAI prints advice
        space = TopologyInstance(
            arch_code=[paths, operations],
            channel_mul=scaled(FILTERS, width, 2) / FILTERS,
            num_blocks=len(LEVELS),
            num_depths=DEPTHS,
        )
    return DiNTS(space, in_channels, classes, node_a=torch.from_numpy(nodes))


def u_shape() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the codes of MONAI's ``TopologyInstance``: paths [12, 10], operations on them [12, 10], nodes [13, 4]."""
    paths = np.zeros((len(LEVELS), 3 * DEPTHS - 2), dtype=int)
    operations = np.full_like(paths, CONV3D)
    nodes = np.zeros((len(LEVELS) + 1, DEPTHS), dtype=int)
    nodes[0, 0] = 1
    for block, (before, level) in enumerate(zip((0, *LEVELS), LEVELS, strict=False)):
        paths[block, path(before, level)] = nodes[block + 1, level] = 1
        for across in np.flatnonzero(nodes[block]).tolist():
            if across in LEVELS[block:] and (across, across) != (before, level):
                paths[block, path(across, across)] = nodes[block + 1, across] = 1
                # carried as it is until it meets the way up
                operations[block, path(across, across)] = CONV3D if across == level else IDENTITY
    return paths, operations, nodes


def path(before: int, after: int) -> int:
    """Return the number of the path from one level to another, at most one away.

    >>> path(0, 0), path(1, 0), path(0, 1), path(2, 3), path(3, 3)
    (0, 1, 2, 8, 9)
    """
    return 3 * after + (before - after)
