"""Scoring many paths of a super-network on whole volumes (paper Eq. 7), each shared prefix computed once."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from c2fnas.data.cache import PreparedCase
from c2fnas.data.patches import crop
from c2fnas.errors import UserError
from c2fnas.inference.blend import Blend, NonFiniteLogits
from c2fnas.inference.forward import autocast, resolve_device
from c2fnas.inference.metrics import CaseScores, score_case, summarise
from c2fnas.inference.sinks import LabelSink, ScoreSink
from c2fnas.inference.sliding_window import SlidingWindow, evaluating
from c2fnas.inference.windows import Triple, importance, padding_before
from c2fnas.networks.prefix_tree import evaluate_paths
from c2fnas.networks.supernet import SuperNetwork
from c2fnas.space.operation import Operation

PathOfOperations = tuple[Operation, ...]
Progress = Callable[[int, int], None]

MEMORY = 2**30
"""Bytes that the sums of all paths under way may take together."""


def score_paths(
    supernet: SuperNetwork, cases: Sequence[PreparedCase], paths: Sequence[PathOfOperations], window: SlidingWindow, *,
    class_names: Sequence[str], device: str = "auto", on_progress: Progress = lambda done, total: None,
) -> list[float | None]:  # fmt: skip
    """Mean whole-volume Dice of each path with the super-network's weights; None where its logits are not finite.

    Equals the evaluation of each path's stand-alone network: windows are batched in the same way, over the borders of
    cases too. The paths of a batch are walked as a tree, so those with a common beginning share its computation.

    Args:
        supernet: moved to ``device``; its mode is kept.
        cases: labelled cases, not necessarily of the size of a window.
        paths: one operation per cell each, in any order; they are walked sorted.
        window: with precision and batch.
        class_names: begin with the background.
        on_progress: hears of ``done`` of ``total`` cases; where the sums of all paths don't fit into :data:`MEMORY`
            and the cases are gone through several times, of so many times the cases.

    Raises:
        UserError: no case shows any foreground, so there is no Dice to rank by.
    """
    refuse_without_foreground(cases)
    place = resolve_device(device)
    supernet.to(place)
    groups = _groups(len(paths), _bytes_per_path(cases, window, len(class_names)))
    scores: list[float | None] = []
    with evaluating(supernet):
        for number, group in enumerate(groups):
            contest = _Contest(supernet, cases, paths[group], window, class_names, place)
            for done, _ in enumerate(contest.run(), start=1):
                on_progress(number * len(cases) + done, len(groups) * len(cases))
            scores += contest.scores()
    return scores


def refuse_without_foreground(cases: Sequence[PreparedCase]) -> None:
    """See that there is something to rank paths by.

    Raises:
        UserError: no case shows any foreground.
    """
    if not any(len(voxels) for case in cases for voxels in case.foreground):
        names = ", ".join(case.id for case in cases) or "none"
        raise UserError(
            f"The candidates can't be ranked: no validation case shows any foreground class (cases: {names}). Rank on "
            "cases whose labels show the structures."
        )


@dataclass(frozen=True)
class _Task:
    """One window of a case."""

    case: int
    start: Triple
    patch: np.ndarray
    last: bool


class _Contest:
    """Some paths on some cases; sums are kept for the cases under way alone."""

    def __init__(
        self, supernet: SuperNetwork, cases: Sequence[PreparedCase], paths: Sequence[PathOfOperations],
        window: SlidingWindow, class_names: Sequence[str], device: torch.device,
    ) -> None:  # fmt: skip
        self._supernet, self._cases, self._paths = supernet, cases, paths
        self._window, self._class_names, self._device = window, class_names, device
        self._rows: list[list[CaseScores]] = [[] for _ in paths]
        self._alive = dict.fromkeys(range(len(paths)))
        self._sums: dict[int, dict[int, _Sum]] = {}

    def run(self) -> Iterator[int]:
        """Yield the number of every case when all paths have been scored on it."""
        for batch in _batched(_tasks(self._cases, self._window), self._window.batch):
            self._forward(batch)
            for task in batch:
                if task.last:
                    self._settle(task.case)
                    yield task.case

    def scores(self) -> list[float | None]:
        """The mean Dice of each path; None of one whose logits were not finite."""
        return [summarise(rows).mean if index in self._alive else None for index, rows in enumerate(self._rows)]

    def _forward(self, batch: Sequence[_Task]) -> None:
        """Add a batch of windows to the sums of all paths that are still alive."""
        alive = list(self._alive)
        image = torch.from_numpy(np.stack([task.patch for task in batch])).to(self._device)
        with autocast(self._device, self._window.precision):
            for place, logits in evaluate_paths(self._supernet, image, [self._paths[index] for index in alive]):
                with self._given_up_if_diverged(alive[place]):
                    for task, scores in zip(batch, logits.float(), strict=True):
                        self._sum(task.case, alive[place]).add(task.start, scores)

    def _settle(self, case: int) -> None:
        """Score every path on a case that is complete."""
        truth = self._cases[case].truth
        assert truth is not None
        for index in list(self._alive):
            with self._given_up_if_diverged(index):
                labels = self._sum(case, index).labels()
                self._rows[index].append(score_case(self._cases[case].id, labels, truth, self._class_names))
        self._sums.pop(case, None)

    def _sum(self, case: int, index: int) -> "_Sum":
        sums = self._sums.setdefault(case, {})
        if index not in sums:
            sums[index] = _Sum(self._cases[case], self._window)
        return sums[index]

    @contextmanager
    def _given_up_if_diverged(self, index: int) -> Iterator[None]:
        try:
            yield
        except NonFiniteLogits:
            del self._alive[index]


class _Sum:
    """One path's blended logits of one case, on their way to labels."""

    def __init__(self, case: PreparedCase, window: SlidingWindow) -> None:
        self._way = case.restoration
        self._sink = (ScoreSink if self._way.resampled else LabelSink)(self._way.shape)
        self._blend = Blend(self._way.shape, importance(window.patch_size, window.weighting), self._sink)

    def add(self, start: Triple, logits: Tensor) -> None:
        """Blend in a window. Raises NonFiniteLogits."""
        self._blend.add(start, logits)

    def labels(self) -> np.ndarray:
        """The labels in the case's original geometry, after the last window. Raises NonFiniteLogits."""
        self._blend.close()
        if isinstance(self._sink, LabelSink):
            return self._way.labels(self._sink.labels)
        return self._way.argmax(self._sink.scores)


