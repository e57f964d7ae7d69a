"""Scoring many paths of a super-network on whole volumes (paper Eq. 7), each shared prefix computed once."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from c2fnas.data.cache import PreparedCase
from c2fnas.data.patches import crop
from c2fnas.inference.blend import Blend, NonFiniteLogits
from c2fnas.inference.forward import resolve_device
from c2fnas.inference.metrics import CaseScores, score_case, summarise
from c2fnas.inference.sinks import LabelSink, ScoreSink
from c2fnas.inference.sliding_window import SlidingWindow, evaluating
from c2fnas.inference.windows import importance, padding_before
from c2fnas.networks.prefix_tree import evaluate_paths
from c2fnas.networks.supernet import SuperNetwork
from c2fnas.space.operation import Operation

PathOfOperations = tuple[Operation, ...]
MEMORY = 2**30
"""Bytes that the sums of all paths under way may take together."""


def score_paths(
    supernet: SuperNetwork, cases: Sequence[PreparedCase], paths: Sequence[PathOfOperations], window: SlidingWindow, *,
    class_names: Sequence[str], device: str = "auto", on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[float | None]:  # fmt: skip
    """Mean whole-volume Dice of each path with the super-network's weights; None where its logits are not finite.

    The paths of a window batch are walked as a tree, so sorted neighbours share most of their computation; the result is
    that of evaluating each path alone. ``class_names`` begin with the background.

    Raises:
        UserError: the cases show no foreground class at all.
    """
    place = resolve_device(device)
    supernet.to(place)
    rows: list[list[CaseScores]] = [[] for _ in paths]
    failed: set[int] = set()
    with evaluating(supernet):
        for done, case in enumerate(cases, start=1):
            alive = [index for index in range(len(paths)) if index not in failed]
            for group in _groups(alive, _bytes_per_path(case, window, len(class_names))):
                for index, labels in _labels(supernet, case, [paths[index] for index in group], window, place):
                    if labels is None:
                        failed.add(group[index])
                    else:
                        rows[group[index]].append(score_case(case.id, labels, case.truth, class_names))
            on_progress(done, len(cases))
    return [None if index in failed else summarise(rows[index]).mean for index in range(len(paths))]


def _labels(
    supernet: SuperNetwork,
    case: PreparedCase,
    paths: Sequence[PathOfOperations],
    window: SlidingWindow,
    device: torch.device,
) -> Iterator[tuple[int, np.ndarray | None]]:
    """The labels of a case in its original geometry by each path, as (index, labels); None where logits are not finite."""
    shape = case.restoration.shape
    weights = importance(window.patch_size, window.weighting)
    sinks = [ScoreSink(shape) if case.restoration.resampled else LabelSink(shape) for _ in paths]
    blends: list[Blend | None] = [Blend(shape, weights, sink) for sink in sinks]
    for starts, patches in _window_batches(case.image, window):
        image = torch.from_numpy(patches).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=window.precision != "fp32"):
            for index, logits in evaluate_paths(supernet, image, paths):
                _blend_in(blends, index, starts, logits.float())
    for index, (blend, sink) in enumerate(zip(blends, sinks, strict=True)):
        yield index, _finished(blend, sink, case)


def _blend_in(
    blends: list[Blend | None], index: int, starts: Sequence[tuple[int, int, int]], logits: torch.Tensor
) -> None:
    """Add the windows to the path's sums; a path with logits that are not finite is given up."""
    blend = blends[index]
    if blend is None:
        return
    try:
        for start, scores in zip(starts, logits, strict=True):
            blend.add(start, scores)
    except NonFiniteLogits:
        blends[index] = None


def _finished(blend: Blend | None, sink: LabelSink | ScoreSink, case: PreparedCase) -> np.ndarray | None:
    if blend is None:
        return None
    try:
        blend.close()
    except NonFiniteLogits:
        return None
    if isinstance(sink, LabelSink):
        return case.restoration.labels(sink.labels)
    return case.restoration.argmax(sink.scores)


def _window_batches(
    image: np.ndarray, window: SlidingWindow
) -> Iterator[tuple[tuple[tuple[int, int, int], ...], np.ndarray]]:
    """The windows of an image a batch at a time, in the order that blending needs: starts and patches."""
    i, j, k = image.shape[1:]
    before = padding_before((i, j, k), window.patch_size)
    starts = window.windows((i, j, k))
    for first in range(0, len(starts), window.batch):
        chosen = starts[first : first + window.batch]
        corners = [tuple(at - pad for at, pad in zip(start, before, strict=True)) for start in chosen]
        yield chosen, np.stack([crop(image, corner, window.patch_size) for corner in corners])


def _groups(indices: Sequence[int], each: int) -> Iterator[Sequence[int]]:
    """Runs of paths whose sums fit into :data:`MEMORY` together."""
    size = max(1, MEMORY // each)
    return (indices[start : start + size] for start in range(0, len(indices), size))


def _bytes_per_path(case: PreparedCase, window: SlidingWindow, classes: int) -> int:
    """Memory of one path's sums and result."""
    _, j, k = (max(side, patch) for side, patch in zip(case.restoration.shape, window.patch_size, strict=True))
    ring = 4 * (classes + 1) * window.patch_size[0] * j * k
    voxels = int(np.prod(case.restoration.shape))
    return ring + (4 * classes * voxels if case.restoration.resampled else voxels)
