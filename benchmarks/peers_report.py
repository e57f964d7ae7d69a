"""The Markdown of `peers.py`."""

import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from c2fnas.data.dataset import Case
from c2fnas.data.folds import group_cases
from c2fnas.evaluation.metrics import Evaluation
from c2fnas.evaluation.pairs import paired

TITLES = {
    "c2fnas": "c2fnas",
    "nnunet": "nnU-Net",
    "auto3dseg": "SegResNet by Auto3DSeg",
    "dynunet": "DynUNet in our loop",
    "segresnet": "SegResNet in our loop",
    "dints": "DiNTS in our loop",
    "c2fnas@nnunet": "our network, nnU-Net's spacing and patch, in our loop",
    "dynunet@nnunet": "DynUNet, nnU-Net's spacing and patch, in our loop",
}


def read(folder: Path) -> list[dict[str, Any]]:
    """Return the trainings that are kept in a folder, in order of sides and seeds."""
    order = {side: number for number, side in enumerate(TITLES)}
    kept = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    return sorted(kept, key=lambda each: (order[each["side"]], each["seed"]))


def table(kept: Sequence[Mapping[str, Any]]) -> str:
    """Return the trainings of a data set as a page: Dice by class, what was planned, answers."""
    sides = [(side, list(each)) for side, each in groupby(kept, lambda each: each["side"])]
    asked = kept[0]["asked"]
    classes = list(kept[0]["evaluation"]["per_class"])
    lines = [
        f"# {asked['data_set']}: peers in the same time",
        "",
        f"{asked['minutes']:g} minutes of {_cores(kept)} for each training, fold {asked['fold']}"
        + (f", cases grouped by `{asked['group_by']}`" if asked["group_by"] else "")
        + f"; {len(kept[0]['evaluation']['cases'])} cases validate. Dice in per cent; ± is the standard deviation over "
        "trainings.",
        "",
        f"| | trainings | {' | '.join(classes)} | mean |",
        f"|---|---|{'---|' * len(classes)}---|",
        *(_dice(side, trainings) for side, trainings in sides),
        "",
        "| | spacing in mm | patch | patches a step | precision | steps | minutes of training, of all "
        "| processor minutes |",
        "|---|---|---|---|---|---|---|---|",
        *(_plan(side, trainings) for side, trainings in sides),
        "",
        "A budget of c2fnas pays for its preparation and for the prediction of the validation cases. For nnU-Net and "
        "Auto3DSeg preparation counts nowhere, and the prediction in the minutes of all.",
        "",
        *_answers(sides, _groups(kept[0])),
        "## Commands",
        "",
        "```sh",
        *dict.fromkeys(each["command"] for each in kept),
        "```",
        "",
        *dict.fromkeys(f"- {', '.join(sorted(found))}: {about}" for about, found in _machines(kept).items()),
    ]
    return "\n".join(lines) + "\n"


def _cores(kept: Sequence[Mapping[str, Any]]) -> str:
    if kept[0]["asked"]["device"] != "cpu":
        return "a GPU"
    counts = sorted({each["cores"] for each in kept})
    return " or ".join("one core" if count == 1 else f"{count} cores" for count in counts)


def _dice(side: str, trainings: Sequence[Mapping[str, Any]]) -> str:
    found = [Evaluation.from_json(each["evaluation"]) for each in trainings]
    rows = [(*each.per_class.values(), each.mean) for each in found]
    cells = [_spread(values) for values in zip(*rows, strict=True)]
    return f"| {TITLES[side]} | {len(trainings)} | {' | '.join(cells)} |"


def _spread(values: Sequence[float | None]) -> str:
    known = [100 * value for value in values if value is not None]
    if not known:
        return "–"
    return f"{mean(known):.1f}" + (f" ± {stdev(known):.1f}" if len(known) > 1 else "")


def _plan(side: str, trainings: Sequence[Mapping[str, Any]]) -> str:
    facts = [each["facts"] for each in trainings]
    spacing = _each("×".join(f"{mm:g}" for mm in each["spacing"]) if each["spacing"] else "as it is" for each in facts)
    patch = _each("×".join(map(str, each["patch"])) for each in facts)
    steps = ", ".join(f"{each['iterations']:,}" for each in facts)
    minutes = ", ".join(f"{each['seconds'] / 60:.1f}, {each['whole']['wall'] / 60:.1f}" for each in facts[:1])
    cpu = _each(f"{each['whole']['cpu'] / 60:.0f}" for each in facts)
    batch, precision = (_each(str(each.get(name)) for each in facts) for name in ("batch", "precision"))
    return f"| {TITLES[side]} | {spacing} | {patch} | {batch} | {precision} | {steps} | {minutes} | {cpu} |"


def _groups(training: Mapping[str, Any]) -> dict[str, str]:
    """The group of each case that was scored, where cases are grouped."""
    pattern = training["asked"]["group_by"]
    cases = [Case(each["case"], (), None) for each in training["evaluation"]["cases"]]
    return {case.id: str(case.group) for case in group_cases(cases, pattern)} if pattern else {}


def _each(values: Any) -> str:
    return ", ".join(dict.fromkeys(values))


def _answers(sides: Sequence[tuple[str, Sequence[Mapping[str, Any]]]], groups: Mapping[str, str]) -> list[str]:
    """c2fnas beside each other side, trainings as the unit of evidence."""
    found = {
        side: {(each["asked"]["fold"], each["seed"]): Evaluation.from_json(each["evaluation"]) for each in trainings}
        for side, trainings in sides
    }
    if "c2fnas" not in found:
        return []
    sentences = [
        sentence
        for side, trainings in found.items()
        if side != "c2fnas"
        for sentence in paired((TITLES["c2fnas"], found["c2fnas"]), (TITLES[side], trainings), groups=groups).sentences
    ]
    return ["## Answers", "", *(f"- {sentence}" for sentence in sentences), ""] if sentences else []


def _machines(kept: Sequence[Mapping[str, Any]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for each in kept:
        capability = "" if each["capability"] == "all" else f"; as on {each['capability'].upper()}"
        found.setdefault(f"{each['machine']}{capability}", set()).add(TITLES[each["side"]])
    return found
