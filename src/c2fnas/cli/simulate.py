"""`c2fnas simulate`: searches replayed on a table of topologies."""

import json as json_format
from pathlib import Path
from typing import Annotated

import typer

from c2fnas.cli.options import Quiet
from c2fnas.errors import UserError

FIGURES = (".png", ".svg", ".pdf")
SAMPLERS = "algorithm1,random,regularised-evolution,tpe,surrogate"


def simulate(
    table: Annotated[
        Path | None, typer.Argument(help="A table of `c2fnas tabulate`; the one that comes with c2fnas where left out.")
    ] = None,
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

    `c2fnas simulate`

    `c2fnas simulate topologies.csv --samplers algorithm1,random --workers 1 --json`
    """
    from c2fnas.bench import TopologyTable
    from c2fnas.bench import simulate as replay_all

    if figure is not None and figure.suffix.lower() not in FIGURES:
        raise UserError(f"--figure {figure}: a figure's name ends in {', '.join(FIGURES)}.")
    simulation = replay_all(
        TopologyTable.shipped() if table is None else TopologyTable.load(table),
        [name.strip() for name in samplers.split(",")],
        evaluations=evaluations,
        workers=workers,
        repetitions=repetitions,
        slow_repetitions=slow_repetitions,
        noise=noise,
        on_contender=lambda name: _say(name, quiet),
    )
    typer.echo(json_format.dumps(simulation.to_json(), indent=2) if json else simulation.text())
    if figure is not None:  # last: where it can't be written, what was computed is not lost
        from c2fnas.report.figures.simulation import save_simulation

        save_simulation(simulation.comparison, simulation.scores, figure)


def _say(name: str, quiet: bool) -> None:
    if not quiet:
        typer.echo(f"{name} ...", err=True)
