"""The coarse stage's search over its ledger: answered by the best score, as in the paper, or by the posterior."""

from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from statistics import median
from typing import Any

from c2fnas.bench.shipped import expected_elsewhere
from c2fnas.planning.feasible import feasible_topologies
from c2fnas.planning.schedule import saved_by_an_early_end
from c2fnas.runs.ledger import Ledger
from c2fnas.runs.records.coarse_posterior import CoarsePosterior, TrainedTopology
from c2fnas.runs.run import Run
from c2fnas.runs.trial import Trial
from c2fnas.search.answer import Standing
from c2fnas.search.bayesian import TopologyModel
from c2fnas.search.pooled import AGAIN, WANTED, PooledSearch, Size, Training
from c2fnas.search.posterior import Kind
from c2fnas.search.searcher import Asked, Proposal, Searcher, Told
from c2fnas.space.architecture import Architecture
from c2fnas.space.topology import Topology
from c2fnas.stages.finalists import best_finalist

Guess = Mapping[Topology, float] | None
"""The Dice that is expected of each topology, up to a constant; None where nothing is known."""


class LedgerSearch(ABC):
    """A search for a topology whose trainings are those of the ledger, so that a resumed run goes on.

    Args:
        run: of the search.
        ledger: of its coarse stage.
        searcher: at its beginning; it hears of what the ledger holds.
    """

    def __init__(self, run: Run, ledger: Ledger, searcher: Searcher) -> None:
        self._run, self._ledger, self._searcher = run, ledger, searcher
        searcher.replay(_history(ledger))

    @abstractmethod
    def next(self) -> Proposal | Topology | None:
        """Return what is trained next: a proposal of the searcher, or a topology that settles the answer."""

    @abstractmethod
    def tell(self, trial: Trial) -> None:
        """Tell of a training that has ended."""

    @abstractmethod
    def entry_of(self, topology: Topology) -> dict[str, Any]:
        """Return the ledger's entry of another training of a topology: its seed, and what it is trained for."""

    @abstractmethod
    def answer(self) -> Trial | None:
        """Return the best training of the topology to take, or None without a success."""

    @abstractmethod
    def told_of(self, answer: Trial) -> str:
        """Return in words how sure the answer is."""


class ObservedSearch(LedgerSearch):
    """The paper's: the searcher proposes, and the best observed score decides."""

    def next(self) -> Proposal | Topology | None:
        return self._searcher.ask()

    def tell(self, trial: Trial) -> None:
        self._searcher.tell(trial.architecture.topology, trial.evidence)

    def entry_of(self, topology: Topology) -> dict[str, Any]:
        return {"seed": self._run.config.seed}

    def answer(self) -> Trial | None:
        return best_finalist(self._run, self._ledger)

    def told_of(self, answer: Trial) -> str:
        return f"best of {self._searcher.successes}: Dice {answer.score:.4f}"


class PosteriorSearch(LedgerSearch):
    """A pooled search, answered by the posterior of all scores; what it knows at its end is written down."""

    def __init__(self, run: Run, ledger: Ledger, searcher: Searcher, guess: Guess) -> None:
        """Search on; ``guess`` is what is expected before the first training, see :func:`table_guess`."""
        super().__init__(run, ledger, searcher)
        self._config = run.config.coarse
        topologies = feasible_topologies(run, sorted(run.config.space.topologies()))
        kind: Kind = "gp" if self._config.sampler == "bayesian-gp" else "linear"
        self._costs = {each: run.cost(Architecture.uniform(each, width=run.width)).macs for each in topologies}
        self._search = PooledSearch(
            searcher,
            TopologyModel(topologies, kind, guess),
            self._costs,
            Size(self._config.evaluations, self._config.pilot, self._config.settling),
            margin=run.config.margin,
            seed=run.config.seed,
        )
        for trial in ledger.completed():
            if not is_proposal(trial):
                self.tell(trial)

    def next(self) -> Proposal | Topology | None:
        return self._search.next(self._trainings())

    def tell(self, trial: Trial) -> None:
        self._search.tell(_training(trial))

    def entry_of(self, topology: Topology) -> dict[str, Any]:
        before = Counter(each.topology for each in self._trainings() if each.counts)[topology]
        return {"seed": self._run.config.seed + before, "branch": AGAIN if before else WANTED}

    def answer(self) -> Trial | None:
        trials = [each for each in self._ledger.trials() if each.score is not None]
        found = self._standing() if trials else None
        if found is None or found.answer is None:
            return None
        self._posterior(found, found.answer).save(self._run.folder.posterior)
        own = [each for each in trials if each.architecture.topology == found.answer]
        return max(own, key=lambda trial: (trial.score, -trial.number))

    def told_of(self, answer: Trial) -> str:
        found, margin = self._standing(), self._run.config.margin
        return (
            f"expected Dice {found.mean[answer.architecture.topology]:.4f} of {len(self._ledger.completed())} "
            f"trainings; by more than {margin:g} another topology is better with a probability of {found.doubt:.2f}"
        )

    def _standing(self) -> Standing:
        return self._search.standing(self._trainings())

    def _posterior(self, found: Standing, answer: Topology) -> CoarsePosterior:
        trials = [each for each in self._ledger.completed() if each.score is not None]
        seconds = [each.seconds for each in trials if each.seconds is not None]
        unused = max(0, self._config.evaluations - sum(each.counts for each in self._trainings()))
        scores = defaultdict[Topology, list[float]](list)
        for trial in trials:
            scores[trial.architecture.topology].append(trial.score or 0.0)
        return CoarsePosterior(
            margin=self._run.config.margin,
            answer=answer.code,
            left=found.left,
            doubt=found.doubt,
            gain=found.gain,
            spread=found.spread,
            seed_noise=found.seed_noise,
            unused=unused,
            saved=saved_by_an_early_end(self._run, unused, median(seconds)) if seconds else 0.0,
            topologies=tuple(
                TrainedTopology(each.code, self._costs[each], tuple(own), found.mean[each], found.deviation[each])
                for each, own in scores.items()
            ),
        )

    def _trainings(self) -> list[Training]:
        """Those that have ended in order of their ends, then those under way."""
        ended = self._ledger.completed()
        return [_training(each) for each in (*ended, *(each for each in self._ledger.trials() if not each.finished))]


def _history(ledger: Ledger) -> Iterator[Asked | Told]:
    """The ledger's events as a searcher knows them."""
    for kind, trial in ledger.events():
        if not is_proposal(trial):
            continue
        topology = trial.architecture.topology
        yield Asked(topology) if kind == "start" else Told(topology, trial.evidence)


def is_proposal(trial: Trial) -> bool:
    """Return true if the searcher has proposed a candidate: it did not propose what settles the answer."""
    return trial.extra.get("branch") not in (AGAIN, WANTED)


def _training(trial: Trial) -> Training:
    state = "running" if trial.state == "interrupted" else trial.state
    return Training(trial.architecture.topology, is_proposal(trial), state, trial.evidence)


def table_guess(run: Run) -> Guess:
    """Return what the shipped tables of other data say of the run's topologies; None without one, or switched off."""
    if not run.config.coarse.table_prior:
        return None
    return expected_elsewhere(run.config.space.topologies(), run.fingerprint.signatures)
