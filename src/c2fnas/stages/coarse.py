"""Coarse stage, macro-level search (paper 3.3): Algorithm 1 proposes topologies, each is trained from scratch."""

from c2fnas.errors import UserError
from c2fnas.execution.executor import Executor
from c2fnas.execution.job import Job, Outcome
from c2fnas.runs.ledger import Ledger, Trial
from c2fnas.search.cluster_evolution import ClusterEvolution
from c2fnas.space.architecture import Architecture
from c2fnas.space.clusters import cluster_topologies
from c2fnas.space.topology import Topology
from c2fnas.stages.drive import drive
from c2fnas.stages.progress import Reporter
from c2fnas.stages.setting import Setting

STAGE = "coarse"


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
        self._ledger = Ledger(setting.folder, STAGE)
        self._searcher = self._new_searcher()
        self._running: dict[str, Trial] = {}
        self._left_over = self._replay()

    def run(self, executor: Executor) -> Topology:
        self._reporter.start(STAGE, self._config.evaluations)
        drive(
            executor, self._propose, self._settle,
            reporter=self._reporter, stage=STAGE, finished=lambda: float(self._searcher.successes),
        )  # fmt: skip
        best = self._searcher.best
        if best is None:
            raise UserError(self._all_failed())
        topology, score = best
        self._reporter.finish(STAGE, f"best Dice {score:.4f}")
        return topology

    def _new_searcher(self) -> ClusterEvolution:
        config = self._setting.config
        clusters = cluster_topologies(config.space.topologies(), clusters=self._config.clusters, seed=config.seed)
        return ClusterEvolution(
            clusters, seed=config.seed, per_cluster=self._config.per_cluster, evaluations=self._config.evaluations,
            random_share=self._config.random_share,
        )  # fmt: skip

    def _replay(self) -> list[Trial]:
        """Give the searcher the ledger's history; returns the trials that were under way."""
        trials = self._ledger.trials()
        self._searcher.replay(_events(trials))
        return [trial for trial in trials if trial.state == "interrupted"]

    def _propose(self) -> Job | None:
        trial = self._left_over.pop(0) if self._left_over else self._start_next()
        if trial is None:
            return None
        job = candidate_job(self._setting, trial)
        self._running[job.id] = trial
        return job

    def _start_next(self) -> Trial | None:
        proposal = self._searcher.ask()
        if proposal is None:
            return None
        architecture = Architecture.uniform(proposal.topology, width=self._setting.config.width)
        return self._ledger.start(architecture, extra=_provenance(proposal) | _cost(self._setting, architecture))

    def _settle(self, outcome: Outcome) -> None:
        trial = self._running.pop(outcome.job_id)
        if outcome.value is None:
            self._ledger.fail(trial.number, outcome.failure or outcome.kind, device=outcome.device)
            self._searcher.tell(trial.architecture.topology, None)
            self._reporter.say(f"Candidate {trial.number} failed and is left out: {outcome.failure}")
            return
        self._ledger.succeed(trial.number, outcome.value["dice"], extra={"per_class": outcome.value["per_class"]},
                             device=outcome.device, seconds=outcome.seconds)  # fmt: skip
        self._searcher.tell(trial.architecture.topology, outcome.value["dice"])

    def _all_failed(self) -> str:
        reasons = [trial.failure for trial in self._ledger.trials() if trial.failure]
        return (
            f"{self._setting.folder.coarse}: every candidate of the coarse stage failed; the last one said: "
            f"{reasons[-1] if reasons else 'nothing'} Mend the cause and run the same command with a new --run folder."
        )


def candidate_job(setting: Setting, trial: Trial) -> Job:
    """The job that trains and scores a coarse candidate."""
    return Job(
        id=f"candidate {trial.number}",
        target="c2fnas.stages.jobs:train_candidate",
        payload={"run": "../..", "architecture": trial.architecture.to_json()},
        folder=setting.folder.coarse_trial(trial.number),
    )
