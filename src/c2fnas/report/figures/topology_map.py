"""The topology space as a map: codes in the two directions in which they differ most, with clusters and with Dice."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from c2fnas.report.facts.coarse import CoarseFacts
from c2fnas.report.figures.style import BLACK, DICE_MAP, PALE, VERMILION, series_look
from c2fnas.space.topology import Topology


class TopologyMap:
    """Places of topologies on a plane: the first two principal components of all codes of the space.

    Deterministic, and the same for every run of a space. ``kept`` is the share of the codes' variance that the plane
    keeps: a distance on it is that much of the distance of codes.
    """

    def __init__(self, coarse: CoarseFacts) -> None:
        topologies = [topology for cluster in coarse.clusters for topology in cluster.topologies]
        codes = np.array([topology.code for topology in sorted(topologies)], dtype=float)
        dimensions = min(2, *codes.shape)
        self._plane = PCA(dimensions, svd_solver="full").fit(codes)
        self.kept = float(self._plane.explained_variance_ratio_.sum())

    def places(self, topologies: "list[Topology] | tuple[Topology, ...]") -> NDArray:
        """``[topologies, 2]``."""
        found = self._plane.transform(np.array([topology.code for topology in topologies], dtype=float))
        return np.pad(found, ((0, 0), (0, 2 - found.shape[1])))


def draw_cluster_map(figure: Figure, coarse: CoarseFacts, plane: TopologyMap) -> None:
    """All topologies, coloured and shaped by cluster; those that were evaluated have a dark edge."""
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


def draw_dice_map(figure: Figure, coarse: CoarseFacts, plane: TopologyMap) -> None:
    """The evaluated topologies coloured by Dice, the best with a ring; all others are pale."""
    axes = figure.subplots()
    everything = [topology for cluster in coarse.clusters for topology in cluster.topologies]
    x, y = plane.places(everything).T
    axes.scatter(x, y, s=10, color=PALE, linewidths=0)
    known = coarse.evaluated
    x, y = plane.places([trial.architecture.topology for trial in known]).T
    dice = [trial.evidence or 0.0 for trial in known]
    dots = axes.scatter(x, y, s=58, c=dice, cmap=DICE_MAP, edgecolors=BLACK, linewidths=0.6, zorder=3)
    if coarse.best is not None:
        x, y = plane.places([coarse.best.architecture.topology])[0]
        axes.scatter(x, y, s=210, facecolors="none", edgecolors=VERMILION, linewidths=2.2, zorder=4)
        axes.annotate(
            "best",
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
