"""The results of trainings and studies as text: the paper's tables, a ranking and a verdict."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from c2fnas.cli.text import architecture
from c2fnas.cli.text_table import aligned, percent
from c2fnas.text import crossed

if TYPE_CHECKING:
    from c2fnas.api.results import Ranking, Scaling, Tabulation
    from c2fnas.api.runs import Run
    from c2fnas.data.folds import Fold
    from c2fnas.evaluation.cross_validation import FoldedDice
    from c2fnas.evaluation.metrics import Evaluation
    from c2fnas.evaluation.verdict import Contestant, Verdict
    from c2fnas.studies.tasks import TaskScores
    from c2fnas.studies.widths import Scaled


def training(result: Any) -> str:
    """Return what a training has reached, on one data set or on several."""
    from c2fnas.api.trainings import TaskTable

    if isinstance(result, TaskTable):
        return f"{table_1(result.rows)}\nEverything is in {result.run}, the table in {result.run / 'table-1.json'}."
    return run(result)


def run(result: "Run") -> str:
    """Return the architecture of a run, its Dice, the verdict and where the models lie."""
    from c2fnas.space.architecture import Architecture

    found, images = result.architecture, result.folder.parent / "Task00_Phantoms" / "imagesTs"
    assert found is not None
    shown = architecture(found) if isinstance(found, Architecture) else found.to_text()
    lines = [shown, _scores(result), *([verdict(result.verdict)] if result.verdict is not None else [])]
    return "\n".join(
        [
            *lines,
            f"Everything is in {result.folder}; the models are in {result.folder / 'final'}. Next:",
            f"  c2fnas predict {result.folder} --input {images if images.exists() else 'IMAGES'} --output PREDICTIONS",
        ]
    )


def _scores(result: "Run") -> str:
    """Return a line for a single fold; for several the table of their cross-validation."""
    from c2fnas.data.folds import EVERY_CASE, UNKNOWN

    evaluations = result.evaluation
    unknown = f"{EVERY_CASE}: {UNKNOWN}" if EVERY_CASE in evaluations else ""
    scored = {fold: found for fold, found in evaluations.items() if fold != EVERY_CASE}
    if len(scored) > 1:
        return "\n".join(filter(None, [table_1([result.scores]), unknown]))
    return "\n".join([*(_score(*pair) for pair in scored.items()), *filter(None, [unknown])])


def _score(fold: "Fold", found: "Evaluation | None") -> str:
    if found is None:
        return f"fold-{fold}: Dice not measurable; the model is kept"
    scores = ", ".join(f"{name} {dice:.4f}" for name, dice in found.per_class.items() if dice is not None)
    return f"fold-{fold}: Dice {scores}; mean {found.mean:.4f} on {len(found.cases)} validation cases"


def table_1(rows: "Sequence[TaskScores]") -> str:
    """Return Table 1: a line for each class and each task's mean, averages of several, and what has failed."""
    from c2fnas.evaluation.cross_validation import largest_gains
    from c2fnas.studies.tasks import table_1 as averages_of

    whole = averages_of(rows)
    head = ["task", "class", "Dice in %", "± folds", "each fold", "cases"]
    averages = [
        ["", f"mean over {what}", percent(whole[f"mean_over_{what}"]), "", "", ""]
        for what in ("tasks", "classes")
        if len(rows) > 1
    ]
    failures = [f"{row.name}: {row.failure}" for row in rows if row.failure is not None]
    scored = [(row.name, largest_gains(row.scores)) for row in rows if row.scores is not None]
    failures += [f"{name}: {gains}; prediction keeps it, the table does not." for name, gains in scored if gains]
    return "\n".join([aligned([head, *(line for row in rows for line in _task(row)), *averages], left=2), *failures])


def _task(row: "TaskScores") -> list[list[str]]:
    if row.scores is None:
        return [[row.name, "failed" if row.failure is not None else "no case left to score", "–", "", "", ""]]
    cases, classes = str(row.scores.cases), list(row.scores.per_class.items())
    if len(classes) > 1:
        classes.append(("mean", row.scores.mean))
    return [
        [row.name if place == 0 else "", name, *_folded(score), cases if place == 0 else ""]
        for place, (name, score) in enumerate(classes)
    ]


def _folded(score: "FoldedDice") -> list[str]:
    return [percent(score.dice), percent(score.spread), " ".join(percent(each) for each in score.folds)]


def verdict(result: "Verdict") -> str:
    """Return a line for each network, a sentence for each reference, and what to know before believing them."""
    folds = f"fold{'s' if len(result.folds) > 1 else ''} {', '.join(map(str, result.folds))}"
    networks = [result.searched, *(each.network for each in result.references if each.network is not None)]
    classes = list(result.searched.per_class or {})
    head = ["Dice in %", *classes, "mean", "params (M)", "MACs (G)"]
    return "\n".join(
        [
            f"Verdict: {result.training}, on {result.cases} validation cases of {folds}",
            aligned([head, *(_contestant(network, classes) for network in networks)], left=1),
            *result.sentences,
            *result.about_networks,
            *result.notes,
            " ".join(result.caveats),
        ]
    )


def _contestant(network: "Contestant", classes: list[str]) -> list[str]:
    scores = [*((network.per_class or {}).get(name) for name in classes), network.dice]
    return [network.title, *map(percent, scores), *_costs(network)]


