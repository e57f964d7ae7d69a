"""Fine stage, micro-level search (paper 3.4): single-path one-shot super-network, then candidates are ranked."""

from collections.abc import Iterator, Sequence

from c2fnas.errors import UserError
from c2fnas.evaluation.path_ranking import refuse_without_foreground
from c2fnas.execution.job import Job
from c2fnas.files import read_json, refusing_damage, write_json
from c2fnas.networks.designs import first_design
from c2fnas.planning.default import default_operations
from c2fnas.planning.feasible import training_bytes
from c2fnas.planning.schedule import fix_counts
from c2fnas.runs.driver import run_jobs
from c2fnas.runs.freeze import begun_stages
from c2fnas.runs.records.ranked import Limits, RankedPath, ranking_is_whole, read_ranked, write_ranked
from c2fnas.runs.run import Run
from c2fnas.search.operation_effects import take_path
from c2fnas.search.ranks import is_on_front
from c2fnas.space.architecture import Architecture
from c2fnas.space.operation import OperationPath
from c2fnas.space.topology import Topology
from c2fnas.stages.halving import Halved, SuccessiveHalving
from c2fnas.stages.ranking import STAGE as RANKING
from c2fnas.stages.supernet import STAGE as SUPERNET
from c2fnas.stages.supernet import Sampling, train_supernet

LATENCY_STAGE = "latency"


def search_operations(run: Run, topology: Topology, limits: Limits | None = None) -> Architecture:
    """Find the operations of ``topology``'s cells and return the best architecture (paper Eq. 6 and 7).

    Without candidates the stage is left out, and the operations are the default ones.

    Args:
        limits: what the architecture may cost at most; None: what was said last, at first nothing.

    Raises:
        UserError: the super-network could not be trained, no candidate could be scored, or none is within the limits;
            or the stage has begun with another topology; or limits are given where nothing is searched, or another
            network has begun to train.
    """
    fix_counts(run, SUPERNET)
    if not run.config.fine.candidates:
        if limits is not None and limits != Limits():
            raise UserError(
                f"{run.folder.config}: no operations are searched in this run (fine.candidates is 0), so that "
                f"{' and '.join(limits.options)} has none to pick from. Give --candidates N as well, or leave it out."
            )
        return Architecture(topology, default_operations(topology), run.width)
    claim_topology(run, topology)
    if not ranking_is_whole(run.folder):
        refuse_without_foreground([run.cache[case] for case in run.search_split.validation])
    sampling = train_supernet(run, topology)
    fix_counts(run, RANKING)
    if not ranking_is_whole(run.folder):
        rank_candidates(run, topology, sampling)
    candidates = read_ranked(run.folder)
    if limits is None and (found := _deployed(run, candidates)) is not None:
        return found
    return choose(run, candidates, limits).architecture


def topology_begun(run: Run) -> Topology | None:
    """Return the topology that the fine stage of the run works on, or None if it has not begun."""
    path = run.folder.topology
    if not path.exists():
        return None
    with refusing_damage(path, "the topology of a fine stage", "Restore it from a copy, or choose another run folder."):
        return Topology(tuple(read_json(path)["code"]))


def claim_topology(run: Run, topology: Topology) -> None:
    """Begin the fine stage with ``topology``, for good.

    Raises:
        UserError: it has begun with another one, this one has not as many cells as the run searches, or networks of
            operations that were not searched are trained already.
    """
    _refuse_unsearched(run)
    if topology.cells != run.config.cells:
        raise UserError(
            f"{run.folder.config}: this run searches the operations of {run.config.cells} cells, and topology "
            f"{_code(topology)} has {topology.cells}. Choose one of {run.config.cells} cells."
        )
    known = topology_begun(run)
    if known is None:
        write_json(run.folder.topology, {"code": list(topology.code)})
    elif known != topology:
        raise UserError(
            f"{run.folder.fine}: the fine stage of this run is one of topology {_code(known)}, not "
            f"{_code(topology)}. Choose another run folder."
        )


