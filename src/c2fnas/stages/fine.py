"""Fine stage, micro-level search (paper 3.4): single-path one-shot super-network, then random candidates are ranked."""

import math
from collections.abc import Sequence

from c2fnas.errors import UserError
from c2fnas.execution.executor import Executor
from c2fnas.execution.job import Job, Outcome
from c2fnas.runs.ledger import Ledger
from c2fnas.search.path_ranking import random_paths
from c2fnas.space.architecture import Architecture
from c2fnas.space.operation import Operation
from c2fnas.space.topology import Topology
from c2fnas.stages.drive import run_all
from c2fnas.stages.progress import Reporter
from c2fnas.stages.setting import Setting

STAGE = "fine"
SUPERNET_STAGE = "super-network"
RANKING_STAGE = "ranking"
PATHS_PER_JOB = 64

Path12 = tuple[Operation, ...]


def search_operations(setting: Setting, topology: Topology, executor: Executor, reporter: Reporter) -> Architecture:
    """Find the operations of ``topology``'s cells and return the best architecture (paper Eq. 6 and 7).

    Raises:
        UserError: the super-network could not be trained, or no candidate could be scored.
    """
    train_supernet(setting, topology, executor, reporter)
    return rank_candidates(setting, topology, executor, reporter)


def train_supernet(setting: Setting, topology: Topology, executor: Executor, reporter: Reporter) -> None:
    """Train the super-network; ``result.json`` tells how often each operation of each cell was trained."""
    job = Job("super-network", "c2fnas.stages.jobs:train_supernet", {"run": "../..", "code": list(topology.code)},
              setting.folder.supernet)  # fmt: skip
    outcomes = run_all(executor, [job], setting.folder, reporter, SUPERNET_STAGE)
    if outcomes[0].value is None:
        raise UserError(f"{job.folder}: the super-network could not be trained: {outcomes[0].failure}")


def rank_candidates(setting: Setting, topology: Topology, executor: Executor, reporter: Reporter) -> Architecture:
    """Score distinct random candidates with the super-network's weights and return the best one."""
    config = setting.config
    paths = sorted(random_paths(config.space, config.fine.candidates, seed=config.seed))
    chunks = [paths[start : start + PATHS_PER_JOB] for start in range(0, len(paths), PATHS_PER_JOB)]
    jobs = [_ranking_job(setting, topology, number, chunk) for number, chunk in enumerate(chunks)]
    outcomes = run_all(executor, jobs, setting.folder, reporter, RANKING_STAGE, units=[len(chunk) for chunk in chunks])
    ledger = Ledger(setting.folder.study, STAGE)
    entered = {trial.architecture.operations for trial in ledger.trials()}
    ledger.add_scored(
        (Architecture(topology, path, config.width), score, {"device": outcome.device})
        for outcome, chunk in zip(outcomes, chunks, strict=True)
        for path, score in _scores(outcome, chunk)
        if path not in entered
    )
    best = ledger.best()
    if best is None:
        raise UserError(
            f"{setting.folder.fine}: no candidate could be scored; the last failure: {outcomes[-1].failure}"
        )
    return best.architecture


def _ranking_job(setting: Setting, topology: Topology, number: int, paths: Sequence[Path12]) -> Job:
    payload = {"run": "../../..", "code": list(topology.code), "paths": [list(path) for path in paths]}
    return Job(
        f"ranking {number}", "c2fnas.stages.jobs:rank_paths", payload, setting.folder.fine / "ranking" / f"{number:04d}"
    )


def _scores(outcome: Outcome, paths: Sequence[Path12]) -> list[tuple[Path12, float]]:
    """The paths of a chunk with their Dice; NaN where there is none, which the ledger enters as a failure."""
    scores = outcome.value["dice"] if outcome.value else [None] * len(paths)
    return [(path, math.nan if score is None else score) for path, score in zip(paths, scores, strict=True)]
