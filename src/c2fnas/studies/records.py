"""A study's trainings in the ledger, and the rule that those of one table are equally long."""

from typing import Any

from c2fnas.errors import UserError
from c2fnas.execution.job import Outcome
from c2fnas.runs.ledger import trials_of
from c2fnas.runs.run import Run
from c2fnas.runs.trial import Trial
from c2fnas.space.architecture import Architecture
from c2fnas.stages.training_jobs import failure_of, trained


def record(run: Run, stage: str, architecture: Architecture, outcome: Outcome, fields: dict[str, Any]) -> None:
    """Enter a training that has ended into the ledger, once; ``fields`` tell it from others of the same network.

    A success after a failure is entered too: the training was tried again.
    """
    ledger, reason = run.ledger(stage), failure_of(outcome)
    fields = {**fields, "iterations": run.config.deployment.recipe.iterations}
    known = [trial for trial in ledger.trials() if _is(trial, architecture, fields)]
    if any(trial.score is not None or (trial.state == "failed" and reason is not None) for trial in known):
        return
    left = [trial.number for trial in known if trial.state == "interrupted"]  # by a driver that died in between
    number = ledger.restart(left[0]).number if left else ledger.start(architecture, fields)
    ended = {"device": outcome.device, "seconds": outcome.seconds}
    if reason is not None:
        ledger.fail(number, reason, ended)
    else:
        found = trained(outcome)
        ledger.succeed(number, found.score, {**ended, "per_class": found.per_class})


def refuse_another_length(run: Run, stage: str) -> None:
    """Refuse to go on with a table whose trainings had another length than the run, extended since, has now."""
    now = run.config.deployment.recipe.iterations
    then = {trial.extra["iterations"] for trial in trials_of(run.folder, stage) if "iterations" in trial.extra}
    if then - {now}:
        raise UserError(
            f"{run.folder.root / stage}: networks were trained for {min(then - {now})} iterations here, and since it "
            f"was extended the run has {now}. Compare them in another run folder."
        )


def _is(trial: Trial, architecture: Architecture, fields: dict[str, Any]) -> bool:
    return trial.architecture == architecture and all(trial.extra.get(name) == value for name, value in fields.items())
