"""Coarse stage, macro-level search (paper 3.3): Algorithm 1 proposes topologies, each is trained from scratch."""

from collections.abc import Iterator
from typing import Any

from c2fnas.errors import UserError
from c2fnas.execution.executor import Executor
from c2fnas.execution.job import Job, Outcome
from c2fnas.runs.driver import drive
from c2fnas.runs.ledger import Ledger
from c2fnas.runs.reporter import Reporter
from c2fnas.runs.run import Setting
from c2fnas.runs.trial import Trial
from c2fnas.search.choice import check_sampler_name, make_searcher
from c2fnas.search.searcher import Asked, Proposal, Searcher, Told
from c2fnas.search.successive_halving import judge_at_rung, rung_iterations
from c2fnas.space.architecture import Architecture
from c2fnas.space.clusters import cluster_topologies
from c2fnas.space.topology import Topology
from c2fnas.stages.feasible import candidate_cost, feasible_clusters
from c2fnas.stages.finalists import best_finalist, forget_weights
from c2fnas.training.checkpoint import forget_checkpoints

STAGE = "coarse"
MOST_FAILURES = 5  # a run whose first candidates all fail has a cause that no other topology mends


def search_topology(setting: Setting, executor: Executor, reporter: Reporter) -> Topology:
    """Search the topology with Algorithm 1, or the run's sampler, and return the best one found (paper Eq. 5).

    Resumes from the ledger: what it holds is replayed to the searcher, candidates that a dead driver left running are
    taken up again under their own number. With early stopping, a candidate that is not let on at a rung counts as one
    of the evaluations, and the searcher is told the Dice it had there.

    Raises:
        UserError: every candidate failed, or no topology is within the run's limits.
    """
    return _CoarseSearch(setting, reporter).run(executor)


class _CoarseSearch:
    """The coarse stage of one run: the searcher, the ledger and the candidates under way."""

    def __init__(self, setting: Setting, reporter: Reporter) -> None:
        self._setting = setting
        self._reporter = reporter
        self._config = setting.config.coarse
        self._rungs = _rungs(setting)
        self._searcher = new_searcher(setting)
        self._ledger = Ledger(setting.folder.study, STAGE)
        self._end_what_was_stopped()
        for trial in self._ledger.completed():
            forget_checkpoints(setting.folder.coarse_trial(trial.number))
        self._searcher.replay(_history(self._ledger))
        self._waiting = [trial.number for trial in self._ledger.interrupted()]
        self._running: dict[str, Trial] = {}

    def run(self, executor: Executor) -> Topology:
        self._reporter.start(STAGE, self._config.evaluations)
        drive(
            executor,
            self._propose,
            self._settle,
            folder=self._setting.folder,
            reporter=self._reporter,
            stage=STAGE,
            finished=lambda: float(self._searcher.successes),
            so_far=self._so_far,
        )
        best = best_finalist(self._setting, self._ledger, executor, self._reporter)
        if best is None:
            raise UserError(self._none_left())
        self._reporter.finish(STAGE, f"best of {self._searcher.successes}: Dice {best.score:.4f}")
        return best.architecture.topology

    def _so_far(self) -> str:
        best = self._ledger.best()
        return "" if best is None else f"best Dice {best.score:.4f} of {self._searcher.successes}"

    def _propose(self) -> Job | None:
        """The next rung of a candidate that goes on or was left behind, else a new candidate."""
        trial = self._take_up(self._waiting.pop(0)) if self._waiting else self._start_next()
        if trial is None:
            return None
        job = candidate_job(self._setting, trial, until=self._next_rung(trial))
        self._running[job.id] = trial
        return job

    def _take_up(self, number: int) -> Trial:
        trial = self._ledger.trial(number)
        return self._ledger.restart(number) if trial.state == "interrupted" else trial

    def _next_rung(self, trial: Trial) -> int | None:
        """The iteration at which it is judged next; None where it is trained to its end."""
        passed = {result.iteration for result in trial.rungs}
        return next((iteration for iteration in self._rungs if iteration not in passed), None)

    def _start_next(self) -> Trial | None:
        if self._failures() >= MOST_FAILURES and not self._searcher.successes:
            return None
        proposal = self._searcher.ask()
        if proposal is None:
            return None
        architecture = Architecture.uniform(proposal.topology, width=self._setting.config.width)
        return self._ledger.trial(self._ledger.start(architecture, _facts(self._setting, proposal)))

    def _settle(self, outcome: Outcome) -> None:
        trial = self._running.pop(outcome.job_id)
        rung = self._next_rung(trial)
        if outcome.value is not None and rung is not None:
            self._judge(trial, rung, outcome)
        else:
            self._end(trial, outcome)

    def _judge(self, trial: Trial, iteration: int, outcome: Outcome) -> None:
        """Let a candidate go on at a rung, or stop it. Written down before anything follows from it."""
        assert outcome.value is not None
        others = [
            result.score for each in self._ledger.trials() for result in each.rungs if result.iteration == iteration
        ]
        assert self._config.early_stopping is not None
        result = judge_at_rung(iteration, outcome.value["dice"], others, self._config.early_stopping.factor)
        reached = self._ledger.enter_rung(trial.number, result, _ending(trial, outcome))
        if result.promoted:
            self._waiting.insert(0, trial.number)
            return
        stopped = self._ledger.stop(reached.number)
        self._searcher.tell(stopped.architecture.topology, stopped.evidence)
        forget_checkpoints(self._setting.folder.coarse_trial(stopped.number))

    def _end(self, trial: Trial, outcome: Outcome) -> None:
        extra = _ending(trial, outcome)
        if outcome.value is None:
            ended = self._ledger.fail(trial.number, outcome.failure or outcome.kind, extra)
        else:
            extra["per_class"] = outcome.value["per_class"]
            ended = self._ledger.succeed(trial.number, outcome.value["dice"], extra)
        self._searcher.tell(ended.architecture.topology, ended.score)
        if ended.score is None:
            self._reporter.say(f"Candidate {ended.number} failed and is left out: {ended.reason}")
        forget_checkpoints(self._setting.folder.coarse_trial(ended.number))
        forget_weights(self._setting, self._ledger)

    def _end_what_was_stopped(self) -> None:
        """A driver that died between a decision to stop and its entry as the candidate's end."""
        for trial in self._ledger.interrupted():
            if trial.rungs and not trial.rungs[-1].promoted:
                self._ledger.stop(trial.number)

    def _failures(self) -> int:
        return sum(trial.state == "failed" for trial in self._ledger.trials())

    def _none_left(self) -> str:
        trials = self._ledger.trials()
        last = max((trial for trial in trials if trial.reason), key=lambda trial: trial.number, default=None)
        stopped = sum(trial.state == "stopped" for trial in trials)
        others = f", but {stopped} that were stopped early" if stopped else ""
        return (
            f"{self._setting.folder.coarse}: every candidate of the coarse stage failed{others}; the last one said: "
            f"{last.reason if last else 'nothing'} Mend the cause and start again with a new --run folder."
        )


