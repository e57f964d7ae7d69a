"""From a trained network to labels: sliding window, ensembles, model packages, prediction."""

from importlib import import_module
from typing import Any

_NAMES = {
    "ensemble": ["Mirrored"],
    "model": ["Model", "load_model", "predict_folder"],
    "options": ["Options"],
    "package": ["Package", "load_package", "save_package"],
    "predict": ["Predicted"],
    "pretrained": ["pretrained_names"],
    "sliding_window": ["SlidingWindow"],
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}
__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    # Most of these import torch, which takes seconds: each is loaded when it is first asked for.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
