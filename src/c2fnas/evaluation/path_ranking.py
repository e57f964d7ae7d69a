"""Scoring many paths of a super-network on whole volumes (paper Eq. 7), what paths share computed once."""

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch

from c2fnas.cores import usable_cores, usable_threads
from c2fnas.data.cache import PreparedCase
from c2fnas.data.patches import crop
from c2fnas.data.scheme import LabelScheme
from c2fnas.errors import UserError
from c2fnas.evaluation.confusion import ConfusionSink, Truth
from c2fnas.evaluation.metrics import CaseScores, summarise
from c2fnas.inference.forward import computing, filled, resolve_device
from c2fnas.inference.sliding_window import SlidingWindow, batched, evaluating
from c2fnas.inference.windows import Blend, NonFiniteLogits, importance, padding_before, windows_at_a_time
from c2fnas.memory import free_memory
from c2fnas.networks.prefix_tree import evaluate_paths
from c2fnas.networks.supernet import SuperNetwork
from c2fnas.shapes import Size
from c2fnas.space.operation import OperationPath

SUMS_SHARE = 0.4
"""The part of a device's free memory that the sums of all paths under way may take; windows take up to half."""

MEASURED = 3
"""Paths that are walked to see how many windows there is room for."""

BATCHES = 16
"""Batches after which cases are scored for themselves: the last one, filled up, then hardly counts."""


@dataclass(frozen=True)
class CaseResult:
    """Some paths on one case.

    Attributes:
        case: its id.
        windows: of the case.
        paths: the numbers of those that were walked together.
        rows: one each; None for a path whose logits are not finite.
    """

    case: str
    windows: int
    paths: tuple[int, ...]
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
    divisor: int = 1,
) -> Iterator[CaseResult]:
    """Score each path on each case with the super-network's weights, as its stand-alone network would score.

    Case after case; of small cases several at a time, since windows are batched as :meth:`SlidingWindow.stream` does,
    over the borders of cases too and always as many, so that a score on a case is the same whichever cases are scored
    with it. The paths of a batch are walked as a tree, so those with a common beginning share its computation: all
    paths together, or as many as the device's free memory has room for the sums of.

    Args:
        supernet: moved to ``device``; its mode is kept.
        cases: labelled cases, not necessarily of the size of a window.
        paths: one operation per cell each, in any order.
        window: with precision and batch.
        scheme: of the labels.
        finished: ``(case, number of the path)`` of rows already there; what is left is scored as if nothing had been
            interrupted.
        divisor: by which groups of paths are smaller than memory seems to allow.

    Raises:
        UserError: no case shows any foreground, so there is no Dice to rank by.
    """
    refuse_without_foreground(cases)
    if not paths:
        return
    place = resolve_device(device)
    supernet.to(place)
    window = replace(window, batch=windows_for(supernet, cases, paths, window, place))
    room, done, diverged = room_for_sums(place) // divisor, set(finished), set[int]()
    for block in _blocks(cases, window):
        for lacking, numbers in _unfinished(block, paths, done).items():
            mine = [case for case in block if case.id in lacking]
            for group in groups_of(numbers, mine, window, scheme.outputs, room):
                yield from _Contest(supernet, mine, paths, group, diverged, window, scheme, place).run()


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


def room_for_sums(device: torch.device) -> int:
    """Return the bytes that sums may take: of a GPU's free memory, or of the machine's this process's share by cores.

    Several rankings may run on one machine, each with some of the cores.
    """
    share = 1.0 if device.type == "cuda" else usable_threads() / usable_cores()
    return int(free_memory(device) * SUMS_SHARE * share)


def mean_dice(rows: Sequence[CaseScores | None]) -> float | None:
    """Return the mean Dice of a path over its cases; None if one of them is missing."""
    present = [row for row in rows if row is not None]
    return summarise(present).mean if present and len(present) == len(rows) else None


