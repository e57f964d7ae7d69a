"""How far the ranking can be trusted: retrained candidates, their Dice in the ranking against that from scratch."""

from typing import Any

from matplotlib.figure import Figure

from c2fnas.report.figures.style import BLUE, GREY


def draw_trust(figure: Figure, verification: dict[str, Any]) -> None:
    """A dot for each retrained candidate; a bar joins two seeds of the same one."""
    axes = figure.subplots()
    for candidate in verification["candidates"]:
        if not candidate["dice"]:
            continue
        low, high = min(candidate["dice"]), max(candidate["dice"])
        axes.plot([candidate["ranked"]] * 2, [low, high], color=GREY, linewidth=2, zorder=2)
        axes.scatter([candidate["ranked"]] * len(candidate["dice"]), candidate["dice"], s=36, color=BLUE, zorder=3)
        axes.annotate(
            str(candidate["place"]),
            (candidate["ranked"], high),
            xytext=(0, 5),
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )
    axes.set(xlabel="Dice in the ranking (super-network's weights)", ylabel="Dice trained from scratch")
    axes.margins(0.12)
