"""Tables of trained topologies, queried in the manner of NAS-Bench, and searches replayed on them."""

from c2fnas.lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "answers": ["Entry"],
        "comparison": ["Budget", "Comparison", "Contender", "compare", "difference", "ratio"],
        "replays": ["Band", "Measurement", "Replay", "confidence_band", "regret_at", "replay"],
        "rows": ["Row", "read_table", "write_table"],
        "selection": ["planned_trainings"],
        "simulation": ["Simulation", "simulate"],
        "statistics": ["Estimate", "cluster_share", "distance_correlation", "rank_agreement", "seed_noise"],
        "table": ["Result", "TopologyTable", "UnknownTopology"],
        "worlds": ["draw_worlds"],
    },
)
