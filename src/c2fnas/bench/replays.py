"""A search replayed on a table of scores with asynchronous workers, in virtual time: thousands of them in seconds."""

from collections.abc import Mapping, Sequence
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
class Replay:
    """One replayed search; every array has an entry per finished candidate, in order of completion.

    Attributes:
        topologies: the candidates.
        time: their ends, from the start of the search.
        cost: the cost of all candidates finished by then.
        successes: the number of those evaluated without a failure, stopped early or not.
        regret: the table's best score less the score of the network that would be returned then; 1 before any.
        told: the score that the searcher was told; not a number for a failure, and for one that was stopped early.
        answer: the network that is returned at the end; None without one.
    """

    topologies: tuple[Topology, ...]
    time: NDArray[np.float64]
    cost: NDArray[np.float64]
    successes: NDArray[np.int64]
    regret: NDArray[np.float64]
    told: NDArray[np.float64]
    answer: Topology | None = None


@dataclass(frozen=True)
class _Finished:
    """The end of a candidate: its cost, and ``whole`` if it was not stopped early."""

    time: float
    topology: Topology
    cost: float
    whole: bool


def replay(
    searcher: Searcher, table: Table, *, workers: int = 1, noise: float = 0.0, seed: int = 0, factor: int | None = None
) -> Replay:
    """Let ``searcher`` search the table with ``workers`` workers that each train one candidate at a time.

    Args:
        noise: standard deviation between trainings of one topology. The searcher is told the table's score plus normal
            noise, within [0, 1]; the regret is that of the table's score. The noise depends on ``seed`` and the
            topology's place in the table, not on the time of its training, and is the same at all of its rungs.
        factor: of early stopping at the table's rungs; None: every candidate is trained to its end. The searcher is
            told the Dice of the rung at which a candidate is stopped, and such a one is never returned.

    Raises:
        ValueError: no worker, or the searcher proposes a topology that the table lacks.
    """
    if workers < 1:
        raise ValueError("a search needs at least one worker")
    told, reached = observed(table, noise, seed), dict[int, list[float]]()
    busy: list[tuple[float, int, int, Topology]] = []  # until when, its index, the rung it is at then
    finished: list[_Finished] = []
    now = 0.0
    while True:
        while len(busy) < workers and (proposal := searcher.ask()) is not None:
            if proposal.topology not in table:
                raise ValueError(f"the table lacks the topology {proposal.topology.code}; let the searcher keep to it")
            heappush(busy, (now + _spent(table, proposal.topology, 0, factor), proposal.index, 0, proposal.topology))
        if not busy:
            return _replay(finished, table, told)
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
    """The cost of a candidate up to a rung; past the last one, or without early stopping, up to its end."""
    entry = table[topology]
    return entry.cost if factor is None or rung == len(entry.rungs) else entry.cost * entry.rungs[rung][0]


def _shifted(score: float, true: float | None, observed: float | None) -> float:
    """A rung's Dice with the noise that its candidate's end has."""
    noise = 0.0 if true is None or observed is None else observed - true
    return min(1.0, max(0.0, score + noise))


def regret_at(replayed: Replay, grid: Sequence[float], against: str = "successes") -> NDArray[np.float64]:
    """Return the regret once ``against`` (``successes``, ``cost``, ``time``) has reached each point; 1 before."""
    axis = {"successes": replayed.successes, "cost": replayed.cost, "time": replayed.time}[against]
    reached = np.searchsorted(axis, np.asarray(grid, dtype=float), side="right")
    return np.concatenate([[1.0], replayed.regret])[reached]


def observed(table: Table, noise: float, seed: int) -> Told:
    """Return the score that the first training of each topology gives."""
    if not noise:
        return {topology: entry.score for topology, entry in table.items()}
    scores = np.array([np.nan if entry.score is None else entry.score for entry in table.values()])
    noisy = np.clip(scores + np.random.default_rng(seed).normal(0.0, noise, len(table)), 0.0, 1.0).tolist()
    return {
        topology: None if entry.score is None else score
        for (topology, entry), score in zip(table.items(), noisy, strict=True)
    }


def _replay(finished: list[_Finished], table: Table, told: Told) -> Replay:
    regret, answer = _returned(finished, table, told)
    return Replay(
        topologies=tuple(each.topology for each in finished),
        time=np.array([each.time for each in finished]),
        cost=np.cumsum([each.cost for each in finished]),
        successes=np.cumsum([not each.whole or told[each.topology] is not None for each in finished]),
        regret=regret,
        told=np.array([told[each.topology] if each.whole else None for each in finished], dtype=float),
        answer=answer,
    )


def _returned(finished: list[_Finished], table: Table, told: Told) -> tuple[NDArray[np.float64], Topology | None]:
    """The network with the highest score told so far, of those that were trained to their end: its regret, the last."""
    optimum = best_of(table)
    regrets, best_told, regret, answer = list[float](), -1.0, 1.0, None
    for each in finished:
        score, true = told[each.topology], table[each.topology].score
        if each.whole and score is not None and true is not None and score > best_told:
            best_told, regret, answer = score, optimum - true, each.topology
        regrets.append(regret)
    return np.array(regrets), answer


def best_of(table: Table) -> float:
    """Return the highest true Dice; 0 where every training fails."""
    return max((entry.score for entry in table.values() if entry.score is not None), default=0.0)
