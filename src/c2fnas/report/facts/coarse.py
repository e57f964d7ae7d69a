"""The coarse stage as a report needs it: its candidates, their clusters, and what they tell."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from c2fnas.runs.config import RunConfig
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.ledger import trials_of
from c2fnas.runs.trial import Trial
from c2fnas.space.clusters import TopologyCluster, cluster_topologies

STAGE = "coarse"


@dataclass(frozen=True)
class CoarseFacts:
    """The coarse stage of a run.

    Attributes:
        trials: all candidates, in order of start.
        clusters: K-means over all topologies of the space, as the search has it (paper 3.3).
        evaluations: how many candidates there are to be.
        finished: whether the stage has chosen a topology.
    """

    trials: tuple[Trial, ...]
    clusters: tuple[TopologyCluster, ...]
    evaluations: int
    finished: bool

    @property
    def evaluated(self) -> tuple[Trial, ...]:
        """Candidates with a Dice, at their end or where they were stopped, in order of completion."""
        known = [trial for trial in self.trials if trial.finished and trial.evidence is not None]
        return tuple(sorted(known, key=lambda trial: trial.order or 0))

    @property
    def best(self) -> Trial | None:
        """The candidate with the highest Dice of those that were trained to their end, the earliest among equals."""
        scored = [trial for trial in self.trials if trial.score is not None]
        return max(scored, key=lambda trial: (trial.score or 0.0, -trial.number), default=None)

    @property
    def failed(self) -> int:
        """Candidates that failed."""
        return sum(trial.state == "failed" for trial in self.trials)

    def cluster_of(self, trial: Trial) -> int:
        """The index of the cluster that a candidate's topology is in."""
        return next(each.index for each in self.clusters if trial.architecture.topology in each.topologies)


def read_coarse(folder: RunFolder, config: RunConfig) -> CoarseFacts:
    """The coarse stage of a run, begun or not."""
    space, coarse = config.space, config.coarse
    return CoarseFacts(
        trials=trials_of(folder, STAGE),
        clusters=cluster_topologies(space.topologies(), clusters=coarse.clusters, seed=config.seed),
        evaluations=coarse.evaluations,
        finished=(folder.coarse / "architecture.json").exists(),
    )


def cluster_shares(clusters: Sequence[int], count: int) -> list[list[float]]:
    """The share of every cluster among the first n evaluated networks, for every n (paper Figure 4).

    Args:
        clusters: Of each network, in order of completion.
        count: Clusters there are.

    Returns:
        A row per n, from 1; its numbers add up to 1.

    >>> cluster_shares([0, 1, 1, 1], count=2)
    [[1.0, 0.0], [0.5, 0.5], [0.3333333333333333, 0.6666666666666666], [0.25, 0.75]]
    """
    seen: Counter[int] = Counter()
    shares = []
    for total, cluster in enumerate(clusters, start=1):
        seen[cluster] += 1
        shares.append([seen[index] / total for index in range(count)])
    return shares


def best_so_far(scores: Sequence[float]) -> list[float]:
    """The highest of the first n scores, for every n.

    >>> best_so_far([0.2, 0.5, 0.1])
    [0.2, 0.5, 0.5]
    """
    best: list[float] = []
    for score in scores:
        best.append(max(score, best[-1]) if best else score)
    return best
