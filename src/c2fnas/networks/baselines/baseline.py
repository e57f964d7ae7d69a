"""The compared networks by name, and one of them as a value that a run and a model package keep as JSON."""

import math
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from c2fnas.shapes import Size

if TYPE_CHECKING:
    from c2fnas.networks.baselines.padded import Padded


Level = tuple[Size, Size]
"""The kernel and the stride of a level."""


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
    "unet3d_stem": Known("3D U-Net with a half-resolution stem", "UNet3DStem", 16),
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
        levels: Of ``dynunet``, kernel and stride of each level, as nnU-Net plans them; its own five where empty.

    Raises:
        ValueError: unknown name, a width that is not a positive number, or levels of a network that has its own.
    """

    name: str
    width: float = 1.0
    levels: tuple[Level, ...] = ()

    def __post_init__(self) -> None:
        if self.name not in BASELINES:
            raise ValueError(f"unknown network {self.name!r}: choose {', '.join(BASELINES)}")
        if isinstance(self.width, bool) or not isinstance(self.width, int | float):
            raise ValueError(f"the width is a number, not {self.width!r}")
        if not (math.isfinite(self.width) and self.width > 0):
            raise ValueError(f"the width is positive, not {self.width!r}")
        if self.levels and (self.name != "dynunet" or len(self.levels) < 2):
            raise ValueError(f"dynunet alone can be given levels, two at least, not {self.name} {len(self.levels)}")

    def to_json(self) -> dict[str, Any]:
        """Return a JSON value that :meth:`from_json` reads."""
        levels = [[list(kernel), list(stride)] for kernel, stride in self.levels]
        return {"network": self.name, "width": self.width} | ({"levels": levels} if levels else {})

    @classmethod
    def from_json(cls, value: Any) -> "Baseline":
        """Read a JSON value.

        Raises:
            ValueError: it is none of a compared network.
        """
        keys = set(value) - {"levels"} if isinstance(value, dict) else set()
        if keys != {"network", "width"} or not isinstance(value["network"], str):
            raise ValueError('a network is written {"network": NAME, "width": NUMBER}')
        return cls(value["network"], value["width"], _levels(value.get("levels", [])))

    def to_text(self) -> str:
        """Return the name, with the strides of planned levels and the width where it is not 1.

        >>> Baseline("vnet").to_text(), Baseline("unet3d", 207 / 2048).to_text()
        ('vnet', 'unet3d @0.10107421875')
        >>> Baseline("dynunet", levels=(((3, 3, 1), (1, 1, 1)), ((3, 3, 3), (2, 2, 1)))).to_text()
        'dynunet 331/111 333/221'
        """
        # As many digits as give the same width again: it may be 0.1, unlike that of an architecture.
        levels = ["/".join("".join(map(str, each)) for each in level) for level in self.levels]
        name = " ".join([self.name, *levels])
        return name if self.width == 1 else f"{name} @{float(self.width)!r}".removesuffix(".0")

    @property
    def stride(self) -> Size:
        """Voxels of the input in one of the lowest level, by axis."""
        known = BASELINES[self.name].stride
        i, j, k = (math.prod(stride[axis] for _, stride in self.levels) for axis in range(3))
        return (i, j, k) if self.levels else (known, known, known)


def _levels(value: Any) -> tuple[Level, ...]:
    """The levels of a JSON value."""
    try:
        levels = tuple((_size(kernel), _size(stride)) for kernel, stride in value)
    except (TypeError, ValueError) as error:
        raise ValueError("levels are written [[KERNEL, STRIDE], ...], each of three whole numbers from 1") from error
    return levels


def _size(value: Any) -> Size:
    i, j, k = value
    if not all(type(side) is int and side > 0 for side in value):
        raise ValueError(value)
    return i, j, k


def build_baseline(baseline: Baseline, *, in_channels: int, classes: int) -> "Padded":
    """Build the network of ``baseline``, for inputs of any size; ``classes`` counts the background.

    >>> import torch
    >>> build_baseline(Baseline("unet3d", 1 / 16), in_channels=1, classes=3)(torch.zeros(2, 1, 9, 12, 8)).shape
    torch.Size([2, 3, 9, 12, 8])
    """
    from c2fnas.networks.baselines.padded import Padded

    known = BASELINES[baseline.name]
    build = getattr(import_module(f"c2fnas.networks.baselines.{baseline.name}"), known.builder)
    own = {"levels": baseline.levels} if baseline.levels else {}
    return Padded(build(in_channels=in_channels, classes=classes, width=baseline.width, **own), baseline.stride)
