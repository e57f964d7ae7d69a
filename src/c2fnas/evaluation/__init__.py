"""Dice and surface distances on whole volumes, cross-validation, and comparisons of trainings."""

from importlib import import_module
from typing import Any

_NAMES = {
    "comparison": ["PairedDifference", "paired_bootstrap"],
    "cross_validation": ["CrossValidation", "cross_validated"],
    "evaluate": ["evaluate_network"],
    "label_files": ["evaluate_files", "pair_files"],
    "metrics": ["CaseScores", "Evaluation", "Options", "dice_per_class", "score_case", "summarise"],
    "path_ranking": ["score_paths"],
    "verdict": ["Verdict"],
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}
__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    # Most of these import torch, which takes seconds: each is loaded when it is first asked for.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
