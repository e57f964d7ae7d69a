"""A searched network as nnU-Net's pipeline calls it."""

import torch
from torch import Tensor, nn

from c2fnas.networks.blocks import Features
from c2fnas.networks.network import build_network
from c2fnas.space.architecture import Architecture


class NnunetNetwork(nn.Module):
    """The network of ``architecture`` on nnU-Net's arrays, whose through-plane axis is the first one.

    nnU-Net reads files as ``[k, j, i]`` and puts the axis of the largest spacing first; a P3D or 2D operation of ours
    has it last (spec 1). So axes are reversed on the way in and back on the way out. The architecture goes with the
    weights, so that no checkpoint is taken for that of another architecture with tensors of the same shapes.

    Args:
        architecture: What to build.
        in_channels: Image channels.
        classes: Segmentation heads: classes with the background, or nnU-Net's regions.
    """

    def __init__(self, architecture: Architecture, *, in_channels: int, classes: int) -> None:
        super().__init__()
        self.network = build_network(architecture, in_channels=in_channels, classes=classes)

    def forward(self, x: Features) -> Features:
        """``[b, channels, k, j, i] -> [b, classes, k, j, i]``."""
        return _reversed(self.network(_reversed(x)))

    def get_extra_state(self) -> Tensor:
        """Return the architecture's text, as bytes: a tensor, which is what nnU-Net expects of every entry."""
        return torch.tensor(list(self.network.architecture.to_text().encode()), dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        """See that a checkpoint is of this architecture.

        Raises:
            ValueError: it is of another.
        """
        other, own = bytes(state.tolist()).decode(errors="replace"), self.network.architecture.to_text()
        if other != own:
            raise ValueError(
                f"this checkpoint is of the architecture '{other}', but nnUNet_extTrainer leads to '{own}'. Set it to "
                "the folder that the training was started with."
            )


def _reversed(x: Tensor) -> Tensor:
    return x.permute(0, 1, 4, 3, 2)
