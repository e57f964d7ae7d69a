"""Every figure of a report that a run has something to show for, by the section that it stands in."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from importlib import resources
from itertools import chain
from typing import Any

import yaml
from jinja2 import Environment, StrictUndefined
from matplotlib.figure import Figure

from c2fnas.report.figures import rows
from c2fnas.report.figures.architecture import architecture_height, draw_architecture
from c2fnas.report.figures.coarse import (
    TopologyMap,
    draw_best_so_far,
    draw_cluster_map,
    draw_cluster_shares,
    draw_dice_map,
    draw_posterior,
)
from c2fnas.report.figures.dice import by_case_height, by_class_height, draw_by_case, draw_by_class
from c2fnas.report.figures.fine import draw_distribution, draw_effects, draw_fairness, draw_pareto, draw_trust
from c2fnas.report.figures.overlay import draw_overlay, overlay_height
from c2fnas.report.figures.rows import Rows
from c2fnas.report.figures.scaling import draw_scaling
from c2fnas.report.figures.style import NARROW, Picture, picture
from c2fnas.report.figures.training import draw_candidate_losses, draw_losses, is_curve
from c2fnas.report.final import case_dice
from c2fnas.report.fine import FineSummary, patch_cost
from c2fnas.report.overlays import Overlay
from c2fnas.report.summary import ReportSummary
from c2fnas.text import as_csv, crossed, minus, plural, score

SHOWN_CASES = 24
"""Cases in the figure, the worst; the table has them all."""

Pictures = dict[str, tuple[Picture, ...]]
Progress = Callable[[int, int], None]
SECTIONS = ("architecture", "widths", "coarse", "fine", "training", "dice", "overlays")


@dataclass(frozen=True)
class Entry:
    """A figure: its section, its name, how it is drawn, the data behind it, and values for its caption.

    Captions stand in ``templates/figures.yaml``, by the name or by ``text``. A figure more is an entry more in one of
    the functions below and a caption there.
    """

    section: str
    name: str
    draw: Callable[[Figure], None]
    data: Rows
    height: float = 3.3
    wide: bool = False
    text: str = ""
    values: dict[str, Any] = field(default_factory=dict)


def draw_figures(
    run: ReportSummary, overlays: Sequence[Overlay] = (), progress: Progress = lambda done, total: None
) -> Pictures:
    """Draw what there is, by section; a section that has nothing to show is empty. ``progress`` counts figures."""
    drawn: dict[str, list[Picture]] = {section: [] for section in SECTIONS}
    tables = (_network(run), _coarse(run), _fine(run), _training(run), _dice(run), _overlays(run, overlays))
    entries = list(chain(*tables))
    for done, each in enumerate(entries, start=1):
        drawn[each.section].append(draw_entry(each, run=run))
        progress(done, len(entries))
    return {section: tuple(pictures) for section, pictures in drawn.items()}


def draw_entry(entry: Entry, **values: Any) -> Picture:
    """Draw one figure; its caption and alternative text are rendered with ``values`` and the entry's own."""
    texts = _texts()[entry.text or entry.name].items()
    words = {key: minus(template.render(**values, **entry.values)) for key, template in texts}
    return picture(entry.name, entry.draw, csv=as_csv(entry.data), height=entry.height, wide=entry.wide, **words)


@cache
def _texts() -> dict[str, dict[str, Any]]:
    """Return the templates of captions and alternative texts, by figure."""
    environment = Environment(undefined=StrictUndefined)
    environment.globals |= {"crossed": crossed, "case_dice": case_dice, "score": score}
    content = resources.files("c2fnas.report").joinpath("templates/figures.yaml").read_text(encoding="utf-8")
    found = yaml.safe_load(content)
    return {name: {key: environment.from_string(text) for key, text in each.items()} for name, each in found.items()}


def _network(run: ReportSummary) -> Iterator[Entry]:
    if run.architecture is not None and run.plan is not None:
        cost, height = patch_cost(run.architecture, run.plan), architecture_height(run.architecture)
        draw = partial(draw_architecture, architecture=run.architecture, cost=cost)
        data = rows.architecture_rows(run.architecture, cost)
        yield Entry("architecture", "figure-5-architecture", draw, data, height, wide=True)
    if sum(row.dice is not None for row in run.widths) > 1:
        yield Entry("widths", "table-4-widths", partial(draw_scaling, rows=run.widths), rows.width_rows(run.widths))


