"""Folds of a run: made, kept with the groups that cases share, told of, and fewer cases where a budget wants it."""

from collections.abc import Iterable
from typing import Any

from c2fnas.data.cache import disk_needed
from c2fnas.data.dataset import Dataset
from c2fnas.data.fewer_cases import drawn, restricted
from c2fnas.data.fingerprint import Fingerprint
from c2fnas.data.fold_problems import ClassCounts, alike_names, class_counts, missing_classes, one_site, unmeasurable
from c2fnas.data.folds import FoldChoice, Split, case_ids, chosen_groups, make_folds, refuse_undivided
from c2fnas.data.plan import Plan
from c2fnas.data.problem import Problem
from c2fnas.files import read_json, refusing_damage, write_json
from c2fnas.planning.affordable import affordable_cases
from c2fnas.planning.request import Request
from c2fnas.runs.config import RunConfig
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.freeze import begun_stages, refuse_frozen
from c2fnas.runs.records.kept_folds import KeptFolds
from c2fnas.runs.reporter import Reporter
from c2fnas.runs.run import Run


def divided(dataset: Dataset, request: Request) -> tuple[Split, ...]:
    """Return the folds that are asked for.

    Raises:
        UserError: they can't be made, or a search could not compare networks on them.
    """
    folds = make_folds(dataset, request.division, request.draft.seed)
    if request.draft.kind == "search":
        refuse_undivided(dataset, folds)
    return folds


def keep_folds(run: Run, dataset: Dataset, request: Request) -> bool:
    """Keep the folds in the run folder, made where there are none or others are asked for; return true if they are new.

    The groups that cases share are kept with them. Warnings about what a fold lacks go to the reporter.

    Raises:
        UserError: the folds can't be made, or a stage of the run has begun with others than are asked for.
    """
    folder = run.folder
    known = KeptFolds.load(folder.folds) if folder.folds.exists() else None
    if known is not None and not request.folds.given:
        return False
    folds, groups = divided(dataset, request), chosen_groups(dataset, request.division)
    if known is not None:
        if KeptFolds.of(restricted(folds, known.splits), groups) == known:
            return False
        refuse_frozen({"folds": (None, None)}, folder)
    folder.taken.unlink(missing_ok=True)
    KeptFolds.of(folds, groups).save(folder.folds)
    _tell_missing(dataset, run.fingerprint, folder, folds, run.reporter)
    return True


def leave_out(run: Run, data: Dataset, plan: Plan, config: RunConfig) -> None:
    """Leave cases out of the folds where preparing them all would cost too much of a time budget, and say so.

    They are drawn once, and written down before the folds are.
    """
    folder = run.folder
    known = KeptFolds.load(folder.folds)
    if not folder.taken.exists():
        if begun_stages(folder):
            return
        write_json(folder.taken, {"hours": config.hours, "cases": _drawn_cases(run, data, plan, config, known.splits)})
    cases = _taken(folder)["cases"]
    kept = known.splits if cases is None else restricted(known.splits, [Split(tuple(cases), ())])
    if kept != known.splits:
        KeptFolds.of(kept, known.groups).save(folder.folds)
        _tell_missing(data, run.fingerprint, folder, kept, run.reporter)


def _drawn_cases(run: Run, data: Dataset, plan: Plan, config: RunConfig, folds: tuple[Split, ...]) -> list[str] | None:
    """The cases that the time pays for; None for all, as where they are all prepared already."""
    assert config.hours is not None
    known = case_ids(folds)
    if not disk_needed([each for each in run.fingerprint.cases if each.id in known], plan, run.folder.cache)[0]:
        return None
    count, hours = affordable_cases(run, data, plan, config.hours)
    if count >= len(data.training):
        return None
    groups = chosen_groups(data, FoldChoice(**config.folds.model_dump()))
    taken = case_ids(drawn(folds, groups, count, config.seed))
    run.reporter.say(
        f"Preparing all {len(data.training)} cases would take more than a quarter of the budget: the run takes "
        f"{len(taken)} of them, whole groups drawn by seed {config.seed}. `--budget {hours:g}h` takes all."
    )
    return sorted(taken)


def forget_drawn(folder: RunFolder, request: Request) -> None:
    """Forget which cases were drawn for another time or plan; the folds are divided again."""
    if not folder.taken.exists() or begun_stages(folder):
        return
    known = _taken(folder)
    if request.replan or known["hours"] != request.draft.hours:
        if known["cases"] is not None:
            folder.folds.unlink(missing_ok=True)
        folder.taken.unlink()


def _taken(folder: RunFolder) -> dict[str, Any]:
    """The hours of the budget for which cases were drawn, and the cases; None for all."""
    with refusing_damage(folder.taken, "the cases that a budget takes", "Restore it from a copy."):
        known = read_json(folder.taken)
        return {"hours": known["hours"], "cases": None if known["cases"] is None else [*map(str, known["cases"])]}


def tell_warnings(warnings: Iterable[Problem], reporter: Reporter) -> None:
    """Say each of the warnings."""
    for warning in warnings:
        reporter.say(f"Warning: {warning.finding.text}")


def _tell_missing(
    dataset: Dataset, fingerprint: Fingerprint, folder: RunFolder, folds: tuple[Split, ...], reporter: Reporter
) -> None:
    present = {case.id: [index for index, count in enumerate(case.voxels) if count] for case in fingerprint.cases}
    counts = class_counts(folds, present, len(dataset.classes))
    name = folder.folds.name
    if folds[0].validation:
        alike = alike_names(dataset.training, name, folds)
        warnings = (*alike, *missing_classes(counts, dataset.classes, name), *one_site(folds, name))
    else:
        warnings = (unmeasurable(dataset, name),)
    tell_warnings(warnings, reporter)
    keep_warnings(folder, name, warnings, cases_per_class=_by_class(dataset, counts))


def keep_warnings(folder: RunFolder, name: str, warnings: Iterable[Problem], **more: Any) -> None:
    """Add warnings about the run's file ``name`` to those of the check, in place of earlier ones about it."""
    content = read_json(folder.check) if folder.check.exists() else {"problems": []}
    others = [problem for problem in content["problems"] if problem["file"] != name]
    write_json(folder.check, content | {"problems": others + [warning.to_json() for warning in warnings]} | more)


def _by_class(dataset: Dataset, counts: tuple[ClassCounts, ...]) -> list[dict[str, dict[str, int]]]:
    """Of each fold, the cases that hold each class on either side."""
    names = [each.name for each in dataset.classes]
    return [
        {side: dict(zip(names, getattr(count, side), strict=True)) for side in ("training", "validation")}
        for count in counts
    ]
