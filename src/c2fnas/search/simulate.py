"""Searches replayed on a table of scores with asynchronous workers, in virtual time: thousands of them in seconds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

import numpy as np
from numpy.typing import NDArray

from c2fnas.search.searcher import Searcher
from c2fnas.space.topology import Topology


@dataclass(frozen=True)
class Measurement:
    """A topology in the table.

    Attributes:
        score: its Dice in [0, 1]; None where its training fails.
        cost: how long a worker is busy with it, in any unit.
    """

    score: float | None
    cost: float = 1.0


Table = Mapping[Topology, Measurement]
Told = Mapping[Topology, float | None]


@dataclass(frozen=True)
class Simulation:
    """One simulated search; every array has an entry per finished candidate, in order of completion.

    Attributes:
        topologies: what was trained.
        time: when it ended, the start of the search being 0.
        cost: what all finished candidates together cost.
        successes: how many had a score, this one included.
        regret: the table's best score less the score of the network that would be returned then; 1 before any success.
    """

    topologies: tuple[Topology, ...]
    time: NDArray[np.float64]
    cost: NDArray[np.float64]
    successes: NDArray[np.int64]
    regret: NDArray[np.float64]


def simulate(searcher: Searcher, table: Table, *, workers: int = 1, noise: float = 0.0, seed: int = 0) -> Simulation:
    """Let ``searcher`` search the table with ``workers`` workers that each train one candidate at a time.

    Args:
        noise: standard deviation between trainings of one topology: what the searcher is told is the table's score plus
            normal noise, within [0, 1]; the regret is that of the table's score. It depends on ``seed`` and the
            topology's place in the table, not on when it is trained.

    Raises:
        ValueError: no worker, or the searcher proposes a topology that the table lacks.
    """
    if workers < 1:
        raise ValueError("a search needs at least one worker")
    told = _observed(table, noise, seed)
    busy: list[tuple[float, int, Topology]] = []
    finished: list[tuple[float, Topology]] = []
    now = 0.0
    while True:
        while len(busy) < workers and (proposal := searcher.ask()) is not None:
            if proposal.topology not in table:
                raise ValueError(f"the table lacks the topology {proposal.topology.code}; let the searcher keep to it")
            heappush(busy, (now + table[proposal.topology].cost, proposal.index, proposal.topology))
        if not busy:
            return _simulation(finished, table, told)
        now, _, topology = heappop(busy)
        searcher.tell(topology, told[topology])
        finished.append((now, topology))


def regret_curves(
    make: Callable[[int], Searcher],
    table: Table,
    *,
    repetitions: int,
    workers: int = 1,
    noise: float = 0.0,
    against: str = "successes",
    grid: Sequence[float],
) -> NDArray[np.float64]:
    """The regret of ``repetitions`` searches at the points of ``grid``: ``[repetitions, points]``.

    Args:
        make: makes the searcher of a seed; the seeds are 0, 1, ...
        against: what ``grid`` counts: ``successes``, ``cost`` or ``time``.
    """
    runs = (simulate(make(seed), table, workers=workers, noise=noise, seed=seed) for seed in range(repetitions))
    return np.stack([regret_at(run, grid, against) for run in runs])


def regret_at(simulation: Simulation, grid: Sequence[float], against: str = "successes") -> NDArray[np.float64]:
    """The regret once ``against`` (``successes``, ``cost``, ``time``) has reached each point; 1 before any success."""
    axis = {"successes": simulation.successes, "cost": simulation.cost, "time": simulation.time}[against]
    reached = np.searchsorted(axis, np.asarray(grid, dtype=float), side="right")
    return np.concatenate([[1.0], simulation.regret])[reached]


@dataclass(frozen=True)
class Band:
    """A mean over repetitions with its confidence band, per point of the grid."""

    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def confidence_band(
    curves: NDArray[np.float64], *, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Band:
    """The mean of ``curves`` (``[repetitions, points]``) and its percentile bootstrap over repetitions."""
    repetitions = len(curves)
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(repetitions, np.full(repetitions, 1 / repetitions), size=resamples) / repetitions
    low, high = np.quantile(weights @ curves, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return Band(curves.mean(axis=0), low, high)


def _observed(table: Table, noise: float, seed: int) -> Told:
    """What a training of each topology would tell."""
    if not noise:
        return {topology: entry.score for topology, entry in table.items()}
    scores = np.array([np.nan if entry.score is None else entry.score for entry in table.values()])
    noisy = np.clip(scores + np.random.default_rng(seed).normal(0.0, noise, len(table)), 0.0, 1.0).tolist()
    return {
        topology: None if entry.score is None else score
        for (topology, entry), score in zip(table.items(), noisy, strict=True)
    }


def _simulation(finished: list[tuple[float, Topology]], table: Table, told: Told) -> Simulation:
    topologies = tuple(topology for _, topology in finished)
    scores = [table[topology].score for topology in topologies]
    return Simulation(
        topologies=topologies,
        time=np.array([time for time, _ in finished]),
        cost=np.cumsum([table[topology].cost for topology in topologies]),
        successes=np.cumsum([score is not None for score in scores]),
        regret=_regret(topologies, table, told),
    )


def _regret(topologies: tuple[Topology, ...], table: Table, told: Told) -> NDArray[np.float64]:
    """The regret of the network with the highest score told so far."""
    optimum = max((entry.score for entry in table.values() if entry.score is not None), default=0.0)
    regrets, best_told, regret = [], -1.0, 1.0
    for topology in topologies:
        score, true = told[topology], table[topology].score
        if score is not None and true is not None and score > best_told:
            best_told, regret = score, optimum - true
        regrets.append(regret)
    return np.array(regrets)
