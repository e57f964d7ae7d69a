"""The coarse stage of a run by the posterior, replayed on a table in virtual time."""

from collections import Counter
from heapq import heappop, heappush

import numpy as np

from c2fnas.bench.answers import EVERY
from c2fnas.bench.replays import Replay, Table, best_of, observed
from c2fnas.search.bayesian import TopologyModel
from c2fnas.search.pooled import PooledSearch, Size, Training
from c2fnas.search.searcher import Proposal, Searcher
from c2fnas.space.topology import Topology


def replay_run(
    searcher: Searcher,
    model: TopologyModel,
    table: Table,
    size: Size,
    *,
    margin: float = 0.0,
    workers: int = 1,
    noise: float = 0.0,
    seed: int = 0,
) -> Replay:
    """Replay a :class:`c2fnas.search.pooled.PooledSearch` with workers that train one network each.

    Args:
        searcher: proposes up to ``size.evaluations``.
        model: of the topologies of ``table``.
        table: true scores and costs.
        size: of the search.
        margin: within it the cheapest network is the answer.
        workers: networks that are trained at the same time.
        noise: standard deviation between trainings of one topology; each further one of a topology has its own.
        seed: of the noise and of the posterior's draws.

    Raises:
        ValueError: no worker.
    """
    if workers < 1:
        raise ValueError("a search needs at least one worker")
    costs = {topology: entry.cost for topology, entry in table.items()}
    search = PooledSearch(searcher, model, costs, size, margin=margin, seed=seed)
    stage = _Stage(search, table, workers, noise, seed)
    while stage.start() or stage.end():
        pass
    return stage.replay()


class _Stage:
    """The trainings of a stage that are under way, and those that have ended in their order."""

    def __init__(self, search: PooledSearch, table: Table, workers: int, noise: float, seed: int) -> None:
        self._search, self._table, self._workers = search, table, workers
        self._first, self._noise, self._seed = observed(table, noise, seed), noise, seed
        self._places = {topology: place for place, topology in enumerate(sorted(table))}
        self._optimum = best_of(table)
        self._begun = Counter[Topology]()
        self._busy: list[tuple[float, int]] = []
        self._running: dict[int, tuple[Training, Training]] = {}
        self._ended: list[Training] = []
        self._times: list[float] = []
        self._regrets: list[float] = []
        self._answer: Topology | None = None
        self._now = 0.0

    @property
    def _known(self) -> list[Training]:
        return [*self._ended, *(training for training, _ in self._running.values())]

    def start(self) -> bool:
        """Let an idle worker begin what is trained next; false where there is neither."""
        chosen = self._search.next(self._known) if len(self._busy) < self._workers else None
        if chosen is None:
            return False
        proposed = isinstance(chosen, Proposal)
        topology = chosen.topology if isinstance(chosen, Proposal) else chosen
        score, number = self._score(topology), self._begun.total()
        ended = Training(topology, proposed, "failed" if score is None else "succeeded", score)
        self._running[number] = Training(topology, proposed, "running"), ended
        heappush(self._busy, (self._now + self._table[topology].cost, number))
        self._begun[topology] += 1
        return True

    def end(self) -> bool:
        """End the training that is ready first; false where none is under way."""
        if not self._busy:
            return False
        self._now, number = heappop(self._busy)
        _, training = self._running.pop(number)
        self._search.tell(training)
        self._ended.append(training)
        self._times.append(self._now)
        if len(self._ended) < EVERY or len(self._ended) % EVERY == 0:
            self._answer = self._search.standing(self._known).answer
        self._regrets.append(self._regret())
        return True

    def replay(self) -> Replay:
        """Return the search, its last regret that of its answer."""
        self._answer = self._search.standing(self._ended).answer
        scores = [each.score for each in self._ended]
        return Replay(
            topologies=tuple(each.topology for each in self._ended),
            time=np.array(self._times),
            cost=np.cumsum([self._table[each.topology].cost for each in self._ended]),
            successes=np.cumsum([score is not None for score in scores]),
            regret=np.array([*self._regrets[:-1], self._regret()]),
            told=np.array(scores, dtype=float),
            answer=self._answer,
        )

    def _score(self, topology: Topology) -> float | None:
        """The Dice that the topology's next training gives."""
        true, before = self._table[topology].score, self._begun[topology]
        if true is None or not before:
            return self._first[topology]
        rng = np.random.default_rng((self._seed, before, self._places[topology]))
        return float(np.clip(true + self._noise * rng.standard_normal(), 0.0, 1.0))

    def _regret(self) -> float:
        true = None if self._answer is None else self._table[self._answer].score
        return 1.0 if true is None else self._optimum - true
