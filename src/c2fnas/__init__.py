"""C2FNAS: coarse-to-fine neural architecture search for 3D medical image segmentation (CVPR 2020).

>>> from c2fnas import Architecture, build_network
>>> architecture = Architecture.named("c2fnas-panc")
>>> network = build_network(architecture, in_channels=1, classes=3)  # a plain torch.nn.Module

A name is loaded when it is first used, so ``import c2fnas`` is instant and needs no torch.
"""

from typing import TYPE_CHECKING

from c2fnas.lazy import attach

if TYPE_CHECKING:  # "as": a type checker takes the name as one that is passed on
    from c2fnas import bench as bench
    from c2fnas.api.ablation import ablate as ablate
    from c2fnas.api.checks import check as check
    from c2fnas.api.costs import compare as compare
    from c2fnas.api.costs import describe as describe
    from c2fnas.api.doctor import doctor as doctor
    from c2fnas.api.evaluations import evaluate as evaluate
    from c2fnas.api.exports import import_model as import_model
    from c2fnas.api.models import Model as Model
    from c2fnas.api.models import load_model as load_model
    from c2fnas.api.pipelines import demo as demo
    from c2fnas.api.pipelines import prepare as prepare
    from c2fnas.api.pipelines import run as run
    from c2fnas.api.predictions import predict as predict
    from c2fnas.api.runs import Run as Run
    from c2fnas.api.runs import open_run as open_run
    from c2fnas.api.trainings import train as train
    from c2fnas.api.watching import watch as watch
    from c2fnas.networks.network import build_network as build_network
    from c2fnas.space.architecture import Architecture as Architecture
    from c2fnas.space.operation import Operation as Operation
    from c2fnas.space.search_space import SearchSpace as SearchSpace
    from c2fnas.space.topology import Topology as Topology

__version__ = "0.2.0"
__getattr__, __dir__, __all__ = attach(
    __name__,
    {
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
        "bench": [],
        "networks": ["build_network"],
        "space.architecture": ["Architecture"],
        "space.operation": ["Operation"],
        "space.search_space": ["SearchSpace"],
        "space.topology": ["Topology"],
    },
    "__version__",
)
