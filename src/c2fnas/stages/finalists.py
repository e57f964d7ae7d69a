"""The best observed candidate of the coarse stage: finalists are scored again at the plan's stride (paper 4.1: 16)."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from c2fnas.execution.job import Job
from c2fnas.runs.driver import run_jobs
from c2fnas.runs.ledger import Ledger
from c2fnas.runs.run import Run
from c2fnas.runs.trial import Trial
from c2fnas.space.architecture import Architecture
from c2fnas.stages.training import WEIGHTS, score
from c2fnas.training.weights import load_weights

FINALISTS = "finalists"


def best_finalist(run: Run, ledger: Ledger) -> Trial | None:
    """Return the best candidate of the coarse stage, or None if all have failed.

    Where candidates were validated at the plan's stride, the one with the highest score. Else the finalists are scored
    at the plan's and entered as the stage ``finalists``; one that can't be scored falls behind the others.
    """
    finalists = current_finalists(run, ledger)
    if run.config.coarse.stride is None or not finalists:
        return ledger.best()
    outcomes = run_jobs(run, FINALISTS, [_finalist_job(run, trial) for trial in finalists])
    values = {each.number: outcome.value for each, outcome in zip(finalists, outcomes, strict=True)}
    scores = {number: value["dice"] for number, value in values.items() if value is not None}
    _enter_finalists(run, [trial for trial in finalists if trial.number in scores], scores)
    return max(finalists, key=lambda trial: (scores.get(trial.number, -1.0), trial.score, -trial.number))


def current_finalists(run: Run, ledger: Ledger) -> list[Trial]:
    """Return the best successes so far, as many as the run has finalists."""
    successes = [trial for trial in ledger.trials() if trial.score is not None]
    return sorted(successes, key=lambda trial: (-(trial.score or 0.0), trial.number))[: run.config.coarse.finalists]


def forget_weights(run: Run, ledger: Ledger, trials: Iterable[Trial]) -> list[Trial]:
    """Delete the weights of those of ``trials`` that are no finalists, and return the finalists.

    One that fell behind never comes back, so where a candidate ends, it and the finalists before it are enough to look
    at: on a shared disk, asking for those of all candidates each time would take longer than anything else.
    """
    finalists = current_finalists(run, ledger)
    for number in {trial.number for trial in trials} - {trial.number for trial in finalists}:
        (run.folder.coarse_trial(number) / WEIGHTS).unlink(missing_ok=True)
    return finalists


def score_finalist(payload: dict[str, Any], folder: Path, device: str) -> dict[str, Any]:
    """Score a trained coarse candidate at the plan's stride (paper 4.1: 16); a job."""
    run = Run.open(folder / payload["run"])
    network = run.build(Architecture.from_json(payload["architecture"]))
    load_weights(run.folder.coarse_trial(payload["candidate"]) / WEIGHTS, network)
    evaluation = score(run, network, run.window(), folder, device)
    return {"dice": evaluation.mean, "per_class": evaluation.per_class}


def _finalist_job(run: Run, trial: Trial) -> Job:
    payload = {"run": "../../..", "architecture": trial.architecture.to_json(), "candidate": trial.number}
    folder = run.folder.finalists / f"{trial.number:04d}"
    return Job(f"finalist {trial.number}", "c2fnas.stages.finalists:score_finalist", payload, folder)


def _enter_finalists(run: Run, finalists: list[Trial], scores: dict[int, float]) -> None:
    ledger = run.ledger(FINALISTS)
    entered = {trial.extra["candidate"] for trial in ledger.trials()}
    ledger.add_scored(
        (trial.architecture, scores[trial.number], {"candidate": trial.number, "coarse_dice": trial.score})
        for trial in finalists
        if trial.number not in entered
    )
