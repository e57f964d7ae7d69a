"""The memory that searchers share: what was proposed, what is under way, what it scored."""

from c2fnas.search.searcher import checked_score
from c2fnas.space.topology import Topology


class History:
    """The candidates of one search in order of proposal."""

    def __init__(self) -> None:
        self.proposed: dict[Topology, None] = {}
        self.running: set[Topology] = set()
        self.scores: dict[Topology, float] = {}

    @property
    def best(self) -> tuple[Topology, float] | None:
        """The highest score, the first told among equals."""
        return max(self.scores.items(), key=lambda item: item[1], default=None)

    def propose(self, topology: Topology) -> int:
        """Note a proposal and return its index."""
        self.proposed[topology] = None
        self.running.add(topology)
        return len(self.proposed) - 1

    def tell(self, topology: Topology, score: float | None) -> None:
        """Note a score, or a failure."""
        if topology not in self.running:
            raise ValueError(f"{topology.code} is not under way")
        checked = None if score is None else checked_score(score)
        self.running.discard(topology)
        if checked is not None:
            self.scores[topology] = checked
