"""The paper's 331 V100-days beside what this takes for as many networks and paths: stage by stage, in MACs.

    python benchmarks/search_cost.py

Nothing is trained: multiply-accumulates are counted (of every topology of the space in closed form, checked on some
networks as they are built), times iterations, patches and windows. What halving leaves is found by running its own
rules on random scores, what the tree saves by the jobs that a ranking on eight devices is cut into. Days of an H100 are
a projection: MACs by the rate of the card at utilisations that are assumed, not measured. The size and number of
validation cases are assumed too, those of the paper's data set (Task 7, 281 cases, a fifth of them) at 1 mm.
Results go to `docs/results/search-cost.md`.
"""

import argparse
import random
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from c2fnas.files import write_text
from c2fnas.inference.sliding_window import SlidingWindow
from c2fnas.networks import build_network, count_network
from c2fnas.planning.presets import draft, load_budget
from c2fnas.runs.config import EarlyStopping
from c2fnas.search.paths import random_paths
from c2fnas.search.prefix_saving import RankingMacs
from c2fnas.search.successive_halving import judge_at_rung, pairs, rung_iterations
from c2fnas.space.architecture import Architecture
from c2fnas.space.cost import network_cost
from c2fnas.space.search_space import SearchSpace
from c2fnas.training.recipe import paper_recipe

PAGE = Path(__file__).parents[1] / "docs" / "results" / "search-cost.md"
PATCH, STRIDE, RANKING_STRIDE = (96, 96, 96), (16, 16, 16), (48, 48, 48)
PANC = Architecture.named("c2fnas-panc")
PAPER_DAYS = {"coarse": 64 * 5.0, "super-network": 8 * 10 / 24, "ranking": 8.0}
"""V100-days that the paper states for its stages."""
PATCHES, STEP, NETWORKS, PATHS = 16, 3, 50, 2000
"""Patches an iteration; forward and backward in forwards; networks of the coarse stage; candidates of the fine one."""
H100, UTILISATIONS = 989e12, (0.1, 0.25, 0.5)
"""FLOP/s of an H100 SXM in dense bf16, by its data sheet; shares of it that are assumed."""
FLOPS, DAY = 2, 86400
SIMULATIONS = 500


@dataclass(frozen=True)
class Stage:
    """A stage's multiply-accumulates, done as the paper has it and as it is done here."""

    name: str
    paper: float
    here: float
    how: str


def macs(architecture: Architecture) -> int:
    """Multiply-accumulates of a patch."""
    return network_cost(architecture, in_channels=1, classes=3, input_size=PATCH).macs


def checked(architecture: Architecture) -> None:
    """Compare the closed form with the convolutions that the built network runs."""
    counted = count_network(build_network(architecture, in_channels=1, classes=3), in_channels=1, input_size=PATCH)[1]
    if counted != macs(architecture):
        raise RuntimeError(f"{architecture.to_text()}: {counted:,} counted, {macs(architecture):,} by the closed form")


def iterations_left(iterations: int) -> float:
    """Iterations of a coarse candidate with early stopping, on average, where scores are random."""
    rule, rng, means = EarlyStopping(), random.Random(0), []
    rungs = rung_iterations(rule.shares, iterations)
    for _ in range(SIMULATIONS):
        seen: dict[int, list[float]] = {rung: [] for rung in rungs}
        spent = 0
        for _ in range(NETWORKS):
            score, reached = rng.random(), iterations
            for rung in rungs:
                result = judge_at_rung(rung, score, seen[rung], rule.factor)
                seen[rung].append(score)
                if not result.promoted:
                    reached = rung
                    break
            spent += reached
        means.append(spent / NETWORKS)
    return mean(means)


