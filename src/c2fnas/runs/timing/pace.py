"""The pace of a run, measured by what its own jobs took: the ground of every estimate of what is left."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from statistics import median

from c2fnas.files import read_json
from c2fnas.inference.ensemble import FLIPS
from c2fnas.runs.config import RunConfig
from c2fnas.runs.folder import EVALUATION, RunFolder
from c2fnas.runs.records.job_record import JobRecord, read_job
from c2fnas.shapes import Size
from c2fnas.training.recipe import Recipe


@dataclass(frozen=True)
class RunPace:
    """Device-seconds of the work that a run does most.

    Attributes:
        patch: forward and backward of one patch; None before any training has noted its pace.
        case: one validation case at ``stride``, without mirrored views; None before any has been evaluated.
        stride: of the sliding window, in voxels.
    """

    patch: float | None = None
    case: float | None = None
    stride: Size = (1, 1, 1)

    def training(self, recipe: Recipe, iterations: int) -> float | None:
        """Return the seconds of so many iterations; None if unknown."""
        return None if self.patch is None else iterations * recipe.batch_size * self.patch

    def cases(self, count: float, stride: Size, *, mirror: bool = False) -> float | None:
        """Return the seconds of ``count`` cases at ``stride``, to which the windows are inverse; None if unknown."""
        if self.case is None:
            return None
        return count * self.case * prod(self.stride) / prod(stride) * (len(FLIPS) if mirror else 1)


def read_pace(folder: RunFolder, config: RunConfig, stride: Size) -> RunPace:
    """Return the medians over the coarse candidates, or else over the final networks.

    Args:
        folder: Of the run.
        config: Of the run.
        stride: The plan's, of validation.
    """
    coarse, final = _jobs(folder.coarse.glob("[0-9]*")), _jobs(folder.final.glob("fold-*"))
    deployment = config.deployment.recipe
    patch = (
        _patch(coarse, config.coarse.recipe)
        or _patch(final, deployment)
        or _patch([read_job(folder.supernet)], config.fine.recipe)
    )
    if (case := _case(coarse)) is not None:
        return RunPace(patch, case, config.coarse.stride or stride)
    case = _case(final)
    return RunPace(patch, case and case / (len(FLIPS) if deployment.mirror else 1), stride)


def _jobs(folders: Iterable[Path]) -> list[JobRecord]:
    return [read_job(folder) for folder in sorted(folders)]


def _patch(jobs: list[JobRecord], recipe: Recipe) -> float | None:
    paces = [job.training_seconds / job.curve.done for job in jobs if job.curve.done and job.training_seconds]
    return median(paces) / recipe.batch_size if paces else None


def _case(jobs: list[JobRecord]) -> float | None:
    """Return the seconds of a job beside its training, by validation case."""
    found = []
    for job in jobs:
        rest = job.seconds - job.training_seconds
        if job.done and rest > 0 and (job.folder / EVALUATION).exists():  # an interrupted job tells its last session
            found.append(rest / len(read_json(job.folder / EVALUATION)["cases"]))
    return median(found) if found else None
