"""Shapes in one place: sizes in voxels, spacings in millimetres; both in the order of an array's last three axes."""

Size = tuple[int, int, int]
"""Voxels along (i, j, k): of a volume, a patch or a stride."""

Spacing = tuple[float, float, float]
"""Millimetres between voxels along (i, j, k)."""
