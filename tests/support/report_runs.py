"""Run folders in miniature, written as a run would leave them: nothing in them was trained."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from c2fnas import Architecture, build_network
from c2fnas.data.cache import prepare_cases
from c2fnas.data.layouts import load_dataset
from c2fnas.data.phantoms import write_phantoms
from c2fnas.data.plan import ChannelPlan, ClassPlan, Plan, save_plan
from c2fnas.data.scan import scan_dataset
from c2fnas.evaluation.evaluate import evaluate_network
from c2fnas.files import write_json
from c2fnas.inference.package import load_package, save_package
from c2fnas.runs.config import CoarseConfig, DeploymentConfig, FineConfig, RunConfig
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.ledger import Ledger
from c2fnas.runs.records.ranked import RankedPath, write_ranked
from c2fnas.search.clusters import cluster_topologies
from c2fnas.search.paths import random_paths
from c2fnas.space.search_space import SearchSpace
from c2fnas.training.recipe import modern_recipe

SPACE = SearchSpace(cells=4, downsamplings=1)
WIDTH = 0.0625
PLAN = Plan(
    channels=(ChannelPlan(name="MRI", kind="mr"),),
    classes=tuple(ClassPlan(name=n, values=(v,)) for v, n in enumerate(("background", "organ", "lesion"))),
    spacing=(2.0, 2.0, 4.0),
    patch_size=(16, 16, 8),
    stride=(16, 16, 8),
    ranking_stride=(16, 16, 8),
)
COARSE = (0.2, 0.5, 0.4, 0.6)
ITERATIONS = 40


def begun_run(root: Path, **changes: Any) -> RunFolder:
    """A run of which nothing is there but ``run.yaml``."""
    folder, recipe = RunFolder(root), modern_recipe(ITERATIONS)
    values: dict[str, Any] = {
        "budget": "demo",
        "seed": 0,
        "dataset": "Phantoms & <others>",
        "dataset_path": "/data/Task00",
        "width": WIDTH,
        "fingerprint_sha256": "f" * 64,
        "plan_sha256": "p" * 64,
        "cells": SPACE.cells,
        "downsamplings": SPACE.downsamplings,
        "operations": SPACE.operations,
        "devices": ("cpu",),
        "versions": {"python": "3.11", "c2fnas": "0.2.0"},
        "coarse": CoarseConfig(clusters=3, per_cluster=1, evaluations=6, random_share=0.2, recipe=recipe),
        "fine": FineConfig(candidates=20, cases=2, recipe=recipe),
        "deployment": DeploymentConfig(folds=(1,), recipe=recipe),
        "verdict": False,
        "references": 2,
    }
    RunConfig(**values | changes).save(folder.config)
    return folder


def planned_run(root: Path, **changes: Any) -> RunFolder:
    """The same with a plan, folds and warnings: prepared, but for its cases."""
    folder = begun_run(root, **changes)
    save_plan(PLAN, folder.plan)
    write_json(
        folder.folds,
        [
            {"training": ["phantom_002"], "validation": ["phantom_000", "phantom_001"]},
            {"training": ["phantom_000"], "validation": ["phantom_001", "phantom_002"]},
        ],
    )
    warning = {"expected": "an integer type", "fix": "Use `--fix`.", "severity": "warning", "found": "labels as <f4>"}
    write_json(folder.check, {"problems": [{"case": c, "file": f"/data/{c}.nii.gz", **warning} for c in ("a", "b")]})
    return folder


def searching_run(root: Path, **changes: Any) -> RunFolder:
    """A run in the middle of its coarse stage: four candidates have a Dice, one failed, one is under way."""
    folder = planned_run(root, **changes)
    ledger = Ledger(folder.study, "coarse")
    clusters = cluster_topologies(SPACE.topologies(), clusters=3, seed=0)
    topologies = [topology for cluster in clusters for topology in cluster.topologies]
    for number, dice in enumerate(COARSE):
        ledger.start(Architecture.uniform(topologies[number], width=WIDTH), {"branch": "initial", "cluster": 0})
        write_training(folder.coarse_trial(number), pace=0.5)
        write_result(folder.coarse_trial(number), {"dice": dice}, seconds=30.0)
        write_json(folder.coarse_trial(number) / "evaluation.json", evaluation([dice] * 2))
        ledger.succeed(number, dice, {"device": "cpu", "seconds": 31.0})
    failed = ledger.start(Architecture.uniform(topologies[4], width=WIDTH), {})
    ledger.fail(failed, "the loss is not finite", {"seconds": 2.0})
    running = ledger.start(Architecture.uniform(topologies[5], width=WIDTH), {})
    write_training(folder.coarse_trial(running), pace=0.5, until=10)
    return folder


def finished_run(
    root: Path, *, ranked: Sequence[float] | None = None, kept: Sequence[dict[str, Any]] = (), **changes: Any
) -> RunFolder:
    """A run whose stages are done, but for its cache and model packages.

    ``ranked`` are the candidates' Dice, and ``kept`` are other values of their rows.
    """
    folder = searching_run(root, **changes)
    found = Architecture.uniform(SPACE.topologies()[3], width=WIDTH)
    paths = random_paths(SPACE, 20, seed=0)
    scores = ranked or [0.3 + 0.02 * number for number in range(len(paths))]
    write_json(folder.coarse / "architecture.json", found.to_json())
    write_training(folder.supernet, pace=0.25)
    write_result(folder.supernet, {"sampling": [[13, 14, 13]] * SPACE.cells}, seconds=12.0)
    ranked_paths = [Architecture(found.topology, path, WIDTH) for path in paths]
    costs: list[dict[str, Any]] = [{"cases": 2, "macs": 1000 + 10 * n, "parameters": 7} for n in range(len(paths))]
    costs = [own | more for own, more in zip(costs, kept or [{}] * len(costs), strict=True)]
    rows = zip(range(len(paths)), ranked_paths, scores, costs, strict=True)
    write_ranked(folder, [RankedPath(n, architecture, dice, **cost) for n, architecture, dice, cost in rows])
    write_result(folder.ranking / "rung-1" / "0000", {"rows": []}, seconds=5.0)
    chosen = ranked_paths[max(range(len(paths)), key=lambda n: (costs[n]["cases"], scores[n]))]
    write_json(folder.fine / "architecture.json", chosen.to_json())
    write_json(folder.final / "architecture.json", chosen.to_json())
    write_training(folder.final_fold(1), pace=0.5)
    write_result(folder.final_fold(1), {"dice": 0.6}, seconds=36.0)
    write_json(folder.final_fold(1) / "evaluation.json", evaluation([0.7, 0.5]))
    return folder


def evaluation(dice: Sequence[float]) -> dict[str, Any]:
    """An ``evaluation.json`` of cases with these Dice of the organ, and none of the lesion."""
    cases = [
        {"case": f"phantom_{number + 1:03d}", "dice": {"organ": value, "lesion": None}, "false_positive": []}
        for number, value in enumerate(dice)
    ]
    mean = sum(dice) / len(dice)
    return {
        "cases": cases,
        "per_class": {"organ": mean, "lesion": None},
        "mean": mean,
        "excluded_empty": len(dice),
        "false_positive_empty": 0,
    }


def write_training(folder: Path, *, pace: float, until: int = ITERATIONS) -> None:
    """The metrics of a training that took ``pace`` seconds an iteration, noted every ten."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        {"iteration": i, "iterations": ITERATIONS, "loss": 2 * math.exp(-i / 20), "seconds_per_iteration": pace}
        for i in (1, *range(10, until + 1, 10))
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def write_result(folder: Path, value: dict[str, Any] | None, *, seconds: float, **more: Any) -> None:
    """The result of a job that is done, or has failed where ``value`` is None."""
    kind, failure = ("failed", "the loss is not finite") if value is None else ("done", None)
    report = {"job": "0" * 64, "kind": kind, "value": value, "failure": failure, "seconds": seconds, **more}
    write_json(folder / "result.json", report)


def deployed_run(root: Path) -> RunFolder:
    """A finished run with data, cache and a model package (of random weights) that its evaluation is true of."""
    folder = finished_run(root / "run")
    dataset = load_dataset(write_phantoms(root / "Task00", cases=3, test_cases=0))
    write_json(folder.fingerprint, scan_dataset(dataset).fingerprint.model_dump(mode="json"))
    cache = prepare_cases(dataset.training, PLAN, folder.cache)
    architecture = Architecture.load(folder.final)
    torch.manual_seed(0)
    network = build_network(architecture, in_channels=1, classes=3)
    save_package(folder.final_model(1), network, architecture, PLAN, card="# Random", weighting="gaussian")
    model = load_package(folder.final_model(1))
    cases = [cache[case] for case in cache.ids]
    scores = evaluate_network(model.network, cases, model.window(), scheme=PLAN.scheme, device="cpu")
    write_json(folder.final_fold(1) / "evaluation.json", scores.to_json())
    return folder
