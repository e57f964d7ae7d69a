"""Dice plus cross-entropy (paper 4.1)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional


class DiceCrossEntropy(nn.Module):
    """Soft Dice loss per sample over the foreground classes, plus cross-entropy over all classes, with equal weights.

    Dice of a class: ``(2 Σ p·t + s) / (Σ p + Σ t + s)`` with softmax probabilities ``p`` and smoothing ``s``, averaged
    over samples and foreground classes; a class that is neither there nor predicted has a Dice of 1. Computed in
    float32. Equal to MONAI's ``DiceLoss(include_background=False)`` with this smoothing in numerator and denominator,
    but MONAI takes every worker process seconds to import.

    >>> sure = torch.full((1, 2, 1, 1, 2), -50.0).scatter_(1, torch.tensor([[[[[0, 1]]]]]), 50.0)
    >>> DiceCrossEntropy()(sure, torch.tensor([[[[0, 1]]]])).item()
    0.0
    """

    def __init__(self, smoothing: float = 1e-5) -> None:
        super().__init__()
        self.smoothing = smoothing

    def forward(self, logits: Float[Tensor, "b c i j k"], label: Int[Tensor, "b i j k"]) -> Float[Tensor, ""]:
        """Return the mean loss over the samples of a batch; class indices may be of any integer type."""
        logits = logits.float()
        return functional.cross_entropy(logits, label.long()) + 1 - self.dice(logits.softmax(dim=1), label).mean()

    def dice(
        self, probabilities: Float[Tensor, "b c i j k"], label: Int[Tensor, "b i j k"]
    ) -> Float[Tensor, "b foreground"]:
        """Return the soft Dice of every sample and foreground class."""
        truth = torch.stack([label == index for index in range(1, probabilities.shape[1])], dim=1).to(
            probabilities.dtype
        )
        found, axes = probabilities[:, 1:], (2, 3, 4)
        overlap = 2 * (found * truth).sum(axes) + self.smoothing
        return overlap / (found.sum(axes) + truth.sum(axes) + self.smoothing)
