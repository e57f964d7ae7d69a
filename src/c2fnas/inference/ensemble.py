"""Several models, or several views of one: majority voting (paper 4.2), mean probability, mirroring at test time."""

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations

import numpy as np
import torch
from torch import Tensor, nn

from c2fnas.data.scheme import LabelScheme
from c2fnas.inference.options import Vote

Argmax = Callable[[Tensor], np.ndarray]
Restored = Callable[[Tensor], Iterator[Tensor]]

FLIPS = tuple(axes for count in range(4) for axes in combinations((2, 3, 4), count))
"""The axes of all eight mirrorings of a batch ``[b, channels, i, j, k]``; the first is none."""


class Mirrored(nn.Module):
    """The mean logits of a network over all eight mirrorings of its input, each mirrored back.

    Args:
        network: ``[b, channels, i, j, k] -> [b, classes, i, j, k]``.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """``[b, channels, i, j, k] -> [b, classes, i, j, k]``: eight times the network's time, the same memory."""
        total: Tensor = self.network(x).float()
        for axes in FLIPS[1:]:
            total = total + self.network(x.flip(axes)).float().flip(axes)
        return total / len(FLIPS)


class Ensemble(nn.Module):
    """Several networks on one input, one after the other.

    ``[b, channels, i, j, k] -> [b, networks · classes, i, j, k]``.

    Args:
        networks: of one kind of input.
        apart: whether each network has channels of its own, side by side, rather than all the same.
    """

    def __init__(self, networks: Sequence[nn.Module], *, apart: bool = False) -> None:
        super().__init__()
        self.networks, self.apart = nn.ModuleList(networks), apart

    def forward(self, x: Tensor) -> Tensor:
        """Return the networks' logits, side by side along the classes."""
        inputs = x.chunk(len(self.networks), dim=1) if self.apart else [x] * len(self.networks)
        return torch.cat([network(own).float() for network, own in zip(self.networks, inputs, strict=True)], dim=1)


class Fusion:
    """Several models' logits of one region become one labelling; models come one after the other.

    ``majority``: every model votes with its own labels, those it would give alone. Where classes share the most votes,
    that one of them wins which has the largest probability, averaged over the models. ``mean``: the class with the
    largest average probability. Memory does not grow with the models: a sum of probabilities and a count per class.

    Args:
        vote: The rule.
        argmax: Scores ``[any number of classes, i, j, k]`` to indices of the best, perhaps in another grid.
        counted: Count votes for the mean probability too, so that :meth:`disputed` knows of them.
    """

    def __init__(self, vote: Vote, argmax: Argmax, *, counted: bool = False) -> None:
        self._vote, self._argmax, self._counted = vote, argmax, counted or vote == "majority"
        self._probability: Tensor | None = None
        self._models = 0
        self._votes: np.ndarray | None = None

    def add(self, logits: Tensor) -> None:
        """Count one model's logits ``[classes, i, j, k]``."""
        self._models += 1
        probability = logits.float().softmax(0)
        self._probability = probability if self._probability is None else self._probability.add_(probability)
        if self._counted:
            self._count(self._argmax(logits), len(logits))

    def probabilities(self) -> Tensor:
        """Return the mean probabilities ``[classes, i, j, k]`` of the models, in the grid of their logits."""
        assert self._probability is not None
        return self._probability / self._models

    def disputed(self) -> np.ndarray:
        """Return the voxels on which the models differ, and those that any calls foreground; both are counts."""
        assert self._votes is not None
        return np.array([(self._votes.max(0) < self._models).sum(), (self._votes[0] < self._models).sum()])

    def labels(self) -> np.ndarray:
        """Return the fused labels, uint8, in the grid of ``argmax``."""
        assert self._probability is not None
        if self._vote == "mean":
            return self._argmax(self._probability)
        assert self._votes is not None
        winner = self._votes.argmax(0).astype(np.uint8)
        best = self._votes == self._votes.max(0)
        open_ = best.sum(0, dtype=np.uint8) > 1
        # Each set of classes that share the lead is settled by an argmax among them alone: exact in any grid.
        for candidates in np.unique(best[:, open_].T, axis=0):
            here = open_ & (best == candidates[:, None, None, None]).all(0)
            classes = np.flatnonzero(candidates)
            winner[here] = classes[self._argmax(self._probability[classes])[here]]
        return winner

    def _count(self, labels: np.ndarray, classes: int) -> None:
        if self._votes is None:
            self._votes = np.zeros((classes, *labels.shape), dtype=np.uint8)
        for index in range(classes):
            self._votes[index] += labels == index


class RegionFusion:
    """The same for regions, which may overlap: models vote on each region by itself.

    ``majority``: a region is where more than half of the models find it; an even vote goes by the mean probability.
    ``mean``: it is where its mean probability is above one half.

    Args:
        vote: The rule.
        restored: Scores ``[regions, i, j, k]``, one after the other and perhaps in another grid.
        scheme: What regions become.
        counted: Count votes for the mean probability too, so that :meth:`disputed` knows of them.
    """

    def __init__(self, vote: Vote, restored: Restored, scheme: LabelScheme, *, counted: bool = False) -> None:
        self._vote, self._restored, self._scheme = vote, restored, scheme
        self._counted = counted or vote == "majority"
        self._probability: Tensor | None = None
        self._votes: Tensor | None = None
        self._models = 0

    def add(self, logits: Tensor) -> None:
        """Count one model's logits ``[regions, i, j, k]``."""
        self._models += 1
        probability = self._scheme.probabilities(logits.float())
        self._probability = probability if self._probability is None else self._probability.add_(probability)
        if self._counted:  # votes for a region less those against it
            votes = torch.stack([(scores > 0).char() * 2 - 1 for scores in self._restored(logits)])
            self._votes = votes if self._votes is None else self._votes.add_(votes)

    def probabilities(self) -> Tensor:
        """Return the mean probabilities ``[regions, i, j, k]`` of the models, in the grid of their logits."""
        assert self._probability is not None
        return self._probability / self._models

    def disputed(self) -> np.ndarray:
        """Return the voxels on any region of which the models differ, and those that any has in a region."""
        assert self._votes is not None
        differ, found = (self._votes.abs() < self._models).any(0), (self._votes > -self._models).any(0)
        return np.array([int(differ.sum()), int(found.sum())])

    def labels(self) -> np.ndarray:
        """Return the fused labels, uint8, in the grid of ``restored``."""
        means = torch.stack([mean - 0.5 for mean in self._restored(self.probabilities())])
        if self._vote == "mean":
            return self._scheme.decode(means)
        assert self._votes is not None
        return self._scheme.decode(self._votes + means)
