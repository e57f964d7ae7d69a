"""Evaluation of a network on prepared cases: whole volumes, in their original geometry (paper 4.1)."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import nn

from c2fnas.data.cache import PreparedCase
from c2fnas.data.normalisation import NormalisedImage
from c2fnas.data.scheme import LabelScheme
from c2fnas.evaluation.confusion import truth_of
from c2fnas.evaluation.metrics import CaseScores, Evaluation, Options, score_case, summarise
from c2fnas.inference.sinks import RestoringSink
from c2fnas.inference.sliding_window import SlidingWindow

Progress = Callable[[int, int], None]
Keep = Callable[[PreparedCase, np.ndarray], None]


def evaluate_network(
    network: nn.Module,
    cases: Sequence[PreparedCase],
    window: SlidingWindow,
    *,
    scheme: LabelScheme,
    device: str | torch.device = "auto",
    options: Options = Options(),
    on_progress: Progress = lambda done, total: None,
    keep: Keep = lambda case, labels: None,
    known: Mapping[str, CaseScores] = {},
    on_scores: Callable[[CaseScores], None] = lambda scores: None,
) -> Evaluation:
    """Score a network on labelled cases, each as a whole and against its label in its own grid (paper 4.1).

    Windows of several small volumes share a batch. ``scheme`` is that of the labels; ``on_progress(done, total)``
    counts cases; ``keep(case, labels)`` takes each prediction, indices of parts in the case's original grid. Cases of
    which the scores are ``known`` are not predicted; ``on_scores`` hears of every other's.

    Raises:
        NonFiniteLogits: the network gives NaN or infinity.
        UserError: the cases show no foreground, one has no label, or one window does not fit into memory.
    """

    left, rows = [case for case in cases if case.id not in known], dict(known)

    def volumes() -> Iterator[tuple[NormalisedImage, RestoringSink]]:
        return ((case.image, RestoringSink(case.restoration, scheme=scheme)) for case in left)

    for case, sink in zip(left, window.stream(network, volumes(), device=device), strict=True):
        spacing = case.restoration.original.spacing
        keep(case, sink.labels)
        rows[case.id] = score_case(case.id, sink.labels, truth_of(case), scheme, spacing=spacing, options=options)
        on_scores(rows[case.id])
        on_progress(len(rows), len(cases))
    return summarise([rows[case.id] for case in cases])
