"""The whole method, coarse to fine: prepare, search the topology, search the operations, train what was found."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from c2fnas.execution.executor import Executor
from c2fnas.files import read_json, write_json
from c2fnas.inference.metrics import Evaluation
from c2fnas.runs.lock import RunLock
from c2fnas.space.architecture import Architecture
from c2fnas.stages.coarse import search_topology
from c2fnas.stages.deploy import train_final
from c2fnas.stages.fine import search_operations
from c2fnas.stages.forecast import forecast
from c2fnas.stages.prepare import prepare
from c2fnas.stages.progress import Reporter

ExecutorFactory = Callable[[tuple[str, ...]], Executor]


@dataclass(frozen=True)
class Result:
    """What a run has found: the architecture, a model package per fold, and each one's evaluation."""

    architecture: Architecture
    models: tuple[Path, ...]
    evaluations: tuple[Evaluation, ...]


def run_pipeline(
    dataset: Path, run: Path, budget: str, *, seed: int, devices: tuple[str, ...], executor: ExecutorFactory, reporter: Reporter
) -> Result:
    """Every stage in order. Interrupted at any point and called again, it carries on; finished, it returns at once.

    Raises:
        UserError: bad input, a run folder of another data set or configuration, or one that another process works on.
        Interrupted: stopped on request.
    """
    with RunLock(run):
        setting = prepare(dataset, run, budget, seed=seed, devices=devices, reporter=reporter)
        reporter.say(forecast(setting))
        with executor(setting.config.devices) as workers:
            topology = search_topology(setting, workers, reporter)
            coarse = Architecture.uniform(topology, width=setting.config.width)
            write_json(setting.folder.coarse / "architecture.json", coarse.to_json())
            architecture = search_operations(setting, topology, workers, reporter)
            write_json(setting.folder.fine / "architecture.json", architecture.to_json())
            models = train_final(setting, architecture, setting.config.deployment.folds, workers, reporter)
    evaluations = tuple(Evaluation.from_json(read_json(model.parent / "evaluation.json")) for model in models)
    return Result(architecture, tuple(models), evaluations)
