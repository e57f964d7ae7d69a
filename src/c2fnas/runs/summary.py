"""The summary of a run: what each stage has done, what it cost, what is left, and what was found.

Progress bars, forecasts, ``--json`` and the report all say what stands here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from c2fnas.data.folds import Fold, chosen_folds
from c2fnas.data.plan import Plan, load_plan
from c2fnas.errors import UserError
from c2fnas.evaluation.metrics import Evaluation, summarise
from c2fnas.evaluation.verdict import Verdict
from c2fnas.execution.call import RESULT
from c2fnas.files import changed_at, files_below, read_json
from c2fnas.networks.designs import Design
from c2fnas.runs.config import RunConfig
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.ledger import trials_of
from c2fnas.runs.records.job_record import evaluation_in, read_job
from c2fnas.runs.records.kept_folds import KeptFolds
from c2fnas.runs.stage_summary import RunFiles, StageSummary, summarise_stages
from c2fnas.runs.timing.clock import ActiveTime
from c2fnas.runs.timing.pace import RunPace, read_pace
from c2fnas.runs.timing.slots import Slots, read_slots
from c2fnas.runs.trial import Trial
from c2fnas.space.architecture import Architecture
from c2fnas.text import duration, plural
from c2fnas.training.metrics_log import METRICS
from c2fnas.training.recipe import Recipe


@dataclass(frozen=True)
class RunSummary:
    """A run, finished or not. What does not exist yet is None or empty.

    Attributes:
        folder: of the run.
        config: of the run.
        plan: of the run.
        slots: the room for jobs that the run has, or had last.
        folds: numbers of (training, validation) cases of each fold.
        stages: in order; those that are done on request only if they have begun.
        trials: the coarse stage's candidates, in order of start.
        design: the network that was deployed, or else the one that the fine stage has chosen.
        evaluations: of the finished folds, by fold (from 0).
        verdict: on the search.
        preparation: seconds in which cases were prepared, plans weighed and steps timed.
        changed: when anything of the run was last written (UTC).
    """

    folder: RunFolder
    config: RunConfig
    plan: Plan | None
    slots: Slots
    folds: tuple[tuple[int, int], ...]
    stages: tuple[StageSummary, ...]
    trials: tuple[Trial, ...]
    design: Design | None
    evaluations: Mapping[Fold, Evaluation]
    verdict: Verdict | None
    preparation: float
    changed: datetime

    @property
    def final_folds(self) -> tuple[Fold, ...]:
        """The folds that the configuration deploys; empty before there are folds."""
        return chosen_folds(self.config.deployment.folds, len(self.folds)) if self.folds else ()

    @property
    def seconds(self) -> float:
        """Device-seconds so far, the preparation included."""
        return self.preparation + sum(each.seconds for each in self.stages)

    @property
    def clock(self) -> float:
        """Seconds in which at least one job was at work."""
        return sum(each.clock for each in self.stages)

    @property
    def finished(self) -> bool:
        """True if every stage is done."""
        return all(each.finished for each in self.stages)

    @property
    def eta(self) -> float | None:
        """Return the seconds until everything is done; None if unknown."""
        waits = [each.eta for each in self.stages]
        return None if None in waits else sum(wait or 0.0 for wait in waits)

    @property
    def best_dice(self) -> float | None:
        """Return the highest Dice of a coarse candidate so far."""
        return max((trial.score for trial in self.trials if trial.score is not None), default=None)

    @property
    def evaluation(self) -> Evaluation | None:
        """Return all finished folds together: each case was predicted by a network that never saw it."""
        rows = [row for each in self.evaluations.values() for row in each.cases]
        return summarise(rows) if rows else None

    @property
    def architecture(self) -> Architecture | None:
        """Return the design if it is an architecture of the search space."""
        return self.design if isinstance(self.design, Architecture) else None

    @property
    def text(self) -> str:
        """Return a sentence or two on where the run stands."""
        if self.finished:
            return "The run is finished."
        done = [each.name for each in self.stages if each.finished]
        so_far = f"{', '.join(done)} done" if done else "no stage is done yet"
        eta = "how long the rest takes is not known yet" if self.eta is None else f"about {duration(self.eta)} left"
        return f"The run is not finished: {so_far}; {eta}. The command that started it carries on."

    def to_json(self) -> dict[str, Any]:
        """Return a JSON value; times are in seconds, ``seconds`` are device-seconds."""
        evaluation = self.evaluation
        return {
            "run": str(self.folder.root),
            "kind": self.config.kind,
            "dataset": self.config.dataset,
            "budget": self.config.budget,
            "finished": self.finished,
            "seconds": self.seconds,
            "preparation": self.preparation,
            "clock": self.clock,
            "eta": self.eta,
            "slots": self.slots.jobs,
            "stages": [each.to_json() for each in self.stages],
            "best_dice": self.best_dice,
            "architecture": self.design and self.design.to_text(),
            "evaluation": evaluation and evaluation.to_json(),
            "verdict": self.verdict and self.verdict.to_json(),
            "changed": self.changed.isoformat(timespec="seconds"),
        }


def read_summary(run: Path) -> RunSummary:
    """Read a run folder, finished or not. Nothing is written, and a driver at work is not disturbed.

    Raises:
        UserError: it is no run folder, or a file of it is damaged.
    """
    folder = RunFolder(run)
    if not folder.config.exists():
        raise UserError(
            f"{run}: not a run folder, there is no run.yaml in it. Name the folder that `c2fnas run` was given."
        )
    config = RunConfig.load(folder.config)
    plan = load_plan(folder.plan) if folder.plan.exists() else None
    splits = KeptFolds.load(folder.folds).splits if folder.folds.exists() else ()
    sizes = tuple((len(split.training), len(split.validation)) for split in splits)
    trials = trials_of(folder, "coarse")
    chosen = chosen_folds(config.deployment.folds, len(sizes)) if sizes else ()
    pace = read_pace(folder, config, plan.stride) if plan else RunPace()
    slots = read_slots(folder, config)
    files = RunFiles(folder, config, plan, sizes[-1][1] if sizes else 0, chosen, trials, pace, slots)
    return RunSummary(
        folder=folder,
        config=config,
        plan=plan,
        slots=slots,
        folds=sizes,
        stages=summarise_stages(files),
        trials=trials,
        design=folder.design,
        evaluations=_evaluations(folder),
        verdict=read_verdict(folder),
        preparation=ActiveTime(folder.spent).preparation,
        changed=_changed(folder),
    )


def read_verdict(folder: RunFolder) -> Verdict | None:
    """Return the verdict that a run holds; None before it was judged."""
    return Verdict.from_json(read_json(folder.verdict_file)) if folder.verdict_file.exists() else None


def stage_tasks(
    config: RunConfig, folds: int = 0, trained: int = 0, every_case: bool = False, cases: int = 0
) -> dict[str, str]:
    """Return in words what each stage of a run is asked to do, by the stage's name.

    Args:
        config: Of the run.
        folds: How many the cases are divided into; 0 before that is known.
        trained: How many of them are deployed.
        every_case: If one is deployed that is trained on every case.
        cases: Validation cases of the search; 0 before that is known.
    """
    coarse, fine, deployment = config.coarse, config.fine, config.deployment
    on = [f"{trained} of {folds} folds" if folds else plural(trained, "fold")] if trained else []
    on += ["every case (its Dice stays unknown)"] if every_case else []
    start = "from another model" if deployment.start else "from scratch"
    final = f"the network trained {start} on {' and on '.join(on) or 'its folds'}"
    tasks = {"deployment": f"{final}, {training_text(deployment.recipe)} each"}
    if config.verdict and (config.searches or config.kind == "training"):
        most = "" if config.hours is None else "at most "
        others = f" and {most}{plural(config.references - 1, 'other reference')}" if config.references > 1 else ""
        tasks["verdict"] = f"a U-Net of equal multiply-accumulates{others}, trained alike and compared"
    if config.kind == "training":
        return tasks
    how = "Algorithm 1 of the paper" if coarse.sampler == "algorithm1" else f"the sampler {coarse.sampler}"
    how = f"proposed by {how}" + (f" among {coarse.clusters} clusters" if coarse.sampler == "algorithm1" else "")
    how += ", the best expected taken" if coarse.choice == "posterior" else ", the best taken"
    stopping = ", the weaker ones stopped early" if coarse.early_stopping else ""
    ranked = min(fine.cases or cases, cases) if cases else fine.cases
    on_cases = "all validation cases" if ranked is None else plural(ranked, "validation case")
    if ranked is not None and ranked < cases:
        on_cases = f"{ranked} of {plural(cases, 'validation case')}"
    most = "at most " if coarse.choice == "posterior" else ""
    topologies = f"{most}{coarse.evaluations:,} of {plural(config.space.topology_count, 'topology', 'topologies')}"
    coarse_task = f"{topologies}, {how}, each trained for {training_text(coarse.recipe)}{stopping}"
    fine_tasks = {
        "super-network": f"{plural(len(config.operations), 'operation')} in {plural(config.cells, 'cell')}, "
        f"trained for {training_text(fine.recipe)} with {fine.sampling} sampling",
        "ranking": f"{plural(fine.candidates, 'path')}, the best of them on {on_cases}",
    }
    return ({"coarse": coarse_task} if coarse.evaluations else {}) | (fine_tasks if fine.candidates else {}) | tasks


def training_text(recipe: Recipe) -> str:
    """Return how long a training is: "40 iterations of 2 patches"."""
    return f"{plural(recipe.iterations, 'iteration')} of {plural(recipe.batch_size, 'patch', 'patches')}"


def _evaluations(folder: RunFolder) -> dict[Fold, Evaluation]:
    """Return the evaluations of finished folds; one without its job's result is of a training being extended."""
    return {
        fold: found
        for fold in folder.begun_folds
        if read_job(folder.final_fold(fold)).done and (found := evaluation_in(folder.final_fold(fold)))
    }


def _changed(folder: RunFolder) -> datetime:
    """Return the newest time of the files that a run writes as it goes; a report's do not count."""
    moving = (folder.study, folder.config, *files_below(folder.root, METRICS, RESULT))
    return datetime.fromtimestamp(max(map(changed_at, moving)), UTC)
