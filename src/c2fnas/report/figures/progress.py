"""The search's progress: Dice of every evaluated network, and the best so far."""

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from c2fnas.report.facts.coarse import CoarseFacts, best_so_far
from c2fnas.report.figures.style import BLACK, series_look


def draw_best_so_far(figure: Figure, coarse: CoarseFacts) -> None:
    """A dot for each network, coloured by cluster, and the highest Dice so far as steps."""
    axes = figure.subplots()
    known = coarse.evaluated
    scores = [trial.evidence or 0.0 for trial in known]
    numbers = range(1, len(known) + 1)
    axes.step(numbers, best_so_far(scores), where="post", color=BLACK, label="best so far", zorder=2)
    for cluster in coarse.clusters:
        own = [(n, scores[n - 1]) for n in numbers if coarse.cluster_of(known[n - 1]) == cluster.index]
        look = series_look(cluster.index)
        axes.scatter([n for n, _ in own], [dice for _, dice in own], s=34, zorder=3, clip_on=False, **look)
    axes.set(xlabel="evaluated networks", ylabel="mean Dice")
    axes.set_ylim(bottom=min(0.0, *scores) if min(scores) < 0.1 else None)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside upper left")
