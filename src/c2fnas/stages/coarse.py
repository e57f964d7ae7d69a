"""Coarse stage, macro-level search (paper 3.3): Algorithm 1 proposes topologies, each is trained from scratch."""

from collections.abc import Iterator
from typing import Any

from c2fnas.errors import UserError
from c2fnas.execution.executor import Executor
from c2fnas.execution.job import Job, Outcome
from c2fnas.runs.ledger import Ledger
from c2fnas.runs.trial import Trial
from c2fnas.search.cluster_evolution import ClusterEvolution
from c2fnas.search.searcher import Asked, Proposal, Told
from c2fnas.space.architecture import Architecture
from c2fnas.space.clusters import cluster_topologies
from c2fnas.space.cost import network_cost
from c2fnas.space.topology import Topology
from c2fnas.stages.drive import drive
from c2fnas.stages.progress import Reporter
from c2fnas.stages.setting import Setting

STAGE = "coarse"
MOST_FAILURES = 5  # a run whose first candidates all fail has a cause that no other topology mends


def search_topology(setting: Setting, executor: Executor, reporter: Reporter) -> Topology:
    """Search the topology with Algorithm 1 and return the best one found (paper Eq. 5).

    Resumes from the ledger: what it holds is replayed to the searcher, candidates that a dead driver left running are
    taken up again under their own number.

    Raises:
        UserError: every candidate failed.
    """
    return _CoarseSearch(setting, reporter).run(executor)


class _CoarseSearch:
    """The coarse stage of one run: the searcher, the ledger and the candidates under way."""

    def __init__(self, setting: Setting, reporter: Reporter) -> None:
        self._setting = setting
        self._reporter = reporter
        self._config = setting.config.coarse
        self._ledger = Ledger(setting.folder.study, STAGE)
        self._searcher = self._new_searcher()
        self._searcher.replay(_history(self._ledger))
        self._left_over = [trial.number for trial in self._ledger.interrupted()]
        self._running: dict[str, Trial] = {}

    def run(self, executor: Executor) -> Topology:
        self._reporter.start(STAGE, self._config.evaluations)
        drive(
            executor, self._propose, self._settle,
            folder=self._setting.folder, reporter=self._reporter, stage=STAGE,
            finished=lambda: float(self._searcher.successes),
        )  # fmt: skip
        best = self._searcher.best
        if best is None:
            raise UserError(self._all_failed())
        topology, score = best
        self._reporter.finish(STAGE, f"best of {self._searcher.successes}: Dice {score:.4f}")
        return topology

    def _new_searcher(self) -> ClusterEvolution:
        config = self._setting.config
        clusters = cluster_topologies(config.space.topologies(), clusters=self._config.clusters, seed=config.seed)
        return ClusterEvolution(
            clusters, seed=config.seed, per_cluster=self._config.per_cluster, evaluations=self._config.evaluations,
            random_share=self._config.random_share,
        )  # fmt: skip

    def _propose(self) -> Job | None:
        trial = self._ledger.restart(self._left_over.pop(0)) if self._left_over else self._start_next()
        if trial is None:
            return None
        job = candidate_job(self._setting, trial)
        self._running[job.id] = trial
        return job

    def _start_next(self) -> Trial | None:
        if self._failures() >= MOST_FAILURES and not self._searcher.successes:
            return None
        proposal = self._searcher.ask()
        if proposal is None:
            return None
        architecture = Architecture.uniform(proposal.topology, width=self._setting.config.width)
        return self._ledger.trial(self._ledger.start(architecture, _facts(self._setting, proposal, architecture)))

    def _settle(self, outcome: Outcome) -> None:
        trial = self._running.pop(outcome.job_id)
        extra = {"device": outcome.device, "seconds": outcome.seconds}
        if outcome.value is None:
            ended = self._ledger.fail(trial.number, outcome.failure or outcome.kind, extra)
        else:
            extra["per_class"] = outcome.value["per_class"]
            ended = self._ledger.succeed(trial.number, outcome.value["dice"], extra)
        self._searcher.tell(ended.architecture.topology, ended.score)
        if ended.score is None:
            self._reporter.say(f"Candidate {ended.number} failed and is left out: {ended.reason}")

    def _failures(self) -> int:
        return sum(trial.state == "failed" for trial in self._ledger.trials())

    def _all_failed(self) -> str:
        last = max(
            (trial for trial in self._ledger.trials() if trial.reason), key=lambda trial: trial.number, default=None
        )
        return (
            f"{self._setting.folder.coarse}: every candidate of the coarse stage failed; the last one said: "
            f"{last.reason if last else 'nothing'} Mend the cause and start again with a new --run folder."
        )


def candidate_job(setting: Setting, trial: Trial) -> Job:
    """The job that trains and scores a coarse candidate."""
    return Job(
        id=f"candidate {trial.number}",
        target="c2fnas.stages.jobs:train_candidate",
        payload={"run": "../..", "architecture": trial.architecture.to_json()},
        folder=setting.folder.coarse_trial(trial.number),
    )


def _history(ledger: Ledger) -> Iterator[Asked | Told]:
    """The ledger's events as a searcher knows them."""
    for kind, trial in ledger.events():
        topology = trial.architecture.topology
        yield Asked(topology) if kind == "start" else Told(topology, trial.score)


def _facts(setting: Setting, proposal: Proposal, architecture: Architecture) -> dict[str, Any]:
    """What the ledger keeps with a candidate: where it came from and what it costs."""
    cost = network_cost(
        architecture, in_channels=setting.in_channels, classes=setting.classes, input_size=setting.plan.patch_size
    )
    return {
        "cluster": proposal.cluster, "branch": proposal.branch, "index": proposal.index,
        "parameters": cost.parameters, "macs": cost.macs,
    }  # fmt: skip
