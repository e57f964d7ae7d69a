"""nnU-Net's plain network: Isensee et al., nnU-Net, Nature Methods 18, 2021; MONAI's form."""

from torch import nn

from c2fnas.networks.baselines.parts import scaled

STRIDE = 16
MOST_FILTERS = 320  # nnU-Net's limit in three dimensions


def dynunet(*, in_channels: int, classes: int, width: float = 1.0) -> nn.Module:
    """Five levels of 32, 64, 128, 256, 320 filters, strided convolutions down, transposed ones up, no deep supervision.

    ``[batch, in_channels, i, j, k] -> [batch, classes, i, j, k]``, each side a multiple of 16.
    """
    from monai.networks.nets import DynUNet  # which takes seconds, so that others need not wait

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
