"""Coarse stage, macro-level search (paper 3.3): Algorithm 1 proposes topologies, each is trained from scratch.

Where a coarser stride than the plan's has validated the candidates, the best of them are scored again at the plan's
stride (the paper's 16) before one is chosen.
"""

from typing import Any

from c2fnas.errors import UserError
from c2fnas.evaluation.path_ranking import refuse_without_foreground
from c2fnas.execution.job import Job, Outcome
from c2fnas.planning.default import default_topology
from c2fnas.planning.feasible import candidate_cost, feasible_clusters
from c2fnas.planning.schedule import fix_counts
from c2fnas.runs.driver import drive
from c2fnas.runs.freeze import begun_stages
from c2fnas.runs.ledger import Ledger
from c2fnas.runs.records.job_record import read_curve
from c2fnas.runs.run import Run
from c2fnas.runs.stage_summary import evaluated_trials
from c2fnas.runs.trial import Trial
from c2fnas.search.choice import make_searcher
from c2fnas.search.searcher import Proposal, Searcher
from c2fnas.search.successive_halving import judge_at_rung, rung_iterations
from c2fnas.space.architecture import Architecture
from c2fnas.space.topology import Topology
from c2fnas.stages.finalists import forget_weights
from c2fnas.stages.ledger_search import Guess, LedgerSearch, ObservedSearch, PosteriorSearch, is_proposal, table_guess
from c2fnas.stages.training_jobs import TrainingSpec, failure_of, trained, training_job
from c2fnas.training.checkpoint import forget_checkpoints

STAGE = "coarse"
MOST_FAILURES, MOST_IN_A_ROW = 5, 10
"""Candidates that fail one after the other in a session, at its beginning and later: no other topology mends that."""


def search_topology(run: Run) -> Topology:
    """Search the topology with the run's sampler, such as Algorithm 1, and return the best one found (paper Eq. 5).

    The best is the one with the highest score, as in the paper, or that of the posterior, see :mod:`.ledger_search`.

    Resumes from the ledger: what it holds is replayed to the searcher, and candidates that a dead driver left running
    are taken up again under their own number. With early stopping, a candidate that is not let on at a rung counts as
    one of the evaluations, and the searcher is told the Dice it had there.

    Without evaluations the stage is left out, and the default topology is returned. What a stage that has ended has
    found stands, whatever a later version would choose.

    Raises:
        UserError: every candidate failed, no topology is within the run's limits, or no validation case of the search
            shows any foreground, so that nothing could be compared.
    """
    fix_counts(run, STAGE)
    if (found := _found_before(run)) is not None:
        return found
    if run.config.coarse.evaluations:
        refuse_without_foreground([run.cache[case] for case in run.search_split.validation])
        run.folder.coarse_architecture.unlink(missing_ok=True)  # the default, of before a search was asked for
        return _CoarseSearch(run).search()
    topology, source = default_topology(run)
    run.reporter.say(f"No topology is searched. The default is {source}: {' '.join(map(str, topology.code))}.")
    return topology


def _found_before(run: Run) -> Topology | None:
    """The topology of a stage that has ended; a default one's, once anything was trained with it."""
    begun = begun_stages(run.folder)
    ended = STAGE in begun if run.config.coarse.evaluations else bool(begun)
    found = run.folder.coarse_architecture
    return Architecture.load(found).topology if ended and found.exists() else None


