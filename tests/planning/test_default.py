"""The architecture of a run that searches none."""

from types import SimpleNamespace

from c2fnas.bench.table import TopologyTable
from c2fnas.planning.default import default_operations, default_topology
from c2fnas.space.architecture import Architecture
from c2fnas.space.operation import Operation
from c2fnas.space.search_space import SearchSpace

PAPER = Architecture.named("c2fnas-panc")


def run(*cases: str, space: SearchSpace = SearchSpace()) -> SimpleNamespace:
    """A run on cases of these signatures."""
    return SimpleNamespace(config=SimpleNamespace(space=space), fingerprint=SimpleNamespace(signatures=cases))


def test_it_is_the_tables_but_on_the_tables_own_data() -> None:
    table = TopologyTable.shipped()
    own = table.setting["cases"]
    assert default_topology(run("other", "data"))[0] == table.predicted_best
    assert default_topology(run("other", "data", own[0]))[0] == table.predicted_best, "one alike may be chance"
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
    other = TopologyTable.shipped().predicted_best
    assert set(default_operations(other)) == {Operation.CONV3D}
