"""Table 3 as text."""

from typing import Any

from c2fnas.cli.text_table import aligned, percent
from c2fnas.evaluation.verdict import counted


def in_words(table: dict[str, Any]) -> str:
    """A block for each data set: Dice in per cent of every architecture, then how each two differ, then failures."""
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
    lines = [title, aligned([head, *(_line(row, shown) for row in rows)], left=1)]
    lines += [_difference(each) for each in column["differences"]]
    lines += [
        f"{row['name']} on fold {each['fold']} failed: {each['reason']}" for row in rows for each in row["failures"]
    ]
    return "\n".join(lines)


def _line(row: dict[str, Any], classes: list[str]) -> list[str]:
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


def _difference(pair: dict[str, Any]) -> str:
    names = f"{pair['first']} less {pair['second']}"
    if pair["same"]:
        return f"{names}: the same network."
    if pair["difference"] is None:
        return f"{names}: no fold of both."
    mean, classes = pair["difference"]["mean"], pair["difference"]["per_class"]
    verdict = {"first": f"{pair['first']} is better", "second": f"{pair['second']} is better", None: "no gain shown"}
    by_class = [f"{name} {_interval(each)}" for name, each in classes.items() if each is not None]
    more = f"; {', '.join(by_class)}" if len(by_class) > 1 else ""
    return f"{names}: {_interval(mean)} on {counted(mean['cases'], mean['groups'])}, {verdict[mean['better']]}{more}."


def _interval(each: dict[str, Any]) -> str:
    """In points of Dice, with the interval."""
    if each["low"] is None:
        return f"{100 * each['mean']:+.2f}"
    return f"{100 * each['mean']:+.2f} ({100 * each['low']:+.2f} to {100 * each['high']:+.2f})"
