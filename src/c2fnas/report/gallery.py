"""Every figure of a report that a run has something to show for, by the section it stands in."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from c2fnas.report.facts.final import case_dice
from c2fnas.report.facts.fine import FineFacts, patch_cost
from c2fnas.report.facts.run import RunFacts
from c2fnas.report.figures.architecture import architecture_height, draw_architecture
from c2fnas.report.figures.candidates import draw_distribution, draw_pareto
from c2fnas.report.figures.clusters import draw_cluster_shares
from c2fnas.report.figures.curves import draw_candidate_losses, draw_losses
from c2fnas.report.figures.dice import by_case_height, by_class_height, draw_by_case, draw_by_class
from c2fnas.report.figures.operations import draw_effects, draw_fairness
from c2fnas.report.figures.overlay import draw_overlay, overlay_height
from c2fnas.report.figures.progress import draw_best_so_far
from c2fnas.report.figures.scaling import draw_scaling
from c2fnas.report.figures.style import NARROW, Picture, picture
from c2fnas.report.figures.topology_map import TopologyMap, draw_cluster_map, draw_dice_map
from c2fnas.report.figures.trust import draw_trust
from c2fnas.report.overlays import Overlay
from c2fnas.report.words import plural, score
from c2fnas.space.geometry import by

SHOWN_CASES = 24
"""Cases in the figure, the worst; the table has them all."""

Gallery = dict[str, tuple[Picture, ...]]
SECTIONS = ("architecture", "widths", "coarse", "fine", "training", "dice", "overlays")


def draw_gallery(run: RunFacts, overlays: Sequence[Overlay] = ()) -> Gallery:
    """Draw what there is; a section that has nothing to show is empty."""
    return {
        "architecture": _architecture(run),
        "widths": _widths(run),
        "coarse": _coarse(run),
        "fine": _fine(run),
        "training": _training(run),
        "dice": _dice(run),
        "overlays": tuple(_overlay(run, each) for each in overlays),
    }


def _architecture(run: RunFacts) -> tuple[Picture, ...]:
    if run.architecture is None or run.plan is None:
        return ()
    cost = patch_cost(run.architecture, run.plan)
    return (
        picture(
            "figure-5-architecture",
            partial(draw_architecture, architecture=run.architecture, cost=cost),
            height=architecture_height(run.architecture),
            wide=True,
            alt="The network, cell by cell",
            caption="The network (the paper's Figure 5). Rows are levels of resolution, columns are cells. Dashed arrows "
            "are encoder–decoder skips, arcs are second inputs from the output before the previous one. Below each cell: "
            f"multiply-accumulates of one patch of {by(run.plan.patch_size)} voxels, and parameters.",
        ),
    )


def _widths(run: RunFacts) -> tuple[Picture, ...]:
    if not any(row.dice is not None for row in run.widths):
        return ()
    return (
        picture(
            "table-4-widths",
            partial(draw_scaling, rows=run.widths),
            alt="Dice of every width against its cost",
            caption="Dice against multiply-accumulates of the network at every width (the paper's Table 4).",
        ),
    )


def _coarse(run: RunFacts) -> tuple[Picture, ...]:
    coarse = run.coarse
    if not coarse.evaluated:
        return ()
    plane = TopologyMap(coarse)
    kept = f"The plane keeps {plane.kept:.0%} of the codes' variance."
    return (
        picture(
            "figure-4-cluster-shares",
            partial(draw_cluster_shares, coarse=coarse),
            alt="Share of every cluster",
            caption="Share of each cluster among the networks evaluated so far (the paper's Figure 4). Clusters that "
            "hold good networks are drawn from more often.",
        ),
        picture(
            "coarse-best-so-far",
            partial(draw_best_so_far, coarse=coarse),
            alt="Dice of every network, best so far",
            caption="Dice of every evaluated network on the validation fold, and the best so far. Colours and shapes "
            "are those of the clusters in the map.",
        ),
        picture(
            "coarse-map-clusters",
            partial(draw_cluster_map, coarse=coarse, plane=plane),
            height=3.9,
            alt="Map of all topologies, by cluster",
            caption=f"All {run.config.space.topology_count} topologies by the first two principal components of their "
            f"codes, in the colours of their clusters; large ones were evaluated. {kept}",
        ),
        picture(
            "coarse-map-dice",
            partial(draw_dice_map, coarse=coarse, plane=plane),
            height=3.9,
            alt="Map of the evaluated topologies, by Dice",
            caption="The same map: evaluated topologies coloured by Dice. Where good ones lie together, likeness of "
            "codes tells of likeness of Dice, which is what Algorithm 1 lives on.",
        ),
    )


def _fine(run: RunFacts) -> tuple[Picture, ...]:
    fine, found = run.fine, []
    if fine.sampling is not None:
        found.append(
            picture(
                "fine-fairness",
                partial(draw_fairness, fine=fine),
                alt="How often each operation was trained",
                caption="In how many iterations each operation of each cell was trained. Line: the mean; band: where 95 % "
                "of the counts of uniform sampling fall.",
            )
        )
    if len(fine.comparable) > 1 and fine.tells_apart:
        found += [
            picture(
                "fine-candidates",
                partial(draw_distribution, fine=fine),
                alt="Distribution of the candidates' Dice",
                caption=f"Dice of {_compared(fine)} with the super-network's weights. Such Dice ranks them; it is not "
                "what they reach when they are trained for themselves.",
            ),
            picture(
                "fine-effects",
                partial(draw_effects, fine=fine),
                alt="Effect of each operation in each cell",
                caption=_effects(run),
            ),
        ]
        if any(each.macs is not None for each in fine.finalists):
            found.append(
                picture(
                    "fine-pareto",
                    partial(draw_pareto, fine=fine),
                    alt="Dice against cost, with the Pareto front",
                    caption="Dice of the finalists against multiply-accumulates. On the front, no other finalist is better "
                    "in one without being worse in the other.",
                )
            )
    if fine.verification is not None:
        found.append(
            picture(
                "fine-trust",
                partial(draw_trust, verification=fine.verification),
                alt="Ranked Dice against Dice retrained",
                caption=_trust(fine.verification),
            )
        )
    return tuple(found)


def _compared(fine: FineFacts) -> str:
    """Which candidates are compared, and on what."""
    shown = fine.comparable
    if len(shown) == len(fine.candidates) == len(fine.finalists):
        return "all candidates"
    cases = plural(shown[0].cases, "case")
    if len(shown) == len(fine.candidates):
        return f"all {len(shown):,} candidates on the {cases} of the first rung (the one scale that they share)"
    return f"the {len(shown):,} finalists on {cases} (those dropped before have no Dice on as many)"


def _effects(run: RunFacts) -> str:
    caution = "what crosses zero may be chance."
    if run.config.fine.choose == "evolution":
        caution = (
            "evolution has bred the candidates from each other, so they are no independent draws: operations that did "
            "well early come together, and the intervals are too narrow."
        )
    elif len(run.fine.comparable) < len(run.fine.candidates):
        caution = (
            "finalists were picked by their Dice on fewer cases, so they are no independent draws, and the intervals "
            "are too narrow."
        )
    return (
        f"Marginal effect of each operation in each cell, over {_compared(run.fine)}: mean Dice of those that have it, "
        f"less the mean of all. Bars: 95 % intervals; {caution}"
    )


def _trust(found: dict[str, Any]) -> str:
    low, high = found["interval"]
    noise = found["seed_sd"]
    seeds = (
        ""
        if noise is None
        else (
            f" Two seeds of one candidate differ by a standard deviation of {noise:.4f}, candidates by "
            f"{found['spread_sd']:.4f}."
        )
    )
    return (
        f"Candidates retrained from scratch for {found['iterations']} iterations; numbers are places in the ranking. "
        f"Kendall's τ is {found['tau']:.2f} (95 % interval {low:.2f} to {high:.2f}): 1 is the same order, 0 is "
        f"chance.{seeds}"
    )


def _training(run: RunFacts) -> tuple[Picture, ...]:
    found = []
    scores = {trial.number: trial.evidence for trial in run.coarse.trials}
    candidates = [(scores[number], curve) for number, curve in run.coarse_curves if curve.iterations]
    if candidates:
        found.append(
            picture(
                "training-candidates",
                partial(draw_candidate_losses, curves=candidates),
                alt="Losses of the candidates",
                caption="Loss of the coarse candidates, each trained from scratch: a running mean, coloured by Dice.",
            )
        )
    if run.supernet.iterations:
        found.append(
            picture(
                "training-supernet",
                partial(draw_losses, curves=[("super-network", run.supernet)]),
                alt="Loss of the super-network",
                caption="Loss of the super-network; every iteration trains another path through it.",
            )
        )
    folds = [(f"fold {each.fold}", each.curve) for each in run.final.folds if each.curve.iterations]
    if folds:
        tall = any(curve.validated for _, curve in folds)
        found.append(
            picture(
                "training-final",
                partial(draw_losses, curves=folds),
                alt="Loss of the final networks",
                height=5.0 if tall else 3.3,
                caption="Loss of the final networks, one per fold.",
            )
        )
    return tuple(found)


def _dice(run: RunFacts) -> tuple[Picture, ...]:
    evaluation = run.final.evaluation
    if evaluation is None or not run.final.worst_first:
        return ()
    rows = [row for _, row in run.final.worst_first][:SHOWN_CASES]
    some = "" if len(rows) == len(run.final.worst_first) else f" The worst {SHOWN_CASES}; the table has all."
    worst = rows[0]
    return (
        picture(
            "dice-by-class",
            partial(draw_by_class, evaluation=evaluation),
            alt="Dice by class",
            height=by_class_height(len(evaluation.per_class)),
            caption="Dice of every validation case by class, on whole volumes in their original geometry; bars are "
            "means.",
        ),
        picture(
            "dice-by-case",
            partial(draw_by_case, rows=rows),
            alt="Dice by case",
            height=by_case_height(len(rows), list(worst.dice)),
            caption=f"Dice by case, the worst first: {worst.case} with {score(case_dice(worst))}.{some}",
        ),
    )


def _overlay(run: RunFacts, overlay: Overlay) -> Picture:
    assert run.plan is not None
    classes = [each.name for each in run.plan.classes]
    each = ", ".join(f"{name} {score(dice)}" for name, dice in overlay.scores.dice.items())
    return picture(
        f"figure-6-{overlay.role}",
        partial(draw_overlay, overlay=overlay, classes=classes),
        height=overlay_height(overlay, NARROW, classes),
        alt=f"Image, truth and prediction of {overlay.scores.case}",
        caption=f"The {overlay.role} case (the paper's Figure 6): {overlay.scores.case}, predicted by the network of "
        f"fold {overlay.fold}, which has not seen it. Dice {each}.",
    )
