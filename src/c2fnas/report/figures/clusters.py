"""Figure 4: the share of every cluster among the networks evaluated so far."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from c2fnas.report.facts.coarse import CoarseFacts, cluster_shares
from c2fnas.report.figures.style import COLOURS, ORANGE, PURPLE, SKY, YELLOW

LIGHT = (ORANGE, SKY, PURPLE, YELLOW)


def draw_cluster_shares(figure: Figure, coarse: CoarseFacts) -> None:
    """A band for each cluster, over the number of evaluated networks (paper Figure 4); numbers stand in the bands."""
    owners = [coarse.cluster_of(trial) for trial in coarse.evaluated]
    indices = [each.index for each in coarse.clusters]
    shares = np.array(cluster_shares(owners, len(indices)))
    axes = figure.subplots()
    # The share after n networks is drawn as wide as a network, about n.
    edges, held = np.arange(len(shares) + 1) + 0.5, np.vstack([shares, shares[-1]])
    low = np.zeros(len(held))
    for index in indices:
        high = low + held[:, index]
        axes.fill_between(
            edges, low, high, step="post", color=COLOURS[index % len(COLOURS)], linewidth=0.6, edgecolor="white"
        )
        _number(axes, index, low, high, len(shares))
        low = high
    axes.set(xlim=(0.5, len(shares) + 0.5), ylim=(0, 1), xlabel="evaluated networks", ylabel="share of each cluster")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(False)


def _number(axes: Axes, index: int, low: np.ndarray, high: np.ndarray, networks: int) -> None:
    """Write a cluster's number at the right end of its band, where that is high enough."""
    if high[-1] - low[-1] > 0.04:
        axes.text(
            networks + 0.4,
            (low[-1] + high[-1]) / 2,
            str(index + 1),
            ha="right",
            va="center",
            fontweight="bold",
            color="black" if COLOURS[index % len(COLOURS)] in LIGHT else "white",
        )
