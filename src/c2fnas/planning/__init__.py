"""Planning: what is measured on the machine once, and the pure functions that decide by it."""

from c2fnas.lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "budget": ["Workload", "estimate", "scheduled"],
        "configure": ["configure"],
        "forecast": ["forecast"],
        "measure": ["Timings", "measure"],
        "memory_fit": ["MemoryFit"],
        "plan": ["make_plan"],
        "presets": ["BUDGETS", "load_budget"],
        "request": ["Request", "request_for"],
    },
)
