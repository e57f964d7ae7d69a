"""The one loop that drives the jobs of every stage: fill idle devices, wait for a result, settle it, show progress."""

from collections import deque
from collections.abc import Callable, Sequence

from c2fnas.errors import Interrupted
from c2fnas.execution.executor import Executor
from c2fnas.execution.job import Job, Outcome
from c2fnas.execution.log import WarningLog
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.live import note_on, share_done
from c2fnas.runs.reporter import Reporter

REFRESH_SECONDS = 0.5


def drive(
    executor: Executor,
    propose: Callable[[], Job | None],
    settle: Callable[[Outcome], None],
    *,
    folder: RunFolder,
    reporter: Reporter,
    stage: str,
    finished: Callable[[], float],
    so_far: Callable[[], str] = str,
    units: Callable[[Job], float] = lambda job: 1.0,
) -> None:
    """Run the jobs of a stage until ``propose`` has no more and none is running.

    Asynchronous, as Algorithm 1's "while HasIdleGPU": an idle device gets a job at once, a proposal never waits for the
    slower ones.

    Args:
        propose: the next job, or None where there is none now (asked again after every result).
        settle: receives every outcome, failures included.
        folder: of the run; a file ``stop`` in it ends the loop, and the executor has its jobs save when it is closed.
        finished: units of work that are settled; the share done of running jobs is added to it for the display.
        so_far: the best result so far, in words; empty where there is none.
        units: of work in a job.

    Raises:
        Interrupted: somebody has left a file ``stop``.
    """
    log = WarningLog()
    while True:
        if folder.stop_requested:
            raise Interrupted(f"{folder.stop} asked for it. Run the same command again to carry on.")
        while executor.idle and (job := propose()) is not None:
            log.start(job)
            executor.submit(job)
        if not executor.running:
            return
        waited_for = executor.running
        outcome = executor.wait(REFRESH_SECONDS)
        for warning in log.unread(waited_for):
            reporter.say(warning)
        if outcome is not None:
            settle(outcome)
        running = executor.running
        notes = [so_far(), *map(note_on, running)]
        under_way = sum(units(job) * share_done(job) for job in running)
        reporter.update(stage, finished() + under_way, " · ".join(filter(None, notes)))


def run_all(
    executor: Executor,
    jobs: Sequence[Job],
    folder: RunFolder,
    reporter: Reporter,
    stage: str,
    *,
    units: Sequence[float] | None = None,
) -> list[Outcome]:
    """Run independent jobs, as many at a time as there are devices; outcomes come in the order of ``jobs``.

    A job whose folder already holds its result answers at once, so a repeated call carries on where the last stopped.
    """
    weight = {job.id: unit for job, unit in zip(jobs, units or [1.0] * len(jobs), strict=True)}
    waiting = deque(jobs)
    outcomes: dict[str, Outcome] = {}

    def settle(outcome: Outcome) -> None:
        outcomes[outcome.job_id] = outcome

    reporter.start(stage, sum(weight.values()))
    drive(
        executor,
        lambda: waiting.popleft() if waiting else None,
        settle,
        folder=folder,
        reporter=reporter,
        stage=stage,
        finished=lambda: sum(weight[done] for done in outcomes),
        units=lambda job: weight[job.id],
    )
    reporter.finish(stage)
    return [outcomes[job.id] for job in jobs]
