"""Ranking candidates of the fine stage: naively, and as c2fnas ranks them. Both in one run, on the same super-network.

    python benchmarks/path_ranking.py Task04_Hippocampus --run /tmp/ranking

Naively, as the paper has it: every candidate's network alone, window by window at the validation stride, on all cases.
Every candidate costs nearly the same, so some of them, spread over the ranking, stand for all. Then c2fnas: shared
beginnings and skips, two windows at a time, the ranking stride, successive halving over cases. Last, all candidates on
all cases without halving, to see whether the same one wins. CPU seconds are those of the process, which a busy machine
disturbs less than wall time. A second call with the same --run finds data and super-network there.
"""

import argparse
import json
import platform
import shlex
import sys
import time
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
import yaml

from c2fnas.evaluation.evaluate import evaluate_network
from c2fnas.execution import InlineExecutor
from c2fnas.files import write_json, write_text
from c2fnas.networks.prefix_tree import evaluate_paths
from c2fnas.planning.request import request_for
from c2fnas.runs.run import Run
from c2fnas.search.paths import random_paths
from c2fnas.search.prefix_saving import RankingMacs
from c2fnas.search.ranks import kendall_tau
from c2fnas.space.architecture import Architecture
from c2fnas.stages.halving import Halved, SuccessiveHalving
from c2fnas.stages.preparation import prepare
from c2fnas.stages.supernet import train_supernet, trained_supernet

RESULTS = Path(__file__).parent / "results"
TOPOLOGY = Architecture.named("c2fnas-panc").topology


@dataclass
class Clock:
    """Seconds since it was made: wall and CPU."""

    def __post_init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> dict[str, float]:
        return {"wall": time.perf_counter() - self._wall, "cpu": time.process_time() - self._cpu}


def ready(arguments: argparse.Namespace) -> Run:
    """The prepared run with its trained super-network."""
    budget = arguments.run.parent / f"{arguments.run.name}.yaml"
    recipe = {"name": "modern", "iterations": arguments.iterations}
    budget.parent.mkdir(parents=True, exist_ok=True)
    budget.write_text(
        yaml.safe_dump(
            {
                "plan": "planned",
                "width": arguments.width,
                "hours": None,
                "coarse": {"recipe": recipe},
                "deployment": {"recipe": recipe},
                "fine": {"candidates": arguments.candidates, "cases": arguments.cases, "recipe": recipe},
            }
        )
    )
    overrides: dict[str, Any] = {"seed": 0}
    if rate := arguments.learning_rate:
        overrides |= {"fine.recipe.learning_rate": rate, "fine.recipe.warmup_from": rate / 10}
    run = Run(arguments.run)
    request = request_for(run.folder, budget=str(budget), overrides=overrides, devices=("cpu",))
    with run.locked():
        run = prepare(run, arguments.dataset, request)
        with InlineExecutor("cpu") as executor:
            train_supernet(run.using(executor), TOPOLOGY)
    return run


def halved(run: Run, folder: str, rungs: int) -> tuple[Halved, dict[str, float], list[str]]:
    """The ranking with its seconds and cases; the jobs' folder is set aside, so that every call computes again."""
    fine = run.config.fine.model_copy(update={"rungs": rungs})
    config = run.config.model_copy(update={"fine": fine})
    clock = Clock()
    with InlineExecutor("cpu") as executor:
        halving = SuccessiveHalving(Run(run.folder.root, executor=executor, config=config), TOPOLOGY)
        result = halving.rank()
    seconds = clock.read()
    (run.folder.fine / "ranking").rename(run.folder.fine / f"{folder}-{time.time_ns()}")
    return result, seconds, halving.cases


def naive(run: Run, paths: list[tuple], cases: list[str]) -> tuple[list[float], dict[str, float]]:
    """The Dice of each path's network alone, one window at a time at the validation stride, and the seconds."""
    supernet, window = trained_supernet(run, TOPOLOGY.code), replace(run.window(), batch=1)
    clock, scores = Clock(), []
    for path in paths:
        found = evaluate_network(supernet.extract(path), run.cases(cases), window, scheme=run.scheme, device="cpu")
        scores.append(found.mean)
    return scores, clock.read()


