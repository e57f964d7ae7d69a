"""The networks that the paper compares itself with (Table 2), and newer ones, to be trained at equal budget."""

from c2fnas.networks.baselines.design import BUILDERS, Baseline, build_baseline

__all__ = ["BUILDERS", "Baseline", "build_baseline"]
