"""Voxels of each pair of true and predicted part, from which Dice follows; counted on the device of the labels."""

import numpy as np
import torch
from torch import Tensor

from c2fnas.data.cache import PreparedCase
from c2fnas.data.scheme import LabelScheme
from c2fnas.errors import UserError
from c2fnas.evaluation.metrics import CaseScores, confusion, scores_of
from c2fnas.inference.restoring import Planes, Restorer


class Truth:
    """The label of a case, turned to the axes of the prepared grid and on a device; all paths share it.

    Args:
        case: with a label.
        scheme: of the labels.
        device: where predictions are made.

    Attributes:
        inside: the parts of the voxels that are predicted, uint8 ``[i, j, k]``.
        outside: the voxels of each part that are not, where the prediction is background.

    Raises:
        UserError: the case has no label.
    """

    def __init__(self, case: PreparedCase, scheme: LabelScheme, device: torch.device) -> None:
        truth = truth_of(case)
        inside = np.array(case.restoration.view(truth), order="C")
        sizes = (_sizes(each, len(scheme.parts)) for each in (truth, inside))
        self.outside = np.subtract(*sizes)
        self.inside = torch.from_numpy(inside).to(device)


class ConfusionSink:
    """Counts, slab by slab, what a network predicts against the truth; labels of a whole volume exist nowhere."""

    def __init__(self, case: PreparedCase, truth: Truth, scheme: LabelScheme) -> None:
        self._case, self._truth, self._scheme = case, truth, scheme
        self._way = Restorer(case.restoration)
        self._table = np.zeros((len(scheme.parts),) * 2, dtype=np.int64)
        self._table[:, 0] = truth.outside

    def __call__(self, planes: slice, logits: Tensor) -> None:
        """Take a slab of one model's logits ``[outputs, planes, j, k]``."""
        self._way.take(planes, logits, self._count)

    def scores(self) -> CaseScores:
        """Return the Dice of the case; once the volume is complete."""
        return scores_of(self._case.id, self._table, self._scheme)

    def _count(self, planes: Planes) -> None:
        labels, parts = planes.labels(self._scheme), len(self._table)
        truth = self._truth.inside[planes.start : planes.stop].to(labels.device)
        if labels.device.type == "cpu":
            self._table += confusion(labels.numpy(), truth.numpy(), parts)
        else:
            self._table += _there(labels, truth, parts)


def truth_of(case: PreparedCase) -> np.ndarray:
    """Return the label of a case in its own grid.

    Raises:
        UserError: it has none.
    """
    if case.truth is None:
        raise UserError(f"{case.folder}: the case {case.id} has no label to be scored against.")
    return case.truth


def _there(labels: Tensor, truth: Tensor, parts: int) -> np.ndarray:
    """The same on an accelerator."""
    pairs = truth.to(torch.int32).mul_(parts).add_(labels)
    return torch.bincount(pairs.view(-1), minlength=parts**2).view(parts, parts).cpu().numpy()


def _sizes(labels: np.ndarray, parts: int) -> np.ndarray:
    """The voxels of each part."""
    return confusion(labels, labels, parts).diagonal()
