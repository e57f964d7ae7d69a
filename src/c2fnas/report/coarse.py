"""The coarse stage as a report shows it: its candidates and the clusters that they are from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from c2fnas.runs.config import RunConfig
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.records.coarse_posterior import CoarsePosterior
from c2fnas.runs.stage_summary import evaluated_trials
from c2fnas.runs.trial import Trial
from c2fnas.search.clusters import TopologyCluster
from c2fnas.space.topology import Topology


@dataclass(frozen=True)
class CoarseSummary:
    """The coarse stage of a run: all candidates in order of start, and the space's clusters (paper 3.3).

    ``posterior`` is there at its end, where the posterior has chosen.
    """

    trials: tuple[Trial, ...]
    clusters: tuple[TopologyCluster, ...]
    posterior: CoarsePosterior | None = None

    @property
    def evaluated(self) -> tuple[Trial, ...]:
        """Candidates with a Dice, in order of completion."""
        return evaluated_trials(self.trials)

    @property
    def best(self) -> Trial | None:
        """The candidate with the highest Dice of those trained to their end, the earliest among equals."""
        scored = [trial for trial in self.trials if trial.score is not None]
        return max(scored, key=lambda trial: (trial.score or 0.0, -trial.number), default=None)

    @property
    def ringed(self) -> tuple[str, Topology] | None:
        """The topology to point at: the one that was taken by the posterior, else the best observed; None without."""
        if self.posterior is not None:
            return "taken", Topology(self.posterior.answer)
        return None if self.best is None else ("best", self.best.architecture.topology)

    @property
    def failed(self) -> int:
        """The number of candidates that failed."""
        return sum(trial.state == "failed" for trial in self.trials)

    def cluster_of(self, trial: Trial) -> int:
        """Return the index of the cluster that a candidate's topology is in."""
        return next(each.index for each in self.clusters if trial.architecture.topology in each.topologies)


def summarise_coarse(trials: tuple[Trial, ...], config: RunConfig, folder: RunFolder) -> CoarseSummary:
    """Return the coarse stage of a run, begun or not; without candidates nothing needs clusters."""
    if not trials:
        return CoarseSummary((), ())
    posterior = CoarsePosterior.load(folder.posterior) if folder.posterior.exists() else None
    return CoarseSummary(trials, config.topology_clusters, posterior)


def cluster_shares(clusters: Sequence[int], count: int) -> NDArray:
    """Return the share of every cluster among the first n evaluated networks, for every n (paper Figure 4).

    Args:
        clusters: Of each network, in order of completion.
        count: Clusters there are.

    Returns:
        ``[networks, count]``: a row per n, from 1; its numbers add up to 1.

    >>> cluster_shares([0, 1, 1, 1], count=2).tolist()
    [[1.0, 0.0], [0.5, 0.5], [0.3333333333333333, 0.6666666666666666], [0.25, 0.75]]
    """
    return np.cumsum(np.eye(count)[list(clusters)], axis=0) / np.arange(1, len(clusters) + 1)[:, None]
