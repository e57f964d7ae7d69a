"""The networks that the paper compares itself with (Table 2), and newer ones, to be trained at equal budget."""

from c2fnas.networks.baselines.baseline import BASELINES, Baseline, build_baseline

__all__ = ["BASELINES", "Baseline", "build_baseline"]
