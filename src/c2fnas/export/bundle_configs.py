"""The three configurations of a MONAI Bundle as values: metadata, inference, fine-tuning.

Their keys are those of `monai.bundle.properties`, by which other programs find the parts.
"""

from importlib.metadata import PackageNotFoundError, version
from typing import Any

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
    return {
        **_common("images", "eval"),
        "mirror": plan.mirror,
        "network": {"_target_": f"{PARTS}.views", "network": "$@network_def.to(@device)", "mirror": "@mirror"},
        "preprocessing": _compose(_prepare()),
        "dataset": {"_target_": "Dataset", "transform": "@preprocessing", "data": _cases("images")},
        "dataloader": _loader("@dataset"),
        "inferer": sliding_window(plan),
        "postprocessing": _compose(
            {"_target_": f"{PARTS}.Restore", "plan": "$@package.plan"},
            {
                "_target_": "SaveImaged",
                "keys": "pred",
                "output_dir": "@output_dir",
                "output_postfix": "",
                "output_ext": ".nii.gz",
                "output_dtype": None,
                "separate_folder": False,
                "resample": True,
                "mode": "nearest",
                "print_log": False,
            },
        ),
        "handlers": [{"_target_": "StatsHandler", "iteration_log": False}],
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
            "val_handlers": "@handlers",
            "amp": False,
        },
        "run": ["$@evaluator.run()"],
    }


def training(plan: ModelPlan) -> Config:
    """Return ``configs/train.json``: fine-tuning on ``dataset_dir``; the best network goes to ``output_dir``."""
    return {
        **_common("dataset", "finetuned"),
        "max_epochs": 50,
        "val_interval": 1,
        "learning_rate": 0.002,
        "cache_rate": 1.0,
        "network": "$@network_def.to(@device)",
        "cases": _cases("labelled"),
        "validation_cases": "$max(1, len(@cases) // 5)",
        "loss": _loss(plan),
        "optimizer": {
            "_target_": "torch.optim.SGD",
            "params": "$@network.parameters()",
            "lr": "@learning_rate",
            "momentum": 0.9,
            "weight_decay": 4e-5,
        },
        "lr_scheduler": {
            "_target_": "torch.optim.lr_scheduler.PolynomialLR",
            "optimizer": "@optimizer",
            "total_iters": "@max_epochs",
            "power": 0.9,
        },
        "train": _train(plan),
        "validate": _validate(plan),
        "run": ["$@train#trainer.run()"],
    }


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


def _common(dataset: str, output: str) -> Config:
    return {
        "imports": ["$import torch"],
        "bundle_root": ".",
        "model_dir": "$@bundle_root + '/models'",
        "dataset_dir": f"$@bundle_root + '/{dataset}'",
        "spacing": None,
        "output_dir": f"$@bundle_root + '/{output}'",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "package": {"_target_": f"{PARTS}.package", "folder": "@model_dir"},
        "network_def": "$@package.network",
    }


def _cases(part: str) -> Config:
    return {"_target_": f"{PARTS}.{part}", "dataset_dir": "@dataset_dir", "package": "@package", "spacing": "@spacing"}


