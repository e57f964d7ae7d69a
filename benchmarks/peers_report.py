"""The Markdown of `peers.py`."""

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from c2fnas.evaluation.metrics import Evaluation
from peers_answers import answers, groups_of
from peers_conditions import VARIABLES
from peers_sides import TITLES

Json = Mapping[str, Any]
NOTHING_FOUND, UNSEEN = 0.05, 0.0005
"""A mean Dice below the first is that of a network which has not learnt yet; a class below the second reads as 0."""
MINUTES = (
    "Minutes of training are those of the steps of the network that is scored; where c2fnas searches, the search is in "
    "the minutes of all. A budget of c2fnas pays for its preparation and for the prediction of the validation cases. "
    "For the other tools preparation counts nowhere, and the minutes of all are training and prediction."
)
NOTES = {
    "segresnet": "SegResNet in our loop is MONAI's SegResNet, not the deeply supervised one of Auto3DSeg.",
    "auto3dseg-dints": "DiNTS by Auto3DSeg trains by its own schedule, whatever time that takes; its minutes of "
    "training hold its validations.",
}


def read(folder: Path) -> list[dict[str, Any]]:
    """Return the trainings that are kept in a folder, in order of sides and seeds."""
    order = {side: number for number, side in enumerate(TITLES)}
    kept = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    return sorted(kept, key=lambda each: (order[each["side"]], each["seed"]))


def table(kept: Sequence[Json]) -> str:
    """Return the trainings of a data set as a page: Dice by class, what was planned, answers."""
    sides = [(side, list(each)) for side, each in groupby(kept, lambda each: each["side"])]
    classes = list(kept[0]["evaluation"]["per_class"])
    lines = [
        f"# {kept[0]['asked']['data_set']}: peers in the same time",
        "",
        f"{_terms(kept)} Dice in per cent; ± is the standard deviation over trainings.",
        "",
        f"| | trainings | {' | '.join(classes)} | mean |",
        f"|---|---|{'---|' * len(classes)}---|",
        *(_dice(side, trainings) for side, trainings in sides),
        "",
        *_listed(f"- {each}" for side, trainings in sides for each in _nothing_found(side, trainings)),
        "| | spacing in mm | patch | patches a step | precision | views | steps | minutes of preparation | of training "
        "| of all | processor minutes |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
        *(_plan(side, trainings) for side, trainings in sides),
        "",
        MINUTES,
        "",
        *_listed(f"- {NOTES[side]}" for side, _ in sides if side in NOTES),
        *answers(kept),
        "## Commands",
        "",
        "```sh",
        *dict.fromkeys(each["command"] for each in kept),
        "```",
        "",
        *dict.fromkeys(f"- {', '.join(sorted(found))}: {about}" for about, found in _machines(kept).items()),
        *_changed(kept),
    ]
    return "\n".join(lines) + "\n"


def _terms(kept: Sequence[Json]) -> str:
    """The conditions that all trainings share, in a sentence."""
    asked, groups = kept[0]["asked"], groups_of(kept[0])
    cases = [each["case"] for each in kept[0]["evaluation"]["cases"]]
    held = f"{len(cases)} cases" + (f" of {len({*groups.values()})} groups" if groups else "")
    parts = [
        f"{asked['minutes']:g} minutes of {_cores(asked)} for each training, fold {asked['fold']} of "
        f"{asked['fold_count']}",
        *(["drawn at random"] if asked["drawn"] else []),
        *([f"cases grouped by `{asked['group_by']}`"] if asked["group_by"] else []),
    ]
    return f"{', '.join(parts)}; {held} validate."


def _cores(asked: Json) -> str:
    if asked["device"] != "cpu":
        return "a GPU"
    return "one core" if asked["cores"] == 1 else f"{asked['cores']} cores"


def _dice(side: str, trainings: Sequence[Json]) -> str:
    found = [Evaluation.from_json(each["evaluation"]) for each in trainings]
    rows = [(*each.per_class.values(), each.mean) for each in found]
    cells = [_spread(values) for values in zip(*rows, strict=True)]
    return f"| {TITLES[side]} | {len(trainings)} | {' | '.join(cells)} |"


def _spread(values: Sequence[float | None]) -> str:
    known = [100 * value for value in values if value is not None]
    if not known:
        return "–"
    return f"{mean(known):.1f}" + (f" ± {stdev(known):.1f}" if len(known) > 1 else "")


def _nothing_found(side: str, trainings: Sequence[Json]) -> list[str]:
    """A sentence on a side that has not learnt a class yet, or none at all."""
    found = [Evaluation.from_json(each["evaluation"]) for each in trainings]
    title, whole = TITLES[side], mean(each.mean for each in found)
    if whole < NOTHING_FOUND:
        return [f"{title} found no structure in this time: its mean Dice is {100 * whole:.1f} %."]
    classes = {name: [each.per_class[name] for each in found] for name in found[0].per_class}
    never = [name for name, dice in classes.items() if all(each is not None and each < UNSEEN for each in dice)]
    return [f"{title} found no structure in this time of the class {name}: its Dice is 0." for name in never]


def _plan(side: str, trainings: Sequence[Json]) -> str:
    facts = [each["facts"] for each in trainings]
    cells = [
        TITLES[side],
        _each("×".join(f"{mm:g}" for mm in each["spacing"]) if each["spacing"] else "as it is" for each in facts),
        _each("×".join(map(str, each["patch"])) for each in facts),
        *(_each(str(each.get(name, "–")) for each in facts) for name in ("batch", "precision", "views")),
        ", ".join(f"{each['iterations']:,}" for each in facts),
        _minutes(each.get("preparation", {}).get("wall") for each in facts),
        _minutes(each["seconds"] for each in facts),
        _minutes(each["whole"]["wall"] for each in facts),
        _minutes(each["whole"]["cpu"] for each in facts),
    ]
    return f"| {' | '.join(cells)} |"


def _minutes(seconds: Iterable[float | None]) -> str:
    """The mean over trainings."""
    known = [each / 60 for each in seconds if each is not None]
    return f"{mean(known):.1f}" if known else "–"


def _each(values: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(values))


def _listed(lines: Iterable[str]) -> list[str]:
    """Lines with an empty one after them, where there are any."""
    found = [*lines]
    return [*found, ""] if found else []


def _machines(kept: Sequence[Json]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for each in kept:
        variables = [(name, each["asked"][name.lower()]) for name in VARIABLES]
        chosen = [f"{name}={value}" for name, value in variables if value]
        about = "; ".join([each["machine"], *chosen, *_own_code(each["facts"])])
        found.setdefault(about, set()).add(TITLES[each["side"]])
    return found


def _own_code(facts: Json) -> list[str]:
    """The code of a peer that the machine's line does not name: its environment, or its templates."""
    versions, templates = facts.get("versions", {}), facts.get("templates")
    own = [f"{name} {versions[name]}" for name in ("nnunetv2", "torch")] if "nnunetv2" in versions else []
    if templates:
        own.append(f"templates of {templates['commit'] or 'no commit'}, SHA-256 {templates['sha256'][:12]}")
    return [", ".join(own)] if own else []


def _changed(kept: Sequence[Json]) -> list[str]:
    """A warning for each training in whose time the code became another commit's."""
    return [
        f"- Warning: {TITLES[each['side']]}, seed {each['seed']}: began with commit {each['commit']['began']}, and the "
        f"code was that of {each['commit']['ended']} at its end."
        for each in kept
        if each["commit"]["began"] != each["commit"]["ended"]
    ]
