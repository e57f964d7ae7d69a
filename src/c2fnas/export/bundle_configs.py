"""The three configurations of a MONAI Bundle as values: metadata, inference, fine-tuning.

Their keys are those of `monai.bundle.properties`, by which other programs find the parts.
"""

from collections.abc import Mapping
from importlib import resources
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import yaml

from c2fnas.inference.package import ModelPlan, Package

Config = dict[str, Any]

SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
PARTS = "c2fnas.export.bundle_parts"
PACKAGES = ("c2fnas", "nibabel", "pytorch-ignite", "safetensors")
REFERENCE = "Yu et al.: C2FNAS: Coarse-to-Fine Neural Architecture Search for 3D Medical Image Segmentation. CVPR 2020."
SAMPLES = 2
"""Patches that are drawn from a case at a time (paper 4.1)."""


def metadata(model: Package) -> Config:
    """Return ``configs/metadata.json``, after MONAI's schema."""
    plan = model.plan
    outputs = plan.classes if plan.regions_class_order is None else plan.classes[1:]
    classes = {str(index): each.name for index, each in enumerate(outputs)}
    tensor = {"type": "image", "dtype": "float32", "spatial_shape": list(plan.patch_size), "is_patch_data": True}
    values = "; ".join(f"{each.name}: {each.values[0]}" for each in plan.scheme.written)
    return {
        "schema": SCHEMA,
        "version": "0.1.0",
        "changelog": {"0.1.0": "exported from a c2fnas model package"},
        **{
            f"{name}_version": _version(package).split("+")[0]
            for name, package in (("monai", "monai"), ("pytorch", "torch"), ("numpy", "numpy"))
        },
        "required_packages_version": {name: _version(name) for name in PACKAGES if _version(name)},
        "name": f"c2fnas {', '.join(plan.scheme.names)}",
        "task": f"Segmentation of {', '.join(plan.scheme.names)} in 3D medical images",
        "description": f"{model.design.to_text()}; model package {model.checksum}",
        "authors": "not stated",
        "copyright": "not stated",
        "data_type": "nibabel",
        "image_classes": "; ".join(f"{each.name} ({each.kind})" for each in plan.channels),
        "label_classes": values,
        "pred_classes": values,
        "intended_use": "Research. Not a medical device.",
        "references": [REFERENCE],
        "network_data_format": {
            "inputs": {
                "image": {
                    **tensor,
                    "format": "image",
                    "num_channels": len(plan.channels),
                    "value_range": [],
                    "channel_def": {str(index): each.name for index, each in enumerate(plan.channels)},
                }
            },
            "outputs": {
                "pred": {
                    **tensor,
                    "format": "segmentation",
                    "num_channels": len(classes),
                    "value_range": [],
                    "channel_def": classes,
                }
            },
        },
    }


def inference(plan: ModelPlan) -> Config:
    """Return ``configs/inference.json``: the images of ``dataset_dir`` to label files in ``output_dir``."""
    return _filled(_template("inference"), {"mirror": plan.mirror, "inferer": sliding_window(plan)})


def training(plan: ModelPlan) -> Config:
    """Return ``configs/train.json``: fine-tuning on ``dataset_dir``; the best network goes to ``output_dir``."""
    parts = {
        "loss": _loss(plan),
        "patch_size": list(plan.patch_size),
        "crop": _crop(plan),
        "batch_size": max(1, plan.batch_size // SAMPLES),
        "inferer": sliding_window(plan),
        "compared": _compared(plan),
        "include_background": not _plain(plan),
    }
    return _filled(_template("train"), parts)


def sliding_window(plan: ModelPlan) -> Config:
    """MONAI's inferer with exactly the windows of the plan.

    It truncates ``side · (1 − overlap)`` to the stride, so the overlap aims half a voxel past it.
    """
    sides = zip(plan.stride, plan.patch_size, strict=True)
    overlap = [max(0.0, 1 - (stride + 0.5) / side) for stride, side in sides]
    return {
        "_target_": "SlidingWindowInferer",
        "roi_size": list(plan.patch_size),
        "sw_batch_size": 2,
        "overlap": overlap,
        "mode": plan.weighting,
        "sigma_scale": 0.125,
    }


def _template(name: str) -> Config:
    """A configuration whose parts in braces are yet to be filled."""
    file = resources.files("c2fnas.export").joinpath(f"templates/{name}.yaml")
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def _filled(value: Any, parts: Mapping[str, Any]) -> Any:
    """A value in which every text that is a name in braces is replaced by the part of that name."""
    if isinstance(value, dict):
        return {key: _filled(each, parts) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, parts) for each in value]
    return parts[value[1:-1]] if isinstance(value, str) and value.startswith("{") else value


def _plain(plan: ModelPlan) -> bool:
    """True if labels are of classes, each voxel of one, which MONAI's own parts know."""
    return plan.regions_class_order is None and plan.ignore is None


def _loss(plan: ModelPlan) -> Config:
    if _plain(plan):
        return {"_target_": "DiceCELoss", "include_background": False, "to_onehot_y": True, "softmax": True}
    return {"_target_": f"{PARTS}.Loss", "plan": "$@package.plan"}


def _crop(plan: ModelPlan) -> Config:
    """The crop of patches, by the voxels that they are centred on: never one that is ignored."""
    share, parts = plan.foreground_rate or 0.5, len(plan.scheme.parts)
    centres: Config = {"_target_": "RandCropByPosNegLabeld", "pos": share, "neg": 1 - share}
    if plan.ignore is not None:
        ratios = [1 - share, *[share / (parts - 2)] * (parts - 2), 0]
        centres = {"_target_": "RandCropByLabelClassesd", "num_classes": parts, "ratios": ratios}
    both = {"keys": ["image", "label"], "label_key": "label"}
    return {**centres, **both, "num_samples": SAMPLES, "spatial_size": list(plan.patch_size)}


def _compared(plan: ModelPlan) -> Config:
    """The step from scores and labels to what the metric compares."""
    if not _plain(plan):
        return {"_target_": f"{PARTS}.Compared", "plan": "$@package.plan"}
    discrete = {"argmax": [True, False], "to_onehot": len(plan.classes)}
    return {"_target_": "AsDiscreted", "keys": ["pred", "label"], **discrete}


def _version(package: str) -> str:
    """The installed version; nothing where the package is not there."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
