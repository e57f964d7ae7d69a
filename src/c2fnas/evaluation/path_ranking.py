"""Scoring many paths of a super-network on whole volumes (paper Eq. 7), what paths share computed once."""

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch

from c2fnas.data.cache import PreparedCase
from c2fnas.data.patches import crop
from c2fnas.data.scheme import LabelScheme
from c2fnas.errors import UserError
from c2fnas.evaluation.metrics import CaseScores, score_case, summarise
from c2fnas.inference.forward import computing, filled, resolve_device
from c2fnas.inference.sinks import RestoringSink
from c2fnas.inference.sliding_window import SlidingWindow, batched, evaluating
from c2fnas.inference.windows import Blend, NonFiniteLogits, importance, padding_before, windows_at_a_time
from c2fnas.networks.prefix_tree import evaluate_paths
from c2fnas.networks.supernet import SuperNetwork
from c2fnas.shapes import Size
from c2fnas.space.operation import OperationPath

MEMORY = 2**30
"""Bytes that the sums of all paths under way may take together."""

MEASURED = 3
"""Paths that are walked to see how many windows there is room for."""


@dataclass(frozen=True)
class CaseResult:
    """Some paths, from number ``first`` on, on one case; None for a path whose logits are not finite."""

    case: str
    first: int
    rows: tuple[CaseScores | None, ...]


def score_by_case(
    supernet: SuperNetwork,
    cases: Sequence[PreparedCase],
    paths: Sequence[OperationPath],
    window: SlidingWindow,
    *,
    scheme: LabelScheme,
    device: str = "auto",
    finished: Collection[tuple[str, int]] = (),
) -> Iterator[CaseResult]:
    """Score each path on each case with the super-network's weights, as its stand-alone network would score.

    Windows are batched as :meth:`SlidingWindow.stream` does, over the borders of cases too and always as many, so
    that a score on a case is the same whichever cases are scored with it. The paths of a batch are walked as a tree, so
    those with a common beginning share its computation.

    Args:
        supernet: moved to ``device``; its mode is kept.
        cases: labelled cases, not necessarily of the size of a window.
        paths: one operation per cell each, in any order.
        window: with precision and batch.
        scheme: of the labels.
        finished: ``(case, first)`` of results already there. Batches stay the same ones, so that what is left is scored
            as if nothing had been interrupted.

    Raises:
        UserError: no case shows any foreground, so there is no Dice to rank by.
    """
    refuse_without_foreground(cases)
    place = resolve_device(device)
    supernet.to(place)
    window = replace(window, batch=windows_for(supernet, cases, paths, window, place))
    for group in groups_of(cases, paths, window, scheme.outputs):
        done = {number for number, case in enumerate(cases) if (case.id, group.start) in finished}
        contest = _Contest(supernet, cases, paths[group], window, scheme, place)
        for number, rows in contest.run(done):
            yield CaseResult(cases[number].id, group.start, rows)


def windows_for(
    supernet: SuperNetwork,
    cases: Sequence[PreparedCase],
    paths: Sequence[OperationPath],
    window: SlidingWindow,
    device: torch.device,
) -> int:
    """Return the number of windows at a time: that of ``window``, or what the device has room and use for."""
    first = next(_tasks(cases, window))

    def work(image: torch.Tensor) -> None:
        with computing(device, window.precision), evaluating(supernet):
            deque(evaluate_paths(supernet.to(device), image, paths[:MEASURED]), maxlen=0)

    return window.batch or windows_at_a_time(work, torch.from_numpy(first.patch[None]).to(device))


def mean_dice(rows: Sequence[CaseScores | None]) -> float | None:
    """Return the mean Dice of a path over its cases; None if one of them is missing."""
    present = [row for row in rows if row is not None]
    return summarise(present).mean if present and len(present) == len(rows) else None


def groups_of(
    cases: Sequence[PreparedCase], paths: Sequence[OperationPath], window: SlidingWindow, classes: int
) -> list[slice]:
    """Return groups of paths to score together: about equal, and their sums fit into :data:`MEMORY`."""
    under_way = min(window.batch or 1, len(cases))
    return _groups(len(paths), under_way * max(_bytes_per_path(case, window, classes) for case in cases))


def refuse_without_foreground(cases: Sequence[PreparedCase]) -> None:
    """Refuse cases that paths can't be ranked by.

    Raises:
        UserError: no case shows any foreground.
    """
    if not any(len(voxels) for case in cases for voxels in case.foreground):
        names = ", ".join(case.id for case in cases) or "none"
        raise UserError(
            f"The candidates can't be ranked: no validation case shows any foreground class (cases: {names}). Rank on "
            "cases whose labels show the structures: give other folds, such as `--folds random`."
        )


