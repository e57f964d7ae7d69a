"""Collapsed trainings: one bad score each, not a slope of the model, nor most of the noise."""

import numpy as np
from numpy.typing import NDArray

NOISE = 0.006
"""Standard deviation of Dice between seeds where no score says otherwise."""
OUTLYING = 5.0
"""Scores further below the median than so many robust standard deviations count as if they were there."""


def tempered(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``scores`` with outlying low ones raised, so that a collapsed training is one bad score, not a slope.

    >>> tempered(np.array([0.80, 0.81, 0.82, 0.81, 0.10])).round(3).tolist()
    [0.8, 0.81, 0.82, 0.81, 0.736]
    """
    if len(scores) < 4:
        return scores
    median = float(np.median(scores))
    deviation = max(1.4826 * float(np.median(np.abs(scores - median))), NOISE / 2)
    return np.maximum(scores, median - OUTLYING * deviation)
