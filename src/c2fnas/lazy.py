"""Packages whose names are loaded when first used: `import c2fnas` is instant, and torch waits for its user."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def attach(
    package: str, names: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return ``__getattr__``, ``__dir__`` and ``__all__`` of a package, as scientific-python's lazy_loader does.

    Args:
        package: its ``__name__``.
        names: public names by the submodule that they come from.

    >>> getattr_, dir_, all_ = attach("c2fnas.space", {"operation": ["Operation"]})
    >>> getattr_("Operation").__name__, dir_(), all_
    ('Operation', ['Operation'], ['Operation'])
    """
    modules = {name: module for module, own in names.items() for name in own}

    def getattr_(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{modules[name]}"), name)

    public = sorted(modules)
    return getattr_, lambda: public, public