@dataclass(frozen=True)
class _Task:
    """One window of a case."""

    case: int
    start: Size
    patch: np.ndarray
    last: bool


class _Sum:
    """One path's blended logits of one case, and the labels they become."""

    def __init__(self, case: PreparedCase, window: SlidingWindow, scheme: LabelScheme) -> None:
        self.sink = RestoringSink(case.restoration, scheme=scheme)
        self.blend = Blend(case.restoration.shape, importance(window.patch_size, window.weighting), self.sink)


class _Contest:
    """Some paths on some cases; sums are kept for the cases under way alone."""

    def __init__(
        self,
        supernet: SuperNetwork,
        cases: Sequence[PreparedCase],
        paths: Sequence[OperationPath],
        window: SlidingWindow,
        scheme: LabelScheme,
        device: torch.device,
    ) -> None:
        self._supernet, self._cases, self._paths = supernet, cases, paths
        self._window, self._scheme, self._device = window, scheme, device
        self._batch = window.batch or 1
        self._alive = dict.fromkeys(range(len(paths)))
        self._sums: dict[int, dict[int, _Sum]] = {}

    def run(self, done: Collection[int]) -> Iterator[tuple[int, tuple[CaseScores | None, ...]]]:
        """Yield number and rows of every case that is not ``done``, when all paths have been scored on it."""
        for batch in batched(_tasks(self._cases, self._window), self._batch):
            wanted = [task for task in batch if task.case not in done]
            if not wanted:
                continue
            with evaluating(self._supernet):
                self._forward(batch, done)
            for task in wanted:
                if task.last:
                    yield task.case, self._settle(task.case)

    def _forward(self, batch: Sequence[_Task], done: Collection[int]) -> None:
        """Add a batch of windows, but for those of cases that are ``done``, to the sums of all paths still alive."""
        alive = list(self._alive)
        patches = filled(np.stack([task.patch for task in batch]), self._batch)
        image = torch.from_numpy(patches).to(self._device)
        with computing(self._device, self._window.precision):
            for place, logits in evaluate_paths(self._supernet, image, [self._paths[index] for index in alive]):
                with self._given_up_if_diverged(alive[place]):
                    for task, scores in zip(batch, logits[: len(batch)].float(), strict=True):
                        if task.case not in done:
                            self._sum(task.case, alive[place]).blend.add(task.start, scores)

    @torch.inference_mode()
    def _settle(self, case: int) -> tuple[CaseScores | None, ...]:
        """Every path's row on a case that is complete."""
        truth = self._cases[case].truth
        assert truth is not None
        rows: dict[int, CaseScores] = {}
        for index in list(self._alive):
            with self._given_up_if_diverged(index):
                own = self._sum(case, index)
                own.blend.close()
                rows[index] = score_case(self._cases[case].id, own.sink.labels, truth, self._scheme)
        self._sums.pop(case, None)
        return tuple(rows.get(index) for index in range(len(self._paths)))

    def _sum(self, case: int, index: int) -> _Sum:
        sums = self._sums.setdefault(case, {})
        if index not in sums:
            sums[index] = _Sum(self._cases[case], self._window, self._scheme)
        return sums[index]

    @contextmanager
    def _given_up_if_diverged(self, index: int) -> Iterator[None]:
        try:
            yield
        except NonFiniteLogits:
            del self._alive[index]


def _tasks(cases: Sequence[PreparedCase], window: SlidingWindow) -> Iterator[_Task]:
    """All windows of all cases, in the order that blending needs."""
    for number, case in enumerate(cases):
        shape = case.restoration.shape
        image, before, starts = case.image, padding_before(shape, window.patch_size), window.windows(shape)
        for start in starts:
            corner = [at - pad for at, pad in zip(start, before, strict=True)]
            yield _Task(number, start, crop(image, corner, window.patch_size), last=start == starts[-1])


def _groups(paths: int, each: int) -> list[slice]:
    """Runs of paths, about equally long, that take ``each`` bytes and fit into :data:`MEMORY` together."""
    turns = -(-paths // max(1, MEMORY // each))
    size = -(-paths // max(1, turns))
    return [slice(start, min(paths, start + size)) for start in range(0, paths, max(1, size))]


def _bytes_per_path(case: PreparedCase, window: SlidingWindow, classes: int) -> int:
    """Memory of one path's sums, its labels and the planes it keeps between slabs, for one case."""
    _, j, k = (max(side, patch) for side, patch in zip(case.restoration.shape, window.patch_size, strict=True))
    ring = 4 * (classes + 1) * window.patch_size[0] * j * k
    return ring + int(np.prod(case.restoration.original.shape)) + 4 * classes * j * k
