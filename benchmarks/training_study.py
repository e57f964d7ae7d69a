"""What a short training gains from its settings: seeded trainings of one network, a setting changed at a time.

    python benchmarks/training_study.py Task04_Hippocampus --run /tmp/study --iterations 600 --workers 2

Every variant is the modern recipe of so many iterations with what its name says, trained with each seed on the first
folds and scored on whole volumes of the last one. All see the same number of patches. A second call with the same --run
carries on. Dice, the spread over seeds and the seconds of a training go to `results/training_study.{json,md}`; with
--supernet, those of a super-network to `results/training_study_supernet.{json,md}`; --suffix keeps others apart.
"""

import argparse
import os
import platform
import shlex
import statistics
import sys
import time
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from torch import nn

from c2fnas.evaluation.evaluate import evaluate_network
from c2fnas.execution import LocalProcessExecutor
from c2fnas.execution.job import Job
from c2fnas.files import write_json, write_text
from c2fnas.planning.plan import scaled_plan
from c2fnas.planning.request import request_for
from c2fnas.runs.driver import run_jobs
from c2fnas.runs.run import Run
from c2fnas.search.paths import PathSampling, UniformPaths, random_paths
from c2fnas.space.architecture import Architecture
from c2fnas.stages.preparation import prepare
from c2fnas.stages.supernet import new_supernet
from c2fnas.stages.training import evenly_spread, train_on
from c2fnas.training.recipe import Recipe

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
SGD: dict[str, Any] = {"optimiser": "sgd", "momentum": 0.95, "nesterov": True, "weight_decay": 3e-5}
ADAMW: dict[str, Any] = {"optimiser": "adamw", "momentum": 0.9, "nesterov": False, "weight_decay": 0.01}
RATE = {f"learning rate {rate:g}": SGD | {"learning_rate": rate} for rate in (0.01, 0.02, 0.05, 0.1)}
ADAMW_RATE = {
    f"AdamW, learning rate {rate:g}": ADAMW | {"learning_rate": rate} for rate in (0.001, 0.002, 0.004, 0.008)
}
MIDDLE = SGD | {"learning_rate": 0.05}
NOW = ADAMW | {"learning_rate": 0.004}
VARIANTS: dict[str, dict[str, Any]] = (
    RATE
    | ADAMW_RATE
    | {
        "learning rate 0.05, momentum 0.9": MIDDLE | {"momentum": 0.9},
        "learning rate 0.05, 4 patches": MIDDLE | {"volumes": 4},
        "learning rate 0.05, 1 patch": MIDDLE | {"volumes": 1},
        "learning rate 0.05, no foreground sampling": MIDDLE | {"foreground_rate": 0.0},
        "learning rate 0.05, foreground in 2 of 3": MIDDLE | {"foreground_rate": 2 / 3},
        "learning rate 0.05, no warm-up": MIDDLE | {"warmup_iterations": 0},
        "learning rate 0.05, no Nesterov": MIDDLE | {"nesterov": False},
        "learning rate 0.05, augmentation": MIDDLE | {"augmentation": "modern"},
        "AdamW, no warm-up": NOW | {"warmup_iterations": 0},
        "AdamW, 1 patch": NOW | {"volumes": 1},
        "AdamW, 4 patches": NOW | {"volumes": 4},
        "AdamW, sides of a patch x 0.75": NOW | {"sides": 0.75},
        "AdamW, no foreground sampling": NOW | {"foreground_rate": 0.0},
        "AdamW, foreground in 2 of 3": NOW | {"foreground_rate": 2 / 3},
        "AdamW, augmentation": NOW | {"augmentation": "modern"},
        "AdamW, augmentation without mirroring": NOW | {"augmentation": "unmirrored"},
    }
)
"""Fields of a recipe; ``sides`` is no such, it multiplies the patch's."""
PATHS = 6


