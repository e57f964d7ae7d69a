"""A plan in words, for users who have the network alone: the steps before it and after it."""

from c2fnas.data.plan import ChannelPlan
from c2fnas.inference.package import ModelPlan
from c2fnas.text import crossed

SIGN = " × "
AXES = ("to the right", "to the front", "to the head")


def preparation(plan: ModelPlan) -> tuple[str, ...]:
    """Return the steps from an image to the network's input, in order."""
    crop = ("Crop to the box of voxels that are not zero in some channel.",) if plan.crop_nonzero else ()
    values = (_resampling(plan), " ".join(_normalisation(channel) for channel in plan.channels))
    channels = ", ".join(f"{channel.name} ({channel.kind})" for channel in plan.channels)
    return (
        f"Channels, in this order: {channels}.",
        f"Turn and flip the axes so that i, j, k run {', '.join(AXES[axis] for axis in plan.axes)}.",
        *crop,
        *(reversed(values) if plan.clips_first else values),
        f"Cut windows of {crossed(plan.patch_size, SIGN)} voxels, {crossed(plan.stride, SIGN)} apart, the last of an "
        "axis shifted back to the border; a smaller volume is padded with zeros on both sides.",
    )


def interpretation(plan: ModelPlan) -> tuple[str, ...]:
    """Return the steps from the network's scores to labels, in order."""
    mirror = ("Average the scores over all eight mirrorings of a window, each mirrored back.",) if plan.mirror else ()
    weights = {"gaussian": "a Gaussian whose standard deviation is an eighth of the side", "constant": "equal weights"}
    names = ", ".join(plan.keep_largest)
    largest = (f"Of {names} keep the largest component alone: 26 neighbours; the others become 0.",) if names else ()
    return (*mirror, f"Blend overlapping windows by {weights[plan.weighting]}.", *_labels(plan), *largest)


def _labels(plan: ModelPlan) -> tuple[str, ...]:
    """The steps from blended scores to labels."""
    nearest = ", but by nearest neighbour along an axis that was resampled so," if plan.nearest_beyond else ""
    way = f"linearly{nearest}"
    outside = ("Outside of the box that was cropped to, labels are 0.",) if plan.crop_nonzero else ()
    if plan.regions_class_order is None:
        classes = ", ".join(f"{index} {each.name} ({each.values[0]})" for index, each in enumerate(plan.classes))
        return (
            f"Resample each class's scores {way} to the image's own grid, and take the class of the highest there.",
            f"Classes, with the values that label files have for them: {classes}.",
            *outside,
        )
    regions = ", ".join(f"{index} {each.name} ({each.values[0]})" for index, each in enumerate(plan.scheme.written[1:]))
    return (
        f"Resample each region's scores {way} to the image's own grid; a region is where its score is above 0, a "
        "sigmoid of one half. Regions may overlap.",
        f"Begin with 0 and write the regions one over the other, each with its value: {regions}.",
        *outside,
    )


def _normalisation(channel: ChannelPlan) -> str:
    if channel.clip is None or channel.mean is None or channel.std is None:
        return (
            f"{channel.name}: subtract the volume's mean, divide by its standard deviation, both of before resampling."
        )
    low, high = channel.clip
    return f"{channel.name}: clip to {low:g} ... {high:g}, subtract {channel.mean:g}, divide by {channel.std:g}."


def _resampling(plan: ModelPlan) -> str:
    grid = (
        f"{crossed(plan.resize, SIGN)} voxels"
        if plan.resize
        else f"a spacing of {crossed(plan.spacing or (), SIGN)} mm"
    )
    nearest = (
        f", by nearest neighbour along an axis over {plan.nearest_beyond:g} times coarser than the others"
        if plan.nearest_beyond
        else ""
    )
    return f"Resample to {grid} by third-order splines, outer corners kept and edges repeated{nearest}."
