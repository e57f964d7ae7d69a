"""`c2fnas search fine`: the operations of every cell, by a super-network and a ranking."""

import json as json_format
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from c2fnas.cli.backend import Address, Backend, CpusPerJob, JobDevices, executor_factory
from c2fnas.cli.options import Quiet, device_names
from c2fnas.errors import UserError

if TYPE_CHECKING:
    from c2fnas.execution.executor import Executor
    from c2fnas.runs.reporter import Reporter
    from c2fnas.runs.run import Setting
    from c2fnas.space.topology import Topology
    from c2fnas.stages.fine_wish import FineWish


def fine(
    run: Annotated[Path, typer.Option("--run", help="A prepared run folder.")],
    topology: Annotated[
        str | None, typer.Option(help="An architecture whose topology to take; the coarse stage's where left out.")
    ] = None,
    sampling: Annotated[
        Literal["uniform", "strict"] | None,
        typer.Option(help="Paths that train: uniform (the paper), or every operation once in three iterations."),
    ] = None,
    choose: Annotated[
        Literal["random", "evolution"] | None,
        typer.Option(help="Candidates: at random (the paper), or by NSGA-II, Dice against multiply-accumulates."),
    ] = None,
    candidates: Annotated[int | None, typer.Option(min=1, help="How many candidates to rank.")] = None,
    rungs: Annotated[
        int | None, typer.Option(min=1, help="Steps of successive halving; 1 ranks all on all cases, as the paper.")
    ] = None,
    max_macs: Annotated[
        float | None, typer.Option(min=0, help="Multiply-accumulates of one patch that the choice may take, e.g. 5e9.")
    ] = None,
    max_latency: Annotated[
        float | None, typer.Option(min=0, help="Milliseconds of one patch, measured on this device.")
    ] = None,
    verify: Annotated[
        int | None, typer.Option(min=3, help="Retrain so many candidates, to see how far the ranking can be trusted.")
    ] = None,
    verify_iterations: Annotated[
        int | None, typer.Option(min=1, help="Iterations of each retraining; the final network's where left out.")
    ] = None,
    backend: Backend = "local",
    address: Address = None,
    cpus_per_job: CpusPerJob = 1,
    devices: JobDevices = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    quiet: Quiet = False,
) -> None:
    """Search the operations with a super-network (paper 3.4), for the topology that the coarse stage found.

    Resumable; finished, it prints what it found. Limits pick from what was ranked, and are kept with the run until
    others are given; `--max-macs inf` lifts them. Under torchrun the processes share the super-network's batches and
    end with its training; the same command without torchrun goes on from there.

    Examples:

    `c2fnas search fine --run runs/hippocampus`

    `c2fnas search fine --run runs/hippocampus --max-macs 2e9`

    `c2fnas search fine --run runs/hippocampus --verify 12 --verify-iterations 300 --json`

    `torchrun --nproc-per-node 8 -m -- c2fnas search fine --run runs/pancreas`
    """
    from c2fnas.cli.display import Display
    from c2fnas.space.architecture import Architecture
    from c2fnas.stages.fine_choice import Limits
    from c2fnas.stages.fine_wish import FineWish, with_wish
    from c2fnas.stages.pipeline import fine_stage, on_run
    from c2fnas.studies.verification import verify_ranking
    from c2fnas.training.device import ranks

    if verify is None and verify_iterations is not None:
        raise UserError("--verify-iterations says how long --verify N retrains: give --verify as well.")
    wish = FineWish(sampling, choose, candidates, rungs)
    limits = None
    if max_macs is not None or max_latency is not None:
        limits = Limits(*(None if limit == math.inf else limit for limit in (max_macs, max_latency)))
    given = Architecture.load(topology).topology if topology else None
    if ranks()[1] > 1:
        _supernet_together(run, wish, given, devices, quiet)
        return

    def stage(setting: "Setting", executor: "Executor", reporter: "Reporter") -> dict[str, Any]:
        found = fine_stage(with_wish(setting, wish), executor, reporter, limits=limits, topology=given)
        facts = ranking_facts(setting, found)
        if verify is not None:
            facts |= verify_ranking(setting, executor, reporter, count=verify, iterations=verify_iterations).to_json()
        return facts

    executor = executor_factory(backend, address, cpus_per_job, devices)
    with Display(quiet=quiet) as display:
        facts = on_run(run, stage, executor=executor, reporter=display)
    typer.echo(json_format.dumps(facts, indent=2) if json else in_words(facts))


