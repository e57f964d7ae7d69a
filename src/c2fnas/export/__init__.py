"""A trained model in other people's tools: MONAI Bundle, ONNX, nnU-Net trainer, and a folder or file to pass on."""

from importlib import import_module
from typing import Any

_NAMES = {
    "archive": ["pack"],
    "bundle": ["export_bundle"],
    "model_folder": ["export_folder", "save_half"],
    "nnunet": ["export_nnunet"],
    "onnx_file": ["export_onnx"],
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}
__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    # Most of these import torch, which takes seconds: each is loaded when it is first asked for.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
