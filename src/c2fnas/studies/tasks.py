"""One architecture on every data set of a folder, such as the Decathlon's ten tasks: the paper's Table 1 (4.2)."""

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from c2fnas.data.folds import EVERY_CASE
from c2fnas.devices import find_devices
from c2fnas.errors import Interrupted, UserError
from c2fnas.evaluation.cross_validation import CrossValidation, cross_validated
from c2fnas.evaluation.metrics import average
from c2fnas.files import write_json, write_text
from c2fnas.runs.poll import hand_on_stop, polling
from c2fnas.runs.run import ExecutorFactory, Run
from c2fnas.stages.deployment import Deployed
from c2fnas.stages.train import TrainOptions, train_architecture
from c2fnas.studies.label_test import label_test_images

TABLE = "table-1.json"
TRACEBACK = "traceback.txt"
Done = TypeVar("Done")


@dataclass(frozen=True)
class TaskScores:
    """A row of the table: a data set by the name of its folder, and the scores of its folds.

    Attributes:
        scores: None if it could not be trained or has no Dice.
        failure: the reason for that, or for test images without labels; None if all went well.
    """

    name: str
    scores: CrossValidation | None
    failure: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the row as JSON."""
        scores = self.scores.to_json() if self.scores is not None else {}
        return {"task": self.name, "failure": self.failure, **scores}


def train_all(
    datasets: Sequence[Path],
    run: Run,
    options: TrainOptions,
    executor: ExecutorFactory,
    *,
    devices: tuple[str, ...] | None = None,
    label_tests: bool = False,
) -> tuple[TaskScores, ...]:
    """Train an architecture on folds of each data set, in ``run / NAME``, and leave ``run / table-1.json``.

    A data set that fails is a row without scores, and the others go on. Called again, it tries these and passes by the
    finished ones.

    Args:
        datasets: their folders; a data set's run folder has its folder's name.
        run: the folder of the runs, each of which is one that :func:`train_architecture` makes, and the reporter.
        options: what is asked of each; the time of a budget is each one's own.
        executor: makes what runs the jobs.
        devices: where folds are trained; None for those that a run has, of a new one those of ``auto``.
        label_tests: label each data set's test images by majority vote of its folds' models.

    Returns:
        A row for each data set, in their order.

    Raises:
        Interrupted: stopped on request, by a file ``stop`` in ``run`` or in a data set's own folder.
    """
    rows: list[TaskScores] = []
    with run.locked():
        for dataset in datasets:
            run.refuse_stop()
            run.reporter.say(f"{dataset.name}:")
            row = _row(dataset, run, options, executor, devices, label_tests)
            rows.append(row)
            keep_table(rows, run.folder.root)
            if row.failure is not None:
                run.reporter.say(f"{dataset.name} failed: {row.failure}")
    return tuple(rows)


def task_scores(name: str, deployed: Deployed, failure: str | None = None) -> TaskScores:
    """Return the row of a trained data set; folds whose Dice was not measurable are left out."""
    scores = cross_validated(dict(zip(deployed.folds, deployed.evaluations, strict=True)))
    if scores is None and {*deployed.folds} != {EVERY_CASE}:
        failure = failure or "Dice was not measurable on any fold; the models are kept."
    return TaskScores(name, scores, failure)


def keep_table(rows: Sequence[TaskScores], run: Path) -> Path:
    """Leave the table in a run folder and return its file."""
    write_json(run / TABLE, table_1(rows))
    return run / TABLE


def table_1(rows: Sequence[TaskScores]) -> dict[str, Any]:
    """Return the table as JSON: its rows, and the paper's averages over tasks and over classes."""
    scored = [row.scores for row in rows if row.scores is not None]
    return {
        "tasks": [row.to_json() for row in rows],
        "mean_over_tasks": average([scores.mean.dice for scores in scored]),
        "mean_over_classes": average([each.dice for scores in scored for each in scores.per_class.values()]),
    }


def _row(
    dataset: Path,
    run: Run,
    options: TrainOptions,
    executor: ExecutorFactory,
    devices: tuple[str, ...] | None,
    label_tests: bool,
) -> TaskScores:
    own = Run(run.folder.root / dataset.name, reporter=run.reporter)

    def trained() -> Deployed:
        found = devices or (None if own.folder.config.exists() else find_devices("auto"))
        with polling(lambda: hand_on_stop(run.folder, own.folder.stop)):
            return train_architecture(own, dataset, options, executor, found)

    deployed, failure = _tried(trained, own.folder.root)
    if deployed is None:
        return TaskScores(dataset.name, None, failure)
    if label_tests:
        with polling(lambda: hand_on_stop(run.folder, own.folder.stop)):
            _, failure = _tried(lambda: label_test_images(own, dataset, own.config.devices[0]), own.folder.root)
    return task_scores(dataset.name, deployed, failure)


def _tried(work: Callable[[], Done], own: Path) -> tuple[Done | None, str | None]:
    """The result of ``work``, or the reason for its failure: a fault in one data set, or of ours, stops no other."""
    try:
        return work(), None
    except Interrupted:
        raise
    except UserError as error:
        return None, str(error)
    except Exception as error:
        write_text(own / TRACEBACK, traceback.format_exc())
        return None, f"{type(error).__name__}: {error} (see {own / TRACEBACK})"
