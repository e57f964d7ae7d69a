"""The whole method, coarse to fine: prepare, search the topology, search the operations, train what was found."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from c2fnas.data.folds import FoldChoice
from c2fnas.errors import UserError
from c2fnas.evaluation.metrics import Evaluation
from c2fnas.evaluation.verdict import Verdict
from c2fnas.execution.executor import Executor
from c2fnas.files import read_json, write_json
from c2fnas.networks.designs import Design
from c2fnas.planning.forecast import forecast
from c2fnas.runs.folder import EVALUATION, RunFolder
from c2fnas.runs.lock import RunLock
from c2fnas.runs.reporter import Reporter
from c2fnas.runs.run import Setting
from c2fnas.space.architecture import Architecture
from c2fnas.space.topology import Topology
from c2fnas.stages.coarse import search_topology
from c2fnas.stages.deploy import is_deployed, train_final
from c2fnas.stages.fine import search_operations, topology_begun
from c2fnas.stages.fine_choice import Limits
from c2fnas.stages.prepare import prepare
from c2fnas.studies.verdict import give_verdict

FINISHED = "This run has finished already: nothing is computed anew."

ExecutorFactory = Callable[[tuple[str, ...]], Executor]
Found = TypeVar("Found")
Stage = Callable[[Setting, Executor, Reporter], Found]


@dataclass(frozen=True)
class Result:
    """What a run has found: the architecture, a model package per fold, each one's evaluation, what it was worth."""

    architecture: Design
    folds: tuple[int, ...]
    models: tuple[Path, ...]
    evaluations: tuple[Evaluation, ...]
    verdict: Verdict | None = None


def run_pipeline(
    dataset: Path,
    run: Path,
    budget: str,
    *,
    seed: int,
    devices: tuple[str, ...],
    executor: ExecutorFactory,
    reporter: Reporter,
    folds: FoldChoice = FoldChoice(),
    verdict: bool | None = None,
) -> Result:
    """Every stage in order. Interrupted at any point and called again, it carries on; finished, it returns at once.

    Raises:
        UserError: bad input, a run folder of another data set or configuration, or one that another process works on.
        Interrupted: stopped on request.
    """
    with RunLock(run):
        RunFolder(run).clear_stop()
        setting = prepare(
            dataset, run, budget, seed=seed, devices=devices, reporter=reporter, folds=folds, verdict=verdict
        )
        judging = setting.config.verdict and not setting.config.deployment.extended  # it comes before an extension
        judged = not judging or setting.folder.verdict_file.exists()
        done = is_deployed(setting) and judged
        reporter.say(FINISHED if done else forecast(setting))
        with executor(setting.config.devices) as workers:
            coarse_stage(setting, workers, reporter)
            architecture = fine_stage(setting, workers, reporter)
            models = train_final(setting, architecture, setting.config.deployment.folds, workers, reporter)
            found = give_verdict(setting, workers, reporter) if judging else None
    evaluations = tuple(Evaluation.from_json(read_json(model.parent / EVALUATION)) for model in models)
    return Result(architecture, setting.config.deployment.folds, tuple(models), evaluations, found)


def on_run(run: Path, stage: Stage[Found], *, executor: ExecutorFactory, reporter: Reporter) -> Found:
    """One stage on a prepared run, alone on its folder."""
    if not run.exists():
        Setting.load(run)  # refuses it, before the lock would make the folder
    with RunLock(run):
        RunFolder(run).clear_stop()
        setting = Setting.load(run)
        with executor(setting.config.devices) as workers:
            return stage(setting, workers, reporter)


def coarse_stage(setting: Setting, executor: Executor, reporter: Reporter) -> Architecture:
    """Search the topology and leave ``coarse/architecture.json``: the 3D operation in every cell (paper 3.3)."""
    topology = search_topology(setting, executor, reporter)
    return _keep(Architecture.uniform(topology, width=setting.config.width), setting.folder.coarse)


def fine_stage(
    setting: Setting,
    executor: Executor,
    reporter: Reporter,
    *,
    limits: Limits | None = None,
    topology: Topology | None = None,
) -> Architecture:
    """Search the operations for a topology, where none is given the coarse stage's (paper 3.4).

    Leaves ``fine/architecture.json``: the best within ``limits``, or within those that were given last.

    Raises:
        UserError: the coarse stage has not found a topology yet.
    """
    topology = topology_to_search(setting, topology)
    return _keep(search_operations(setting, topology, executor, reporter, limits), setting.folder.fine)


def topology_to_search(setting: Setting, topology: Topology | None = None) -> Topology:
    """The topology whose operations are searched: the one given, that of a stage begun, or the coarse stage's.

    Raises:
        UserError: the coarse stage has not found one yet.
    """
    topology = topology or topology_begun(setting)
    found = setting.folder.coarse / "architecture.json"
    if topology is None and not found.exists():
        raise UserError(
            f"{setting.folder.root}: the coarse stage has not finished. `c2fnas search coarse` comes first."
        )
    return topology or Architecture.load(found).topology


def _keep(architecture: Architecture, folder: Path) -> Architecture:
    write_json(folder / "architecture.json", architecture.to_json())
    return architecture