def groups_of(
    numbers: Sequence[int], cases: Sequence[PreparedCase], window: SlidingWindow, classes: int, room: int
) -> Iterator[Sequence[int]]:
    """Yield groups of paths to walk together on cases: about equal, and their sums fit into ``room`` bytes."""
    under_way = min(window.batch or 1, len(cases))
    each = under_way * max(_bytes_per_path(case, window, classes) for case in cases)
    turns = -(-len(numbers) // max(1, room // each))
    size = -(-len(numbers) // turns)
    return (numbers[start : start + size] for start in range(0, len(numbers), size))


def refuse_without_foreground(cases: Sequence[PreparedCase]) -> None:
    """Refuse cases that paths can't be ranked by, since none shows any foreground."""
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


class _Contest:
    """Some paths on some cases; sums are kept for the cases under way alone."""

    def __init__(
        self,
        supernet: SuperNetwork,
        cases: Sequence[PreparedCase],
        paths: Sequence[OperationPath],
        group: Sequence[int],
        diverged: set[int],
        window: SlidingWindow,
        scheme: LabelScheme,
        device: torch.device,
    ) -> None:
        self._supernet, self._cases, self._paths, self._group = supernet, cases, paths, tuple(group)
        self._diverged, self._window, self._scheme, self._device = diverged, window, scheme, device
        self._batch = window.batch or 1
        with torch.inference_mode():
            self._weights = importance(window.patch_size, window.weighting).to(device)
        self._sums: dict[int, dict[int, tuple[Blend, ConfusionSink]]] = {}
        self._truths: dict[int, Truth] = {}

    def run(self) -> Iterator[CaseResult]:
        """Yield the rows of every case when all paths have been scored on it."""
        for batch in batched(_tasks(self._cases, self._window), self._batch):
            with evaluating(self._supernet):
                self._forward(batch)
            for task in batch:
                if task.last:
                    yield self._settle(task.case)

    @property
    def _alive(self) -> list[int]:
        return [number for number in self._group if number not in self._diverged]

    def _forward(self, batch: Sequence[_Task]) -> None:
        """Add a batch of windows to the sums of all paths still alive."""
        alive = self._alive
        patches = filled(np.stack([task.patch for task in batch]), self._batch)
        image = torch.from_numpy(patches).to(self._device)
        with computing(self._device, self._window.precision):
            for place, logits in evaluate_paths(self._supernet, image, [self._paths[number] for number in alive]):
                with self._given_up_if_diverged(alive[place]):
                    for task, scores in zip(batch, logits[: len(batch)].float(), strict=True):
                        self._sum(task.case, alive[place])[0].add(task.start, scores)

    @torch.inference_mode()
    def _settle(self, number: int) -> CaseResult:
        """Every path's row on a case that is complete."""
        case, rows = self._cases[number], dict[int, CaseScores]()
        for path in self._alive:
            with self._given_up_if_diverged(path):
                blend, sink = self._sum(number, path)
                blend.close()
                rows[path] = sink.scores()
        self._sums.pop(number, None)
        self._truths.pop(number, None)
        windows = len(self._window.windows(case.restoration.shape))
        return CaseResult(case.id, windows, self._group, tuple(rows.get(path) for path in self._group))

    def _sum(self, number: int, path: int) -> tuple[Blend, ConfusionSink]:
        """One path's blended logits of one case, and the counts they become."""
        sums, case = self._sums.setdefault(number, {}), self._cases[number]
        if number not in self._truths:
            self._truths[number] = Truth(case, self._scheme, self._device)
        if path not in sums:
            sink = ConfusionSink(case, self._truths[number], self._scheme)
            sums[path] = Blend(case.restoration.shape, self._weights, sink), sink
        return sums[path]

    @contextmanager
    def _given_up_if_diverged(self, path: int) -> Iterator[None]:
        try:
            yield
        except NonFiniteLogits:
            self._diverged.add(path)
            for sums in self._sums.values():
                sums.pop(path, None)


def _blocks(cases: Iterable[PreparedCase], window: SlidingWindow) -> Iterator[list[PreparedCase]]:
    """Cases that are scored together, in order: a large one, or small ones that fill batches."""
    batch, block, windows = window.batch or 1, list[PreparedCase](), 0
    for case in cases:
        block.append(case)
        windows += len(window.windows(case.restoration.shape))
        if windows % batch == 0 or windows >= BATCHES * batch:
            yield block
            block, windows = [], 0
    if block:
        yield block


def _unfinished(
    cases: Sequence[PreparedCase], paths: Sequence[OperationPath], done: Collection[tuple[str, int]]
) -> dict[tuple[str, ...], list[int]]:
    """The paths that lack rows, by the cases they lack them of; sorted, since neighbours share the most."""
    found: dict[tuple[str, ...], list[int]] = {}
    for number in sorted(range(len(paths)), key=lambda number: paths[number]):
        if lacking := tuple(case.id for case in cases if (case.id, number) not in done):
            found.setdefault(lacking, []).append(number)
    return found


def _tasks(cases: Sequence[PreparedCase], window: SlidingWindow) -> Iterator[_Task]:
    """All windows of all cases, in the order that blending needs."""
    for number, case in enumerate(cases):
        shape = case.restoration.shape
        image, before, starts = case.image, padding_before(shape, window.patch_size), window.windows(shape)
        for start in starts:
            corner = [at - pad for at, pad in zip(start, before, strict=True)]
            yield _Task(number, start, crop(image, corner, window.patch_size), last=start == starts[-1])


def _bytes_per_path(case: PreparedCase, window: SlidingWindow, classes: int) -> int:
    """Memory of one path's sums and of the planes it keeps between slabs, for one case."""
    _, j, k = (max(side, patch) for side, patch in zip(case.restoration.shape, window.patch_size, strict=True))
    return 4 * j * k * ((classes + 1) * window.patch_size[0] + classes)
