"""A search in miniature: ``toy_driver.py RUN STEP SECONDS`` ends itself with SIGKILL at the given step (0: never)."""

import itertools
import os
import signal
import sys
from pathlib import Path
from typing import Any

from c2fnas.execution import Job, LocalProcessExecutor
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.ledger import Ledger
from c2fnas.runs.lock import RunLock
from c2fnas.space.architecture import Architecture
from c2fnas.space.search_space import SearchSpace

TRIALS = 8
TOPOLOGIES = SearchSpace(cells=6, downsamplings=2).topologies()


def drive(root: Path, fatal_step: int, seconds: float) -> None:
    steps = itertools.count(1)

    def step() -> None:
        if next(steps) == fatal_step:
            os.kill(os.getpid(), signal.SIGKILL)

    run = RunFolder(root)
    with RunLock(root), LocalProcessExecutor(["cpu:0", "cpu:1"], grace=0.2) as executor:
        ledger = Ledger(run.study, "coarse")
        _step_within_success(ledger, step)
        left = [trial.number for trial in ledger.interrupted()]
        while True:
            while executor.idle and (left or len(ledger.trials()) < TRIALS):
                number = ledger.restart(left.pop(0)).number if left else _start(ledger)
                step()
                executor.submit(_job(run, number, seconds))
                step()
            if not executor.running:
                return
            outcome = executor.wait()
            assert outcome is not None
            assert outcome.value is not None
            step()
            ledger.succeed(int(outcome.job_id), outcome.value["score"], {"device": outcome.device})
            step()


def _start(ledger: Ledger) -> int:
    return ledger.start(Architecture.uniform(TOPOLOGIES[len(ledger.trials())]))


def _job(run: RunFolder, number: int, seconds: float) -> Job:
    payload = {"number": number, "seconds": seconds}
    return Job(str(number), "executor_targets:slow_square", payload, run.coarse_trial(number))


def _step_within_success(ledger: Ledger, step: Any) -> None:
    """A step between the attributes of an ended trial and its state."""
    write = ledger._storage.set_trial_state_values

    def stepping(*arguments: Any, **keywords: Any) -> Any:
        step()
        return write(*arguments, **keywords)

    ledger._storage.set_trial_state_values = stepping  # type: ignore[method-assign]


if __name__ == "__main__":
    drive(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