def _train(plan: ModelPlan) -> Config:
    both = {"keys": ["image", "label"]}
    return {
        "preprocessing": _compose(
            _prepare(),
            {"_target_": "SpatialPadd", **both, "spatial_size": list(plan.patch_size)},
            {
                **_centres(plan),
                **both,
                "label_key": "label",
                "num_samples": SAMPLES,
                "spatial_size": list(plan.patch_size),
            },
            *({"_target_": "RandFlipd", **both, "prob": 0.5, "spatial_axis": axis} for axis in range(3)),
        ),
        "dataset": {
            "_target_": "CacheDataset",
            "data": "$@cases[:-@validation_cases]",
            "transform": "@train#preprocessing",
            "cache_rate": "@cache_rate",
            "progress": False,
        },
        "dataloader": _loader("@train#dataset", max(1, plan.batch_size // SAMPLES), shuffle=True),
        "inferer": {"_target_": "SimpleInferer"},
        "handlers": [
            {"_target_": "LrScheduleHandler", "lr_scheduler": "@lr_scheduler", "print_lr": False},
            {"_target_": "ValidationHandler", "validator": "@validate#evaluator", "interval": "@val_interval"},
            {
                "_target_": "StatsHandler",
                "tag_name": "train_loss",
                "output_transform": "$monai.handlers.from_engine(['loss'], first=True)",
            },
        ],
        "trainer": {
            "_target_": "SupervisedTrainer",
            "max_epochs": "@max_epochs",
            "device": "@device",
            "train_data_loader": "@train#dataloader",
            "network": "@network",
            "loss_function": "@loss",
            "optimizer": "@optimizer",
            "inferer": "@train#inferer",
            "train_handlers": "@train#handlers",
            "amp": False,
        },
    }


def _validate(plan: ModelPlan) -> Config:
    return {
        "preprocessing": _compose(_prepare()),
        "dataset": {
            "_target_": "CacheDataset",
            "data": "$@cases[-@validation_cases:]",
            "transform": "@validate#preprocessing",
            "cache_rate": "@cache_rate",
            "progress": False,
        },
        "dataloader": _loader("@validate#dataset"),
        "inferer": sliding_window(plan),
        "postprocessing": _compose(_compared(plan)),
        "key_metric": {
            "val_mean_dice": {
                "_target_": "MeanDice",
                "include_background": not _plain(plan),
                "output_transform": "$monai.handlers.from_engine(['pred', 'label'])",
            }
        },
        "handlers": [
            {"_target_": "StatsHandler", "iteration_log": False},
            {"_target_": f"{PARTS}.SaveBest", "package": "@package", "network": "@network", "folder": "@output_dir"},
        ],
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@validate#dataloader",
            "network": "@network",
            "inferer": "@validate#inferer",
            "postprocessing": "@validate#postprocessing",
            "key_val_metric": "@validate#key_metric",
            "val_handlers": "@validate#handlers",
            "amp": False,
        },
    }


def _plain(plan: ModelPlan) -> bool:
    """True if labels are of classes, each voxel of one, which MONAI's own parts know."""
    return plan.regions_class_order is None and plan.ignore is None


def _loss(plan: ModelPlan) -> Config:
    if _plain(plan):
        return {"_target_": "DiceCELoss", "include_background": False, "to_onehot_y": True, "softmax": True}
    return {"_target_": f"{PARTS}.Loss", "plan": "$@package.plan"}


def _centres(plan: ModelPlan) -> Config:
    """The crop of patches, by the voxels that they are centred on: never one that is ignored."""
    share, parts = plan.foreground_rate or 0.5, len(plan.scheme.parts)
    if plan.ignore is None:
        return {"_target_": "RandCropByPosNegLabeld", "pos": share, "neg": 1 - share}
    ratios = [1 - share, *[share / (parts - 2)] * (parts - 2), 0]
    return {"_target_": "RandCropByLabelClassesd", "num_classes": parts, "ratios": ratios}


def _compared(plan: ModelPlan) -> Config:
    """The step from scores and labels to what the metric compares."""
    if not _plain(plan):
        return {"_target_": f"{PARTS}.Compared", "plan": "$@package.plan"}
    discrete = {"argmax": [True, False], "to_onehot": len(plan.classes)}
    return {"_target_": "AsDiscreted", "keys": ["pred", "label"], **discrete}


def _prepare() -> Config:
    return {"_target_": f"{PARTS}.Prepare", "plan": "$@package.plan"}


def _compose(*transforms: Config) -> Config:
    return {"_target_": "Compose", "transforms": list(transforms)}


def _loader(dataset: str, batch_size: int = 1, shuffle: bool = False) -> Config:
    return {
        "_target_": "DataLoader",
        "dataset": dataset,
        "batch_size": batch_size,
        "shuffle": shuffle,
        "num_workers": 0,
    }


def _version(package: str) -> str:
    """The installed version; nothing where the package is not there."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
