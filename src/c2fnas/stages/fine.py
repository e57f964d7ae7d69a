"""Fine stage, micro-level search (paper 3.4): single-path one-shot super-network, then candidates are ranked."""

from collections.abc import Sequence

from c2fnas.errors import UserError
from c2fnas.execution.executor import Executor
from c2fnas.execution.job import Job
from c2fnas.files import read_json, write_json
from c2fnas.runs.driver import run_all
from c2fnas.runs.ranked import RankedPath, ranking_is_whole, read_ranked, write_ranked
from c2fnas.runs.reporter import Reporter
from c2fnas.runs.run import Setting
from c2fnas.search.paths import describe_fairness
from c2fnas.search.prefix_saving import RankingMacs
from c2fnas.search.ranks import is_on_front
from c2fnas.space.architecture import Architecture
from c2fnas.space.operation import OperationPath
from c2fnas.space.topology import Topology
from c2fnas.stages.fine_choice import Limits, choose
from c2fnas.stages.narrowing import Narrowed, Narrowing, cost_of
from c2fnas.training.checkpoint import forget_checkpoints

SUPERNET_STAGE = "super-network"
LATENCY_STAGE = "latency"
TOPOLOGY = "topology.json"

Sampling = list[list[int]]


def search_operations(
    setting: Setting, topology: Topology, executor: Executor, reporter: Reporter, limits: Limits | None = None
) -> Architecture:
    """Find the operations of ``topology``'s cells and return the best architecture (paper Eq. 6 and 7).

    Args:
        limits: what the architecture may cost at most; None: what was said last, at first nothing.

    Raises:
        UserError: the super-network could not be trained, no candidate could be scored, or none is within the limits;
            or the stage has begun with another topology.
    """
    claim_topology(setting, topology)
    sampling = train_supernet(setting, topology, executor, reporter)
    if not ranking_is_whole(setting.folder):
        rank_candidates(setting, topology, sampling, executor, reporter)
    return choose(setting.folder, read_ranked(setting.folder), limits).architecture


def topology_begun(setting: Setting) -> Topology | None:
    """The topology that the fine stage of the run works on; None where it has not begun."""
    path = setting.folder.fine / TOPOLOGY
    return Topology(tuple(read_json(path)["code"])) if path.exists() else None


def claim_topology(setting: Setting, topology: Topology) -> None:
    """Begin the fine stage with ``topology``, for good.

    Raises:
        UserError: it has begun with another one, or this one has not as many cells as the run searches.
    """
    if topology.cells != setting.config.cells:
        raise UserError(
            f"{setting.folder.config}: this run searches the operations of {setting.config.cells} cells, and topology "
            f"{_code(topology)} has {topology.cells}. Choose one of {setting.config.cells} cells."
        )
    known = topology_begun(setting)
    if known is None:
        write_json(setting.folder.fine / TOPOLOGY, {"code": list(topology.code)})
    elif known != topology:
        raise UserError(
            f"{setting.folder.fine}: the fine stage of this run is one of topology {_code(known)}, not "
            f"{_code(topology)}. Choose another --run folder."
        )


def train_supernet(setting: Setting, topology: Topology, executor: Executor, reporter: Reporter) -> Sampling:
    """Train the super-network; how often each cell has trained each operation.

    Raises:
        UserError: it failed.
    """
    job = supernet_job(setting, topology)
    (outcome,) = run_all(executor, [job], setting.folder, reporter, SUPERNET_STAGE)
    if outcome.value is None:
        raise UserError(
            f"{job.folder}: the super-network could not be trained: {outcome.failure}. Mend the cause and give the "
            "same command again; where the training itself diverges, prepare another run with another --seed."
        )
    forget_checkpoints(job.folder)  # not before the result is known, lest a kill cost the training
    sampling: Sampling = outcome.value["sampling"]
    reporter.say(f"Super-network: {describe_fairness(sampling)}.")
    return sampling


