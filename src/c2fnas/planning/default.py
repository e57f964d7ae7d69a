"""The architecture of a run that has no time to search one: by the shipped table of topologies, or the paper's."""

from collections.abc import Sequence

from c2fnas.bench.table import TopologyTable
from c2fnas.planning.feasible import feasible_topologies, is_within_limits
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
    begins too, has no part in it: what recorded runs have trained by default stays. Where the run has limits that this
    one is beyond, the one within them whose multiply-accumulates are nearest to its.

    Raises:
        UserError: no topology is within the run's limits.
    """
    possible = run.config.space.topologies()
    wanted, source = _without_limits(run, possible)
    if is_within_limits(run, wanted):
        return wanted, source
    macs = {topology: _macs(run, topology) for topology in (wanted, *feasible_topologies(run, possible))}
    others = [topology for topology in macs if topology != wanted]
    nearest = min(others, key=lambda topology: abs(macs[topology] - macs[wanted]))
    return nearest, f"the nearest in multiply-accumulates to {source}, which is beyond the run's limits"


def _without_limits(run: Run, possible: Sequence[Topology]) -> tuple[Topology, str]:
    paper = Architecture.named(PAPER).topology
    if BEST in possible and not TopologyTable.shipped().knows(run.fingerprint.signatures):
        return BEST, "one of the best by Hippocampus' shipped table of topologies"
    if paper in possible:
        return paper, "the paper's (C2FNAS-Panc), since Hippocampus' shipped table was made on these data"
    return possible[len(possible) // 2], "the middle one of this space, which is not the paper's"


def _macs(run: Run, topology: Topology) -> int:
    return run.cost(Architecture.uniform(topology, width=run.width)).macs


def default_operations(topology: Topology) -> OperationPath:
    """Return the operations where none are searched: the paper's for its topology, 3D for any other."""
    paper = Architecture.named(PAPER)
    return paper.operations if topology == paper.topology else (Operation.CONV3D,) * topology.cells
