"""The figures of the report and of single commands, drawn with Matplotlib."""

from c2fnas.lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__, {"architecture": ["save_architecture"], "scaling": ["save_scaling"], "simulation": ["save_simulation"]}
)
