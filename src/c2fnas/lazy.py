"""Packages whose names are loaded when first used: `import c2fnas` is instant, and torch waits for its user."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def attach(
    package: str, names: Mapping[str, Sequence[str]], *own: str
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return ``__getattr__``, ``__dir__`` and ``__all__`` of a package, as scientific-python's lazy_loader does.

    Args:
        package: its ``__name__``.
        names: public names by the submodule that they come from; without any, the submodule is public itself.
        own: further public names, which the package defines itself.

    >>> getattr_, dir_, all_ = attach("c2fnas.space", {"operation": ["Operation"]})
    >>> getattr_("Operation").__name__, dir_(), all_
    ('Operation', ['Operation'], ['Operation'])
    """
    modules = {name: module for module, given in names.items() for name in given or [module]}

    def getattr_(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        found = import_module(f"{package}.{modules[name]}")
        return getattr(found, name) if names[modules[name]] else found

    public = sorted([*modules, *own])
    return getattr_, lambda: public, public
