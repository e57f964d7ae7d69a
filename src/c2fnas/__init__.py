"""C2FNAS: coarse-to-fine neural architecture search for 3D medical image segmentation (CVPR 2020).

>>> from c2fnas import Architecture, build_network
>>> architecture = Architecture.named("c2fnas-panc")
>>> network = build_network(architecture, in_channels=1, classes=3)  # a plain torch.nn.Module

A name is loaded when it is first used, so ``import c2fnas`` is instant and needs no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from c2fnas import bench
    from c2fnas.api.ablation import ablate
    from c2fnas.api.checks import check
    from c2fnas.api.costs import compare, describe
    from c2fnas.api.doctor import doctor
    from c2fnas.api.evaluations import evaluate
    from c2fnas.api.exports import import_model
    from c2fnas.api.models import Model, load_model
    from c2fnas.api.pipelines import demo, prepare, run
    from c2fnas.api.predictions import predict
    from c2fnas.api.runs import Run, open_run
    from c2fnas.api.trainings import train
    from c2fnas.api.watching import watch
    from c2fnas.networks.network import build_network
    from c2fnas.space.architecture import Architecture
    from c2fnas.space.operation import Operation
    from c2fnas.space.search_space import SearchSpace
    from c2fnas.space.topology import Topology

__version__ = "0.2.0"
__all__ = [
    "Architecture",
    "Model",
    "Operation",
    "Run",
    "SearchSpace",
    "Topology",
    "__version__",
    "ablate",
    "bench",
    "build_network",
    "check",
    "compare",
    "demo",
    "describe",
    "doctor",
    "evaluate",
    "import_model",
    "load_model",
    "open_run",
    "predict",
    "prepare",
    "run",
    "train",
    "watch",
]
_NAMES_OF_MODULES = {
    "api.ablation": ["ablate"],
    "api.checks": ["check"],
    "api.costs": ["compare", "describe"],
    "api.doctor": ["doctor"],
    "api.evaluations": ["evaluate"],
    "api.exports": ["import_model"],
    "api.models": ["Model", "load_model"],
    "api.pipelines": ["demo", "prepare", "run"],
    "api.predictions": ["predict"],
    "api.runs": ["Run", "open_run"],
    "api.trainings": ["train"],
    "api.watching": ["watch"],
    "networks": ["build_network"],
    "space.architecture": ["Architecture"],
    "space.operation": ["Operation"],
    "space.search_space": ["SearchSpace"],
    "space.topology": ["Topology"],
}
_MODULES = {name: module for module, names in _NAMES_OF_MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "bench":
        return import_module("c2fnas.bench")
    if name not in _MODULES:
        raise AttributeError(f"module 'c2fnas' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"c2fnas.{_MODULES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return __all__
