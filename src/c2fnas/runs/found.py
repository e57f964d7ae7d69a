"""A check that a network is the one that the search of a run has found."""

from c2fnas.networks.designs import Design
from c2fnas.runs.folder import RunFolder
from c2fnas.space.architecture import Architecture


def was_found(run: RunFolder, design: Design) -> bool:
    """Return true if the fine stage of ``run`` has found ``design``, in this width or another one (paper 5.3).

    Raises:
        UserError: the fine stage's file can't be read.
    """
    path = run.fine_architecture
    if not isinstance(design, Architecture) or not path.exists():
        return False
    found = Architecture.load(path)
    return (found.topology, found.operations) == (design.topology, design.operations)
