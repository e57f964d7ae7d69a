"""A table of topologies: train many in one small setting and keep what each came to; resumed and extended at will."""

import platform
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from c2fnas.bench import Row, read_table, write_table
from c2fnas.bench.plan import Training
from c2fnas.errors import UserError
from c2fnas.execution.executor import Executor
from c2fnas.execution.job import Job, Outcome
from c2fnas.files import read_json, write_json
from c2fnas.planning.configure import versions
from c2fnas.runs.driver import drive
from c2fnas.runs.reporter import Reporter
from c2fnas.runs.run import Setting, evenly_spread
from c2fnas.space.architecture import Architecture
from c2fnas.space.cost import network_cost
from c2fnas.stages.prepare import known_fingerprint
from c2fnas.studies.table_setting import TableSetting
from c2fnas.training.precision import resolve_precision

STAGE = "table"


def tabulate(
    setting: Setting,
    table: Path,
    trainings: Sequence[Training],
    executor: Executor,
    reporter: Reporter,
    small: TableSetting = TableSetting(),
) -> tuple[Row, ...]:
    """Train what ``table`` lacks of ``trainings``, and enter each as it ends; returns the whole table.

    Raises:
        UserError: the table was made in another setting or of other data.
    """
    precision = _keep_provenance(setting, table, small)
    rows = {row.key: row for row in (read_table(table) if table.exists() else ())}
    missing = [training for training in trainings if training[1:] not in rows]
    jobs = {job.id: (job, training) for training in missing for job in [_job(setting, training, small, precision)]}
    waiting, finished = list(jobs.values()), 0

    def settle(outcome: Outcome) -> None:
        nonlocal finished
        finished += 1
        row = _row(setting, jobs[outcome.job_id][1], outcome, small)
        rows[row.key] = row
        write_table(table, rows.values())
        if row.dice is None:
            reporter.say(f"{outcome.job_id} failed: {outcome.failure}")

    reporter.start(STAGE, len(jobs))
    drive(
        executor,
        lambda: waiting.pop(0)[0] if waiting else None,
        settle,
        folder=setting.folder,
        reporter=reporter,
        stage=STAGE,
        finished=lambda: float(finished),
    )
    reporter.finish(STAGE, f"{len(rows)} trainings in {table}")
    return tuple(rows.values())


def _job(setting: Setting, training: Training, small: TableSetting, precision: str) -> Job:
    _, topology, seed = training
    name = f"{''.join(map(str, topology.code))}-{seed}"
    payload = {
        "run": "../..",
        "code": list(topology.code),
        "seed": seed,
        "precision": precision,
        "setting": small.model_dump(mode="json"),
    }
    return Job(name, "c2fnas.studies.table_job:measure_topology", payload, setting.folder.root / "table" / name)


def _row(setting: Setting, training: Training, outcome: Outcome, small: TableSetting) -> Row:
    cluster, topology, seed = training
    cost = network_cost(
        Architecture.uniform(topology, width=small.width),
        in_channels=setting.in_channels,
        classes=setting.classes,
        input_size=setting.plan.patch_size,
    )
    value = outcome.value or {"dice": {}, "per_class": {}, "seconds": outcome.seconds}
    dice = {int(iteration): score for iteration, score in value["dice"].items()}
    return Row(
        topology,
        cluster,
        seed,
        dice=dice.pop(small.iterations, None),
        rungs=dice,
        per_class={name: score for name, score in value["per_class"].items() if score is not None},
        seconds=value["seconds"],
        parameters=cost.parameters,
        macs=cost.macs,
    )


def _keep_provenance(setting: Setting, table: Path, small: TableSetting) -> str:
    """Write, or compare, what the table's numbers depend on; the precision of its trainings."""
    path = table.with_suffix(".json")
    known = read_json(path) if path.exists() else {}
    precision = known.get("precision") or resolve_precision("auto", setting.config.devices[0])
    fixed = dict(_fixed(setting, small, precision))
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


def _fixed(setting: Setting, small: TableSetting, precision: str) -> Iterator[tuple[str, Any]]:
    yield "dataset", setting.config.dataset
    yield "contents", known_fingerprint(setting.folder).contents
    yield "patch_size", list(setting.plan.patch_size)
    yield "stride", list(setting.plan.stride)
    yield "precision", precision
    yield "setting", small.model_dump(mode="json")
    yield "training_cases", len(setting.search_split.training)
    yield "validation_cases", list(evenly_spread(setting.search_split.validation, small.cases))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