def tree_saving(devices: int) -> float:
    """The saving of shared beginnings in the jobs of the first rung: sorted neighbours, four jobs a device."""
    paths = sorted(random_paths(SearchSpace(), PATHS, seed=0))
    size = -(-len(paths) // (4 * devices))
    jobs = [tuple(paths[start : start + size]) for start in range(0, len(paths), size)]
    found = [RankingMacs(PANC.topology, job, 1, 3, PATCH) for job in jobs]
    return sum(each.naive for each in found) / sum(each.tree for each in found)


def stages(options: argparse.Namespace) -> list[Stage]:
    """All three stages of the search."""
    shape, cases = tuple(options.case), options.cases
    dense, wide = (len(SlidingWindow(PATCH, stride).windows(shape)) for stride in (STRIDE, RANKING_STRIDE))
    candidate = mean(macs(Architecture.uniform(topology)) for topology in SearchSpace().topologies())
    path = mean(macs(Architecture(PANC.topology, each)) for each in random_paths(SearchSpace(), 200, seed=0))
    day = draft(load_budget("day"), "day")
    fine, coarse = day.fine, day.coarse
    steps = paper_recipe("coarse").iterations
    training, validation = STEP * PATCHES * candidate, dense * cases * candidate
    left = iterations_left(steps)
    scored = pairs(PATHS, cases, fine.rungs, fine.audit)
    saving = tree_saving(options.devices)
    supernet = STEP * PATCHES * path * paper_recipe("supernet").iterations
    share, finalists = coarse.validation_share, coarse.finalists
    return [
        Stage(
            "coarse",
            NETWORKS * (steps * training + validation),
            NETWORKS * (1 + share) * left * training + finalists * validation,
            f"early stopping leaves {left / steps:.0%} of the iterations; validation within {share:.0%} of the "
            f"training, then {finalists} finalists at stride 16 instead of all",
        ),
        Stage("super-network", supernet, supernet, "the same"),
        Stage(
            "ranking",
            PATHS * cases * wide * path,
            scored * wide * path / saving,
            f"{fine.rungs} rungs over cases: {scored:,} pairs of candidate and case instead of {PATHS * cases:,}; the "
            f"tree saves {saving:.2f} ×",
        ),
    ]


def in_words(found: list[Stage], options: argparse.Namespace) -> str:
    """The table as Markdown."""
    total = Stage("together", sum(each.paper for each in found), sum(each.here for each in found), "")
    days = PAPER_DAYS | {"together": sum(PAPER_DAYS.values())}

    def projected(work: float) -> str:
        return " | ".join(f"{work * FLOPS / (H100 * use) / DAY:.2f}" for use in UTILISATIONS)

    rows = "\n".join(
        f"| {each.name} | {days[each.name]:.1f} | {each.paper / 1e18:.2f} | {each.here / 1e18:.2f} | "
        f"{each.paper / each.here:.1f} | {projected(each.here)} |"
        for each in [*found, total]
    )
    notes = "\n".join(f"- **{each.name}**: {each.how}." for each in found)
    heads = " | ".join(f"H100-days at {use:.0%}" for use in UTILISATIONS)
    return f"""# The cost of a search, beside the paper's

`{shlex.join(["python", "benchmarks/search_cost.py", *sys.argv[1:]])}`, a minute on any machine: nothing is trained.

The paper states {days["together"]:.0f} V100-days. This table counts the multiply-accumulates of the same numbers of
networks ({NETWORKS}, 20,000 iterations each), iterations (40,000) and paths ({PATHS:,}), done as the paper has it and
as it is done here, at the paper's size of network and patch.

| stage | paper, V100-days | 10¹⁸ MACs, the paper's way | 10¹⁸ MACs here | times fewer | {heads} |
|---|--:|--:|--:|--:|{"--:|" * len(UTILISATIONS)}
{rows}

{notes}

**The last columns are a projection, not a measurement**: the MACs of this table at {H100 / 1e12:.0f} TFLOP/s (an H100
SXM in dense bf16, by its data sheet) and at utilisations that are assumed. [Steps on a GPU](../../benchmarks/README.md)
are measured by `benchmarks/gpu.sh`.

Assumed: {options.cases} validation cases of {"×".join(map(str, options.case))} voxels at 1 mm, and {options.devices}
devices that share the ranking. Not counted: preparation, reading, blending and restoring of volumes, deployment, and
repetitions after failures. Early stopping is off by default (`--set coarse.early_stopping=true`); what it saves
and costs on a table of trained topologies is in [simulated searches](simulation.md).
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", type=int, nargs=3, default=[400, 400, 250], help="voxels of a validation case")
    parser.add_argument("--cases", type=int, default=56, help="validation cases")
    parser.add_argument("--devices", type=int, default=8, help="that share the ranking")
    options = parser.parse_args()
    for number in (0, 400, 923):
        checked(Architecture.uniform(SearchSpace().topologies()[number]))
    checked(PANC)
    text = in_words(stages(options), options)
    write_text(PAGE, text)
    print(text)


if __name__ == "__main__":
    main()
