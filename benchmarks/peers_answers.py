"""The answers of the page of `peers.py`: pairs of sides, trainings as the unit of evidence, all corrected together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from c2fnas.data.dataset import Case, group_cases
from c2fnas.evaluation.comparison import difference
from c2fnas.evaluation.metrics import Evaluation
from c2fnas.evaluation.pairs import Pair, corrected, paired
from c2fnas.evaluation.replicates import Trainings
from c2fnas.evaluation.verdict import over_cases
from peers_sides import FACTORS, TITLES

Json = Mapping[str, Any]
DIFFERENT = (
    "Each of these pairs differs in one thing: the plan (spacing and patch), the network, or the recipe, which is all "
    "the rest: loss, augmentation, optimiser, batch, views of prediction, and what the minutes pay for. Networks in "
    "our loop are given nnU-Net's spacing and patch, not the rest of its preparation."
)


@dataclass(frozen=True)
class Question:
    """Two sides to compare.

    Attributes:
        first: the side that a difference is taken of.
        second: the side that is subtracted.
        factor: the one thing that they differ in; empty for c2fnas and another side.
    """

    first: str
    second: str
    factor: str = ""


def answers(kept: Sequence[Json]) -> list[str]:
    """Return the lines of both sections: c2fnas beside each other side, and what a difference comes from."""
    found = trainings_of(kept)
    questions = questions_of([*found])
    if not questions:
        return []
    groups = groups_of(kept[0])
    pairs = corrected([_pair(each, found, groups) for each in questions])
    lines: dict[bool, list[str]] = {False: [], True: []}
    for question, pair in zip(questions, pairs, strict=True):
        prefix = f"{question.factor}: " if question.factor else ""
        once = of_once(question, found, groups)
        lines[bool(question.factor)] += [f"- {prefix}{sentence}" for sentence in (pair.sentences[0], *once)]
    together = f"{len(pairs)} answers, corrected together by Holm." if len(pairs) > 1 else ""
    beside = _section("Answers", together, lines[False])
    return [*beside, *_section("Plan, network, recipe", DIFFERENT, lines[True])]


def trainings_of(kept: Sequence[Json]) -> dict[str, Trainings]:
    """Return the scores of each side by fold and seed."""
    found: dict[str, dict[tuple[int, int], Evaluation]] = {}
    for each in kept:
        key = (each["asked"]["fold"], each["seed"])
        found.setdefault(each["side"], {})[key] = Evaluation.from_json(each["evaluation"])
    return dict(found)


def questions_of(sides: Sequence[str]) -> list[Question]:
    """Return the pairs that the trained sides allow.

    >>> [(each.first, each.second, each.factor) for each in questions_of(["nnunet", "dynunet@nnunet"])]
    [('dynunet@nnunet', 'nnunet', 'Recipe')]
    """
    beside = [Question("c2fnas", side) for side in sides if side != "c2fnas"] if "c2fnas" in sides else []
    factors = [Question(each.first, each.second, each.name) for each in FACTORS if {*each[1:]} <= {*sides}]
    return [*beside, *factors]


def groups_of(training: Json) -> dict[str, str]:
    """Return the group of each case that was scored, where cases are grouped."""
    pattern = training["asked"]["group_by"]
    cases = [Case(each["case"], (), None) for each in training["evaluation"]["cases"]]
    return {case.id: str(case.group) for case in group_cases(cases, pattern)} if pattern else {}


def of_once(question: Question, found: Mapping[str, Trainings], groups: Mapping[str, str]) -> list[str]:
    """Return what cases say of two trained networks of one seed and fold, where one of the sides was trained once."""
    first, second = found[question.first], found[question.second]
    alike = sorted(first.keys() & second.keys())
    if min(len(first), len(second)) > 1 or not alike:
        return []
    fold, seed = alike[0]
    networks = difference({fold: first[fold, seed]}, {fold: second[fold, seed]}, groups=groups)
    titles = f"{TITLES[question.first]} less {TITLES[question.second]}, training {seed} of each"
    return [f"{titles}, {over_cases(networks)}"] if networks else []


def _pair(question: Question, found: Mapping[str, Trainings], groups: Mapping[str, str]) -> Pair:
    first, second = ((TITLES[side], found[side]) for side in (question.first, question.second))
    return paired(first, second, groups=groups)


def _section(title: str, about: str, lines: Sequence[str]) -> list[str]:
    return [f"## {title}", "", *([about, ""] if about else []), *lines, ""] if lines else []