def supernet_job(setting: Setting, topology: Topology) -> Job:
    """The training of the super-network."""
    payload = {"run": "../..", "code": list(topology.code)}
    return Job("super-network", "c2fnas.stages.fine_jobs:train_supernet", payload, setting.folder.supernet)


def rank_candidates(
    setting: Setting, topology: Topology, sampling: Sampling, executor: Executor, reporter: Reporter
) -> None:
    """Score the candidates, and write them down with their costs; ``ranking.json`` comes last.

    Raises:
        UserError: no candidate could be scored.
    """
    narrowing = Narrowing(setting, topology, executor, reporter)
    result = narrowing.run()
    latencies = measure_latencies(setting, topology, result.finalists, executor, reporter)
    _enter(setting, topology, result, latencies)
    summary = {"candidates": len(result.reached), "cases": len(narrowing.cases), "sampling": sampling}
    rungs = [
        {"cases": rung.cases, "candidates": sum(cases >= rung.cases for cases in result.reached.values())}
        for rung in narrowing.rungs
    ]
    macs = RankingMacs(
        topology,
        tuple(result.reached),
        setting.in_channels,
        setting.classes,
        setting.plan.patch_size,
        setting.config.width,
    )
    write_json(
        setting.folder.ranking_file,
        {
            **summary,
            "rungs": rungs,
            "audit": result.audit,
            "scored": result.scored,
            "scored_naively": len(result.reached) * len(narrowing.cases),
            "macs_naive": macs.naive,
            "macs_tree": macs.tree,
        },
    )


def measure_latencies(
    setting: Setting, topology: Topology, finalists: Sequence[OperationPath], executor: Executor, reporter: Reporter
) -> dict[OperationPath, float | None]:
    """Milliseconds of one window through each finalist on the user's device; None where it can't be measured."""
    payload = {"run": "../..", "code": list(topology.code), "paths": [list(path) for path in finalists]}
    job = Job("latency", "c2fnas.stages.fine_jobs:measure_latency", payload, setting.folder.fine / "latency")
    (outcome,) = run_all(executor, [job], setting.folder, reporter, LATENCY_STAGE)
    if outcome.value is None:
        reporter.say(f"The latency of the candidates could not be measured: {outcome.failure}")
    times: Sequence[float | None] = outcome.value["milliseconds"] if outcome.value else [None] * len(finalists)
    return dict(zip(finalists, times, strict=True))


def front_of(
    setting: Setting, topology: Topology, result: Narrowed, latencies: dict[OperationPath, float | None]
) -> set[OperationPath]:
    """The finalists on the Pareto front of Dice, multiply-accumulates, parameters and, where measured, latency."""
    points = [
        (-(result.dice[path] or 0), *cost_of(setting, Architecture(topology, path, setting.config.width)), ms or 0.0)
        for path, ms in latencies.items()
    ]
    return {path for path, on in zip(latencies, is_on_front(points), strict=True) if on}


def _code(topology: Topology) -> str:
    return " ".join(map(str, topology.code))


def _enter(
    setting: Setting, topology: Topology, result: Narrowed, latencies: dict[OperationPath, float | None]
) -> None:
    """Write down all candidates, finalists first."""
    front = front_of(setting, topology, result, latencies)
    others = sorted(result.reached, key=lambda path: -result.reached[path])
    rows = []
    for number, path in enumerate(dict.fromkeys([*result.finalists, *others])):
        architecture = Architecture(topology, path, setting.config.width)
        macs, parameters = cost_of(setting, architecture)
        rows.append(
            RankedPath(
                number,
                architecture,
                result.dice[path],
                result.reached[path],
                macs,
                parameters,
                front=path in front,
                first_rung_dice=result.first_dice[path],
                first_rung_cases=result.first_cases,
                latency_ms=latencies.get(path),
                device=result.device[path],
                reason=result.failures.get(path),
            )
        )
    write_ranked(setting.folder, rows)
