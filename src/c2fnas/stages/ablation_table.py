"""Table 3 from what was trained: Dice over the folds of every architecture, and how each two of them differ."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

from c2fnas.files import write_json
from c2fnas.inference.cross_validation import cross_validated
from c2fnas.inference.metrics import Evaluation, summarise
from c2fnas.inference.paired_bootstrap import PairedDifference, paired_bootstrap
from c2fnas.runs.folder import RunFolder
from c2fnas.stages.ablate import Column, Trained

TABLE = "table-3.json"


def write_table_3(columns: Sequence[Column], run: Path) -> dict[str, Any]:
    """Leave the table in the ablation's folder of ``run``, and return it."""
    table = {"data_sets": [_column(column) for column in columns]}
    write_json(RunFolder(run).ablation / TABLE, table)
    return table


def difference(first: Mapping[int, Evaluation], second: Mapping[int, Evaluation]) -> PairedDifference | None:
    """``first`` minus ``second`` over the cases of the folds that both have; None without any.

    Cases are resampled, trainings are not: the interval says nothing of what other seeds would give.
    """
    folds = sorted(first.keys() & second.keys())
    return paired_bootstrap(_together(first, folds), _together(second, folds)) if folds else None


def _together(evaluations: Mapping[int, Evaluation], folds: Sequence[int]) -> Evaluation:
    """One evaluation; a case that validates two folds is two."""
    return summarise([
        replace(case, case=f"fold {fold}: {case.case}") for fold in folds for case in evaluations[fold].cases
    ])  # fmt: skip


def _column(column: Column) -> dict[str, Any]:
    return {
        "data_set": column.dataset, "run": column.run.resolve().name, "folds": list(column.folds),
        "recipe": column.recipe, "iterations": column.iterations, "width": column.width,
        "rows": [_row(name, trained) for name, trained in column.rows.items()],
        "differences": [_pair(column, *names) for names in combinations(column.rows, 2)],
    }  # fmt: skip


def _row(name: str, trained: Trained) -> dict[str, Any]:
    """An architecture; without ``mean`` and ``classes`` where all its folds have failed."""
    scores = cross_validated(trained.evaluations).to_json() if trained.evaluations else {"folds": []}
    return {
        "name": name, "architecture": trained.architecture.to_text(), "parameters": trained.parameters,
        "macs": trained.macs, "failures": [{"fold": fold, "reason": text} for fold, text in trained.failures.items()],
        **scores,
    }  # fmt: skip


def _pair(column: Column, second: str, first: str) -> dict[str, Any]:
    """The later of two minus the earlier one, as "F" minus "C"."""
    here, there = column.rows[first], column.rows[second]
    same = here.architecture == there.architecture
    found = None if same else difference(here.evaluations, there.evaluations)
    return {"first": first, "second": second, "same": same, "difference": found.to_json() if found else None}
