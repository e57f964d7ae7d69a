"""The figures of the report and of single commands, drawn with Matplotlib."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from c2fnas.report.figures.architecture import save_architecture
    from c2fnas.report.figures.scaling import save_scaling
    from c2fnas.report.figures.simulation import save_simulation

__all__ = ["save_architecture", "save_scaling", "save_simulation"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{name.removeprefix('save_')}"), name)