def train_variant(payload: dict[str, Any], folder: Path, device: str) -> dict[str, Any]:
    """On a worker: train with one seed, score on whole volumes."""
    run, changed = Run.open(folder / "../.."), dict(payload["changed"])
    base = run.config.deployment.recipe
    run = run.varied(seed=payload["seed"], plan=scaled_plan(run.fold_plan(), changed.pop("sides", 1.0)))
    recipe = base.with_iterations(payload["iterations"]).model_copy(update=changed)
    recipe = recipe.model_copy(update={"warmup_from": recipe.learning_rate / 10})
    if recipe.volumes != base.volumes:
        recipe = recipe.with_iterations(payload["iterations"] * base.volumes // recipe.volumes)
    architecture = Architecture.from_text(payload["architecture"])
    if payload["supernet"]:
        return train_supernet(run, architecture, recipe, payload["cases"], folder, device)
    network = run.build(architecture)
    start = time.perf_counter()
    macs = run.cost(architecture).macs
    train_on(run, network, run.search_split.training, recipe, folder, device, macs=macs)
    seconds = time.perf_counter() - start
    return {"dice": mean_dice(run, network, payload["cases"], device), "seconds": seconds}


def train_supernet(
    run: Run, architecture: Architecture, recipe: Recipe, cases: int, folder: Path, device: str
) -> dict[str, Any]:
    """Train the super-network of a topology; the mean Dice of a few random paths through it."""
    supernet, paths = new_supernet(run, architecture.topology.code), sampled_paths(run)
    start = time.perf_counter()
    train_on(
        run,
        supernet,
        run.search_split.training,
        recipe,
        folder,
        device,
        macs=run.cost(architecture).macs,
        forward=lambda network, image, iteration: network(image, paths(iteration)),
    )
    seconds = time.perf_counter() - start
    drawn = random_paths(run.config.space, PATHS, seed=0)
    scores = [mean_dice(run, supernet.extract(path), cases, device) for path in drawn]
    return {"dice": statistics.mean(scores), "by_path": scores, "seconds": seconds}


def sampled_paths(run: Run) -> PathSampling:
    """The paths that train, as the fine stage draws them."""
    return UniformPaths(run.config.operations, run.config.cells, seed=run.config.seed)


def mean_dice(run: Run, network: nn.Module, cases: int, device: str) -> float:
    """Dice on whole volumes of the validation fold."""
    chosen = run.cases(evenly_spread(run.search_split.validation, cases))
    return evaluate_network(network, chosen, run.window(), scheme=run.scheme, device=device).mean


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """All trainings."""
    os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    run = Run(arguments.run)
    request = request_for(run.folder, budget="demo", overrides={"seed": 0}, devices=("cpu",))
    with run.locked():
        run = prepare(run, arguments.dataset, request)
    architecture = replace(Architecture.load(arguments.architecture), width=run.width)
    names = [name for name in VARIANTS if not arguments.only or name in arguments.only]
    kind = "supernet-study" if arguments.supernet else "study"
    jobs = [
        Job(
            f"{number}-{seed}",
            "training_study:train_variant",
            {
                "changed": VARIANTS[name],
                "seed": seed,
                "iterations": arguments.iterations,
                "cases": arguments.cases,
                "architecture": architecture.to_text(),
                "supernet": arguments.supernet,
            },
            run.folder.root / kind / f"{list(VARIANTS).index(name)}-{seed}",
        )
        for number, name in enumerate(names)
        for seed in arguments.seeds
    ]
    with LocalProcessExecutor([f"cpu:{worker}" for worker in range(arguments.workers)]) as executor:
        outcomes = run_jobs(run.using(executor), "study", jobs)
    rows = [
        row_of(name, outcomes[place * len(arguments.seeds) : (place + 1) * len(arguments.seeds)])
        for place, name in enumerate(names)
    ]
    return {
        "dataset": run.config.dataset,
        "supernet": arguments.supernet,
        "architecture": architecture.to_text(),
        "iterations": arguments.iterations,
        "patch": list(run.plan.patch_size),
        "seeds": arguments.seeds,
        "cases": arguments.cases,
        "rows": rows,
        "recipe": run.config.deployment.recipe.with_iterations(arguments.iterations).model_dump(mode="json"),
        "command": shlex.join(["python", *sys.argv]),
        "machine": platform.machine(),
        "versions": {"python": platform.python_version(), "torch": metadata.version("torch")},
    }


def row_of(name: str, outcomes: list[Any]) -> dict[str, Any]:
    """A variant's Dice by seed; a training that fails, such as one that diverges, counts as 0."""
    values = [outcome.value for outcome in outcomes]
    for outcome in outcomes:
        if outcome.value is None:
            print(f"{name}: {outcome.failure}", file=sys.stderr)
    dice = [value["dice"] if value else 0.0 for value in values]
    return {
        "name": name,
        "dice": dice,
        "mean": statistics.mean(dice),
        "failed": [each.failure for each in outcomes],
        "seconds": statistics.median(value["seconds"] for value in values if value) if any(values) else None,
    }


def in_words(found: dict[str, Any]) -> str:
    """The figures as Markdown."""
    recipe, base = found["recipe"], found["rows"][0]["mean"]
    what = f", mean of {PATHS} random paths of the super-network of the topology" if found["supernet"] else ""
    rows = "\n".join(
        f"| {row['name']} | {row['mean']:.4f} | {', '.join(f'{dice:.4f}' for dice in row['dice'])} | "
        f"{row['mean'] - base:+.4f} | {'-' if row['seconds'] is None else format(row['seconds'], '.0f')} |"
        for row in found["rows"]
    )
    return f"""# Settings of a short training

`{found["command"]}`, one thread a training, torch {found["versions"]["torch"]}.

{found["dataset"]}, `{found["architecture"]}`, patch {found["patch"]}, {found["iterations"]} iterations of
{recipe["volumes"]} patches (with more or fewer, as many in all), Dice on {found["cases"]} whole volumes of the
validation fold{what}, seeds {", ".join(map(str, found["seeds"]))}.

Where nothing else is said: SGD with momentum 0.95 and Nesterov or AdamW with learning rate 0.004, polynomial decay,
augmentation {recipe["augmentation"]}, foreground in {recipe["foreground_rate"]:.2f} of the patches.

| changed | mean Dice | by seed | difference | seconds |
|---|---|---|---|---|
{rows}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--run", type=Path, required=True, help="a folder for the data and the trainings")
    parser.add_argument("--architecture", default="c2fnas-panc", help="its width is the demo budget's")
    parser.add_argument("--iterations", type=int, default=600)
    parser.add_argument("--cases", type=int, default=20)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--supernet", action="store_true", help="train the topology's super-network instead")
    parser.add_argument("--only", nargs="+", choices=VARIANTS, help="variants, all where left out")
    parser.add_argument("--suffix", default="", help="of the results' file names")
    arguments = parser.parse_args()
    found = measure(arguments)
    name = ("training_study_supernet" if found["supernet"] else "training_study") + arguments.suffix
    write_json(RESULTS / f"{name}.json", found)
    write_text(RESULTS / f"{name}.md", in_words(found))
    print(in_words(found))


if __name__ == "__main__":
    main()
