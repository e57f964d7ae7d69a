"""What the tables that come along say of a data set: by all that were not made on it, each as much as another."""

import numpy as np
import pytest

from c2fnas.bench import TopologyTable, expected_elsewhere
from c2fnas.bench.table import TABLES
from c2fnas.space.search_space import SearchSpace

TOPOLOGIES = SearchSpace().topologies()


def standardised(values: list[float]) -> np.ndarray:
    return (np.array(values) - np.mean(values)) / np.std(values)


@pytest.mark.parametrize("own", TABLES)
def test_a_table_says_nothing_of_its_own_data(own: str) -> None:
    (other,) = {*TABLES} - {own}
    found = expected_elsewhere(TOPOLOGIES, TopologyTable.shipped(own).setting["cases"])
    assert found is not None
    alone = TopologyTable.shipped(other).predicted(TOPOLOGIES)
    difference = np.array([found[each] - alone[each] for each in TOPOLOGIES])
    assert np.ptp(difference) < 1e-12  # the level alone is left out


def test_tables_count_alike_whatever_their_spread() -> None:
    found = expected_elsewhere(TOPOLOGIES, ["no case of theirs"])
    assert found is not None
    each = [[*TopologyTable.shipped(name).predicted(TOPOLOGIES).values()] for name in TABLES]
    mean = np.mean([standardised(values) for values in each], axis=0)
    scale = float(np.mean([np.std(values) for values in each]))
    np.testing.assert_allclose([*found.values()], scale * mean, atol=1e-12)


def test_of_another_space_or_of_the_data_of_all_tables_nothing_is_expected() -> None:
    assert expected_elsewhere(SearchSpace(cells=8).topologies(), []) is None
    cases = [case for name in TABLES for case in TopologyTable.shipped(name).setting["cases"]]
    assert expected_elsewhere(TOPOLOGIES, cases) is None
