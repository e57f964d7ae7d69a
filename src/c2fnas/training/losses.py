"""Dice plus cross-entropy (paper 4.1), over classes or over regions; ignored voxels are in no term."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from c2fnas.data.scheme import LabelScheme


class DiceCrossEntropy(nn.Module):
    """Soft Dice loss per sample over the foreground classes, plus cross-entropy over all classes, with equal weights.

    Of regions: soft Dice of each, with sigmoid probabilities, plus binary cross-entropy, its mean over regions.

    Dice of a class: ``(2 Σ p·t + s) / (Σ p + Σ t + s)`` with softmax probabilities ``p`` and smoothing ``s``, averaged
    over samples and foreground classes; a class that is neither there nor predicted has a Dice of 1. Computed in
    float32. Equal to MONAI's ``DiceLoss(include_background=False)`` with this smoothing in numerator and denominator,
    but MONAI takes every worker process seconds to import.

    >>> sure = torch.full((1, 2, 1, 1, 2), -50.0).scatter_(1, torch.tensor([[[[[0, 1]]]]]), 50.0)
    >>> DiceCrossEntropy()(sure, torch.tensor([[[[0, 1]]]])).item()
    0.0
    """

    def __init__(self, smoothing: float = 1e-5, scheme: LabelScheme = LabelScheme()) -> None:
        super().__init__()
        self.smoothing, self._scheme = smoothing, scheme

    def forward(self, logits: Float[Tensor, "b c i j k"], label: Int[Tensor, "b i j k"]) -> Float[Tensor, ""]:
        """Return the mean loss over the samples of a batch; class indices may be of any integer type."""
        logits = logits.float()
        probabilities = self._scheme.probabilities(logits, dim=1)
        return self._cross_entropy(logits, label) + 1 - self.dice(probabilities, label).mean()

    def dice(
        self, probabilities: Float[Tensor, "b c i j k"], label: Int[Tensor, "b i j k"]
    ) -> Float[Tensor, "b foreground"]:
        """Return the soft Dice of every sample and foreground class, or region."""
        found, axes = probabilities if self._scheme.order else probabilities[:, 1:], (2, 3, 4)
        truth = self._truth(label, found.shape[1]).to(found.dtype)
        if self._scheme.ignored is not None:
            found = found * (label != self._scheme.ignored).unsqueeze(1)
        overlap = 2 * (found * truth).sum(axes) + self.smoothing
        return overlap / (found.sum(axes) + truth.sum(axes) + self.smoothing)

    def _cross_entropy(self, logits: Tensor, label: Tensor) -> Tensor:
        """The mean over voxels; where some are ignored over each sample's others, then over samples."""
        ignored = self._scheme.ignored
        if self._scheme.order:
            truth = self._truth(label, logits.shape[1]).to(logits.dtype)
            each = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean(1)
        elif ignored is None:
            return functional.cross_entropy(logits, label.long())
        else:
            each = functional.cross_entropy(logits, label.long(), ignore_index=ignored, reduction="none")
        if ignored is None:
            return each.mean()
        known = label != ignored
        return ((each * known).sum((1, 2, 3)) / known.sum((1, 2, 3)).clamp(min=1)).mean()

    def _truth(self, label: Tensor, foreground: int) -> Tensor:
        """The voxels of every foreground class or region, bool ``[b, foreground, i, j, k]``; ignored ones in none."""
        if not self._scheme.classes:
            return torch.stack([label == index + 1 for index in range(foreground)], dim=1)
        return torch.stack([self._scheme.mask(label, number) for number in range(foreground)], dim=1)
