"""Studies of searches and networks, a module each: the paper's tables, the verdict, a check of the ranking."""

__all__ = ["ablation", "label_test", "tabulate", "tasks", "verdict", "verification", "widths"]
