"""The data behind the figures as rows of a table: each figure is written with them as CSV."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from c2fnas.evaluation.metrics import CaseScores
from c2fnas.report.coarse import CoarseSummary, cluster_shares
from c2fnas.report.figures.coarse import TopologyMap
from c2fnas.report.figures.fine import pareto_front
from c2fnas.report.fine import FineSummary, operation_effects
from c2fnas.report.overlays import Overlay
from c2fnas.runs.records.coarse_posterior import CoarsePosterior
from c2fnas.runs.records.job_record import Curve
from c2fnas.runs.records.ranked import RankedPath
from c2fnas.space.architecture import Architecture
from c2fnas.space.cost import CellCost, Cost, NetworkCost
from c2fnas.studies.widths import Scaled
from c2fnas.text import crossed

Rows = list[dict[str, Any]]


def posterior_rows(posterior: CoarsePosterior) -> Rows:
    """Return the trained topologies, the best expected first, each with what is expected of it and its scores."""
    return [
        {
            "topology": " ".join(map(str, each.code)),
            "taken": each.code == posterior.answer,
            "expected_dice": each.mean,
            "deviation": each.deviation,
            "scores": " ".join(map(str, each.scores)),
        }
        for each in posterior.topologies
    ]


def architecture_rows(architecture: Architecture, cost: NetworkCost) -> Rows:
    """Return the stem, the cells and the stem-out, each with level, operation and cost of a patch."""
    cells = zip(architecture.topology.code, architecture.operations, strict=True)
    places: list[tuple[str, int | None, Any]] = [("stem", None, None)]
    places += [(str(number), level, operation) for number, (level, operation) in enumerate(cells, start=1)]
    parts: list[Cost | CellCost] = [cost.stem_in, *cost.cells, cost.stem_out]
    return [
        {"cell": cell, "level": level, "operation": operation, "parameters": part.parameters, "macs": part.macs}
        for (cell, level, operation), part in zip([*places, ("out", None, None)], parts, strict=True)
    ]


def width_rows(rows: Sequence[Scaled]) -> Rows:
    """Return a row for each width and patch."""
    return [
        {
            **{"width": row.width, "patch": crossed(row.patch), "parameters": row.parameters, "macs": row.macs},
            **{"dice": row.dice, "spread": row.spread, "trainings": row.trainings},
            **{**(row.per_class or {}), "reason": row.reason},
        }
        for row in rows
    ]


def share_rows(coarse: CoarseSummary) -> Rows:
    """Return the share of each cluster after each network."""
    shares = cluster_shares([coarse.cluster_of(trial) for trial in coarse.evaluated], len(coarse.clusters))
    names = [f"cluster {cluster.index + 1}" for cluster in coarse.clusters]
    return [
        {"networks": count, **dict(zip(names, row, strict=True))} for count, row in enumerate(shares.tolist(), start=1)
    ]


def progress_rows(coarse: CoarseSummary) -> Rows:
    """Return the evaluated networks in order of completion, with the best Dice so far."""
    scores = [trial.evidence or 0.0 for trial in coarse.evaluated]
    best = np.maximum.accumulate(scores).tolist()
    return [
        {
            **{"network": count, "candidate": trial.number, "cluster": coarse.cluster_of(trial) + 1},
            **{"dice": score, "best so far": reached},
        }
        for count, (trial, score, reached) in enumerate(zip(coarse.evaluated, scores, best, strict=True), start=1)
    ]


def map_rows(coarse: CoarseSummary, plane: TopologyMap) -> Rows:
    """Return every topology with its place on the map, its cluster and, where it was evaluated, its Dice."""
    dice = {trial.architecture.topology: trial.evidence for trial in coarse.evaluated}
    return [
        {"code": " ".join(map(str, topology.code)), "x": x, "y": y, "cluster": cluster.index + 1}
        | {"dice": dice.get(topology)}
        for cluster in coarse.clusters
        for topology, (x, y) in zip(cluster.topologies, plane.places(cluster.topologies).tolist(), strict=True)
    ]


def sampling_rows(fine: FineSummary) -> Rows:
    """Return how often each operation of each cell was trained."""
    return [
        {"cell": cell, **dict(zip(fine.operations, row, strict=True))}
        for cell, row in enumerate(fine.sampling or (), start=1)
    ]


def candidate_rows(fine: FineSummary, candidates: Sequence[RankedPath]) -> Rows:
    """Return candidates with their Dice and costs; ``front`` is of these, by Dice and multiply-accumulates."""
    front = {each.architecture for each in pareto_front(candidates)}
    return [
        {
            **{"operations": " ".join(each.architecture.operations), "dice": each.dice, "cases": each.cases},
            **{"macs": each.macs, "parameters": each.parameters, "front": each.architecture in front},
            "chosen": each.architecture == fine.chosen,
        }
        for each in candidates
    ]


def effect_rows(fine: FineSummary) -> Rows:
    """Return the effect of each operation in each cell, with half of its interval's width."""
    return [vars(each) for each in operation_effects(fine.comparable, fine.operations)]


def trust_rows(verification: Mapping[str, Any]) -> Rows:
    """Return each retraining with the Dice of its candidate in the ranking."""
    return [
        {"place": each["place"], "ranked": each["ranked"], "dice": dice}
        for each in verification["candidates"]
        for dice in each["dice"]
    ]


def curve_rows(curves: Iterable[tuple[str, Curve]]) -> Rows:
    """Return the noted losses of trainings, and the Dice of validations on the way."""
    rows: Rows = []
    for name, curve in curves:
        losses = zip(curve.iterations, curve.losses, strict=True)
        rows += [{"training": name, "iteration": iteration, "loss": loss} for iteration, loss in losses]
        checks = zip(curve.validated, curve.dice, strict=True)
        rows += [{"training": name, "iteration": iteration, "dice": dice} for iteration, dice in checks]
    return rows


def dice_rows(rows: Iterable[CaseScores]) -> Rows:
    """Return the Dice of each class in each case."""
    return [{"case": row.case, **row.dice} for row in rows]


def slice_rows(overlay: Overlay, classes: Sequence[str]) -> Rows:
    """Return the pixels of each class on the slices that are shown: true, predicted, and both."""
    return [
        {"case": overlay.scores.case, "plane": part.plane, "slice": part.number, "class": name}
        | {"true pixels": int(true.sum()), "predicted pixels": int(found.sum()), "both": int((true & found).sum())}
        for part in overlay.slices
        for index, name in enumerate(classes)
        if index and ((true := part.truth == index).any() | (found := part.prediction == index).any())
    ]
