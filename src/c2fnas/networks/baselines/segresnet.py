"""SegResNet: Myronenko, 3D MRI Brain Tumor Segmentation Using Autoencoder Regularization, BrainLes 2018.

MONAI's form.
"""

from torch import nn

from c2fnas.networks.baselines.parts import scaled

GROUPS = 8


def segresnet(*, in_channels: int, classes: int, width: float = 1.0) -> nn.Module:
    """Build four levels of 32 … 256 filters in residual blocks (1, 2, 2, 4 down, one each up), without the autoencoder.

    Group normalisation takes 8 groups, so the filters are a multiple of 8 in any width.
    ``[batch, in_channels, i, j, k] -> [batch, classes, i, j, k]``, each side a multiple of 8.
    """
    from monai.networks.nets import SegResNet  # here, since it takes seconds

    return SegResNet(
        spatial_dims=3,
        init_filters=scaled(32, width, GROUPS),
        in_channels=in_channels,
        out_channels=classes,
        norm=("GROUP", {"num_groups": GROUPS}),
        blocks_down=(1, 2, 2, 4),
        blocks_up=(1, 1, 1),
    )
