"""The architecture of a run that has no time to search one: by the shipped table of topologies, or the paper's."""

from c2fnas.bench.table import TopologyTable
from c2fnas.runs.run import Run
from c2fnas.space.architecture import Architecture
from c2fnas.space.operation import Operation, OperationPath
from c2fnas.space.topology import Topology

PAPER = "c2fnas-panc"


def default_topology(run: Run) -> tuple[Topology, str]:
    """Return the topology of a run that does not search one, and where it comes from, as text.

    The best of the shipped table, by a linear model of it; the paper's where the table was made on the run's own data,
    by which nothing may be chosen twice; the middle of the space where that is another one.
    """
    table, paper, possible = TopologyTable.shipped(), Architecture.named(PAPER).topology, run.config.space.topologies()
    best = table.predicted_best
    if best in possible and not table.knows(run.fingerprint.signatures):
        return best, "the best of the shipped table of topologies, which were trained on other data"
    if paper in possible:
        return paper, "the paper's (C2FNAS-Panc), since the shipped table of topologies was made on these data"
    return possible[len(possible) // 2], "the middle one of this space, which is not the paper's"


def default_operations(topology: Topology) -> OperationPath:
    """Return the operations where none are searched: the paper's for its topology, 3D for any other."""
    paper = Architecture.named(PAPER)
    return paper.operations if topology == paper.topology else (Operation.CONV3D,) * topology.cells
