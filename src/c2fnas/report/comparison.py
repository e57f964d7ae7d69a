"""Several runs side by side: what differs, what each reached and took, and the front that each found."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import yaml

from c2fnas.data.folds import Fold
from c2fnas.errors import UserError
from c2fnas.evaluation.comparison import Difference, difference
from c2fnas.evaluation.metrics import Evaluation
from c2fnas.evaluation.pairs import Pair, corrected, paired
from c2fnas.report.fine import patch_cost
from c2fnas.report.summary import ReportSummary, read_report
from c2fnas.runs.overrides import CHECKSUMS, leaves
from c2fnas.space.cost import NetworkCost

NOT_COMPARED = frozenset({"dataset_path", "overrides", "plan", "versions", *CHECKSUMS})
"""Parts of a configuration that others tell of: the plan itself, and what overrides have come to."""


@dataclass(frozen=True)
class ComparedRun:
    """A run of several.

    Attributes:
        name: of its folder, longer where two folders have the same.
        summary: of the run.
        dice: mean Dice with its interval over cases; None before a fold is finished.
        cost: of a patch; None where it has no architecture of the space yet.
    """

    name: str
    summary: ReportSummary
    dice: Difference | None
    cost: NetworkCost | None


@dataclass(frozen=True)
class RunsSummary:
    """Several runs.

    Attributes:
        runs: in the order given.
        differences: fields in which they differ, by the dotted name, with the value of each run.
        pairs: sentences on each pair that can be compared, or why it can't.
    """

    runs: tuple[ComparedRun, ...]
    differences: dict[str, tuple[str, ...]]
    pairs: tuple[str, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """The foreground classes of all runs with a Dice, each once."""
        found = (each.summary.evaluation for each in self.runs)
        return tuple(dict.fromkeys(name for each in found if each is not None for name in each.per_class))


def read_runs(
    folders: Sequence[Path], *, keep_identifiers: bool = False, progress: Callable[[int, int], None] = lambda *_: None
) -> RunsSummary:
    """Read several run folders. Nothing is written to them.

    Args:
        folders: Of the runs, two or more.
        keep_identifiers: Keep whole paths.
        progress: Counts runs.

    Raises:
        UserError: one is no run folder, is damaged, or is named twice.
    """
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise UserError("A run folder is named twice. Name each once.")
    runs = []
    for done, (name, folder) in enumerate(zip(names_of(folders), folders, strict=True), start=1):
        runs.append(_compared(name, read_report(folder, keep_identifiers=keep_identifiers)))
        progress(done, len(folders))
    return RunsSummary(tuple(runs), run_differences([each.summary for each in runs]), pair_sentences(runs))


def names_of(folders: Sequence[Path]) -> tuple[str, ...]:
    """Return a name for each folder: its last part, or more of it where that is not enough.

    >>> names_of([Path("a/run"), Path("b/run"), Path("b/other")])
    ('a/run', 'b/run', 'b/other')
    >>> names_of([Path("runs/a"), Path("runs/b")])
    ('a', 'b')
    """
    paths = [folder.absolute().parts for folder in folders]
    length = 1
    while len({path[-length:] for path in paths}) < len(paths):
        length += 1
    return tuple("/".join(path[-length:]) for path in paths)


def _compared(name: str, run: ReportSummary) -> ComparedRun:
    cost = patch_cost(run.architecture, run.plan) if run.architecture is not None and run.plan is not None else None
    return ComparedRun(name, run, dice_interval(_of_folds(run.evaluations), run.groups), cost)


def dice_interval(evaluations: Mapping[int, Evaluation], groups: Mapping[str, str]) -> Difference | None:
    """Return the mean Dice of folds with its 95 % interval over cases; groups of them are drawn together.

    It is the paired bootstrap of :mod:`c2fnas.evaluation.comparison` against a network that finds nothing. None where
    no fold is scored yet.
    """
    found = difference(evaluations, {fold: _nothing(each) for fold, each in evaluations.items()}, groups=groups)
    return None if found is None else found.mean


def _nothing(evaluation: Evaluation) -> Evaluation:
    """The evaluation of a network that finds nothing."""
    rows = tuple(
        replace(row, dice={name: None if value is None else 0.0 for name, value in row.dice.items()})
        for row in evaluation.cases
    )
    return replace(evaluation, cases=rows)


def run_differences(runs: Sequence[ReportSummary]) -> dict[str, tuple[str, ...]]:
    """Return the fields of configuration, plan, folds and data in which runs differ, with each one's value as text."""
    known = [dict(_facts(run)) for run in runs]
    names = dict.fromkeys(name for each in known for name in each)
    rows = {name: tuple(each.get(name, "–") for each in known) for name in names}
    return {name: values for name, values in rows.items() if len(set(values)) > 1}


