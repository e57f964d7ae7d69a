"""Tables of trained topologies, queried in the manner of NAS-Bench, and searches replayed on them."""

from c2fnas.lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "answers": ["Entry"],
        "comparison": ["Budget", "Comparison", "Contender", "compare", "difference", "ratio"],
        "intervals": ["Band", "over_tables", "ratio_over_tables"],
        "replays": ["Measurement", "Replay", "regret_at", "replay"],
        "run_replays": ["replay_run"],
        "rows": ["Row", "read_table", "write_table"],
        "selection": ["planned_trainings"],
        "shipped": ["expected_elsewhere"],
        "simulation": ["Simulation", "simulate"],
        "statistics": [
            "Estimate",
            "cluster_share",
            "common_seed_share",
            "distance_correlation",
            "rank_agreement",
            "reliability",
            "seed_noise",
        ],
        "table": ["Result", "TopologyTable", "UnknownTopology"],
        "worlds": ["draw_worlds"],
    },
)