def new_searcher(setting: Setting) -> Searcher:
    """The run's searcher at its beginning, among the topologies within the run's limits.

    Raises:
        UserError: an unknown sampler, or no topology is within the limits.
    """
    config, coarse = setting.config, setting.config.coarse
    try:
        check_sampler_name(coarse.sampler)
    except ValueError as error:
        raise UserError(f"{setting.folder.config}: {error}.") from error
    clusters = cluster_topologies(config.space.topologies(), clusters=coarse.clusters, seed=config.seed)
    return make_searcher(
        coarse.sampler,
        feasible_clusters(setting, clusters),
        seed=config.seed,
        evaluations=coarse.evaluations,
        per_cluster=coarse.per_cluster,
        random_share=coarse.random_share,
    )


def candidate_job(setting: Setting, trial: Trial, until: int | None = None) -> Job:
    """The job that trains and scores a coarse candidate, to the end or ``until`` a rung."""
    rung = {} if until is None else {"until": until}
    return Job(
        id=f"candidate {trial.number}",
        target="c2fnas.stages.jobs:train_candidate",
        payload={"run": "../..", "architecture": trial.architecture.to_json(), **rung},
        folder=setting.folder.coarse_trial(trial.number),
    )


def _rungs(setting: Setting) -> tuple[int, ...]:
    coarse = setting.config.coarse
    if coarse.early_stopping is None:
        return ()
    return rung_iterations(coarse.early_stopping.shares, coarse.recipe.iterations)


def _history(ledger: Ledger) -> Iterator[Asked | Told]:
    """The ledger's events as a searcher knows them."""
    for kind, trial in ledger.events():
        topology = trial.architecture.topology
        yield Asked(topology) if kind == "start" else Told(topology, trial.evidence)


def _facts(setting: Setting, proposal: Proposal) -> dict[str, Any]:
    """What the ledger keeps with a candidate: where it came from and what it costs."""
    return {
        "cluster": proposal.cluster,
        "branch": proposal.branch,
        "index": proposal.index,
        **candidate_cost(setting, proposal.topology),
    }


def _ending(trial: Trial, outcome: Outcome) -> dict[str, Any]:
    """Where it ran, and how long it took with all its rungs."""
    return {"device": outcome.device, "seconds": trial.extra.get("seconds", 0.0) + outcome.seconds}
