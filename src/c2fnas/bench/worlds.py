"""Truths that a table allows: drawn from a model of it that tells topologies' effects from seeds' noise."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from c2fnas.bench.replays import Measurement
from c2fnas.bench.rows import Row
from c2fnas.bench.table import TopologyTable
from c2fnas.search.bayesian import TopologyModel
from c2fnas.space.topology import Topology

World = dict[Topology, Measurement]
Truth = Literal["linear", "smooth", "own"]
TRUTHS: dict[Truth, str] = {
    "linear": "Dice is linear in the code",
    "smooth": "Dice is a smooth function of the code, with a linear part",
    "own": "Dice is a smooth function of the code, and a topology has a part of its own",
}
"""Models of a table from which its worlds may be drawn."""
KEPT = 0.75
"""The share of a table's topologies that a resampled one has, with all their seeds."""


def draw_worlds(
    table: TopologyTable, *, tables: int, draws: int, truth: Truth = "own", seed: int = 0
) -> list[dict[Topology, Measurement]]:
    """Draw worlds: the true Dice of every topology of the space, as far as ``table`` lets know.

    The table's topologies are resampled, with all their seeds, and a Gaussian process with a linear part and an own
    part of every topology is fitted to each such table; worlds are drawn from its posterior. So they differ by what the
    model leaves open as well as by what another table would have said. A topology costs what a linear model of the
    table says; its rungs lie as far below its end as those of a training of the table, drawn at random; it fails as
    often as trainings of the table do.

    Args:
        table: with its setting.
        tables: resampled ones.
        draws: worlds of each.
        truth: ``linear`` in the code and nothing else, ``smooth`` a smooth function besides, ``own`` a part of every
            topology's own besides. The shipped table allows all three.
        seed: of all draws.

    Returns:
        The first world of every table, then the second ones, and so on.
    """
    topologies, seconds = table.space, _seconds(table.rows, table.space)
    model = TopologyModel(topologies, "linear" if truth == "linear" else "gp")
    found: list[list[World]] = []
    for number in range(tables):
        rng = np.random.default_rng((seed, number))
        known = model.given(_resampled(table, rng))
        drawn = np.clip(known.draws(rng, draws, own="all" if truth == "own" else "none"), 0.0, 1.0)
        found.append([_world(table, topologies, dice, seconds, rng) for dice in drawn])
    return [world for turn in zip(*found, strict=True) for world in turn]


def _resampled(table: TopologyTable, rng: np.random.Generator) -> list[tuple[Topology, float]]:
    """The trainings of :data:`KEPT` of the topologies. None is there twice: a copy would pass for seeds that agree."""
    kept = {*rng.permutation(len(table))[: max(1, round(KEPT * len(table)))].tolist()}
    known = {topology for place, topology in enumerate(table) if place in kept}
    return [(row.topology, row.dice) for row in table.rows if row.topology in known and row.dice is not None]


def _seconds(rows: Sequence[Row], topologies: Sequence[Topology]) -> NDArray[np.float64]:
    """The seconds of a training of each topology, by those that ended: the logarithm is linear in the code."""
    ended = [row for row in rows if row.dice is not None]
    known = np.array([(1, *row.topology.code) for row in ended], dtype=float)
    weights = np.linalg.lstsq(known, np.log([max(row.seconds, 1e-6) for row in ended]), rcond=None)[0]
    return np.exp(np.array([(1, *each.code) for each in topologies], dtype=float) @ weights)


def _world(
    table: TopologyTable,
    topologies: Sequence[Topology],
    truth: NDArray[np.float64],
    seconds: NDArray[np.float64],
    rng: np.random.Generator,
) -> World:
    scored = [row for row in table.rows if row.dice is not None]
    shares = sorted({place for row in scored for place in row.rungs})
    whole = [row for row in scored if row.rungs.keys() >= {*shares}]
    if not whole:
        whole, shares = scored, []
    drops = np.array([[(row.dice or 0.0) - row.rungs[place] for place in shares] for row in whole])
    fails = rng.random(len(topologies)) < 1 - len(scored) / len(table.rows)
    drawn = drops[rng.integers(len(whole), size=len(topologies))]
    lengths = [place / table.iterations for place in shares]
    return {
        topology: Measurement(
            None if failed else float(dice),
            float(cost),
            tuple((share, max(0.0, float(dice - drop))) for share, drop in zip(lengths, own, strict=True)),
        )
        for topology, dice, cost, failed, own in zip(
            topologies, truth[: len(topologies)], seconds, fails, drawn, strict=True
        )
    }
