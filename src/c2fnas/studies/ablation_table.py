"""Table 3 from what was trained: Dice over the folds of every architecture, and how each two of them differ."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from c2fnas.evaluation.cross_validation import cross_validated
from c2fnas.evaluation.paired_folds import difference
from c2fnas.files import write_json
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.run import load_groups
from c2fnas.studies.ablation import Column, Trained

TABLE = "table-3.json"


def write_table_3(columns: Sequence[Column], run: Path) -> dict[str, Any]:
    """Leave the table in the ablation's folder of ``run``, and return it."""
    table = {"data_sets": [_column(column) for column in columns]}
    write_json(RunFolder(run).ablation / TABLE, table)
    return table


def _column(column: Column) -> dict[str, Any]:
    groups = load_groups(RunFolder(column.run).folds)
    return {
        "data_set": column.dataset,
        "run": column.run.resolve().name,
        "folds": list(column.folds),
        "recipe": column.recipe,
        "iterations": column.iterations,
        "width": column.width,
        "rows": [_row(name, trained) for name, trained in column.rows.items()],
        "differences": [_pair(column, groups, *names) for names in combinations(column.rows, 2)],
    }


def _row(name: str, trained: Trained) -> dict[str, Any]:
    """An architecture; without ``mean`` and ``classes`` where all its folds have failed."""
    scores = cross_validated(trained.evaluations).to_json() if trained.evaluations else {"folds": []}
    return {
        "name": name,
        "architecture": trained.architecture.to_text(),
        "parameters": trained.parameters,
        "macs": trained.macs,
        "failures": [{"fold": fold, "reason": text} for fold, text in trained.failures.items()],
        **scores,
    }


def _pair(column: Column, groups: Mapping[str, str], second: str, first: str) -> dict[str, Any]:
    """The later of two minus the earlier one, as "F" minus "C"."""
    here, there = column.rows[first], column.rows[second]
    same = here.architecture == there.architecture
    found = None if same else difference(here.evaluations, there.evaluations, groups=groups)
    return {"first": first, "second": second, "same": same, "difference": found.to_json() if found else None}