def rank_candidates(run: Run, topology: Topology, sampling: Sampling) -> None:
    """Score the candidates, and write them down with their costs; ``ranking.json`` comes last.

    Raises:
        UserError: no candidate could be scored.
    """
    halving = SuccessiveHalving(run, topology)
    result = halving.rank()
    latencies = measure_latencies(run, topology, result.finalists)
    write_ranked(run.folder, _rows(run, topology, result, latencies))
    summary = {"candidates": len(result.candidates), "cases": len(halving.cases), "sampling": sampling}
    rungs = [
        {"cases": rung.cases, "candidates": sum(each.cases >= rung.cases for each in result.candidates.values())}
        for rung in halving.rungs
    ]
    write_json(
        run.folder.ranking_file,
        {
            **summary,
            "rungs": rungs,
            "audit": result.audit,
            "scored": result.scored,
            "scored_naively": len(result.candidates) * len(halving.cases),
            "macs_naive": result.macs_naive,
            "macs_tree": result.macs_tree,
        },
    )


def measure_latencies(
    run: Run, topology: Topology, finalists: Sequence[OperationPath]
) -> dict[OperationPath, float | None]:
    """Measure the milliseconds of one window through each finalist on the device; None where that fails."""
    payload = {"run": "../..", "code": list(topology.code), "paths": [list(path) for path in finalists]}
    job = Job("latency", "c2fnas.stages.ranking:measure_latency", payload, run.folder.latency)
    (outcome,) = run_jobs(run, LATENCY_STAGE, [job])
    if outcome.value is None:
        run.reporter.say(f"The latency of the candidates could not be measured: {outcome.failure}")
    times: Sequence[float | None] = outcome.value["milliseconds"] if outcome.value else [None] * len(finalists)
    return dict(zip(finalists, times, strict=True))


def front_of(
    run: Run, topology: Topology, result: Halved, latencies: dict[OperationPath, float | None]
) -> set[OperationPath]:
    """Return the finalists on the Pareto front of Dice, MACs, parameters, memory and, if measured, latency."""
    points = []
    for path, ms in latencies.items():
        architecture = Architecture(topology, path, run.width)
        cost, memory = run.cost(architecture), training_bytes(run, architecture, run.config.deployment.recipe)
        points.append((-(result.candidates[path].dice or 0), cost.macs, cost.parameters, memory, ms or 0.0))
    return {path for path, on in zip(latencies, is_on_front(points), strict=True) if on}


def _code(topology: Topology) -> str:
    return " ".join(map(str, topology.code))


def _rows(
    run: Run, topology: Topology, result: Halved, latencies: dict[OperationPath, float | None]
) -> Iterator[RankedPath]:
    """All candidates, finalists first."""
    front = front_of(run, topology, result, latencies)
    others = sorted(result.candidates, key=lambda path: -result.candidates[path].cases)
    for number, path in enumerate(dict.fromkeys([*result.finalists, *others])):
        architecture, found = Architecture(topology, path, run.width), result.candidates[path]
        cost = run.cost(architecture)
        yield RankedPath(
            number,
            architecture,
            found.dice,
            found.cases,
            cost.macs,
            cost.parameters,
            front=path in front,
            first_rung_dice=found.first_dice,
            first_rung_cases=result.first_cases,
            latency_ms=latencies.get(path),
            memory=training_bytes(run, architecture, run.config.deployment.recipe),
            device=found.device,
            reason=found.failure,
        )