def _coarse(run: ReportSummary) -> Iterator[Entry]:
    coarse = run.coarse
    if len(coarse.evaluated) > 1:
        plane = TopologyMap(coarse)
        known: dict[str, Any] = {"coarse": coarse, "plane": plane}
        shares, places = rows.share_rows(coarse), rows.map_rows(coarse, plane)
        yield Entry("coarse", "figure-4-cluster-shares", partial(draw_cluster_shares, coarse=coarse), shares)
        progress = partial(draw_best_so_far, coarse=coarse)
        yield Entry("coarse", "coarse-best-so-far", progress, rows.progress_rows(coarse))
        if coarse.posterior is not None:
            draw = partial(draw_posterior, posterior=coarse.posterior)
            yield Entry(
                "coarse",
                "coarse-posterior",
                draw,
                rows.posterior_rows(coarse.posterior),
                values={"posterior": coarse.posterior},
            )
        yield Entry("coarse", "coarse-map-clusters", partial(draw_cluster_map, **known), places, 3.9, values=known)
        yield Entry("coarse", "coarse-map-dice", partial(draw_dice_map, **known), places, 3.9)


def _fine(run: ReportSummary) -> Iterator[Entry]:
    fine = run.fine
    if fine.sampling is not None:
        yield Entry("fine", "fine-fairness", partial(draw_fairness, fine=fine), rows.sampling_rows(fine))
    if len(fine.comparable) > 1 and fine.tells_apart:
        known, candidates = {"compared": _compared(fine)}, rows.candidate_rows(fine, fine.comparable)
        yield Entry("fine", "fine-candidates", partial(draw_distribution, fine=fine), candidates, values=known)
        yield Entry("fine", "fine-effects", partial(draw_effects, fine=fine), rows.effect_rows(fine), values=known)
    if len(fine.finalists) > 1 and fine.tells_apart:
        finalists = rows.candidate_rows(fine, fine.finalists)
        yield Entry("fine", "fine-pareto", partial(draw_pareto, fine=fine), finalists)
    if fine.verification is not None:
        draw = partial(draw_trust, verification=fine.verification)
        yield Entry("fine", "fine-trust", draw, rows.trust_rows(fine.verification))


def _compared(fine: FineSummary) -> str:
    """Return which candidates are compared, and on what."""
    shown = fine.comparable
    cases = plural(shown[0].cases, "case")
    if len(shown) == len(fine.candidates) == len(fine.finalists):
        return f"all candidates on {cases}" if shown[0].cases else "all candidates"
    if len(shown) == len(fine.candidates):
        return f"all {len(shown):,} candidates on the {cases} of the first rung (the one scale that they share)"
    return f"the {len(shown):,} finalists on {cases} (those dropped before have no Dice on as many)"


def _training(run: ReportSummary) -> Iterator[Entry]:
    scores = {trial.number: trial.evidence for trial in run.trials}
    candidates = [(number, curve) for number, curve in run.coarse_curves if is_curve(curve)]
    if candidates:
        draw = partial(draw_candidate_losses, curves=[(scores[number], curve) for number, curve in candidates])
        data = rows.curve_rows((str(number), curve) for number, curve in candidates)
        yield Entry("training", "training-candidates", draw, data)
    if is_curve(run.supernet):
        curves = [("super-network", run.supernet)]
        yield Entry("training", "training-supernet", partial(draw_losses, curves=curves), rows.curve_rows(curves))
    folds = [(f"fold {each.fold}", each.curve) for each in run.final.folds if is_curve(each.curve)]
    if folds:
        height = 5.0 if any(len(curve.validated) > 1 for _, curve in folds) else 3.3
        yield Entry("training", "training-final", partial(draw_losses, curves=folds), rows.curve_rows(folds), height)


def _dice(run: ReportSummary) -> Iterator[Entry]:
    evaluation, worst = run.evaluation, [row for _, row in run.final.worst_first]
    if evaluation is not None and worst:
        shown, data = worst[:SHOWN_CASES], rows.dice_rows(worst)
        by_class, by_case = partial(draw_by_class, evaluation=evaluation), partial(draw_by_case, rows=shown)
        yield Entry("dice", "dice-by-class", by_class, data, by_class_height(len(evaluation.per_class)))
        height = by_case_height(len(shown), list(shown[0].dice))
        yield Entry("dice", "dice-by-case", by_case, data, height, values={"rows": shown})


def _overlays(run: ReportSummary, overlays: Sequence[Overlay]) -> Iterator[Entry]:
    classes = [each.name for each in run.plan.classes] if run.plan else []
    for overlay in overlays:
        draw, height = partial(draw_overlay, overlay=overlay, classes=classes), overlay_height(overlay, NARROW, classes)
        data, values = rows.slice_rows(overlay, classes), {"overlay": overlay}
        yield Entry("overlays", f"figure-6-{overlay.role}", draw, data, height, text="figure-6", values=values)
