"""Table 1 as text: Dice of every class of every task, over the validation cases of its folds."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from c2fnas.cli.text_table import aligned, percent

if TYPE_CHECKING:
    from c2fnas.evaluation.cross_validation import FoldedDice
    from c2fnas.studies.tasks import TaskScores

HEAD = ["task", "class", "Dice", "± folds", "each fold", "cases"]


def table(rows: Sequence["TaskScores"]) -> str:
    """A line for each class and each task's mean, Dice in per cent, then averages of several and what has failed."""
    from c2fnas.studies.tasks import table_1

    whole = table_1(rows)
    scored = [line for row in rows for line in _lines(row)]
    averages = [
        ["", f"mean over {what}", percent(whole[f"mean_over_{what}"]), "", "", ""]
        for what in ("tasks", "classes")
        if len(rows) > 1
    ]
    failures = [f"{row.name}: {row.failure}" for row in rows if row.failure is not None]
    return "\n".join([aligned([HEAD, *scored, *averages], left=2), *failures])


def _lines(row: "TaskScores") -> list[list[str]]:
    if row.scores is None:
        return [[row.name, "failed", "–", "", "", ""]]
    cases, classes = str(row.scores.cases), list(row.scores.per_class.items())
    if len(classes) > 1:
        classes.append(("mean", row.scores.mean))
    return [
        [row.name if place == 0 else "", name, *_cells(score), cases if place == 0 else ""]
        for place, (name, score) in enumerate(classes)
    ]


def _cells(score: "FoldedDice") -> list[str]:
    return [percent(score.dice), percent(score.spread), " ".join(percent(each) for each in score.folds)]
