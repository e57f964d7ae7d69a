"""Figures of the coarse stage: cluster shares (paper Figure 4), progress, and the map of all topologies."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from c2fnas.report.coarse import CoarseSummary, cluster_shares
from c2fnas.report.figures.style import (
    BLACK,
    COLOURS,
    DICE_MAP,
    ORANGE,
    PALE,
    PURPLE,
    SKY,
    VERMILION,
    YELLOW,
    series_look,
)
from c2fnas.runs.records.coarse_posterior import CoarsePosterior
from c2fnas.space.topology import Topology

_LIGHT = (ORANGE, SKY, PURPLE, YELLOW)


def draw_cluster_shares(figure: Figure, coarse: CoarseSummary) -> None:
    """Draw a numbered band for each cluster over the number of evaluated networks (paper Figure 4)."""
    owners = [coarse.cluster_of(trial) for trial in coarse.evaluated]
    indices = [each.index for each in coarse.clusters]
    shares = cluster_shares(owners, len(indices))
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
            color="black" if COLOURS[index % len(COLOURS)] in _LIGHT else "white",
        )


def draw_best_so_far(figure: Figure, coarse: CoarseSummary) -> None:
    """Draw a dot for each network, coloured by cluster, and the highest Dice so far as steps."""
    axes = figure.subplots()
    known = coarse.evaluated
    scores = [trial.evidence or 0.0 for trial in known]
    numbers = range(1, len(known) + 1)
    axes.step(numbers, np.maximum.accumulate(scores), where="post", color=BLACK, label="best so far", zorder=2)
    for cluster in coarse.clusters:
        own = [(n, scores[n - 1]) for n in numbers if coarse.cluster_of(known[n - 1]) == cluster.index]
        look = series_look(cluster.index)
        axes.scatter([n for n, _ in own], [dice for _, dice in own], s=34, zorder=3, clip_on=False, **look)
    axes.set(xlabel="evaluated networks", ylabel="mean Dice")
    axes.set_ylim(bottom=min(0.0, *scores) if min(scores) < 0.1 else None)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside upper left")


def draw_posterior(figure: Figure, posterior: CoarsePosterior) -> None:
    """Draw every trained topology: its Dice by training, and the interval of what is expected of it; the best first.

    The band is the margin below the best expected: what lies in it is as good.
    """
    axes = figure.subplots()
    known = posterior.topologies
    best = known[0].mean
    axes.axhspan(best - posterior.margin, best, color=PALE, zorder=0, label=f"margin of {posterior.margin:g}")
    means, halves = [each.mean for each in known], [1.96 * each.deviation for each in known]
    colours = [VERMILION if each.code == posterior.answer else BLACK for each in known]
    numbers = range(1, len(known) + 1)
    lows, highs = ([mean + sign * half for mean, half in zip(means, halves, strict=True)] for sign in (-1, 1))
    axes.vlines(numbers, lows, highs, colors=colours, linewidth=1.4, zorder=2)
    axes.scatter(numbers, means, marker="_", s=90, color=colours, zorder=3, label="expected, 95 % interval")
    dots = [(number, score) for number, each in zip(numbers, known, strict=True) for score in each.scores]
    axes.scatter([x for x, _ in dots], [y for _, y in dots], s=16, color=SKY, zorder=4, label="a training")
    taken = next((number for number, each in zip(numbers, known, strict=True) if each.code == posterior.answer), None)
    if taken is not None:
        axes.annotate("taken", (taken, means[taken - 1]), xytext=(6, 8), textcoords="offset points", color=VERMILION)
    axes.set(xlabel="trained topologies, the best expected first", ylabel="mean Dice")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside upper left", ncols=3)


class TopologyMap:
    """Places of topologies on a plane: the first two principal components of all codes of the space.

    Deterministic, and the same for every run of a space. ``kept`` is the share of the codes' variance that the plane
    keeps: a distance on it is that much of the distance of codes.
    """

    def __init__(self, coarse: CoarseSummary) -> None:
        topologies = [topology for cluster in coarse.clusters for topology in cluster.topologies]
        codes = np.array([topology.code for topology in sorted(topologies)], dtype=float)
        dimensions = min(2, *codes.shape)
        self._plane = PCA(dimensions, svd_solver="full").fit(codes)
        self.kept = float(self._plane.explained_variance_ratio_.sum())

    def places(self, topologies: Sequence[Topology]) -> NDArray:
        """Return the places of some topologies, ``[topologies, 2]``."""
        found = self._plane.transform(np.array([topology.code for topology in topologies], dtype=float))
        return np.pad(found, ((0, 0), (0, 2 - found.shape[1])))


def draw_cluster_map(figure: Figure, coarse: CoarseSummary, plane: TopologyMap) -> None:
    """Draw all topologies, coloured and shaped by cluster; evaluated ones have a dark edge."""
    axes = figure.subplots()
    for cluster in coarse.clusters:
        x, y = plane.places(cluster.topologies).T
        look = series_look(cluster.index)
        axes.scatter(x, y, s=13, alpha=0.45, linewidths=0, **look)
        tried = [t.architecture.topology for t in coarse.evaluated if t.architecture.topology in cluster.topologies]
        if tried:
            x, y = plane.places(tried).T
            axes.scatter(x, y, s=52, edgecolors=BLACK, linewidths=1.1, zorder=3, **look)
        axes.scatter([], [], s=40, label=str(cluster.index + 1), **look)
    axes.legend(title="cluster", loc="center left", bbox_to_anchor=(1.0, 0.5), handletextpad=0.1)
    _plain(axes)


def draw_dice_map(figure: Figure, coarse: CoarseSummary, plane: TopologyMap) -> None:
    """Draw the evaluated topologies coloured by Dice, the one taken, or else the best, with a ring; others are pale."""
    axes = figure.subplots()
    everything = [topology for cluster in coarse.clusters for topology in cluster.topologies]
    x, y = plane.places(everything).T
    axes.scatter(x, y, s=10, color=PALE, linewidths=0)
    known = coarse.evaluated
    x, y = plane.places([trial.architecture.topology for trial in known]).T
    dice = [trial.evidence or 0.0 for trial in known]
    dots = axes.scatter(x, y, s=58, c=dice, cmap=DICE_MAP, edgecolors=BLACK, linewidths=0.6, zorder=3)
    if coarse.ringed is not None:
        name, topology = coarse.ringed
        x, y = plane.places([topology])[0]
        axes.scatter(x, y, s=210, facecolors="none", edgecolors=VERMILION, linewidths=2.2, zorder=4)
        axes.annotate(
            name,
            (x, y),
            xytext=(9, 9),
            textcoords="offset points",
            color=VERMILION,
            fontweight="bold",
            zorder=5,
            bbox={"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1},
        )
    figure.colorbar(dots, ax=axes, label="Dice", shrink=0.85)
    _plain(axes)


def _plain(axes: Axes) -> None:
    axes.set(xticks=[], yticks=[], xlabel="first principal component", ylabel="second principal component")
    axes.set_aspect("equal", adjustable="datalim")
    axes.grid(False)
