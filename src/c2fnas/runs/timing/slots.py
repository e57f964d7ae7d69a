"""The jobs that a run does at a time: one on each of its devices, or as many as a cluster has room for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from c2fnas.errors import UserError
from c2fnas.execution.executor import Executor
from c2fnas.files import read_json, refusing_damage, write_json
from c2fnas.runs.config import RunConfig
from c2fnas.runs.folder import RunFolder


@dataclass(frozen=True)
class Slots:
    """The room that a run has for jobs; every estimate of what is left divides by it.

    Attributes:
        jobs: that run at a time.
        elsewhere: true if they run on a cluster, each with cores of its own.
    """

    jobs: int
    elsewhere: bool = False

    @classmethod
    def of(cls, executor: Executor) -> Self:
        """Return the room that ``executor`` has now."""
        return cls(executor.slots, executor.elsewhere)

    def text(self, devices: Sequence[str]) -> str:
        """Return it in words: the names of the run's ``devices``, or a number of jobs where it has others.

        >>> Slots(2).text(["cuda:0", "cuda:1"]), Slots(64, elsewhere=True).text(["cpu"])
        ('cuda:0, cuda:1', '64 jobs at a time')
        >>> Slots(1, elsewhere=True).text(["cpu"])
        '1 job at a time'
        """
        if self.jobs == len(devices) and not self.elsewhere:
            return ", ".join(devices)
        return f"{self.jobs} job{'s' if self.jobs > 1 else ''} at a time"


def read_slots(folder: RunFolder, config: RunConfig) -> Slots:
    """Return the room that the run's executor had last; before there was any, one job on each of its devices.

    What was written down for other devices than the run's does not count.

    Raises:
        UserError: the file is damaged.
    """
    kept = read_json(folder.slots) if folder.slots.exists() else {}
    with refusing_damage(folder.slots, "the room for jobs", "Delete it: the next command writes it again."):
        if kept.get("devices") == list(config.devices):
            return Slots(kept["jobs"], kept["elsewhere"])
    return Slots(len(config.devices))


def keep_slots(folder: RunFolder, config: RunConfig, slots: Slots) -> bool:
    """Write down the room that the executor has now; return false where the disk does not take it.

    It is no reason to end a run: the work itself tells of a full disk.
    """
    try:
        write_json(folder.slots, {"jobs": slots.jobs, "elsewhere": slots.elsewhere, "devices": list(config.devices)})
    except (OSError, UserError):
        return False
    return True
