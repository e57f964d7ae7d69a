"""The coarse stage as a report shows it: its candidates and the clusters that they are from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from c2fnas.files import read_json
from c2fnas.runs.config import RunConfig
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.stage_summary import evaluated_trials
from c2fnas.runs.trial import Trial
from c2fnas.search.clusters import TopologyCluster
from c2fnas.space.topology import Topology


@dataclass(frozen=True)
class TrainedTopology:
    """A trained topology as the posterior sees it: its Dice by training, what is expected of it, and how surely."""

    code: tuple[int, ...]
    macs: int
    scores: tuple[float, ...]
    mean: float
    deviation: float


@dataclass(frozen=True)
class PosteriorSummary:
    """The end of a coarse stage that chooses by the posterior.

    Attributes:
        margin: a difference in Dice that does not matter.
        answer: the code of the topology that was taken.
        left: probability that a topology is better by more than the margin than the one that the model wants.
        doubt: the same of the one that was taken.
        gain: Dice by which the best topology is expected to be better.
        spread: standard deviation between topologies: expected, and the ends of its 95 % interval.
        seed_noise: standard deviation between trainings of a topology, likewise.
        unused: trainings that the stage has not needed.
        saved: seconds that the stage has left to the final network.
        topologies: those trained, the best expected first.
    """

    margin: float
    answer: tuple[int, ...]
    left: float
    doubt: float
    gain: float
    spread: tuple[float, float, float]
    seed_noise: tuple[float, float, float]
    unused: int
    saved: float
    topologies: tuple[TrainedTopology, ...]

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read ``coarse/posterior.json``."""
        known = read_json(path)
        topologies = [
            TrainedTopology(**{**each, "code": tuple(each["code"]), "scores": tuple(each["scores"])})
            for each in known["topologies"]
        ]
        return cls(
            answer=tuple(known["answer"]),
            topologies=tuple(sorted(topologies, key=lambda each: -each.mean)),
            spread=tuple(known["spread"]),
            seed_noise=tuple(known["seed_noise"]),
            **{name: known[name] for name in ("margin", "left", "doubt", "gain", "unused", "saved")},
        )

    @property
    def trainings(self) -> int:
        """Trainings that have a Dice."""
        return sum(len(each.scores) for each in self.topologies)

    @property
    def taken(self) -> TrainedTopology:
        """The topology that was taken."""
        return next(each for each in self.topologies if each.code == self.answer)


@dataclass(frozen=True)
class CoarseSummary:
    """The coarse stage of a run: all candidates in order of start, and the space's clusters (paper 3.3).

    ``posterior`` is there at its end, where the posterior has chosen.
    """

    trials: tuple[Trial, ...]
    clusters: tuple[TopologyCluster, ...]
    posterior: PosteriorSummary | None = None

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
    posterior = PosteriorSummary.load(folder.posterior) if folder.posterior.exists() else None
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
