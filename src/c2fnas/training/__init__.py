"""Training of any network: one loop, recipes, checkpoints (paper 4.1); torch is imported with the first name used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from c2fnas.training.loop import TrainResult as TrainResult
    from c2fnas.training.loop import time_iterations as time_iterations
    from c2fnas.training.loop import train as train
    from c2fnas.training.losses import DiceCrossEntropy as DiceCrossEntropy
    from c2fnas.training.metrics_log import Progress as Progress
    from c2fnas.training.recipe import Recipe as Recipe
    from c2fnas.training.recipe import modern_recipe as modern_recipe
    from c2fnas.training.recipe import paper_recipe as paper_recipe
    from c2fnas.training.step import TrainingFailed as TrainingFailed
    from c2fnas.training.weights import load_weights as load_weights
    from c2fnas.training.weights import save_weights as save_weights

_MODULES = {
    "DiceCrossEntropy": "losses",
    "Progress": "metrics_log",
    "Recipe": "recipe",
    "TrainResult": "loop",
    "TrainingFailed": "step",
    "load_weights": "weights",
    "modern_recipe": "recipe",
    "paper_recipe": "recipe",
    "save_weights": "weights",
    "time_iterations": "loop",
    "train": "loop",
}
__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
