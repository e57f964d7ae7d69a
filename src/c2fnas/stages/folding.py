"""The folds of a run: made as the user asks or the data set says, kept in the run folder, fixed once it has started."""

from collections.abc import Mapping, Sequence
from typing import Any

from c2fnas.data.dataset import Dataset
from c2fnas.data.fingerprint import Fingerprint
from c2fnas.data.folds import ClassCounts, FoldChoice, Split, chosen_groups, class_counts, make_folds, missing_classes
from c2fnas.data.problem import Problem
from c2fnas.files import read_json, write_json
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.freeze import refuse_frozen
from c2fnas.runs.reporter import Reporter
from c2fnas.runs.run import Run, load_folds, load_groups

SHOWN_WARNINGS = 5


def keep_folds(run: Run, dataset: Dataset, choice: FoldChoice, seed: int) -> tuple[tuple[Split, ...], bool]:
    """Return the folds in the run folder, made where there are none, and true if they are new.

    The groups that cases share are kept with them. Warnings about classes that a fold lacks go to the reporter.

    Raises:
        UserError: the folds can't be made, or a stage of the run has begun with others than are asked for.
    """
    folder = run.folder
    known = load_folds(folder.folds) if folder.folds.exists() else None
    if known is not None and not choice.given:
        return known, False
    folds = make_folds(dataset, choice, seed)
    groups = _of_validation(folds, chosen_groups(dataset, choice))
    if known is not None and (folds, groups) == (known, load_groups(folder.folds)):
        return folds, False
    if known is not None:
        refuse_frozen({"folds": (None, None)}, folder)
    write_json(folder.folds, [_row(split, groups) for split in folds])
    _tell_missing(dataset, run.fingerprint, folder, folds, run.reporter)
    return folds, True


def _of_validation(folds: Sequence[Split], groups: Mapping[str, str]) -> dict[str, str]:
    return {case: groups[case] for split in folds for case in split.validation if case in groups}


def _row(split: Split, groups: Mapping[str, str]) -> dict[str, Any]:
    """A fold as the file has it; with groups where validation cases share some."""
    row = {"training": list(split.training), "validation": list(split.validation)}
    own = _of_validation([split], groups)
    return {**row, "groups": own} if own else row


def _tell_missing(
    dataset: Dataset, fingerprint: Fingerprint, folder: RunFolder, folds: tuple[Split, ...], reporter: Reporter
) -> None:
    present = {case.id: [index for index, count in enumerate(case.voxels) if count] for case in fingerprint.cases}
    counts = class_counts(folds, present, len(dataset.classes))
    warnings = missing_classes(counts, dataset.classes, folder.folds.name)
    for warning in warnings[:SHOWN_WARNINGS]:
        reporter.say(f"Warning: {warning.found}. {warning.fix}")
    if len(warnings) > SHOWN_WARNINGS:
        reporter.say(f"... and {len(warnings) - SHOWN_WARNINGS} more warnings of this kind, in {folder.check}.")
    _keep_warnings(dataset, folder, warnings, counts)


def _keep_warnings(
    dataset: Dataset, folder: RunFolder, warnings: tuple[Problem, ...], counts: tuple[ClassCounts, ...]
) -> None:
    """Add the warnings to those of the check, in place of those about earlier folds."""
    content = read_json(folder.check) if folder.check.exists() else {"problems": []}
    others = [problem for problem in content["problems"] if problem["file"] != folder.folds.name]
    names = [each.name for each in dataset.classes]
    table = [
        {side: dict(zip(names, getattr(count, side), strict=True)) for side in ("training", "validation")}
        for count in counts
    ]
    write_json(
        folder.check, {"problems": others + [warning.to_json() for warning in warnings], "cases_per_class": table}
    )
