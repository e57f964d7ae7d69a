"""The best coarse candidates scored again at the plan's stride, where a coarser one has validated them (paper: 16)."""

from c2fnas.execution.executor import Executor
from c2fnas.execution.job import Job
from c2fnas.runs.driver import run_all
from c2fnas.runs.ledger import Ledger
from c2fnas.runs.reporter import Reporter
from c2fnas.runs.run import Setting
from c2fnas.runs.trial import Trial
from c2fnas.stages.jobs import WEIGHTS

STAGE = "finalists"


def best_finalist(setting: Setting, ledger: Ledger, executor: Executor, reporter: Reporter) -> Trial | None:
    """The best candidate of the coarse stage; None where all have failed.

    Where candidates were validated at the plan's stride, the one with the highest score. Else the finalists are scored
    at the plan's and entered as the stage ``finalists``; one that can't be scored falls behind the others.
    """
    finalists = current_finalists(setting, ledger)
    if setting.config.coarse.stride is None or not finalists:
        return ledger.best()
    outcomes = run_all(executor, [_job(setting, trial) for trial in finalists], setting.folder, reporter, STAGE)
    scores = {
        trial.number: outcome.value["dice"]
        for trial, outcome in zip(finalists, outcomes, strict=True)
        if outcome.value is not None
    }
    _enter(setting, [trial for trial in finalists if trial.number in scores], scores)
    return max(finalists, key=lambda trial: (scores.get(trial.number, -1.0), trial.score, -trial.number))


def current_finalists(setting: Setting, ledger: Ledger) -> list[Trial]:
    """The best successes so far, as many as the run has finalists."""
    successes = [trial for trial in ledger.trials() if trial.score is not None]
    return sorted(successes, key=lambda trial: (-(trial.score or 0.0), trial.number))[: setting.config.coarse.finalists]


def forget_weights(setting: Setting, ledger: Ledger) -> None:
    """Delete the weights of candidates that can't be finalists any more: who has fallen behind never comes back."""
    kept = {trial.number for trial in current_finalists(setting, ledger)}
    for trial in ledger.completed():
        if trial.number not in kept:
            (setting.folder.coarse_trial(trial.number) / WEIGHTS).unlink(missing_ok=True)


def _job(setting: Setting, trial: Trial) -> Job:
    return Job(
        f"finalist {trial.number}",
        "c2fnas.stages.jobs:score_finalist",
        {"run": "../../..", "architecture": trial.architecture.to_json(), "candidate": trial.number},
        setting.folder.coarse / "finalists" / f"{trial.number:04d}",
    )


def _enter(setting: Setting, finalists: list[Trial], scores: dict[int, float]) -> None:
    ledger = Ledger(setting.folder.study, STAGE)
    entered = {trial.extra["candidate"] for trial in ledger.trials()}
    ledger.add_scored(
        (trial.architecture, scores[trial.number], {"candidate": trial.number, "coarse_dice": trial.score})
        for trial in finalists
        if trial.number not in entered
    )
