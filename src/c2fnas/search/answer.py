"""The answer of a search by its posterior, and the trainings that settle it (not in the paper)."""

from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from c2fnas.search.bayesian import TopologyModel
from c2fnas.search.posterior import Array, Posterior
from c2fnas.space.topology import Topology

DOUBT = 0.05
"""The probability of an error that counts as none."""
DRAWS = 500
Interval = tuple[float, float, float]
"""A number that is expected, and the ends of its 95 % interval."""


@dataclass(frozen=True)
class Standing:
    """A search as the posterior sees it.

    Attributes:
        answer: the topology to take: of those that are trained, the cheapest that is within the margin of the best;
            None while none is trained.
        wanted: the same among all topologies, trained or not.
        leader: the trained topology with the highest mean; None while none is trained.
        rival: the trained topology that is most likely better than the leader; None without another one.
        rivalry: the probability of it.
        left: probability that a topology is better than ``wanted`` by more than the margin, one that is not trained by
            what its code tells.
        doubt: the same of ``answer``, or of ``wanted`` while there is none.
        gain: expected Dice of the best topology less that of ``answer``, likewise.
        spread: standard deviation between topologies: expected, and the ends of its 95 % interval.
        seed_noise: standard deviation between trainings of a topology, likewise.
        mean: expected Dice of each topology.
        deviation: its standard deviation.
    """

    answer: Topology | None
    wanted: Topology
    leader: Topology | None
    rival: Topology | None
    rivalry: float
    left: float
    doubt: float
    gain: float
    spread: Interval
    seed_noise: Interval
    mean: dict[Topology, float]
    deviation: dict[Topology, float]

    @property
    def settled(self) -> bool:
        """True if the answer is what is wanted, and nothing above the margin is left to win."""
        return self.answer == self.wanted and self.left <= DOUBT


def standing(
    model: TopologyModel,
    trainings: list[tuple[Topology, float]],
    costs: Mapping[Topology, float],
    *,
    margin: float,
    seed: int = 0,
    failed: Set[Topology] = frozenset(),
) -> Standing:
    """Return what ``trainings`` say of the topologies of ``model``.

    Args:
        costs: of every topology; of those within ``margin`` the cheapest is taken.
        margin: differences in Dice within it do not matter.
        seed: of the draws from the posterior.
        failed: topologies whose training failed; they are never the answer.
    """
    posterior, topologies = model.given(trainings), model.topologies
    seeds = (seed, len(trainings))
    draws, told = posterior.paired_draws(np.random.default_rng(seeds), DRAWS)
    usable = np.array([topology not in failed for topology in topologies])
    trained = {topology for topology, _ in trainings}
    cheap = np.array([costs[topology] for topology in topologies])
    among = np.array([topology in trained for topology in topologies])
    wanted = cheapest_within(posterior, draws, cheap, usable, margin)
    answer = cheapest_within(posterior, draws, cheap, among, margin) if trained else wanted
    leader = int(np.argmax(np.where(among, posterior.mean, -np.inf)))
    rival, rivalry = _rival(draws, leader, among)
    best = told[:, usable].max(axis=1, initial=0.0)
    return Standing(
        topologies[answer] if trained else None,
        topologies[wanted],
        topologies[leader] if trained else None,
        rival=None if rival is None else topologies[rival],
        rivalry=rivalry,
        left=float((best - told[:, wanted] > margin).mean()),
        doubt=float((best - told[:, answer] > margin).mean()),
        gain=float((best - told[:, answer]).mean()),
        spread=_interval(draws[:, usable].std(axis=1) if usable.any() else np.zeros(1)),
        seed_noise=_interval(posterior.noise_draws(np.random.default_rng((*seeds, 1)), DRAWS)),
        mean=dict(zip(topologies, posterior.mean.tolist(), strict=True)),
        deviation=dict(zip(topologies, draws.std(axis=0).tolist(), strict=True)),
    )


def settling_training(found: Standing, trained: Counter[Topology]) -> Topology | None:
    """Return the topology to train next, by which the answer is settled; None where nothing is to be told apart.

    What is wanted is trained first, where it is not. Then, while a rival is better than the leader with a probability
    above :data:`DOUBT`, the leader, the likeliest rival or the answer is trained again, whichever was trained least
    often.

    Args:
        found: the standing.
        trained: how often each topology was trained, trainings under way included.
    """
    if not trained[found.wanted]:
        return found.wanted
    if found.rivalry <= DOUBT:
        return None
    finalists = [each for each in (found.leader, found.rival, found.answer) if each is not None]
    return min(finalists, key=lambda topology: trained[topology])


def cheapest_within(posterior: Posterior, draws: Array, costs: Array, among: NDArray[np.bool_], margin: float) -> int:
    """Return the cheapest of ``among`` that is all but certainly within the margin of the one with the highest mean.

    Args:
        posterior: of all candidates.
        draws: from it, ``[draws, candidates]``.
        costs: of each candidate.
        among: true for those that may be taken.
        margin: differences within it do not matter.
    """
    leader = int(np.argmax(np.where(among, posterior.mean, -np.inf)))
    worse = (draws[:, leader, None] - draws > margin).mean(axis=0)
    near = among & (worse <= DOUBT) & (posterior.mean >= posterior.mean[leader] - margin)
    near[leader] = True
    return min(np.flatnonzero(near).tolist(), key=lambda place: (costs[place], -posterior.mean[place]))


def _rival(draws: Array, leader: int, among: NDArray[np.bool_]) -> tuple[int | None, float]:
    """The place of the leader's likeliest rival, with the probability that it is better."""
    others = np.flatnonzero(among & (np.arange(len(among)) != leader))
    if not len(others):
        return None, 0.0
    better = (draws[:, others] > draws[:, [leader]]).mean(axis=0)
    return int(others[np.argmax(better)]), float(better.max())


def _interval(draws: Array) -> Interval:
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(draws.mean()), float(low), float(high)
