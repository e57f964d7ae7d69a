"""The architecture of a run that searches none."""

from types import SimpleNamespace

from c2fnas.bench.table import TopologyTable
from c2fnas.planning.default import BEST, default_operations, default_topology
from c2fnas.runs.config import CoarseLimits
from c2fnas.space.architecture import Architecture
from c2fnas.space.operation import Operation
from c2fnas.space.search_space import SearchSpace

PAPER = Architecture.named("c2fnas-panc")


def run(*cases: str, space: SearchSpace = SearchSpace()) -> SimpleNamespace:
    """A run on cases of these signatures."""
    config = SimpleNamespace(space=space, coarse=SimpleNamespace(limits=CoarseLimits()))
    return SimpleNamespace(config=config, fingerprint=SimpleNamespace(signatures=cases))


def test_it_is_the_tables_but_on_the_tables_own_data() -> None:
    table = TopologyTable.shipped()
    own = table.setting["cases"]
    assert default_topology(run("other", "data"))[0] == BEST
    assert default_topology(run("other", "data", own[0]))[0] == BEST, "one alike may be chance"
    for some in (own, own[:5], ("other", *own[3:5])):
        topology, source = default_topology(run(*some))
        assert topology == PAPER.topology
        assert "paper" in source


def test_of_another_space_it_is_the_middle_one() -> None:
    space = SearchSpace(cells=6, downsamplings=2)
    topology, _ = default_topology(run("other", "data", space=space))
    assert topology in space.topologies()


def test_the_papers_topology_has_the_papers_operations() -> None:
    assert default_operations(PAPER.topology) == PAPER.operations
    assert set(default_operations(BEST)) == {Operation.CONV3D}


def test_of_the_default_the_table_expects_as_much_as_of_any_other() -> None:
    table = TopologyTable.shipped()
    expected = table.predicted(table.space)
    assert expected[BEST] > max(expected[each] for each in table) - 0.001
    assert expected[BEST] > max(expected.values()) - 0.002
