"""A verdict as text: a line for each network, then what it says of each pair, and how that came about."""

from typing import TYPE_CHECKING

from c2fnas.cli.text_table import aligned, percent

if TYPE_CHECKING:
    from c2fnas.evaluation.verdict import Contestant, Verdict


def verdict_text(verdict: "Verdict") -> str:
    """The table, a sentence for each reference, how each was chosen, and what to know before believing them."""
    folds = f"fold{'s' if len(verdict.folds) > 1 else ''} {', '.join(map(str, verdict.folds))}"
    networks = [verdict.searched, *(each.network for each in verdict.references if each.network is not None)]
    classes = list(verdict.searched.per_class or {})
    head = ["Dice in %", *classes, "mean", "params (M)", "MACs (G)"]
    return "\n".join(
        [
            f"Verdict: {verdict.training}, on {verdict.cases} validation cases of {folds}",
            aligned([head, *(_line(network, classes) for network in networks)], left=1),
            *(each.sentence for each in verdict.references),
            *verdict.notes,
            " ".join(verdict.caveats),
        ]
    )


def _line(network: "Contestant", classes: list[str]) -> list[str]:
    scores = [*((network.per_class or {}).get(name) for name in classes), network.dice]
    return [network.title, *map(percent, scores), f"{network.parameters / 1e6:.2f}", f"{network.macs / 1e9:.2f}"]
