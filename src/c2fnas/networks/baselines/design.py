"""A compared network as a value: its name and its width, which a run and a model package keep as JSON."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from c2fnas.networks.baselines import attention_unet, dints, dynunet, resdsn, segresnet, unet3d, vnet, voxresnet
from c2fnas.networks.baselines.padded import Padded

BUILDERS: dict[str, tuple[Callable[..., nn.Module], int]] = {
    "unet3d": (unet3d.UNet3D, unet3d.STRIDE),
    "vnet": (vnet.VNet, vnet.STRIDE),
    "voxresnet": (voxresnet.VoxResNet, voxresnet.STRIDE),
    "resdsn": (resdsn.ResDSN, resdsn.STRIDE),
    "attention_unet": (attention_unet.AttentionUNet, attention_unet.STRIDE),
    "dynunet": (dynunet.dynunet, dynunet.STRIDE),
    "segresnet": (segresnet.segresnet, segresnet.STRIDE),
    "dints": (dints.dints, dints.STRIDE),
}
"""How each network is built, and what its input must be a multiple of."""


@dataclass(frozen=True)
class Baseline:
    """A network that is compared with what a search finds.

    Args:
        name: One of :data:`BUILDERS`.
        width: Multiplies every filter count, as an architecture's does.

    Raises:
        ValueError: unknown name, or a width that is not a positive number.
    """

    name: str
    width: float = 1.0

    def __post_init__(self) -> None:
        if self.name not in BUILDERS:
            raise ValueError(f"unknown network {self.name!r}: choose {', '.join(BUILDERS)}")
        if isinstance(self.width, bool) or not isinstance(self.width, int | float):
            raise ValueError(f"the width is a number, not {self.width!r}")
        if not (math.isfinite(self.width) and self.width > 0):
            raise ValueError(f"the width is positive, not {self.width!r}")

    def to_json(self) -> dict[str, Any]:
        """The design as JSON."""
        return {"network": self.name, "width": self.width}

    @classmethod
    def from_json(cls, value: Any) -> "Baseline":
        """Read what :meth:`to_json` gives.

        Raises:
            ValueError: it is nothing of the kind.
        """
        if not isinstance(value, dict) or set(value) != {"network", "width"} or not isinstance(value["network"], str):
            raise ValueError('a network is written {"network": NAME, "width": NUMBER}')
        return cls(value["network"], value["width"])

    def to_text(self) -> str:
        """The name, with the width where it is not 1.

        >>> Baseline("vnet").to_text(), Baseline("unet3d", 207 / 2048).to_text()
        ('vnet', 'unet3d @0.10107421875')
        """
        # As many digits as it takes to give the same width again; here, unlike an architecture's, it may be 0.1.
        return self.name if self.width == 1 else f"{self.name} @{float(self.width)!r}".removesuffix(".0")


def build_baseline(baseline: Baseline, *, in_channels: int, classes: int) -> Padded:
    """Build the network of ``baseline``, for inputs of any size; ``classes`` counts the background.

    >>> import torch
    >>> build_baseline(Baseline("unet3d", 1 / 16), in_channels=1, classes=3)(torch.zeros(2, 1, 9, 12, 8)).shape
    torch.Size([2, 3, 9, 12, 8])
    """
    build, stride = BUILDERS[baseline.name]
    return Padded(build(in_channels=in_channels, classes=classes, width=baseline.width), stride)
