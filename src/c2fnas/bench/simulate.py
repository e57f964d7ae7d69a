"""Searches replayed on a table of scores with asynchronous workers, in virtual time: thousands of them in seconds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

import numpy as np
from numpy.typing import NDArray

from c2fnas.search.searcher import Searcher
from c2fnas.search.successive_halving import judge_at_rung
from c2fnas.space.topology import Topology


@dataclass(frozen=True)
class Measurement:
    """A topology in the table.

    Attributes:
        score: its Dice in [0, 1]; None where its training fails.
        cost: how long a worker is busy with it, in any unit.
        rungs: its Dice after shares of the cost, in order, as ``(share, Dice)``.
    """

    score: float | None
    cost: float = 1.0
    rungs: tuple[tuple[float, float], ...] = ()


Table = Mapping[Topology, Measurement]
Told = Mapping[Topology, float | None]


@dataclass(frozen=True)
class Simulation:
    """One simulated search; every array has an entry per finished candidate, in order of completion.

    Attributes:
        topologies: what was trained.
        time: when it ended, the start of the search being 0.
        cost: what all finished candidates together cost.
        successes: how many were evaluated without a failure, this one and those stopped early included.
        regret: the table's best score less the score of the network that would be returned then; 1 before any.
    """

    topologies: tuple[Topology, ...]
    time: NDArray[np.float64]
    cost: NDArray[np.float64]
    successes: NDArray[np.int64]
    regret: NDArray[np.float64]


@dataclass(frozen=True)
class _Finished:
    """An end of a candidate: what it has cost, and whether it was trained to its end."""

    time: float
    topology: Topology
    cost: float
    whole: bool


def simulate(
    searcher: Searcher, table: Table, *, workers: int = 1, noise: float = 0.0, seed: int = 0, factor: int | None = None
) -> Simulation:
    """Let ``searcher`` search the table with ``workers`` workers that each train one candidate at a time.

    Args:
        noise: standard deviation between trainings of one topology: what the searcher is told is the table's score plus
            normal noise, within [0, 1]; the regret is that of the table's score. It depends on ``seed`` and the
            topology's place in the table, not on when it is trained, and is the same at all of its rungs.
        factor: of early stopping at the table's rungs; None: every candidate is trained to its end. The searcher is
            told the Dice of the rung at which a candidate is stopped, and such a one is never returned.

    Raises:
        ValueError: no worker, or the searcher proposes a topology that the table lacks.
    """
    if workers < 1:
        raise ValueError("a search needs at least one worker")
    told, reached = _observed(table, noise, seed), dict[int, list[float]]()
    busy: list[tuple[float, int, int, Topology]] = []  # until when, its index, the rung it is at then
    finished: list[_Finished] = []
    now = 0.0
    while True:
        while len(busy) < workers and (proposal := searcher.ask()) is not None:
            if proposal.topology not in table:
                raise ValueError(f"the table lacks the topology {proposal.topology.code}; let the searcher keep to it")
            heappush(busy, (now + _spent(table, proposal.topology, 0, factor), proposal.index, 0, proposal.topology))
        if not busy:
            return _simulation(finished, table, told)
        now, index, rung, topology = heappop(busy)
        entry = table[topology]
        if factor is None or rung == len(entry.rungs):
            searcher.tell(topology, told[topology])
            finished.append(_Finished(now, topology, entry.cost, whole=True))
            continue
        score = _shifted(entry.rungs[rung][1], entry.score, told[topology])
        others = reached.setdefault(rung, [])
        goes_on = judge_at_rung(rung, score, others, factor).promoted
        others.append(score)
        if goes_on:
            further = _spent(table, topology, rung + 1, factor) - _spent(table, topology, rung, factor)
            heappush(busy, (now + further, index, rung + 1, topology))
        else:
            searcher.tell(topology, score)
            finished.append(_Finished(now, topology, _spent(table, topology, rung, factor), whole=False))


def _spent(table: Table, topology: Topology, rung: int, factor: int | None) -> float:
    """What a candidate has cost at a rung; past the last one, or without early stopping, at its end."""
    entry = table[topology]
    return entry.cost if factor is None or rung == len(entry.rungs) else entry.cost * entry.rungs[rung][0]


def _shifted(score: float, true: float | None, observed: float | None) -> float:
    """A rung's Dice with the noise that its candidate's end has."""
    noise = 0.0 if true is None or observed is None else observed - true
    return min(1.0, max(0.0, score + noise))


def regret_curves(
    make: Callable[[int], Searcher],
    table: Table,
    *,
    repetitions: int,
    workers: int = 1,
    noise: float = 0.0,
    factor: int | None = None,
    against: str = "successes",
    grid: Sequence[float],
) -> NDArray[np.float64]:
    """The regret of ``repetitions`` searches at the points of ``grid``: ``[repetitions, points]``.

    Args:
        make: makes the searcher of a seed; the seeds are 0, 1, ...
        against: what ``grid`` counts: ``successes``, ``cost`` or ``time``.
    """
    runs = (
        simulate(make(seed), table, workers=workers, noise=noise, seed=seed, factor=factor)
        for seed in range(repetitions)
    )
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


def _simulation(finished: list[_Finished], table: Table, told: Told) -> Simulation:
    return Simulation(
        topologies=tuple(each.topology for each in finished),
        time=np.array([each.time for each in finished]),
        cost=np.cumsum([each.cost for each in finished]),
        successes=np.cumsum([not each.whole or told[each.topology] is not None for each in finished]),
        regret=_regret(finished, table, told),
    )


def _regret(finished: list[_Finished], table: Table, told: Told) -> NDArray[np.float64]:
    """The regret of the network with the highest score told so far, among those that were trained to their end."""
    optimum = max((entry.score for entry in table.values() if entry.score is not None), default=0.0)
    regrets, best_told, regret = [], -1.0, 1.0
    for each in finished:
        score, true = told[each.topology], table[each.topology].score
        if each.whole and score is not None and true is not None and score > best_told:
            best_told, regret = score, optimum - true
        regrets.append(regret)
    return np.array(regrets)