def _tasks(cases: Sequence[PreparedCase], window: SlidingWindow) -> Iterator[_Task]:
    """All windows of all cases, in the order that blending needs."""
    for number, case in enumerate(cases):
        shape = case.restoration.shape
        before, starts = padding_before(shape, window.patch_size), window.windows(shape)
        for start in starts:
            corner = [at - pad for at, pad in zip(start, before, strict=True)]
            yield _Task(number, start, crop(case.image, corner, window.patch_size), last=start == starts[-1])


def _batched(tasks: Iterator[_Task], size: int) -> Iterator[list[_Task]]:
    batch: list[_Task] = []
    for task in tasks:
        batch.append(task)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _groups(paths: int, each: int) -> list[slice]:
    """Runs of paths whose sums fit into :data:`MEMORY` together, of about equal length."""
    turns = -(-paths // max(1, MEMORY // each))
    size = -(-paths // max(1, turns))
    return [slice(start, min(paths, start + size)) for start in range(0, paths, max(1, size))]


def _bytes_per_path(cases: Sequence[PreparedCase], window: SlidingWindow, classes: int) -> int:
    """Memory of one path's sums and results, of as many cases as a batch of windows may touch."""

    def of_case(case: PreparedCase) -> int:
        _, j, k = (max(side, patch) for side, patch in zip(case.restoration.shape, window.patch_size, strict=True))
        voxels = int(np.prod(case.restoration.shape))
        result = 4 * classes * voxels if case.restoration.resampled else voxels
        return 4 * (classes + 1) * window.patch_size[0] * j * k + result

    return max(map(of_case, cases)) * min(len(cases), window.batch)
