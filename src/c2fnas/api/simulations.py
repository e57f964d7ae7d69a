"""Searches replayed on a table of trained topologies."""

from pathlib import Path
from typing import TYPE_CHECKING

from c2fnas.api.options import refuse_below, refuse_figure
from c2fnas.bench.samplers import SAMPLERS

if TYPE_CHECKING:
    from c2fnas.bench import Simulation
    from c2fnas.runs.reporter import Reporter


def simulate(
    table: str | Path | None = None,
    *,
    samplers: str = ",".join(SAMPLERS),
    evaluations: int | None = None,
    workers: int = 8,
    repetitions: int = 1000,
    slow_repetitions: int = 100,
    noise: bool = True,
    truth: str = "own",
    prior: str | Path | None = None,
    figure: str | Path | None = None,
    reporter: "Reporter | None" = None,
) -> "Simulation":
    """Replay searches on a table of trained topologies, in virtual time with asynchronous workers.

    Truths are drawn from a model of the table, which tells topologies from seeds, and the table is resampled. Says how
    much worse than the best network each search ends (regret), whether it beats random search and Algorithm 1, and
    whether the distance of two codes predicts the difference of their Dice. In Python, `c2fnas.bench.simulate` does
    the same with a table in memory.

    Args:
        table: A table of `c2fnas tabulate`; by default Hippocampus', the larger of the two that come with c2fnas.
        samplers: The searches to compare, with commas, each as SAMPLER[+RULE][@NETWORKS]: bayesian@16 trains sixteen
            networks; rules of choice are observed, posterior, cheapest (within the margin, as in a run) and oracle.
        evaluations: Networks of a search; by default 50, or half of the space.
        workers: Networks that are trained at the same time.
        repetitions: Searches of each sampler.
        slow_repetitions: Searches of those that think longer, such as bayesian and tpe.
        noise: Let searches see Dice with the noise between the table's seeds.
        truth: The model of the table that truths are drawn from: linear in the code, smooth beside that, or own, where
            every topology has a part of its own, too.
        prior: A table, such as one of another data set, that the model of a Bayesian search begins with; by default
            nothing. A run begins with those of the two that were made on other data.
        figure: Draw the figure into this file: PNG, SVG or PDF.
        reporter: Hears of the progress.

    Raises:
        UserError: an option is wrong, or the table can't be read or says too little.

    Examples:
        c2fnas simulate
        c2fnas simulate topologies.csv --samplers algorithm1,random --workers 1 --json
    """
    refuse_figure(figure)
    refuse_below(1, evaluations=evaluations, workers=workers)
    refuse_below(2, repetitions=repetitions, slow_repetitions=slow_repetitions)
    from c2fnas.bench import TopologyTable
    from c2fnas.bench import simulate as replayed
    from c2fnas.bench.worlds import TRUTHS
    from c2fnas.errors import UserError
    from c2fnas.runs.reporter import listening

    chosen = next((known for known in TRUTHS if known == truth), None)
    if chosen is None:
        raise UserError(f"--truth {truth}: no such model; choose among {', '.join(TRUTHS)}.")
    say = listening(reporter).say
    found = replayed(
        TopologyTable.shipped() if table is None else TopologyTable.load(Path(table)),
        tuple(name.strip() for name in samplers.split(",")),
        evaluations=evaluations,
        workers=workers,
        repetitions=repetitions,
        slow_repetitions=slow_repetitions,
        noise=noise,
        truth=chosen,
        prior=None if prior is None else TopologyTable.load(Path(prior)),
        on_contender=lambda name: say(f"{name} ..."),
    )
    if figure is not None:
        from c2fnas.report.figures import save_simulation

        save_simulation(found.comparison, found.scores, Path(figure))
    return found
