"""Data sets: layouts, file formats, scan, plan, prepared cases and patches."""

from importlib import import_module
from typing import Any

_NAMES = {
    "cache": ["Cache", "PreparedCase", "prepare_cases"],
    "dataset": ["Case", "Dataset", "LabelClass"],
    "fingerprint": ["Fingerprint"],
    "fixing": ["Fixed", "fix_dataset"],
    "folds": ["FoldChoice", "Split", "make_folds"],
    "layouts": ["load_dataset", "read_dataset"],
    "patches": ["Batch", "PatchSampler", "prefetched"],
    "phantoms": ["write_phantoms"],
    "plan": ["ChannelPlan", "ClassPlan", "Plan", "load_plan", "save_plan"],
    "preprocess": ["prepare_image"],
    "problem": ["CaseError", "Problem"],
    "restoration": ["Restoration"],
    "scan": ["Scan", "scan_dataset"],
    "volume": ["Volume", "read_image", "read_label", "write_label"],
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}
__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    # Some of these import torch, which takes seconds: each is loaded when it is first asked for.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