def _costs(each: Any) -> list[str]:
    return [f"{each.parameters / 1e6:.2f}", f"{each.macs / 1e9:.2f}"]


def tabulation(result: "Tabulation") -> str:
    """Return the size of a table of topologies."""
    return (
        f"{result.table}: {result.trainings} trainings of {result.topologies} topologies; {result.missing} are missing."
    )


def scaling(result: "Scaling") -> str:
    """Return Table 4: a line for each width, then what has failed."""
    rows = result.rows
    classes = next((list(row.per_class) for row in rows if row.per_class is not None), [])
    several = any(row.trainings > 1 for row in rows)
    head = ["width", "patch", *classes, "mean", *(["± seeds", "seeds"] if several else []), "params (M)", "MACs (G)"]
    lines = [head, *(_scaled(row, classes, several) for row in rows)]
    failures = [
        f"width {row.width:g}, patch {crossed(row.patch)}, failed: {row.reason}" for row in rows if row.dice is None
    ]
    return "\n".join([aligned(lines), *(sentence for each in result.pairs for sentence in each.sentences), *failures])


def _scaled(row: "Scaled", classes: list[str], several: bool) -> list[str]:
    scores = [*((row.per_class or {}).get(name) for name in classes), row.dice]
    trainings = [percent(row.spread), str(row.trainings)] if several else []
    return [f"{row.width:g}", crossed(row.patch), *map(percent, scores), *trainings, *_costs(row)]


def ranking(result: "Ranking") -> str:
    """Return the architecture, the front that it was picked from, and how far to trust the ranking."""
    summary, ranked = result.summary, result.summary["ranking"]
    if ranked is None:
        none = "No operations are ranked, as this run has fine.candidates=0. `--candidates 100` ranks so many."
        return f"{architecture(result.architecture)}\n\n{none}"
    lines = [
        architecture(result.architecture),
        "",
        f"{ranked['candidates']} candidates ranked; best trade-offs, on {summary['cases']} validation cases:",
        f"{'Dice':>7} {'G MACs':>8} {'M parameters':>13} {'MiB':>6} {'ms':>7}",
    ]
    for row in summary["front"]:
        latency = "-" if row["latency_ms"] is None else f"{row['latency_ms']:.0f}"
        memory = "-" if row["memory"] is None else f"{row['memory'] / 2**20:.0f}"
        chosen = "  ← chosen" if row["architecture"] == summary["architecture"] else ""
        lines.append(
            f"{row['dice']:7.4f} {row['macs'] / 1e9:8.3f} {row['parameters'] / 1e6:13.3f} {memory:>6} {latency:>7}"
            f"{chosen}"
        )
    audit = ranked["audit"]
    if audit:
        taus = ", ".join(f"{rung['tau']:.2f} on {rung['cases']}" for rung in audit["rungs"])
        lines.append(f"Kendall's τ with the ranking on all cases, of {audit['candidates']} at random: {taus} cases.")
    return "\n".join([*lines, *_trust(summary)])


def _trust(summary: dict[str, Any]) -> list[str]:
    """Return the agreement with retraining, where it was asked for."""
    if "tau" not in summary:
        return []
    low, high = summary["interval"]
    noise = "not known" if summary["seed_sd"] is None else f"{summary['seed_sd']:.4f}"
    if summary.get("seed_interval"):
        noise += " (95 % interval {:.4f} to {:.4f})".format(*summary["seed_interval"])
    trained = sum(bool(each["dice"]) for each in summary["candidates"])
    return [
        f"{trained} candidates retrained from scratch, {summary['iterations']} iterations each: Kendall's τ with the "
        f"ranking {summary['tau']:.2f} (95 % interval {low:.2f} to {high:.2f}).",
        f"Standard deviation of Dice between candidates {summary['spread_sd']:.4f}, between seeds {noise}.",
    ]


def ablation(table: dict[str, Any]) -> str:
    """Return a block for each data set: every architecture, then the difference of each two, then failures."""
    return "\n\n".join(_block(column) for column in table["data_sets"])


def _block(column: dict[str, Any]) -> str:
    rows = column["rows"]
    classes = next(([each["name"] for each in row["classes"]] for row in rows if "classes" in row), [])
    shown = classes if len(classes) > 1 else []  # of one class, the mean says it all
    head = ["architecture", *shown, "mean", "± folds", "folds", "params (M)", "MACs (G)"]
    title = (
        f"{column['data_set']} (run {column['run']}): {column['iterations']} iterations of the recipe "
        f"{column['recipe']}, width {column['width']:g}, folds {', '.join(map(str, column['folds']))}"
    )
    lines = [title, aligned([head, *(_ablated(row, shown) for row in rows)], left=1)]
    lines += [sentence for each in column["differences"] for sentence in each["sentences"]]
    lines += [
        f"{row['name']} on fold {each['fold']} failed: {each['reason']}" for row in rows for each in row["failures"]
    ]
    return "\n".join(lines)


def _ablated(row: dict[str, Any], classes: list[str]) -> list[str]:
    scores = {each["name"]: each["dice"] for each in row.get("classes", [])}
    mean = row.get("mean", {"dice": None, "spread": None})
    return [
        row["name"],
        *(percent(scores.get(name)) for name in classes),
        percent(mean["dice"]),
        percent(mean["spread"]),
        str(len(row["folds"])),
        f"{row['parameters'] / 1e6:.2f}",
        f"{row['macs'] / 1e9:.2f}",
    ]
