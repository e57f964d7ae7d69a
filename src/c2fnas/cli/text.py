"""Results as text, a function for each command."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from c2fnas.cli.text_table import aligned
from c2fnas.text import crossed, plural

if TYPE_CHECKING:
    from c2fnas.api.checks import Check
    from c2fnas.api.costs import Comparison, Description
    from c2fnas.api.evaluations import Evaluated
    from c2fnas.api.exports import Exported
    from c2fnas.api.runs import Run
    from c2fnas.space.architecture import Architecture


def own(result: Any) -> str:
    """Return the text that a result makes of itself."""
    return str(result.text())


def path(result: Path) -> str:
    """Return a path as text."""
    return str(result)


def check(result: "Check") -> str:
    """Return the problems, those that many cases share once with the files' names, and the counts."""
    if result.scan is None:
        return ""
    lines = [str(result)]
    if result.folder is not None:
        lines += [f"corrected: {each.copy}: {each.fixed}" for each in result.fixed]
        count = len(result.fixed)
        manifest = next((file.name for file in result.scan.files if file.name != "dataset.json"), "")
        place = result.folder / manifest  # a folder may hold several tables
        lines.append(f"{result.folder} is a copy with {count} files corrected. `c2fnas check {place}` tells the rest.")
    return "\n".join(lines)


def description(result: "Description | dict[str, int]") -> str:
    """Return a drawing of an architecture with its cost, or the counts of the search space."""
    if isinstance(result, dict):
        return "\n".join(f"{key.replace('_', ' '):28}{value:>15,}" for key, value in result.items())
    cost = (
        f"\n{result.cost.parameters / 1e6:.2f} M parameters, {result.cost.macs / 1e9:.2f} G multiply-accumulates at "
        f"{_input(result)}"
    )
    validation = [f"{name}: {text}" for name, text in result.validation.items()]
    notes = [*filter(None, [result.note]), *validation]
    return "\n".join([_drawn(result.architecture), cost, result.architecture.to_text(), *notes])


def architecture(result: "Architecture") -> str:
    """Return a drawing of an architecture and its text form."""
    return f"{_drawn(result)}\n{result.to_text()}"


def _drawn(architecture: "Architecture") -> str:
    from c2fnas.space.drawing import draw_text

    return draw_text(architecture)


def _input(result: Any) -> str:
    return f"{crossed(result.input)}, {plural(result.channels, 'channel')}, {result.classes} classes"


def comparison(result: "Comparison") -> str:
    """Return Table 2 with the paper's figures beside ours."""
    head = ["network", "params (M)", "paper", "MACs (G)", "paper"]
    lines = [
        [
            each.title,
            f"{each.parameters / 1e6:.2f}",
            _beside(each.parameters, each.paper_parameters, 1e6),
            f"{each.macs / 1e9:.2f}",
            _beside(each.macs, each.paper_macs, 1e9),
        ]
        for each in result.networks
    ]
    notes = [f"{each.title}: {each.note}" for each in result.networks if each.note is not None]
    title = f"Parameters and multiply-accumulates at {_input(result)}"
    return "\n".join([title, aligned([head, *lines], left=1), *notes])


def _beside(counted: float, printed: float | None, unit: float) -> str:
    """Return the printed figure and by how much ours differs."""
    return "–" if printed is None else f"{printed / unit:.2f} ({100 * (counted / printed - 1):+.1f}%)"


def evaluation(result: "Evaluated") -> str:
    """Return the metrics of each class, the cases that they rest on, and their mean."""
    found = result.evaluation
    columns = {"Dice": found.per_class, "surface Dice": found.surface_dice, "Hausdorff 95 (mm)": found.hausdorff95_mm}
    shown = {title: values for title, values in columns.items() if values is not None}
    counts = found.counts
    numbers = list(next(iter(counts.values())))
    rows = [
        [
            name,
            *("-" if values[name] is None else f"{values[name]:.4f}" for values in shown.values()),
            *(str(counts[name][number]) for number in numbers),
        ]
        for name in found.per_class
    ]
    pair = "".join(f"\n{sentence}" for sentence in result.against.sentences) if result.against else ""
    return (
        f"{aligned([['class', *shown, *numbers], *rows], left=1)}\n"
        f"mean Dice {found.mean:.4f} on {len(found.cases)} cases; {found.excluded_empty} pairs of case and class left "
        f"out (both empty), {found.false_positive_empty} count as 0 (label empty, prediction not)"
        f"{pair}"
    )


def exported(result: "Exported") -> str:
    """Return the path that was written and how it is used."""
    return f"{result.output}: {result.use}"


def prepared(result: "Run") -> str:
    """Return the place of the plan."""
    return f"{result.folder / 'plan.yaml'} tells how cases are prepared; edit it before the run if you know better."
