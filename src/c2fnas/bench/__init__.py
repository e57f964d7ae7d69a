"""Tables of trained topologies, queried in the manner of NAS-Bench, and searches replayed on them."""

from c2fnas.bench.comparison import Budget, Comparison, Contender, compare, difference
from c2fnas.bench.plan import planned_trainings
from c2fnas.bench.replays import Band, Measurement, Replay, confidence_band, regret_at, replay
from c2fnas.bench.rows import Row, read_table, write_table
from c2fnas.bench.simulation import Simulation, simulate
from c2fnas.bench.statistics import Estimate, cluster_share, distance_correlation, seed_noise
from c2fnas.bench.table import Result, TopologyTable, UnknownTopology

__all__ = [
    "Band",
    "Budget",
    "Comparison",
    "Contender",
    "Estimate",
    "Measurement",
    "Replay",
    "Result",
    "Row",
    "Simulation",
    "TopologyTable",
    "UnknownTopology",
    "cluster_share",
    "compare",
    "confidence_band",
    "difference",
    "distance_correlation",
    "planned_trainings",
    "read_table",
    "regret_at",
    "replay",
    "seed_noise",
    "simulate",
    "write_table",
]
