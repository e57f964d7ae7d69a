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


@dataclass(frozen=True)
class Standing:
    """A search as the posterior sees it.

    Attributes:
        answer: the topology to take: of those that are trained, the cheapest that is within the margin of the best;
            None while none is trained.
        wanted: the same among all topologies, trained or not.
        doubt: probability that a topology, trained or not, is better than ``wanted`` by more than the margin.
        gain: expected Dice of the best topology less that of ``wanted``.
        spread: expected standard deviation between topologies.
        seed_noise: expected standard deviation between trainings of a topology.
        rival: the trained topology that is most likely better than the answer by more than the margin; None without.
        rivalry: the probability of it.
        mean: expected Dice of each topology.
        deviation: its standard deviation.
    """

    answer: Topology | None
    wanted: Topology
    doubt: float
    gain: float
    spread: float
    seed_noise: float
    rival: Topology | None
    rivalry: float
    mean: dict[Topology, float]
    deviation: dict[Topology, float]

    @property
    def settled(self) -> bool:
        """True if the answer is what is wanted, and nothing above the margin is left to win."""
        return self.answer == self.wanted and self.doubt <= DOUBT


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
    draws = posterior.draws(np.random.default_rng((seed, len(trainings))), DRAWS)
    usable = np.array([topology not in failed for topology in topologies])
    trained = {topology for topology, _ in trainings}
    cheap = np.array([costs[topology] for topology in topologies])
    among = np.array([topology in trained for topology in topologies])
    wanted = cheapest_within(posterior, draws, cheap, usable, margin)
    answer = cheapest_within(posterior, draws, cheap, among, margin) if trained else None
    best = draws[:, usable].max(axis=1) - draws[:, wanted]
    rival, rivalry = _rival(draws, answer, among, margin)
    return Standing(
        None if answer is None else topologies[answer],
        topologies[wanted],
        doubt=float((best > margin).mean()),
        gain=float(best.mean()),
        spread=float(draws[:, usable].std(axis=1).mean()),
        seed_noise=posterior.seed_noise,
        rival=None if rival is None else topologies[rival],
        rivalry=rivalry,
        mean=dict(zip(topologies, posterior.mean.tolist(), strict=True)),
        deviation=dict(zip(topologies, draws.std(axis=0).tolist(), strict=True)),
    )


def settling_training(found: Standing, trained: Counter[Topology]) -> Topology | None:
    """Return the topology to train next, by which the answer is settled; None where nothing is to be told apart.

    What is wanted is trained first, where it is not. Then the answer or its likeliest rival is trained again, whichever
    was trained less often.

    Args:
        found: the standing.
        trained: how often each topology was trained, trainings under way included.
    """
    if not trained[found.wanted]:
        return found.wanted
    if found.rival is None or found.answer is None or found.rivalry <= DOUBT:
        return None
    return min((found.rival, found.answer), key=lambda topology: trained[topology])


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


def _rival(draws: Array, answer: int | None, among: NDArray[np.bool_], margin: float) -> tuple[int | None, float]:
    """The place of the likeliest rival, with the probability that it is better by more than the margin."""
    others = np.flatnonzero(among & (np.arange(len(among)) != answer))
    if answer is None or not len(others):
        return None, 0.0
    better = (draws[:, others] - draws[:, [answer]] > margin).mean(axis=0)
    return int(others[np.argmax(better)]), float(better.max())
