"""The whole method, coarse to fine: prepare, search the topology, search the operations, train what was found."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from c2fnas.errors import UserError
from c2fnas.files import write_json
from c2fnas.planning.forecast import forecast_of
from c2fnas.planning.request import request_for
from c2fnas.planning.schedule import verdict_seconds
from c2fnas.runs.run import ExecutorFactory, Run
from c2fnas.space.architecture import Architecture
from c2fnas.space.topology import Topology
from c2fnas.stages.coarse import new_searcher, search_topology
from c2fnas.stages.deployment import Deployed, deploy, is_deployed
from c2fnas.stages.fine import Limits, search_operations, topology_begun
from c2fnas.stages.preparation import prepare
from c2fnas.stages.race import race_plans, race_seconds

FINISHED = "This run has finished already: nothing is left to compute."

Judgement = TypeVar("Judgement")


@dataclass(frozen=True)
class Result(Generic[Judgement]):
    """The result of a run: the deployed network, and the verdict on it."""

    deployed: Deployed
    verdict: Judgement | None = None


def run_pipeline(
    run: Run,
    dataset: Path,
    executor: ExecutorFactory,
    *,
    budget: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    devices: tuple[str, ...] | None = None,
    judge: Callable[[Run, float | None], Judgement] | None = None,
) -> Result[Judgement]:
    """Go through every stage in order. Interrupted at any point and called again, it carries on.

    Args:
        run: the run folder and the reporter.
        dataset: the data set.
        executor: makes what runs the jobs.
        budget: see :func:`c2fnas.stages.preparation.prepare`, as for ``overrides`` and ``devices``.
        judge: gives a verdict at the end where the configuration has one, in so many seconds; None: however long.

    Raises:
        UserError: bad input, a run folder of another data set or configuration, or one that another process works on.
        Interrupted: stopped on request.
    """
    request = request_for(run.folder, budget=budget, overrides=overrides, devices=devices)
    with run.locked():
        prepare(run, dataset, request)
        judge = judge if run.config.judges(run.final_folds) else None
        ranked = not run.config.fine.candidates or run.folder.ranking_file.exists()  # else `search fine` has begun
        done = is_deployed(run) and ranked and (judge is None or run.folder.verdict_file.exists())
        with executor(run.config.devices) as workers:
            working = run.using(workers)
            run.reporter.say(FINISHED if done else forecast_of(working, race_seconds(working)))
            working = race_plans(working, dataset)
            coarse_stage(working)
            architecture = fine_stage(working)
            deployed = deploy(working, architecture, run.final_folds)
            return Result(deployed, judge(working, verdict_seconds(working)) if judge else None)


def amend(run: Run, overrides: Mapping[str, Any]) -> None:
    """Change values of a prepared run's configuration that no stage has begun with.

    Raises:
        UserError: a stage has begun with another value, or no topology is within the limits.
    """
    request = request_for(run.folder, overrides=overrides, amend=True)
    if request.config is None:
        raise UserError(
            f"{run.folder.config}: {', '.join(overrides) or 'an edit of plan.yaml or folds.json'} decides how the run "
            "is prepared. Give it to `c2fnas prepare` or `c2fnas run`; an edit is taken by either without it."
        )
    if request.config != run.config:
        new_searcher(Run(run.folder.root, config=request.config))  # refuses a search that can't be
        run.configure(request.config)


def coarse_stage(run: Run) -> Architecture:
    """Search the topology and leave ``coarse/architecture.json``: the 3D operation in every cell (paper 3.3).

    Raises:
        UserError: see :func:`c2fnas.stages.coarse.search_topology`.
    """
    topology = search_topology(run)
    return _keep(Architecture.uniform(topology, width=run.width), run.folder.coarse)


def fine_stage(run: Run, *, limits: Limits | None = None, topology: Topology | None = None) -> Architecture:
    """Search the operations for a topology, where none is given the coarse stage's (paper 3.4).

    Leaves ``fine/architecture.json``: the best within ``limits``, or within those that were given last.

    Raises:
        UserError: the coarse stage has not found a topology yet.
    """
    return _keep(search_operations(run, topology_to_search(run, topology), limits), run.folder.fine)


def topology_to_search(run: Run, topology: Topology | None = None) -> Topology:
    """Return the topology whose operations are searched: the one given, that of a stage begun, or the coarse stage's.

    Raises:
        UserError: the coarse stage has not found one yet.
    """
    topology = topology or topology_begun(run)
    found = run.folder.coarse_architecture
    if topology is None and not found.exists():
        raise UserError(f"{run.folder.root}: the coarse stage has not finished. `c2fnas search coarse` comes first.")
    return topology or Architecture.load(found).topology


def _keep(architecture: Architecture, folder: Path) -> Architecture:
    write_json(folder / "architecture.json", architecture.to_json())
    return architecture
