"""Dice plus cross-entropy (paper 4.1)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional


class DiceCrossEntropy(nn.Module):
    """Soft Dice loss per sample over the foreground classes, plus cross-entropy over all classes, with equal weights.

    Dice of a class: ``(2 Σ p·t + s) / (Σ p + Σ t + s)`` with softmax probabilities ``p`` and smoothing ``s``, averaged over
    samples and foreground classes. Computed in float32 whatever the precision of the logits.
    """

    def __init__(self, smoothing: float = 1e-5) -> None:
        super().__init__()
        self.smoothing = smoothing

    def forward(self, logits: Float[Tensor, "b c i j k"], label: Int[Tensor, "b i j k"]) -> Float[Tensor, ""]:
        """The loss of a batch, the mean over its samples."""
        logits = logits.float()
        cross_entropy = functional.cross_entropy(logits, label)
        probabilities = logits.softmax(dim=1)[:, 1:]
        truth = torch.stack([label == index for index in range(1, logits.shape[1])], dim=1).to(probabilities.dtype)
        axes = (2, 3, 4)
        overlap = 2 * (probabilities * truth).sum(axes) + self.smoothing
        dice = overlap / (probabilities.sum(axes) + truth.sum(axes) + self.smoothing)
        return cross_entropy + (1 - dice.mean())
