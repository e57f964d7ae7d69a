"""One architecture on every data set of a folder, such as the Decathlon's ten tasks: the paper's Table 1 (4.2)."""

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from c2fnas.data.layouts import layout_of
from c2fnas.data.problem import CaseError
from c2fnas.errors import Interrupted, UserError
from c2fnas.evaluation.cross_validation import CrossValidation, average, cross_validated
from c2fnas.files import write_json, write_text
from c2fnas.planning.train_wish import Wish
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.lock import RunLock
from c2fnas.runs.meanwhile import hand_on_stop, meanwhile
from c2fnas.runs.reporter import Reporter
from c2fnas.stages.pipeline import ExecutorFactory, Result
from c2fnas.stages.train import train_architecture
from c2fnas.studies.label_test import label_test_images

TABLE = "table-1.json"
TRACEBACK = "traceback.txt"
Done = TypeVar("Done")


@dataclass(frozen=True)
class TaskScores:
    """A row of the table: a data set by its folder's name, and what its folds came to.

    Attributes:
        scores: None where it could not be trained.
        failure: why not, or why its test images could not be labelled; None where all went well.
    """

    name: str
    scores: CrossValidation | None
    failure: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        scores = self.scores.to_json() if self.scores is not None else {}
        return {"task": self.name, "failure": self.failure, **scores}


def datasets_in(folder: Path) -> tuple[Path, ...]:
    """The data sets in the subfolders of ``folder``, by name; none where it is a data set itself.

    A subfolder whose manifest can't be read counts, so that its fault is reported and not passed over.
    """
    if not folder.is_dir() or _is_dataset(folder):
        return ()
    return tuple(sorted(each for each in folder.iterdir() if each.is_dir() and _is_dataset(each)))


def train_all(
    datasets: Sequence[Path],
    run: Path,
    wish: Wish,
    *,
    devices: tuple[str, ...],
    executor: ExecutorFactory,
    reporter: Reporter,
    label_tests: bool = False,
) -> tuple[TaskScores, ...]:
    """Train an architecture on folds of each data set, in ``run / NAME``, and leave ``run / table-1.json``.

    A data set that fails is a row without scores, and the others go on. Called again, what is finished is passed by
    and what failed is tried again.

    Args:
        datasets: their folders; a data set's run folder has its folder's name.
        run: the folder of the runs, each of which is one that :func:`train_architecture` makes.
        wish: what is asked of each; the time of a budget is each one's own.
        devices: where folds are trained.
        executor: makes what runs them.
        reporter: hears of the progress.
        label_tests: whether to label each data set's test images by majority vote of its folds' models.

    Returns:
        A row for each data set, in their order.

    Raises:
        Interrupted: stopped on request, by a file ``stop`` in ``run`` or in a data set's own folder.
    """
    with RunLock(run):
        folder = RunFolder(run)
        folder.clear_stop()
        rows = []
        for dataset in datasets:
            if folder.stop_requested:
                raise Interrupted(f"{folder.stop} asked for it. Run the same command again to carry on.")
            reporter.say(f"{dataset.name}:")
            row = _row(dataset, run, wish, devices, executor, reporter, label_tests)
            rows.append(row)
            keep_table(rows, run)
            if row.failure is not None:
                reporter.say(f"{dataset.name} failed: {row.failure}")
    return tuple(rows)


def task_scores(name: str, result: Result, failure: str | None = None) -> TaskScores:
    """The row of a trained data set."""
    return TaskScores(name, cross_validated(dict(zip(result.folds, result.evaluations, strict=True))), failure)


def keep_table(rows: Sequence[TaskScores], run: Path) -> Path:
    """Leave the table in a run folder; returns its file."""
    write_json(run / TABLE, table_1(rows))
    return run / TABLE


def table_1(rows: Sequence[TaskScores]) -> dict[str, Any]:
    """The table as JSON: its rows, and the averages over tasks and over classes that the paper prints beside them."""
    scored = [row.scores for row in rows if row.scores is not None]
    return {
        "tasks": [row.to_json() for row in rows],
        "mean_over_tasks": average([scores.mean.dice for scores in scored]),
        "mean_over_classes": average([each.dice for scores in scored for each in scores.per_class.values()]),
    }


def _row(
    dataset: Path,
    run: Path,
    wish: Wish,
    devices: tuple[str, ...],
    executor: ExecutorFactory,
    reporter: Reporter,
    label_tests: bool,
) -> TaskScores:
    own = run / dataset.name

    def trained() -> Result:
        with meanwhile(lambda: hand_on_stop(RunFolder(run), RunFolder(own).stop)):
            return train_architecture(dataset, own, wish, devices=devices, executor=executor, reporter=reporter)

    result, failure = _attempt(trained, own)
    if result is None:
        return TaskScores(dataset.name, None, failure)
    if label_tests:
        _, failure = _attempt(lambda: label_test_images(dataset, own, devices[0], reporter), own)
    return task_scores(dataset.name, result, failure)


def _attempt(work: Callable[[], Done], own: Path) -> tuple[Done | None, str | None]:
    """What ``work`` returns, or why it failed: neither the data set's fault nor one of ours may stop the others."""
    try:
        return work(), None
    except Interrupted:
        raise
    except UserError as error:
        return None, str(error)
    except Exception as error:
        write_text(own / TRACEBACK, traceback.format_exc())
        return None, f"{type(error).__name__}: {error} (see {own / TRACEBACK})"


def _is_dataset(path: Path) -> bool:
    try:
        layout_of(path)
    except CaseError:
        return (path / "dataset.json").exists()
    return True