def choose(run: Run, candidates: Sequence[RankedPath], limits: Limits | None) -> RankedPath:
    """Return the best within ``limits``, which are kept; where none are given, within those that were kept last.

    Limits that nothing meets are not kept. The best has the highest Dice, as in the paper, or is that of the posterior.

    Raises:
        UserError: see :func:`admit`; or the final network has begun to train, and is another one.
    """
    path = run.folder.limits
    admitted = admit(candidates, Limits.load(path) if limits is None else limits)
    if run.config.fine.choice == "observed":
        best = max(admitted, key=lambda each: (each.dice, -each.number))
    else:
        best = _expected_best(run, candidates, admitted)
    if limits is not None:
        _refuse_deployed(run, candidates, best)
        limits.save(path)
    return best


def _deployed(run: Run, candidates: Sequence[RankedPath]) -> Architecture | None:
    """The candidate of which final networks are trained: it stands, whatever is asked now."""
    design = first_design(run.folder.final) if "final" in begun_stages(run.folder) else None
    return next((each.architecture for each in candidates if each.architecture == design), None)


def _refuse_deployed(run: Run, candidates: Sequence[RankedPath], best: RankedPath) -> None:
    if _deployed(run, candidates) not in (None, best.architecture):
        raise UserError(
            f"{run.folder.root}: the final network of this run has begun to train, so its choice stands. Within these "
            f"limits it would be {best.architecture.to_text()}: train that one in another run folder, by `c2fnas train "
            "DATASET RUN --architecture` and this text."
        )


def _refuse_unsearched(run: Run) -> None:
    """Refuse a search that comes after networks of the run's default operations have begun to train."""
    left_out = run.folder.fine_architecture.exists() and topology_begun(run) is None
    if left_out and "final" in begun_stages(run.folder):
        raise UserError(
            f"{run.folder.root}: the final network of this run has begun to train, with operations that were not "
            "searched. Search in another run folder, such as by `c2fnas run DATASET RUN --set fine.candidates=50`."
        )


def _expected_best(run: Run, candidates: Sequence[RankedPath], admitted: Sequence[RankedPath]) -> RankedPath:
    """The cheapest of ``admitted`` within the margin of the highest posterior mean; first rungs are a guess of it."""
    early = [each for each in candidates if each.first_rung_dice is not None and each.first_rung_cases != each.cases]
    first = None
    if early:
        shared = [each for each in candidates if each.first_rung_dice is not None]
        first = [each.architecture.operations for each in shared], [each.first_rung_dice or 0.0 for each in shared]
    place = take_path(
        [each.architecture.operations for each in admitted],
        [each.dice or 0.0 for each in admitted],
        [each.macs for each in admitted],
        margin=run.config.margin,
        first=first,
        seed=run.config.seed,
    )
    return admitted[place]


def admit(candidates: Sequence[RankedPath], limits: Limits) -> list[RankedPath]:
    """Return the finalists, those that were scored on the most cases, within ``limits``.

    Where the latency could not be measured, or memory was not predicted yet, a limit to it leaves all out.

    Raises:
        UserError: none is within the limits, or none has a score.
    """
    scored = [each for each in candidates if each.dice is not None]
    if not scored:
        raise UserError("No candidate of the fine stage has a score. Search again in another run folder.")
    most = max(each.cases for each in scored)
    finalists = [each for each in scored if each.cases == most]
    admitted = [each for each in finalists if limits.admit(each)]
    if not admitted:
        raise UserError(_refusal(finalists, limits))
    return admitted


def _refusal(finalists: Sequence[RankedPath], limits: Limits) -> str:
    cheapest = min(each.macs for each in finalists)
    latencies = [latency for each in finalists if (latency := each.latency_ms) is not None]
    memories = [memory for each in finalists if (memory := each.memory) is not None]
    fastest = f"{min(latencies):.0f} ms" if latencies else "not measured"
    leanest = f"{min(memories) / 2**20:.4g}M of memory" if memories else "not predicted"
    return (
        f"No candidate is within {' and '.join(limits.options)}: the cheapest takes {cheapest:.4g} "
        f"multiply-accumulates, the fastest {fastest}, the leanest {leanest}. Raise the limit, or search with a "
        "smaller width."
    )