class _CoarseSearch:
    """The coarse stage of one run: the searcher, the ledger and the candidates under way."""

    def __init__(self, run: Run) -> None:
        self._run, self._config = run, run.config.coarse
        self._rungs = _rungs(run)
        guess = table_guess(run)
        self._searcher = new_searcher(run, guess)
        self._ledger = run.ledger(STAGE)
        self._end_what_was_stopped()
        for trial in self._ledger.completed():
            forget_checkpoints(run.folder.coarse_trial(trial.number))
        self._finalists = forget_weights(run, self._ledger, self._ledger.completed())
        self._search = _search_of(run, self._ledger, self._searcher, guess)
        self._waiting = [trial.number for trial in self._ledger.interrupted()]
        self._running: dict[str, Trial] = {}
        self._in_a_row, self._most = 0, MOST_FAILURES

    def search(self) -> Topology:
        self._run.reporter.start(STAGE, self._config.evaluations)
        drive(
            self._run,
            STAGE,
            self._propose,
            self._settle,
            finished=lambda: float(len(evaluated_trials(self._ledger.trials()))),
            so_far=self._so_far,
        )
        if self._in_a_row >= self._most:
            raise UserError(self._none_left())
        best = self._search.answer()
        if best is None:
            raise UserError(self._none_left())
        self._run.reporter.finish(STAGE, self._search.told_of(best))
        return best.architecture.topology

    def _so_far(self) -> str:
        best = self._ledger.best()
        count = len(evaluated_trials(self._ledger.trials()))
        return "" if best is None else f"best Dice {best.score:.4f} of {count}"

    def _propose(self) -> Job | None:
        """The next rung of a candidate that goes on or was left behind, else a new candidate."""
        trial = self._take_up(self._waiting.pop(0)) if self._waiting else self._start_next()
        if trial is None:
            return None
        job = candidate_job(self._run, trial, until=self._next_rung(trial))
        self._running[job.id] = trial
        return job

    def _take_up(self, number: int) -> Trial:
        trial = self._ledger.trial(number)
        return self._ledger.restart(number) if trial.state == "interrupted" else trial

    def _next_rung(self, trial: Trial) -> int | None:
        """The iteration at which it is judged next; None where it is trained to its end, as all that settle are."""
        if not is_proposal(trial):
            return None
        passed = {result.iteration for result in trial.rungs}
        return next((iteration for iteration in self._rungs if iteration not in passed), None)

    def _start_next(self) -> Trial | None:
        if self._in_a_row >= self._most:
            return None
        chosen = self._search.next()
        if chosen is None:
            return None
        topology, origin = (chosen.topology, _origin(chosen)) if isinstance(chosen, Proposal) else (chosen, {})
        return self._start(topology, self._search.entry_of(topology) | origin)

    def _start(self, topology: Topology, entry: dict[str, Any]) -> Trial:
        architecture = Architecture.uniform(topology, width=self._run.width)
        return self._ledger.trial(self._ledger.start(architecture, entry | candidate_cost(self._run, topology)))

    def _settle(self, outcome: Outcome) -> None:
        trial, failed = self._running.pop(outcome.job_id), failure_of(outcome) is not None
        self._in_a_row = self._in_a_row + 1 if failed else 0
        self._most = self._most if failed else MOST_IN_A_ROW
        rung = self._next_rung(trial)
        if not failed and rung is not None:
            self._judge(trial, rung, outcome)
        else:
            self._end(trial, outcome)

    def _judge(self, trial: Trial, iteration: int, outcome: Outcome) -> None:
        """Let a candidate go on at a rung, or stop it. Written down before anything follows from it."""
        others = [
            result.score for each in self._ledger.trials() for result in each.rungs if result.iteration == iteration
        ]
        assert self._config.early_stopping is not None
        result = judge_at_rung(iteration, trained(outcome).score, others, self._config.early_stopping.factor)
        reached = self._ledger.enter_rung(trial.number, result, self._ending(trial, outcome))
        if result.promoted:
            self._waiting.insert(0, trial.number)
            return
        stopped = self._ledger.stop(reached.number)
        self._search.tell(stopped)
        self._forget(stopped)

    def _end(self, trial: Trial, outcome: Outcome) -> None:
        extra, failure = self._ending(trial, outcome), failure_of(outcome)
        if failure is not None:
            ended = self._ledger.fail(trial.number, failure, extra)
        else:
            found = trained(outcome)
            ended = self._ledger.succeed(trial.number, found.score, extra | {"per_class": found.per_class})
        self._search.tell(ended)
        if ended.score is None:
            self._run.reporter.say(f"Candidate {ended.number} failed and is left out: {ended.reason}")
        self._forget(ended)

    def _ending(self, trial: Trial, outcome: Outcome) -> dict[str, Any]:
        """The device, and the seconds of all rungs together; of one that was interrupted, those of all its sessions."""
        rungs = trial.extra.get("seconds", 0.0) + outcome.seconds
        trained = read_curve(self._run.folder.coarse_trial(trial.number)).seconds
        return {"device": outcome.device, "seconds": max(rungs, trained)}

    def _forget(self, ended: Trial) -> None:
        forget_checkpoints(self._run.folder.coarse_trial(ended.number))
        self._finalists = forget_weights(self._run, self._ledger, [*self._finalists, ended])

    def _end_what_was_stopped(self) -> None:
        """A driver that died between a decision to stop and its entry as the candidate's end."""
        for trial in self._ledger.interrupted():
            if trial.rungs and not trial.rungs[-1].promoted:
                self._ledger.stop(trial.number)

    def _none_left(self) -> str:
        trials = self._ledger.trials()
        last = max((trial for trial in trials if trial.reason), key=lambda trial: trial.number, default=None)
        stopped = sum(trial.state == "stopped" for trial in trials)
        others = f", but {stopped} that were stopped early" if stopped else ""
        given_up = self._in_a_row >= self._most
        which = f"the last {self._in_a_row} candidates" if given_up and self._searcher.successes else "every candidate"
        how = "; the same command carries on" if given_up else " and start again with a new run folder"
        return (
            f"{self._run.folder.coarse}: {which} of the coarse stage failed{others}; the last one said: "
            f"{last.reason if last else 'nothing'} Fix the cause{how}."
        )


