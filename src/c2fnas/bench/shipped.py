"""The tables that come with c2fnas, and what they say of other data (not in the paper)."""

from collections.abc import Collection, Sequence

import numpy as np

from c2fnas.bench.table import TABLES, TopologyTable
from c2fnas.space.topology import Topology


def expected_elsewhere(topologies: Sequence[Topology], signatures: Collection[str]) -> dict[Topology, float] | None:
    """Return what is expected of ``topologies`` by the tables that come with c2fnas, a data set's own left out.

    Each table's linear model counts as much as another's, whatever the spread of its Dice: the mean of what is expected
    in standard deviations, as wide as they are on average. The level says nothing.

    Args:
        topologies: the space; tables of another one say nothing.
        signatures: of the data set's cases, see :meth:`TopologyTable.knows`.

    Returns:
        Dice up to a constant; None where no table is left.

    >>> from c2fnas.space.search_space import SearchSpace
    >>> topologies = SearchSpace().topologies()
    >>> guess = expected_elsewhere(topologies, signatures=[])
    >>> max(guess, key=guess.get).code
    (1, 2, 3, 3, 3, 3, 3, 3, 2, 1, 0, 0)
    """
    tables = [TopologyTable.shipped(name) for name in TABLES]
    usable = [each for each in tables if next(iter(each)) in topologies and not each.knows(signatures)]
    if not usable:
        return None
    expected = np.array([[*each.predicted(topologies).values()] for each in usable])
    spread = expected.std(axis=1, keepdims=True)
    standardised = (expected - expected.mean(axis=1, keepdims=True)) / spread
    return dict(zip(topologies, (spread.mean() * standardised.mean(axis=0)).tolist(), strict=True))
