"""The coarse stage's answer by the posterior: a pilot, trainings that settle it, an early end (not in the paper)."""

from collections import Counter
from collections.abc import Mapping
from statistics import median
from typing import Any

from c2fnas.bench.table import TopologyTable
from c2fnas.files import write_json
from c2fnas.planning.feasible import feasible_clusters
from c2fnas.planning.saved import saved_by_an_early_end
from c2fnas.runs.ledger import Ledger
from c2fnas.runs.run import Run
from c2fnas.runs.trial import Trial
from c2fnas.search.answer import DOUBT, Standing, settling_training, standing
from c2fnas.search.bayesian import TopologyModel
from c2fnas.search.clusters import TopologyCluster
from c2fnas.search.posterior import Kind
from c2fnas.space.architecture import Architecture
from c2fnas.space.topology import Topology

AGAIN, WANTED = "again", "wanted"
"""Branches of trainings that no searcher has proposed: of a topology with another seed, and of what the model wants."""
PILOT_REPEATS = 2
"""Topologies of the pilot that are trained twice: without them nothing tells seeds from topologies."""


class Settling:
    """The part of a coarse stage that its posterior decides; read from the ledger, so that a resumed run goes on."""

    def __init__(self, run: Run, ledger: Ledger) -> None:
        self._run, self._ledger, self._config = run, ledger, run.config.coarse
        whole = TopologyCluster(0, tuple(sorted(run.config.space.topologies())))
        topologies = [each for cluster in feasible_clusters(run, [whole]) for each in cluster.topologies]
        kind: Kind = "gp" if self._config.sampler == "bayesian-gp" else "linear"
        self._model = TopologyModel(topologies, kind, table_guess(run))
        self._costs = {each: run.cost(Architecture.uniform(each, width=run.width)).macs for each in topologies}
        self._known: tuple[int, Standing] | None = None

    def standing(self) -> Standing:
        """Return what is known now."""
        ended = len(self._ledger.completed())
        if self._known is None or self._known[0] != ended:
            trials = self._ledger.completed()
            trainings = [(each.architecture.topology, each.score) for each in trials if each.score is not None]
            failed = {each.architecture.topology for each in trials if each.state == "failed"}
            found = standing(
                self._model,
                trainings,
                self._costs,
                margin=self._run.config.margin,
                seed=self._run.config.seed,
                failed=failed - {topology for topology, _ in trainings},
            )
            self._known = ended, found
        return self._known[1]

    def pilot_repeat(self) -> Topology | None:
        """Return the topology that the pilot trains again now, or None."""
        counted, pays = self._counted(), self._config.evaluations >= self._config.pilot
        repeats = counted.total() - len(counted)
        enough = pays and counted.total() >= self._config.pilot - PILOT_REPEATS
        first = [topology for topology in self._trained() if counted[topology] == 1]
        return first[0] if enough and repeats < PILOT_REPEATS and first and self.left else None

    def nothing_left(self) -> bool:
        """True if, after the pilot, nothing above the margin is left to win."""
        return self._trained().total() >= self._config.pilot and self.standing().doubt <= DOUBT

    def next(self) -> Topology | None:
        """Return the topology whose training settles the answer, or None where it is settled or no training is left."""
        if not self.left or not self._trained():
            return None
        return settling_training(self.standing(), self._counted())

    def seed_of(self, topology: Topology) -> int:
        """Return the seed of the topology's next training: the run's at first."""
        return self._run.config.seed + self._counted()[topology]

    def answer(self) -> Trial | None:
        """Return the best training of the topology to take, or None without a success; and write down what is known."""
        if not self._trained():
            return None
        found = self.standing()
        if found.answer is None:
            return None
        folder = self._run.folder
        if not (folder.posterior.exists() and folder.coarse_architecture.exists()):  # the time saved was saved once
            write_json(folder.posterior, self._to_json(found, found.answer))
        trials = [each for each in self._ledger.trials() if each.score is not None]
        own = [each for each in trials if each.architecture.topology == found.answer]
        return max(own, key=lambda trial: (trial.score, -trial.number))

    def _to_json(self, found: Standing, answer: Topology) -> dict[str, Any]:
        trials = [each for each in self._ledger.completed() if each.score is not None]
        seconds = [each.seconds for each in trials if each.seconds is not None]
        unused = max(0, self._config.evaluations - self._counted().total())
        scores: dict[Topology, list[float | None]] = {}
        for trial in trials:
            scores.setdefault(trial.architecture.topology, []).append(trial.score)
        return {
            "margin": self._run.config.margin,
            "answer": list(answer.code),
            "doubt": found.doubt,
            "gain": found.gain,
            "spread": found.spread,
            "seed_noise": found.seed_noise,
            "unused": unused,
            "saved": saved_by_an_early_end(self._run, unused, median(seconds)) if seconds else 0.0,
            "topologies": [
                {
                    "code": list(topology.code),
                    "macs": self._costs[topology],
                    "scores": own,
                    "mean": found.mean[topology],
                    "deviation": found.deviation[topology],
                }
                for topology, own in scores.items()
            ],
        }

    @property
    def left(self) -> bool:
        """True while the stage has trainings left."""
        return self._counted().total() < self._config.evaluations

    def _trained(self) -> Counter[Topology]:
        trials = self._ledger.completed()
        return Counter(each.architecture.topology for each in trials if each.state in ("succeeded", "stopped"))

    def _counted(self) -> Counter[Topology]:
        """The trainings that count, those under way among them: all but failed ones that are replaced.

        One that settles the answer and fails is not replaced, or where they always fail they would never end.
        """
        trials = [
            each
            for each in self._ledger.trials()
            if each.state != "failed" or each.extra.get("branch") in (AGAIN, WANTED)
        ]
        return Counter(each.architecture.topology for each in trials)


def searching_evaluations(run: Run) -> int:
    """Return how many networks the searcher proposes: all, or what settling the answer leaves."""
    coarse = run.config.coarse
    if coarse.choice == "observed":
        return coarse.evaluations
    return max(1, coarse.evaluations - round(coarse.settling * coarse.evaluations))


def table_guess(run: Run) -> Mapping[Topology, float] | None:
    """Return what the shipped table says of the run's topologies; None on the table's own data, or switched off."""
    table, topologies = TopologyTable.shipped(), run.config.space.topologies()
    usable = run.config.coarse.table_prior and table.setting["contents"] != run.fingerprint.contents
    return table.predicted(topologies) if usable and next(iter(table)) in topologies else None
