"""The compared networks by name, and one of them as a value that a run and a model package keep as JSON."""

import math
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from c2fnas.networks.baselines.padded import Padded


class Known(NamedTuple):
    """A network that can be compared with.

    Attributes:
        title: As papers write it.
        builder: The class or function that builds it, in the file of the network's name.
        stride: Every side of its input is a multiple of it; :class:`Padded` sees to that.
    """

    title: str
    builder: str
    stride: int


BASELINES = {
    "unet3d": Known("3D U-Net", "UNet3D", 8),
    "vnet": Known("V-Net", "VNet", 16),
    "voxresnet": Known("VoxResNet", "VoxResNet", 8),
    "resdsn": Known("ResDSN", "ResDSN", 8),
    "attention_unet": Known("Attention U-Net", "AttentionUNet", 16),
    "dynunet": Known("nnU-Net", "dynunet", 16),
    "segresnet": Known("SegResNet", "segresnet", 8),
    "dints": Known("DiNTS", "dints", 16),
}
"""The compared networks, by the name that ``c2fnas train --network`` takes."""


@dataclass(frozen=True)
class Baseline:
    """A network to compare with the one that a search finds.

    Args:
        name: One of :data:`BASELINES`.
        width: Multiplies every filter count, as the width of an architecture does.

    Raises:
        ValueError: unknown name, or a width that is not a positive number.
    """

    name: str
    width: float = 1.0

    def __post_init__(self) -> None:
        if self.name not in BASELINES:
            raise ValueError(f"unknown network {self.name!r}: choose {', '.join(BASELINES)}")
        if isinstance(self.width, bool) or not isinstance(self.width, int | float):
            raise ValueError(f"the width is a number, not {self.width!r}")
        if not (math.isfinite(self.width) and self.width > 0):
            raise ValueError(f"the width is positive, not {self.width!r}")

    def to_json(self) -> dict[str, Any]:
        """Return a JSON value that :meth:`from_json` reads."""
        return {"network": self.name, "width": self.width}

    @classmethod
    def from_json(cls, value: Any) -> "Baseline":
        """Read a JSON value.

        Raises:
            ValueError: it is none of a compared network.
        """
        if not isinstance(value, dict) or set(value) != {"network", "width"} or not isinstance(value["network"], str):
            raise ValueError('a network is written {"network": NAME, "width": NUMBER}')
        return cls(value["network"], value["width"])

    def to_text(self) -> str:
        """Return the name, with the width where it is not 1.

        >>> Baseline("vnet").to_text(), Baseline("unet3d", 207 / 2048).to_text()
        ('vnet', 'unet3d @0.10107421875')
        """
        # As many digits as give the same width again: it may be 0.1, unlike that of an architecture.
        return self.name if self.width == 1 else f"{self.name} @{float(self.width)!r}".removesuffix(".0")


def build_baseline(baseline: Baseline, *, in_channels: int, classes: int) -> "Padded":
    """Build the network of ``baseline``, for inputs of any size; ``classes`` counts the background.

    >>> import torch
    >>> build_baseline(Baseline("unet3d", 1 / 16), in_channels=1, classes=3)(torch.zeros(2, 1, 9, 12, 8)).shape
    torch.Size([2, 3, 9, 12, 8])
    """
    from c2fnas.networks.baselines.padded import Padded

    known = BASELINES[baseline.name]
    build = getattr(import_module(f"c2fnas.networks.baselines.{baseline.name}"), known.builder)
    return Padded(build(in_channels=in_channels, classes=classes, width=baseline.width), known.stride)
