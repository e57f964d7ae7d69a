"""Sentences of the report: what the run was asked for, its main figures, and the cases that each rests on."""

from collections.abc import Iterable

from c2fnas.data.folds import EVERY_CASE, Fold, fold_order, guided_folds
from c2fnas.evaluation.cross_validation import cross_validated, largest_gains
from c2fnas.report.fine import patch_cost
from c2fnas.report.summary import ReportSummary
from c2fnas.runs.summary import stage_tasks
from c2fnas.text import crossed, device_time, large, plural, score
from c2fnas.training.shortness import shortness

NO_VERDICT = (
    "No verdict was made: nothing here says whether the searched network is better than a plain one that was trained "
    "at equal cost."
)
NOT_YET = "There is no verdict yet: it comes last."


def lead(run: ReportSummary) -> str:
    """Return what kind of run it is."""
    kind = "Coarse-to-fine architecture search" if _searches(run) else "Training of the default architecture"
    kind = "Training of a given network" if _only_trained(run) else kind
    return f"{kind}, budget {run.config.budget}, seed {run.config.seed}."


def tasks(run: ReportSummary) -> list[str]:
    """Return what each stage was asked to do, a sentence each."""
    config = run.config.model_copy(update={"verdict": run.config.verdict or run.verdict is not None})
    if run.verdict is not None and run.verdict.references:
        made = {"references": len(run.verdict.references), "hours": None}  # no longer "at most"
        config = config.model_copy(update=made)
    folds = _folds(run)
    every_case, cases = EVERY_CASE in folds, len(run.validation[-1]) if run.validation else 0
    found = stage_tasks(config, len(run.folds), len(folds) - every_case, every_case, cases)
    sentences = [f"{name.capitalize()}: {task}." for name, task in found.items()]
    if _only_trained(run):
        sentences[:0] = [f"A given network was trained: {run.design.to_text()}."] if run.design is not None else []
    elif not _searches(run):
        sentences.insert(0, "The budget pays for no search: the default architecture was trained.")
    return sentences


def verdict(run: ReportSummary) -> str | None:
    """Return the verdict in one line, or why there is none; None of a run that has nothing to judge."""
    if run.verdict is not None:
        return run.verdict.sentence if run.verdict.references else None
    if not _searches(run):
        return None
    return NOT_YET if run.config.judges(_folds(run)) and not run.finished else NO_VERDICT


def verdict_basis(run: ReportSummary) -> str | None:
    """Return the cases and trainings that the verdict rests on, in a sentence; None where there is none."""
    found = run.verdict
    if found is None or not found.references:
        return None
    some = _some_of(run, found.folds)
    chosen = "The search has not chosen on them." if some is None else f"The search has chosen on {some}these cases."
    count = found.replicates or len(found.folds)
    trained = "once" if count == 1 else f"{count} times"
    cases = run.cases_of(found.folds) if run.validation else plural(found.cases, "case")
    return f"It rests on {cases}, of {_named(found.folds)}; each network was trained {trained}. {chosen}"


def tiles(run: ReportSummary) -> list[tuple[str, str, str]]:
    """Return the figures at the top: value, name, and a remark with the cases that the figure rests on."""
    found, evaluation = [], run.evaluation
    if evaluation is not None:
        classes = ", ".join(f"{name} {score(dice)}" for name, dice in evaluation.per_class.items())
        scores = cross_validated({each.fold: each.evaluation for each in run.final.folds})
        gains = largest_gains(scores) if scores else ""
        basis = dice_basis(run)
        remark = "; ".join(filter(None, [classes if len(evaluation.per_class) > 1 else "", basis, gains]))
        found.append((score(evaluation.mean), "mean Dice", remark))
    elif run.best_dice is not None:
        basis = f"the {run.cases_of([_search_fold(run)])} that validate the search" if run.validation else "validation"
        found.append((score(run.best_dice), "best Dice so far", f"of a coarse candidate, on {basis}"))
    if run.architecture is not None and run.plan is not None:
        cost = patch_cost(run.architecture, run.plan)
        found.append((large(cost.parameters), "parameters", f"width {run.architecture.width:g}"))
        found.append((large(cost.macs), "multiply-accumulates", f"a patch of {crossed(run.plan.patch_size)} voxels"))
    found.append((device_time(run.seconds), "of a device", f"in all, on {run.slots.text(run.config.devices)}"))
    return found


def warning(run: ReportSummary) -> str | None:
    """Return the warning of final networks that were hardly trained; None where there is none, or no network yet."""
    trained = [size for number, (size, _) in enumerate(run.folds) if number in run.evaluations]
    if run.config.deployment.start or not trained:
        return None
    return shortness(run.config.deployment.recipe, min(trained))


def dice_basis(run: ReportSummary) -> str:
    """Return the cases that the mean Dice rests on: "8 cases of fold 4, which it was not trained on"."""
    folds = [fold for fold in run.evaluations if isinstance(fold, int)]
    cases = run.counted(row.case for row in run.evaluation.cases) if run.evaluation else "no case"
    some = _some_of(run, folds) if run.coarse.trials else None
    led = "" if some is None else f", on {some}which the search has chosen"
    return f"{cases} of {_named(folds)}, each predicted by a network that was not trained on it{led}"


def _named(folds: Iterable[Fold]) -> str:
    names = [str(fold) for fold in folds]
    return f"fold{'s' if len(names) > 1 else ''} {', '.join(names)}"


def _search_fold(run: ReportSummary) -> int:
    """The fold on whose validation cases the search scores and chooses: the last."""
    return len(run.folds) - 1


def _guided(run: ReportSummary) -> frozenset[int]:
    """The folds on whose cases the search has chosen."""
    return guided_folds(run.validation, run.groups)


def _some_of(run: ReportSummary, folds: Iterable[Fold]) -> str | None:
    """Return "some of " where the search has chosen on a part of the folds' cases, "" where on all, None if on none."""
    if not _guided(run) & {*folds}:
        return None
    return "" if [*folds] == [_search_fold(run)] else "some of "


def _folds(run: ReportSummary) -> list[Fold]:
    """Return the folds that the run began with and those that were asked for later."""
    return sorted({*run.final_folds, *(each.fold for each in run.final.folds)}, key=fold_order)


def _only_trained(run: ReportSummary) -> bool:
    return run.config.kind == "training"


def _searches(run: ReportSummary) -> bool:
    return run.config.searches or bool(run.trials)
