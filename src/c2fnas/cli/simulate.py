"""`c2fnas simulate`: searches replayed on a table of topologies."""

import json as json_format
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from c2fnas.cli.options import Quiet
from c2fnas.errors import UserError

if TYPE_CHECKING:
    from c2fnas.bench.comparison import Comparison

FEWEST = 48
"""Topologies below which a table says nothing about searchers."""

FIGURES = (".png", ".svg", ".pdf")
SAMPLERS = "algorithm1,random,regularised-evolution,tpe,surrogate"


def simulate(
    table: Annotated[Path, typer.Argument(help="A table of `c2fnas tabulate`.")],
    samplers: Annotated[str, typer.Option(help="Which to compare, with commas.")] = SAMPLERS,
    evaluations: Annotated[
        int | None, typer.Option(min=1, help="Networks of a search; half of the table's, 50 at most, where left out.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Networks that are trained at the same time.")] = 8,
    repetitions: Annotated[int, typer.Option(min=2, help="Searches of each sampler.")] = 1000,
    slow_repetitions: Annotated[
        int, typer.Option(min=2, help="Searches of surrogate, tpe, gp, which think longer.")
    ] = 50,
    noise: Annotated[
        bool, typer.Option("--noise/--no-noise", help="Let searches see Dice with the noise between the table's seeds.")
    ] = True,
    figure: Annotated[Path | None, typer.Option(help="Draw the figure into this file: PNG, SVG or PDF.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    quiet: Quiet = False,
) -> None:
    """Replay searches on a table of trained topologies, in virtual time with asynchronous workers.

    Says how much worse than the table's best network each search ends (regret), whether Algorithm 1 beats random
    search there, and whether the distance of two codes predicts the difference of their Dice.

    Examples:

    `c2fnas simulate benchmarks/results/topology_table.csv`

    `c2fnas simulate topologies.csv --samplers algorithm1,random --workers 1 --json`
    """
    from threadpoolctl import threadpool_limits

    from c2fnas.bench.comparison import Budget, compare
    from c2fnas.bench.table import read_table
    from c2fnas.bench.table_facts import measurements, seed_noise, table_clusters
    from c2fnas.search.choice import check_sampler_name

    names = [name.strip() for name in samplers.split(",")]
    for name in names:
        try:
            check_sampler_name(name)
        except ValueError as error:
            raise UserError(f"--samplers {error}.") from error
    if figure is not None and figure.suffix.lower() not in FIGURES:
        raise UserError(f"--figure {figure}: a figure's name ends in {', '.join(FIGURES)}.")
    rows = read_table(table)
    measured, clusters = measurements(rows, _iterations(table)), table_clusters(rows)
    scored = [sum(measured[each].score is not None for each in cluster.topologies) for cluster in clusters]
    if sum(scored) < 4 or max(scored, default=0) < 2:
        raise UserError(
            f"{table}: has {sum(scored)} topologies with a Dice; four are needed, two of them of one cluster. `c2fnas "
            "tabulate` adds more."
        )
    spread = seed_noise(rows) or 0.0
    budget = Budget(
        evaluations=min(evaluations or max(1, min(50, len(measured) // 2)), len(measured)),
        workers=workers,
        repetitions=repetitions,
        slow_repetitions=slow_repetitions,
        noise=spread if noise else 0.0,
    )
    with threadpool_limits(1):  # small matrices: threads would only wait for each other
        comparison = compare(measured, clusters, names, budget, tell=lambda name: _say(name, quiet))
        facts = summary(rows, comparison, budget)
    typer.echo(json_format.dumps(facts, indent=2) if json else in_words(facts))
    if figure is not None:  # last: where it can't be written, what was computed is not lost
        from c2fnas.report.figures.simulation import save_simulation

        scores = {topology: entry.score for topology, entry in measured.items() if entry.score is not None}
        save_simulation(comparison, scores, figure)


def summary(rows: Any, comparison: "Comparison", budget: Any) -> dict[str, Any]:
    """All that a simulation says, as JSON."""
    from dataclasses import asdict

    from c2fnas.bench.comparison import difference
    from c2fnas.bench.simulate import confidence_band
    from c2fnas.bench.table_facts import cluster_share, distance_correlation, measurements, seed_noise, table_clusters

    measured = measurements(rows, 1)
    scores = {topology: entry.score for topology, entry in measured.items() if entry.score is not None}
    dice, contenders = list(scores.values()), []
    for each in comparison.contenders:
        final = confidence_band(each.final[:, None])
        contenders.append(
            {
                "name": each.name,
                "repetitions": len(each.final),
                "regret": float(final.mean[0]),
                "interval": [float(final.low[0]), float(final.high[0])],
                "compute": float(each.cost.mean()),
                "by_networks": {k: v.tolist() for k, v in asdict(each.by_networks).items()},
                "by_cost": {k: v.tolist() for k, v in asdict(each.by_cost).items()},
            }
        )
    plain = {each.sampler: each for each in comparison.contenders if not each.early_stopping}
    against = {}
    if "random" in plain:
        others = (name for name in plain if name != "random")
        against = {name: difference(plain[name], plain["random"]) for name in others}
    return {
        "topologies": len(scores),
        "trainings": len(rows),
        "budget": asdict(budget),
        "dice": {"best": max(dice), "mean": sum(dice) / len(dice), "worst": min(dice)},
        "seed_noise": seed_noise(rows),
        "distance_predicts_difference": asdict(distance_correlation(scores)),
        "variance_between_clusters": asdict(cluster_share(scores, table_clusters(rows))),
        "networks": comparison.networks.tolist(),
        "costs": comparison.costs.tolist(),
        "contenders": contenders,
        "regret_less_that_of_random": {name: list(each) for name, each in against.items()},
    }


def in_words(facts: dict[str, Any]) -> str:
    """The summary as a table and a few sentences."""
    budget, dice, noise = facts["budget"], facts["dice"], facts["seed_noise"]
    seen = "without noise" if not budget["noise"] else f"seen with a noise of {budget['noise']:.4f}"
    lines = [
        f"{facts['topologies']} topologies, {facts['trainings']} trainings: Dice {dice['worst']:.4f} to "
        f"{dice['best']:.4f}, mean {dice['mean']:.4f}; between seeds "
        f"{'unknown' if noise is None else f'a standard deviation of {noise:.4f}'}.",
        f"{budget['evaluations']} networks a search, {budget['workers']} workers, {seen}.",
        "",
        f"{'search':40} {'regret':>8} {'95 % interval':>18} {'compute':>9} {'searches':>9}",
    ]
    for each in facts["contenders"]:
        low, high = each["interval"]
        lines.append(
            f"{each['name']:40} {each['regret']:8.4f} {f'{low:.4f} to {high:.4f}':>18} {each['compute']:8.0f}s "
            f"{each['repetitions']:9}"
        )
    lines.append("")
    if facts["topologies"] < FEWEST:
        lines.append(f"With fewer than {FEWEST} topologies none of this can be relied on; `c2fnas tabulate` adds more.")
    lines += [_verdict(name, *values) for name, values in facts["regret_less_that_of_random"].items()]
    lines.append(
        _estimate("Distance of codes against difference of Dice (Spearman)", facts["distance_predicts_difference"])
    )
    lines.append(_estimate("Share of the variance of Dice between clusters", facts["variance_between_clusters"]))
    return "\n".join(lines)


def _verdict(name: str, mean: float, low: float, high: float) -> str:
    word = "better than random search" if high < 0 else "worse than random search" if low > 0 else "no different"
    return f"{name}: {word}; its regret less random's is {mean:+.4f} ({low:+.4f} to {high:+.4f})."


def _estimate(what: str, estimate: dict[str, float]) -> str:
    interval = f"{estimate['low']:.3f} to {estimate['high']:.3f}"
    return f"{what}: {estimate['value']:.3f} ({interval}), p = {estimate['p_value']:.3f}."


def _iterations(table: Path) -> int:
    """Iterations of a training, from what `c2fnas tabulate` wrote beside the table."""
    from c2fnas.files import read_json

    beside = table.with_suffix(".json")
    if not beside.exists():
        raise UserError(
            f"{beside}: is missing; it says in what setting the table was made. Copy it along with the table."
        )
    try:
        return int(read_json(beside)["setting"]["iterations"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{beside}: does not say how many iterations a training had ({error!r}). Copy it anew along with the table."
        ) from error


def _say(name: str, quiet: bool) -> None:
    if not quiet:
        typer.echo(f"{name} ...", err=True)