def _facts(run: ReportSummary) -> Iterator[tuple[str, str]]:
    yield "data", _data(run)[:12] or "–"
    yield "folds", (run.folds_checksum or "–")[:12]
    plan = yaml.safe_load(run.folder.plan.read_text(encoding="utf-8")) if run.folder.plan.exists() else {}
    config = run.config.model_dump(mode="json", exclude=set(NOT_COMPARED))
    yield from ((name, _short(value)) for name, value in (*leaves(plan, prefix="plan."), *leaves(config)))
    yield from ((f"version of {name}", version) for name, version in run.config.versions.items())


def _data(run: ReportSummary) -> str:
    """A checksum of what was read of the data, wherever it lies; of the fingerprint's file where there is none."""
    fingerprint = run.data.fingerprint if run.data else None
    return fingerprint.contents if fingerprint else run.config.fingerprint_sha256


def _short(value: Any) -> str:
    """Return a value of a configuration as a reader's text; of channels and classes the names.

    >>> _short(None), _short(True), _short(1 / 15), _short([2.0, 1.5]), _short([{"name": "MRI", "kind": "mr"}])
    ('none', 'yes', '0.06667', '2, 1.5', 'MRI')
    """
    if isinstance(value, list):
        return ", ".join(
            str(each["name"]) if isinstance(each, dict) and "name" in each else _short(each) for each in value
        )
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def pair_sentences(runs: Sequence[ComparedRun]) -> tuple[str, ...]:
    """Return what can be said of each two runs: over trainings, and over cases of the two networks; or why nothing.

    The answers are corrected together, since several are given.
    """
    found = [_pair(one, other) for one, other in combinations(runs, 2)]
    answers = iter(corrected([each for each in found if isinstance(each, Pair)]))
    told = [next(answers).sentences if isinstance(each, Pair) else (each,) for each in found]
    return tuple(sentence for sentences in told for sentence in sentences)


def _pair(one: ComparedRun, other: ComparedRun) -> Pair | str:
    """Two runs as a pair, or why they are none."""
    if one.dice is None or other.dice is None:
        lacking = one.name if one.dice is None else other.name
        return f"{one.name} and {other.name}: {lacking} has no Dice yet."
    if _data(one.summary) != _data(other.summary):
        return f"{one.name} and {other.name}: they are of other data."
    try:
        groups = {**other.summary.groups, **one.summary.groups}
        trainings = ((each.name, _trainings(each.summary.evaluations)) for each in (one, other))
        margin = min(each.summary.config.margin for each in (one, other))
        return paired(*trainings, groups=groups, margin=margin)
    except UserError as error:
        return f"{one.name} and {other.name} can't be compared: {error}"


def _trainings(evaluations: Mapping[Fold, Evaluation]) -> dict[tuple[int, int], Evaluation]:
    return {(fold, 0): found for fold, found in _of_folds(evaluations).items()}


def _of_folds(evaluations: Mapping[Fold, Evaluation]) -> dict[int, Evaluation]:
    return {fold: found for fold, found in evaluations.items() if isinstance(fold, int)}


def basis(run: ComparedRun) -> str:
    """Return the cases and folds that a run's Dice rests on."""
    evaluation = run.summary.evaluation
    if evaluation is None:
        return "–"
    folds: Iterable[Fold] = run.summary.evaluations
    return f"{run.summary.counted(row.case for row in evaluation.cases)}, fold {', '.join(map(str, folds))}"
