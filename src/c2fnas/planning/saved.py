"""The time that a coarse stage that ended early leaves to the final network."""

from c2fnas.files import read_json_lines
from c2fnas.planning.budget import estimate
from c2fnas.planning.configuration import count_work
from c2fnas.planning.schedule import preparation_of
from c2fnas.planning.timings import Timings
from c2fnas.runs.run import Run


def saved_by_an_early_end(run: Run, unused: int, seconds: float) -> float:
    """Return the seconds that ``unused`` trainings leave, each of so many ``seconds``, on the devices of the run.

    In a time budget they are no more than the stage has left of its own part: where its trainings were slower than was
    thought, or some failed, that part is spent.
    """
    saved = unused * seconds / run.slots.jobs
    rows = [row for row in read_json_lines(run.folder.schedule) if row["stage"] == "coarse"]
    if not rows:
        return saved
    work = count_work(run.config, preparation_of(run))
    planned = estimate(run.config, Timings(**rows[-1]["timings"]), work)["coarse"]
    left = planned - (run.time.seconds - rows[-1]["spent"])
    return max(0.0, min(saved, left))
