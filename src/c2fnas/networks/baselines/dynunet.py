"""nnU-Net's plain network: Isensee et al., nnU-Net, Nature Methods 18, 2021; MONAI's form."""

from torch import nn

from c2fnas.networks.baselines.parts import scaled

MOST_FILTERS = 320  # nnU-Net's limit in three dimensions


def dynunet(*, in_channels: int, classes: int, width: float = 1.0) -> nn.Module:
    """Build five levels of 32, 64, 128, 256, 320 filters, strided convolutions down, transposed ones up.

    ``[batch, in_channels, i, j, k] -> [batch, classes, i, j, k]``, each side a multiple of 16.
    """
    from monai.networks.nets import DynUNet  # here, since it takes seconds

    return DynUNet(
        spatial_dims=3,
        in_channels=in_channels,
        out_channels=classes,
        kernel_size=[3] * 5,
        strides=[1, 2, 2, 2, 2],
        upsample_kernel_size=[2] * 4,
        filters=[scaled(min(32 << level, MOST_FILTERS), width) for level in range(5)],
        norm_name=("INSTANCE", {"affine": True}),
    )
