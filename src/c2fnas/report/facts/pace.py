"""How fast a run goes, from what its own jobs took: the ground of every estimate in a report."""

from dataclasses import dataclass
from math import prod
from pathlib import Path
from statistics import median

from c2fnas.files import read_json
from c2fnas.report.facts.jobs import job_seconds, read_curve, result_of, training_seconds
from c2fnas.runs.config import RunConfig
from c2fnas.runs.folder import EVALUATION, RunFolder
from c2fnas.training.recipe import Recipe

Stride = tuple[int, int, int]
MIRRORED_VIEWS = 8


@dataclass(frozen=True)
class Pace:
    """Device-seconds of what a run does most.

    Attributes:
        patch: forward and backward of one patch; None before any training has noted its pace.
        case: a validation case at ``stride``, without mirrored views; None before any has been evaluated.
    """

    patch: float | None
    case: float | None
    stride: Stride

    def training(self, recipe: Recipe, iterations: int) -> float | None:
        """Seconds of that many iterations."""
        return None if self.patch is None else iterations * recipe.batch_size * self.patch

    def cases(self, count: float, stride: Stride, *, mirror: bool = False) -> float | None:
        """Seconds of ``count`` validation cases at ``stride``: windows are as many as the stride is short."""
        if self.case is None:
            return None
        return count * self.case * prod(self.stride) / prod(stride) * (MIRRORED_VIEWS if mirror else 1)


def read_pace(folder: RunFolder, config: RunConfig, stride: Stride) -> Pace:
    """The run's pace: medians over its coarse candidates, or its final networks where it has none.

    Args:
        stride: The plan's, of validation.
    """
    coarse = sorted(folder.coarse.glob("[0-9]*"))
    patch = _patch(coarse, config.coarse.recipe.batch_size)
    case, at = _case(coarse), config.coarse.stride or stride
    if patch is None:
        patch = _patch(sorted(folder.final.glob("fold-*")), config.deployment.recipe.batch_size)
    if patch is None:
        patch = _patch([folder.supernet], config.fine.recipe.batch_size)
    if case is None and (found := _case(sorted(folder.final.glob("fold-*")))) is not None:
        case, at = found / (MIRRORED_VIEWS if config.deployment.recipe.mirror else 1), stride
    return Pace(patch, case, at)


def _patch(folders: list[Path], batch_size: int) -> float | None:
    known = [(training_seconds(folder), curve.done) for folder in folders if (curve := read_curve(folder)).done]
    paces = [seconds / done / batch_size for seconds, done in known if seconds]
    return median(paces) if paces else None


def _case(folders: list[Path]) -> float | None:
    """What is left of a job's time beside its training, by validation case."""
    found = []
    for folder in folders:
        if result_of(folder) is None or not (folder / EVALUATION).exists():
            continue
        rest = job_seconds(folder) - training_seconds(folder)
        if rest > 0:  # a job that was interrupted tells of its last session alone
            found.append(rest / len(read_json(folder / EVALUATION)["cases"]))
    return median(found) if found else None
