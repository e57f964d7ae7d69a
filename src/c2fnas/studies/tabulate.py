"""A table of topologies: many short trainings that are alike, each with its Dice; it can be resumed and extended."""

import platform
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from pydantic import PositiveFloat, PositiveInt

from c2fnas.bench import Row, read_table, write_table
from c2fnas.bench.selection import Training
from c2fnas.data.dataset import evenly_spread
from c2fnas.devices import processor_name
from c2fnas.errors import UserError
from c2fnas.execution.job import Job, Outcome
from c2fnas.files import read_json, write_json
from c2fnas.frozen import Frozen
from c2fnas.planning.configuration import versions
from c2fnas.runs.records.trained import Trained
from c2fnas.runs.run import Run
from c2fnas.space.architecture import Architecture
from c2fnas.stages.training_jobs import TrainingSpec, failure_of, run_all, trained, training_job
from c2fnas.training.precision import common_precision
from c2fnas.training.recipe import WARMUP_SHARE, Precision, Recipe

STAGE = "table"
MOST_IN_A_ROW = 10
"""Trainings that fail one after another in a call, after which no other one is begun."""


class TableConfig(Frozen):
    """The training of every topology of a table.

    A hundred iterations have to tell topologies apart, so it takes AdamW: with SGD two seeds of a topology differ more
    than two topologies (docs/decisions/0023). Augmentation only slows so short a training, and is left out.

    Attributes:
        width: of every network.
        iterations: of the whole schedule.
        rungs: iterations before the end at which Dice is measured too, for what early stopping would have seen.
        cases: validation cases, spread evenly over the search's validation fold.
        volumes: patches in an iteration, each from another volume.
    """

    width: PositiveFloat = 0.25
    iterations: PositiveInt = 100
    rungs: tuple[PositiveInt, ...] = (33, 66)
    cases: PositiveInt = 20
    volumes: PositiveInt = 2
    learning_rate: PositiveFloat = 0.004
    foreground_rate: float = 1 / 3

    @classmethod
    def of(cls, iterations: int) -> "TableConfig":
        """Return the setting of trainings of another length, with rungs at a third and two thirds.

        >>> TableConfig.of(400).rungs, TableConfig.of(100) == TableConfig()
        ((132, 264), True)
        """
        return cls(iterations=iterations, rungs=(33 * iterations // 100 or 1, 66 * iterations // 100))

    def recipe(self, precision: Precision) -> Recipe:
        """Return the table's own recipe: its rows stay comparable whatever becomes of the modern one."""
        return Recipe(
            name="table",
            optimiser="adamw",
            iterations=self.iterations,
            volumes=self.volumes,
            patches_per_volume=1,
            learning_rate=self.learning_rate,
            warmup_from=self.learning_rate / 10,
            warmup_iterations=max(1, self.iterations // WARMUP_SHARE),
            schedule="polynomial",
            momentum=0.9,
            nesterov=False,
            weight_decay=0.01,
            gradient_clip=12.0,
            precision=precision,
            augmentation="none",
            foreground_rate=self.foreground_rate,
        )


def tabulate(
    run: Run, table: Path, trainings: Sequence[Training], config: TableConfig = TableConfig()
) -> tuple[Row, ...]:
    """Train what ``table`` lacks of ``trainings``, and enter each as it ends.

    Returns:
        All rows of the table; those of failed trainings have no Dice.

    Raises:
        UserError: the table was made by other trainings or of other data, or several failed one after another.
    """
    precision = _keep_provenance(run, table, config)
    rows = {row.key: row for row in (read_table(table) if table.exists() else ())}
    missing = {_name(training): training for training in trainings if training[1:] not in rows}
    failed = list[Row]()  # of late: entered once another one succeeds, since a device that is gone fails them all

    def enter(*found: Row) -> None:
        if found:
            known = {row.key: row for row in (read_table(table) if table.exists() else ())}  # another run may fill it
            rows.update(known | {row.key: row for row in found if row.dice is not None or row.key not in known})
            write_table(table, rows.values())

    def settle(outcome: Outcome) -> None:
        row = _row(run, missing[outcome.job_id], outcome, config)
        if outcome.value is not None:
            enter(*failed, row)
            failed.clear()
        else:
            failed.append(row)
        if row.dice is None:
            run.reporter.say(f"{outcome.job_id} failed: {failure_of(outcome)}")
        if len(failed) == MOST_IN_A_ROW:
            raise UserError(
                f"{table}: the last {MOST_IN_A_ROW} trainings failed and are not entered; the last one said: "
                f"{failure_of(outcome)} Fix the cause; the same command carries on."
            )

    run_all(run, STAGE, [_job(run, training, config, precision) for training in missing.values()], settle)
    if len(failed) < len(missing):
        enter(*failed)
    elif failed:
        run.reporter.say("No training has succeeded, so that none is entered: the same command tries them again.")
    run.reporter.say(f"{len(rows)} trainings in {table}")
    return tuple(rows.values())


def _name(training: Training) -> str:
    _, topology, seed = training
    return f"{''.join(map(str, topology.code))}-{seed}"


def _job(run: Run, training: Training, config: TableConfig, precision: Precision) -> Job:
    _, topology, seed = training
    spec = TrainingSpec(
        Architecture.uniform(topology, width=config.width),
        config.recipe(precision),
        seed=seed,
        score_at=config.rungs,
        cases=config.cases,
    )
    return training_job(run, _name(training), run.folder.table / _name(training), spec)


def _row(run: Run, training: Training, outcome: Outcome, config: TableConfig) -> Row:
    cluster, topology, seed = training
    cost = run.cost(Architecture.uniform(topology, width=config.width))
    found = Trained(None, seconds=outcome.seconds) if outcome.value is None else trained(outcome)
    return Row(
        topology,
        cluster,
        seed,
        dice=found.dice,
        rungs={int(iteration): score for iteration, score in found.rungs.items() if score is not None},
        per_class={name: score for name, score in found.per_class.items() if score is not None},
        seconds=found.seconds,
        parameters=cost.parameters,
        macs=cost.macs,
    )


def _keep_provenance(run: Run, table: Path, config: TableConfig) -> Precision:
    """Write, or compare, what the table's numbers depend on; returns the precision of its trainings."""
    path = table.with_suffix(".json")
    known = {"weighting": "gaussian"} | read_json(path) if path.exists() else {}  # of before, without a word of it
    precision = cast("Precision", known.get("precision") or common_precision(run.config.devices))
    fixed = dict(_fixed(run, config, precision))
    for key, value in fixed.items():
        if known and known.get(key) != value:
            raise UserError(
                f"{table}: was made with another {key} ({known.get(key)}, here {value}). One table has one setting: "
                "choose another --table."
            )
    made = {"machine": platform.machine(), "processor": processor_name(), "versions": versions()}
    cases, makers = list(run.fingerprint.signatures), known.get("made_with", [])
    write_json(path, {**fixed, "cases": cases, "made_with": makers if made in makers else [*makers, made]})
    return precision


def _fixed(run: Run, config: TableConfig, precision: Precision) -> Iterator[tuple[str, Any]]:
    yield "dataset", run.config.dataset
    yield "contents", run.fingerprint.contents
    yield "patch_size", list(run.plan.patch_size)
    yield "stride", list(run.plan.stride)
    yield "weighting", run.weighting
    yield "precision", precision
    yield "setting", config.model_dump(mode="json")
    yield "training_cases", len(run.search_split.training)
    yield "validation_cases", list(evenly_spread(run.search_split.validation, config.cases))
