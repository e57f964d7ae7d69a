"""The one loop that drives the jobs of every stage: fill idle devices, wait for a result, settle it, show progress."""

import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from c2fnas.execution.job import Job, Outcome
from c2fnas.execution.log import WarningLog
from c2fnas.runs.live import note_on, share_done
from c2fnas.runs.poll import REFRESH_SECONDS
from c2fnas.runs.run import Run


def drive(
    run: Run,
    stage: str,
    propose: Callable[[], Job | None],
    settle: Callable[[Outcome], None],
    *,
    finished: Callable[[], float],
    so_far: Callable[[], str] = str,
    units: Callable[[Job], float] = lambda job: 1.0,
    jobs: int = sys.maxsize,
) -> None:
    """Run the jobs of a stage until ``propose`` has no more and none is running.

    Asynchronous, as Algorithm 1's "while HasIdleGPU": an idle device gets a job at once, and a proposal never waits for
    slower jobs.

    Args:
        run: its executor runs the jobs, its reporter hears of the progress. A file ``stop`` in its folder ends the
            loop, and the executor has its jobs save when it is closed.
        stage: the name under which progress is shown.
        propose: gives the next job, or None where there is none now; it is asked again after the next result, and where
            a cluster has got more room.
        settle: receives every outcome, failures included.
        finished: counts the units of work that are settled; running jobs add the share that they have done.
        so_far: the best result so far as text; empty where there is none.
        units: counts the units of work in a job.
        jobs: their number where it is known, done ones included: a resumed stage computes with as many threads.

    Raises:
        Interrupted: somebody has left a file ``stop``.
    """
    executor, log = run.executor, WarningLog()
    executor.stage_jobs = jobs
    declined = -1
    while True:
        run.refuse_stop()
        run.keep_slots()
        while executor.idle and executor.slots != declined:
            if (job := propose()) is None:
                declined = executor.slots
            else:
                log.start(job)
                executor.submit(job)
        if not executor.running:
            return
        waited_for = executor.running
        outcome = executor.wait(REFRESH_SECONDS)
        for warning in log.unread(waited_for):
            run.reporter.say(warning)
        if outcome is not None:
            settle(outcome)
            declined = -1
        running = executor.running
        notes = [so_far(), *map(note_on, running)]
        under_way = sum(units(job) * share_done(job) for job in running)
        run.reporter.update(stage, finished() + under_way, " · ".join(filter(None, notes)))


def run_jobs(
    run: Run,
    stage: str,
    jobs: Sequence[Job],
    *,
    settle: Callable[[Outcome], None] = lambda outcome: None,
    together: int | None = None,
    units: Mapping[str, float] | None = None,
) -> list[Outcome]:
    """Run independent jobs, as many at a time as there are devices; outcomes come in the order of ``jobs``.

    A job whose folder already holds its result answers at once, so a repeated call carries on where the last stopped.
    ``settle`` hears of every outcome as it comes. Each job has as many cores as if there were ``together`` of them.
    Progress counts jobs alike, or by their ``units``, such as the seconds that each is expected to take.
    """
    waiting = deque(jobs)
    outcomes: dict[str, Outcome] = {}

    def keep(outcome: Outcome) -> None:
        outcomes[outcome.job_id] = outcome
        settle(outcome)

    sizes = units or {job.id: 1.0 for job in jobs}
    run.reporter.start(stage, sum(sizes.values()))
    drive(
        run,
        stage,
        lambda: waiting.popleft() if waiting else None,
        keep,
        finished=lambda: sum(sizes[job] for job in outcomes),
        so_far=lambda: _best(outcomes),
        units=lambda job: sizes[job.id],
        jobs=together or len(jobs),
    )
    run.reporter.finish(stage)
    return [outcomes[job.id] for job in jobs]


def _best(outcomes: dict[str, Outcome]) -> str:
    """The best Dice of several trainings so far."""
    values = [outcome.value.get("dice") for outcome in outcomes.values() if outcome.value]
    scores = [value for value in values if isinstance(value, float)]
    return f"best Dice {max(scores):.4f} of {len(scores)}" if scores else ""
