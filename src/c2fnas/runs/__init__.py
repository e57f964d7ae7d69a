"""A run: its folder, configuration, lock, ledger, summary, and the loop that drives its jobs."""

from c2fnas.lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "config": ["RunConfig"],
        "driver": ["drive", "run_jobs"],
        "folder": ["RunFolder"],
        "freeze": ["refuse_frozen"],
        "ledger": ["Ledger"],
        "lock": ["RunLock"],
        "overrides": ["parse_overrides"],
        "records.ranked": ["RankedPath", "read_ranked"],
        "reporter": ["Reporter", "Silent"],
        "run": ["Run"],
        "summary": ["RunSummary", "read_summary"],
        "trial": ["Trial"],
    },
)
