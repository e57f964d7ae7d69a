"""A table of topologies: train many in one small setting and keep what each came to; resumed and extended at will."""

import platform
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from c2fnas.bench import Row, read_table, write_table
from c2fnas.bench.plan import Training
from c2fnas.errors import UserError
from c2fnas.execution.job import Job, Outcome
from c2fnas.files import read_json, write_json
from c2fnas.planning.configure import versions
from c2fnas.runs.run import Run
from c2fnas.space.architecture import Architecture
from c2fnas.stages.training import TrainingSpec, evenly_spread, failure_of, run_all, training_job
from c2fnas.studies.table_setting import TableSetting
from c2fnas.training.precision import resolve_precision
from c2fnas.training.recipe import Precision

STAGE = "table"


def tabulate(
    run: Run, table: Path, trainings: Sequence[Training], small: TableSetting = TableSetting()
) -> tuple[Row, ...]:
    """Train what ``table`` lacks of ``trainings``, and enter each as it ends; returns the whole table.

    Raises:
        UserError: the table was made in another setting or of other data.
    """
    precision = _keep_provenance(run, table, small)
    rows = {row.key: row for row in (read_table(table) if table.exists() else ())}
    missing = {_name(training): training for training in trainings if training[1:] not in rows}

    def settle(outcome: Outcome) -> None:
        row = _row(run, missing[outcome.job_id], outcome, small)
        rows[row.key] = row
        write_table(table, rows.values())
        if row.dice is None:
            run.reporter.say(f"{outcome.job_id} failed: {failure_of(outcome)}")

    run_all(run, STAGE, [_job(run, training, small, precision) for training in missing.values()], settle)
    run.reporter.say(f"{len(rows)} trainings in {table}")
    return tuple(rows.values())


def _name(training: Training) -> str:
    _, topology, seed = training
    return f"{''.join(map(str, topology.code))}-{seed}"


def _job(run: Run, training: Training, small: TableSetting, precision: Precision) -> Job:
    _, topology, seed = training
    spec = TrainingSpec(
        Architecture.uniform(topology, width=small.width),
        small.recipe(precision),
        seed=seed,
        score_at=small.rungs,
        cases=small.cases,
    )
    return training_job(run, _name(training), run.folder.table / _name(training), spec)


def _row(run: Run, training: Training, outcome: Outcome, small: TableSetting) -> Row:
    cluster, topology, seed = training
    cost = run.cost(Architecture.uniform(topology, width=small.width))
    value = outcome.value or {"dice": None, "rungs": {}, "per_class": {}, "seconds": outcome.seconds}
    return Row(
        topology,
        cluster,
        seed,
        dice=value["dice"],
        rungs={int(iteration): score for iteration, score in value["rungs"].items()},
        per_class={name: score for name, score in value["per_class"].items() if score is not None},
        seconds=value["seconds"],
        parameters=cost.parameters,
        macs=cost.macs,
    )


def _keep_provenance(run: Run, table: Path, small: TableSetting) -> Precision:
    """Write, or compare, what the table's numbers depend on; the precision of its trainings."""
    path = table.with_suffix(".json")
    known = read_json(path) if path.exists() else {}
    precision = cast("Precision", known.get("precision") or resolve_precision("auto", run.config.devices[0]))
    fixed = dict(_fixed(run, small, precision))
    for key, value in fixed.items():
        if known and known.get(key) != value:
            raise UserError(
                f"{table}: was made with another {key} ({known.get(key)}, here {value}). One table has one setting: "
                "choose another --table."
            )
    made = {"machine": platform.machine(), "processor": _processor(), "versions": versions()}
    makers = known.get("made_with", [])
    write_json(path, {**fixed, "made_with": makers if made in makers else [*makers, made]})
    return precision


def _fixed(run: Run, small: TableSetting, precision: Precision) -> Iterator[tuple[str, Any]]:
    yield "dataset", run.config.dataset
    yield "contents", run.fingerprint.contents
    yield "patch_size", list(run.plan.patch_size)
    yield "stride", list(run.plan.stride)
    yield "precision", precision
    yield "setting", small.model_dump(mode="json")
    yield "training_cases", len(run.search_split.training)
    yield "validation_cases", list(evenly_spread(run.search_split.validation, small.cases))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