def new_searcher(run: Run, guess: Guess = None) -> Searcher:
    """Return the run's searcher at its beginning, among the topologies within the run's limits.

    Args:
        run: with its limits.
        guess: what a searcher with a model expects before the first training.

    Raises:
        UserError: an unknown sampler, or no topology is within the limits.
    """
    config, coarse = run.config, run.config.coarse
    try:
        return make_searcher(
            coarse.sampler,
            feasible_clusters(run, config.topology_clusters),
            seed=config.seed,
            evaluations=max(1, coarse.evaluations),  # of a run whose time pays for no search it is made for its check
            per_cluster=coarse.per_cluster,
            random_share=coarse.random_share,
            guess=guess,
        )
    except ValueError as error:
        raise UserError(f"{run.folder.config}: coarse.sampler {error}.") from error


def candidate_job(run: Run, trial: Trial, until: int | None = None) -> Job:
    """Return the job that trains and scores a coarse candidate, to the end or ``until`` a rung."""
    config = run.config
    spec = TrainingSpec(
        trial.architecture,
        config.coarse.recipe,
        seed=trial.extra.get("seed", config.seed),
        until=until,
        window="coarse",
        keep="weights" if config.coarse.stride is not None and config.coarse.choice == "observed" else "nothing",
    )
    return training_job(run, f"candidate {trial.number}", run.folder.coarse_trial(trial.number), spec)


def _rungs(run: Run) -> tuple[int, ...]:
    coarse = run.config.coarse
    if coarse.early_stopping is None:
        return ()
    return rung_iterations(coarse.early_stopping.shares, coarse.recipe.iterations)


def _search_of(run: Run, ledger: Ledger, searcher: Searcher, guess: Guess) -> LedgerSearch:
    if run.config.coarse.choice == "observed":
        return ObservedSearch(run, ledger, searcher)
    return PosteriorSearch(run, ledger, searcher, guess)


def _origin(proposal: Proposal) -> dict[str, Any]:
    return {"cluster": proposal.cluster, "branch": proposal.branch, "index": proposal.index}
