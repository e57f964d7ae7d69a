"""The coarse stage that is answered by its posterior: its search over the ledger, and what it writes down."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from statistics import median
from typing import Any

from c2fnas.bench.shipped import expected_elsewhere
from c2fnas.planning.feasible import feasible_topologies
from c2fnas.planning.schedule import saved_by_an_early_end
from c2fnas.runs.coarse_posterior import CoarsePosterior, TrainedTopology
from c2fnas.runs.ledger import Ledger
from c2fnas.runs.run import Run
from c2fnas.runs.trial import Trial
from c2fnas.search.answer import Standing
from c2fnas.search.bayesian import TopologyModel
from c2fnas.search.pooled import AGAIN, WANTED, PooledSearch, Size, Training
from c2fnas.search.posterior import Kind
from c2fnas.search.searcher import Proposal, Searcher
from c2fnas.space.architecture import Architecture
from c2fnas.space.topology import Topology

Guess = Mapping[Topology, float] | None
"""The Dice that is expected of each topology, up to a constant; None where nothing is known."""


class LedgerSearch:
    """A pooled search whose trainings are those of the ledger, so that a resumed run goes on."""

    def __init__(self, run: Run, ledger: Ledger, searcher: Searcher, guess: Guess) -> None:
        """Search on; ``guess`` is what is expected before the first training, see :func:`table_guess`."""
        self._run, self._ledger, self._config = run, ledger, run.config.coarse
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

    def next(self) -> Proposal | Topology | None:
        """Return what is trained next: a proposal of the searcher, or a topology that settles the answer."""
        return self._search.next(self._trainings())

    def standing(self) -> Standing:
        """Return what is known now."""
        return self._search.standing(self._trainings())

    def tell(self, trial: Trial) -> None:
        """Tell the searcher of a training that has ended."""
        self._search.tell(_training(trial))

    def entry_of(self, topology: Topology) -> dict[str, Any]:
        """Return the ledger's entry of a training of a topology: its seed, the run's at first, and its origin."""
        before = Counter(each.topology for each in self._trainings() if each.counts)[topology]
        return {"seed": self._run.config.seed + before, "branch": AGAIN if before else WANTED}

    def answer(self) -> Trial | None:
        """Return the best training of the topology to take, or None without a success; and write down what is known."""
        trials = [each for each in self._ledger.trials() if each.score is not None]
        found = self.standing() if trials else None
        if found is None or found.answer is None:
            return None
        self._posterior(found, found.answer).save(self._run.folder.posterior)
        own = [each for each in trials if each.architecture.topology == found.answer]
        return max(own, key=lambda trial: (trial.score, -trial.number))

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