def tree_alone(run: Run, paths: list[tuple], repeats: int) -> dict[str, Any]:
    """One batch of windows through all paths, as a tree and one path after the other: predicted and measured saving."""
    supernet = trained_supernet(run, TOPOLOGY.code).eval()
    image = torch.randn(2, run.in_channels, *run.plan.patch_size)
    macs = RankingMacs(TOPOLOGY, tuple(paths), run.in_channels, run.classes, run.plan.patch_size, run.width)
    seconds = {"alone": 0.0, "tree": 0.0}
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        for _ in range(repeats):
            clock = Clock()
            for path in paths:
                supernet(image, path)
            seconds["alone"] += clock.read()["cpu"]
            clock = Clock()
            for _ in evaluate_paths(supernet, image, paths):
                pass
            seconds["tree"] += clock.read()["cpu"]
    return {
        "predicted_prefixes": macs.naive / macs.prefixes,
        "predicted": macs.naive / macs.tree,
        "measured": seconds["alone"] / seconds["tree"],
        "cpu_seconds": seconds,
    }


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """All figures."""
    run = ready(arguments)
    paths = random_paths(run.config.space, arguments.candidates, seed=0)
    fast, fast_seconds, cases = halved(run, "fast", rungs=arguments.rungs)
    found = fast.candidates
    order = sorted(found, key=lambda path: (-found[path].cases, -(found[path].dice or 0)))
    count = min(arguments.naive, len(order))
    some = [order[place * len(order) // count] for place in range(count)]
    naive_scores, naive_some = naive(run, some, cases)
    naive_seconds = {name: value * len(paths) / len(some) for name, value in naive_some.items()}
    full, full_seconds, _ = halved(run, "full", rungs=1)
    winner, full_winner = fast.finalists[0], full.finalists[0]
    dice = {path: each.dice or 0.0 for path, each in full.candidates.items()}
    place = sorted(dice, key=lambda path: -dice[path]).index(winner) + 1
    first = [found[path].dice or 0.0 for path in paths]
    return {
        "candidates": len(paths),
        "cases": len(cases),
        "rungs": arguments.rungs,
        "width": run.width,
        "patch": list(run.plan.patch_size),
        "stride": list(run.plan.stride),
        "ranking_stride": list(run.plan.ranking_stride),
        "precision": run.window().precision,
        "tree": tree_alone(run, paths, arguments.repeats),
        "scored": fast.scored,
        "scored_naively": len(paths) * len(cases),
        "seconds": {"naive": naive_seconds, "without halving": full_seconds, "c2fnas": fast_seconds},
        "naive_measured_on": len(some),
        "share": {clock: fast_seconds[clock] / naive_seconds[clock] for clock in ("wall", "cpu")},
        "winner": Architecture(TOPOLOGY, winner).to_text(),
        "winner_of_all": Architecture(TOPOLOGY, full_winner).to_text(),
        "winner_dice": dice[winner],
        "winner_of_all_dice": dice[full_winner],
        "winner_place": place,
        "tau_naive": kendall_tau(naive_scores, [dice[path] for path in some]),
        "tau_scores_told": kendall_tau(first, [dice[path] for path in paths]),
        "command": shlex.join(["python", *sys.argv]),
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "versions": {"python": platform.python_version(), "torch": metadata.version("torch")},
    }


def in_words(found: dict[str, Any]) -> str:
    """The figures as Markdown."""
    naive_cpu = found["seconds"]["naive"]["cpu"]
    rows = "\n".join(
        f"| {name} | {seconds['wall']:.0f} | {seconds['cpu']:.0f} | {naive_cpu / seconds['cpu']:.1f} |"
        for name, seconds in found["seconds"].items()
    )
    tree = found["tree"]
    return f"""# Ranking {found["candidates"]} candidates on {found["cases"]} cases

`{found["command"]}`, {found["threads"]} threads, torch {found["versions"]["torch"]}, width {found["width"]:g}, patch
{found["patch"]}, {found["precision"]}.

| | wall s | CPU s | times faster (CPU) |
|---|---|---|---|
{rows}

Naive: measured on {found["naive_measured_on"]} candidates and scaled. c2fnas, with {found["rungs"]} rungs, scores
{found["scored"]} pairs of candidate and case instead of {found["scored_naively"]}, in {found["share"]["cpu"]:.3f} of
the naive CPU time ({found["share"]["wall"]:.3f} of the wall time).

- **Tree** (one batch, no halving): {tree["predicted_prefixes"]:.2f} × fewer multiply-accumulates by shared beginnings,
  {tree["predicted"]:.2f} × with shared skips; measured {tree["measured"]:.2f} × less CPU time.
- **Winner**: place {found["winner_place"]} of the full ranking, Dice {found["winner_dice"]:.4f} against
  {found["winner_of_all_dice"]:.4f} of the full ranking's own.
- **Kendall's τ** with the full ranking: {found["tau_scores_told"]:.2f} of the scores that halving leaves (a candidate's
  last rung); {found["tau_naive"]:.2f} of the naive scores, of those measured.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--run", type=Path, required=True, help="a folder for data and super-network")
    parser.add_argument("--candidates", type=int, default=200)
    parser.add_argument("--cases", type=int, default=40)
    parser.add_argument("--rungs", type=int, default=4, help="of successive halving over cases")
    parser.add_argument("--width", type=float, default=0.125)
    parser.add_argument("--iterations", type=int, default=1500, help="of the super-network")
    parser.add_argument("--learning-rate", type=float, help="of the super-network, instead of the recipe's")
    parser.add_argument("--naive", type=int, default=16, help="candidates that are ranked naively")
    parser.add_argument("--repeats", type=int, default=1, help="of the tree alone")
    found = measure(parser.parse_args())
    write_json(RESULTS / "path_ranking.json", found)
    write_text(RESULTS / "path_ranking.md", in_words(found))
    print(json.dumps(found, indent=2))
    print(in_words(found))


if __name__ == "__main__":
    main()
