"""Table 2 of the paper: the printed cost of each network at 96×96×96, and how the counted one differs."""

from dataclasses import dataclass

import torch
from torch import nn

from c2fnas.networks.baselines.baseline import BASELINES, Baseline
from c2fnas.networks.designs import build_design
from c2fnas.space.architecture import Architecture

PAPER_SIZE, PAPER_CHANNELS, PAPER_CLASSES = (96, 96, 96), 1, 3
"""The input of Table 2: a patch of one image channel, into background, pancreas and tumour."""
OURS = "c2fnas_panc"


@dataclass(frozen=True)
class Published:
    """A row of Table 2.

    Attributes:
        name: One of :data:`BASELINES`, or :data:`OURS`, the architecture that the paper found.
        parameters: As printed.
        macs: As printed, under the name of FLOPs.
        note: The form that is counted, and the cost of other forms.
    """

    name: str
    parameters: float
    macs: float
    note: str

    def build(self, *, in_channels: int, classes: int) -> nn.Module:
        """Build the network on the meta device: nothing is allocated or computed."""
        with torch.device("meta"):
            design = Architecture.named("c2fnas-panc") if self.name == OURS else Baseline(self.name)
            return build_design(design, in_channels=in_channels, classes=classes)

    @property
    def title(self) -> str:
        """The name as the paper prints it."""
        return "C2FNAS-Panc" if self.name == OURS else BASELINES[self.name].title


TABLE_2 = (
    Published(
        "unet3d",
        19.07e6,
        825.30e9,
        "The paper's filters, 2×2×2 transposed convolutions that keep theirs, padded convolutions.",
    ),
    Published(
        "vnet",
        45.59e6,
        301.88e9,
        "With the 1×1×1 convolution to the classes of its paper; MONAI's, with a 5×5×5 one, counts 45.60 M and "
        "312.16 G.",
    ),
    Published(
        "voxresnet",
        6.92e6,
        173.02e9,
        "With 3×3×3 convolutions to 3 classes at each of the four scales; to 2 classes it counts 6.92 M and 172.33 G, "
        "so the printed figure is probably of 2. With 1×1×1 ones to 3 classes: 6.91 M and 162.22 G.",
    ),
    Published(
        "resdsn",
        10.03e6,
        188.37e9,
        "A reconstruction: no table of its filters was at hand. Of the regular layouts with one or two 3×3×3 "
        "convolutions a step, 32 to 256 filters, 4×4×4 transposed convolutions and summed skips, the one within "
        "both limits. An irregular one (2, 1, 1, 2 convolutions a step of which the last doubles, one more at the "
        "lowest level) counts 10.08 M and 188.0 G. Auxiliary heads are not counted.",
    ),
    Published(
        "attention_unet",
        103.88e6,
        1162.75e9,
        "The three-dimensional form of the widely used PyTorch rewrite, 64 to 1024 filters, 1×1×1 gates; MONAI's "
        "counts 94.48 M and 656.75 G.",
    ),
    Published(
        OURS,
        17.02e6,
        150.78e9,
        "Figure 5 read as literally as the text allows. With the down-sampling convolution in place of that input's "
        "1×1×1 it counts 17.25 M and 149.2 G, with both resampling ones so 17.17 M and 148.4 G.",
    ),
)