def _supernet_together(
    run: Path, wish: "FineWish", topology: "Topology | None", devices: str | None, quiet: bool
) -> None:
    """What a process under torchrun does."""
    from c2fnas.cli.display import Display
    from c2fnas.runs.run import Setting
    from c2fnas.stages.supernet_together import train_supernet_together
    from c2fnas.training.device import ranks

    rank, world = ranks()
    names = device_names(devices) if devices else Setting.load(run).config.devices
    with Display(quiet=quiet or rank > 0) as display:
        train_supernet_together(run, wish, topology=topology, kind=names[0].partition(":")[0], reporter=display)
    if rank == 0:
        typer.echo(f"The super-network is trained, by {world} processes. `c2fnas search fine --run {run}` goes on.")


def ranking_facts(setting: "Setting", found: Any) -> dict[str, Any]:
    """What was found, the Pareto front it was picked from, and what the ranking says of itself."""
    from c2fnas.files import read_json
    from c2fnas.runs.ranked import read_ranked

    candidates = read_ranked(setting.folder)
    rows = {
        each.architecture: {
            "architecture": each.architecture.to_text(),
            **{name: getattr(each, name) for name in ("dice", "cases", "macs", "parameters", "latency_ms")},
        }
        for each in candidates
    }
    front = [rows[each.architecture] for each in candidates if each.front]
    summary = read_json(setting.folder.ranking_file)
    return rows[found] | {"front": sorted(front, key=lambda row: row["macs"]), "ranking": summary}


def in_words(facts: dict[str, Any]) -> str:
    """For people: the drawing, the front, and how far to trust the ranking."""
    from c2fnas.space.architecture import Architecture
    from c2fnas.space.drawing import draw_text

    lines = [
        draw_text(Architecture.from_text(facts["architecture"])),
        facts["architecture"],
        "",
        f"{facts['ranking']['candidates']} candidates ranked; best trade-offs, on {facts['cases']} validation cases:",
        f"{'Dice':>7} {'G MACs':>8} {'M parameters':>13} {'ms':>7}",
    ]
    for row in facts["front"]:
        latency = "-" if row["latency_ms"] is None else f"{row['latency_ms']:.0f}"
        chosen = "  ← chosen" if row["architecture"] == facts["architecture"] else ""
        lines.append(
            f"{row['dice']:7.4f} {row['macs'] / 1e9:8.3f} {row['parameters'] / 1e6:13.3f} {latency:>7}{chosen}"
        )
    audit = facts["ranking"]["audit"]
    if audit:
        taus = ", ".join(f"{rung['tau']:.2f} on {rung['cases']}" for rung in audit["rungs"])
        lines.append(f"Kendall's τ with the ranking on all cases, of {audit['candidates']} at random: {taus} cases.")
    return "\n".join([*lines, *_trust(facts)])


def _trust(facts: dict[str, Any]) -> list[str]:
    """What retraining says, where it was asked for."""
    if "tau" not in facts:
        return []
    low, high = facts["interval"]
    noise = "not known" if facts["seed_sd"] is None else f"{facts['seed_sd']:.4f}"
    trained = sum(bool(each["dice"]) for each in facts["candidates"])
    return [
        f"{trained} candidates retrained from scratch, {facts['iterations']} iterations each: Kendall's τ with the "
        f"ranking {facts['tau']:.2f} (95 % interval {low:.2f} to {high:.2f}).",
        f"Standard deviation of Dice between candidates {facts['spread_sd']:.4f}, between seeds {noise}.",
    ]
