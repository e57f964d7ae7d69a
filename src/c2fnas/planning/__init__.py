"""Planning: what is measured on the machine once, and the pure functions that decide by it."""

from c2fnas.lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "budget": ["Workload", "estimate"],
        "configuration": ["configure"],
        "counts": ["scheduled"],
        "default": ["default_operations", "default_topology"],
        "forecast": ["forecast_of"],
        "memory_fit": ["MemoryFit"],
        "plan": ["make_plan"],
        "presets": ["BUDGETS", "load_budget"],
        "request": ["Request", "request_for"],
        "schedule": ["fix_counts"],
        "step_timing": ["measure"],
    },
)
