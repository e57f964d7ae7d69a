"""The architecture of a run that has no time to search one: by the shipped table of topologies, or the paper's."""

from c2fnas.bench.table import TopologyTable
from c2fnas.runs.run import Run
from c2fnas.space.architecture import Architecture
from c2fnas.space.operation import Operation, OperationPath
from c2fnas.space.topology import Topology

PAPER = "c2fnas-panc"
BEST = Topology((1, 2, 2, 3, 3, 3, 3, 2, 2, 1, 0, 0))
"""One of the best of Hippocampus' table: a model of its trainings expects 0.8242 of it, and 0.0016 more of the highest.
So little is no reason to change what recorded runs have trained."""


def default_topology(run: Run) -> tuple[Topology, str]:
    """Return the topology of a run that does not search one, and where it comes from, as text.

    :data:`BEST`; the paper's where Hippocampus' table was made on the run's own data, by which nothing may be chosen
    twice; the middle of the space where that is another one. The heart's table, which came later and by which a search
    begins too, has no part in it: what recorded runs have trained by default stays.
    """
    paper, possible = Architecture.named(PAPER).topology, run.config.space.topologies()
    if BEST in possible and not TopologyTable.shipped().knows(run.fingerprint.signatures):
        return BEST, "one of the best by Hippocampus' shipped table of topologies"
    if paper in possible:
        return paper, "the paper's (C2FNAS-Panc), since Hippocampus' shipped table was made on these data"
    return possible[len(possible) // 2], "the middle one of this space, which is not the paper's"


def default_operations(topology: Topology) -> OperationPath:
    """Return the operations where none are searched: the paper's for its topology, 3D for any other."""
    paper = Architecture.named(PAPER)
    return paper.operations if topology == paper.topology else (Operation.CONV3D,) * topology.cells
