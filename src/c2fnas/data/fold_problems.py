"""Problems of folds that a check tells of: classes that a side lacks, names like one patient's, sites, a case alone."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from c2fnas.data.dataset import Case, Dataset, LabelClass
from c2fnas.data.folds import Split, make_folds
from c2fnas.data.problem import Problem
from c2fnas.errors import UserError
from c2fnas.text import plural, some

SHOWN_CLASSES = 5
PATIENTS = (r"(.+)[-_. ]", r"[^-_. ]+[-_. ](.*[^\d].*)", r"(.+?)(?:[-_. ][^-_. ]+)?$")
"""Parts of an id that may name a patient: all but its last, all but its first, or all but a last that some ids have."""
RANDOM = "`--folds random` (of `train`: `--divide random`)"
LARGEST_GROUP = 8
"""Cases of like names that may be one patient's; more are a site's, or a numbering."""


@dataclass(frozen=True)
class ClassCounts:
    """Number of cases of one fold in which each class occurs, by class index (the background included)."""

    training: tuple[int, ...]
    validation: tuple[int, ...]


def fold_problems(dataset: Dataset, present: Mapping[str, Iterable[int]], file: object) -> tuple[Problem, ...]:
    """Return the problems of the folds that a data set gets by default: none can be made, or classes are missing.

    ``present``: the class indices in each training case with a sound label. ``file``: the file that the problems name.
    """
    if not dataset.training:
        return ()
    names = alike_names(dataset.training, file)
    try:
        folds = make_folds(dataset)
    except UserError as error:
        fix = "Correct the folds, or choose others with --folds."
        found = str(error).removeprefix(f"{dataset.root}: ").partition(". ")[0]
        problem = Problem("", str(file), found, "folds to train and validate on", fix)
        return (*names, problem)
    if not folds[0].validation:
        return (*names, unmeasurable(dataset, file))
    names += one_site(folds, file)
    if any(case.id not in present for case in dataset.training):
        return names
    return (*names, *missing_classes(class_counts(folds, present, len(dataset.classes)), dataset.classes, file))


def unmeasurable(dataset: Dataset, file: object) -> Problem:
    """Return the warning about a data set whose cases can't be divided: they train, and nothing measures."""
    found = f"{dataset.training[0].id} alone" if not dataset.training[1:] else "cases of one group alone"
    fix = "A network can be trained on it (`c2fnas train`), its Dice not measurable; a search needs other cases too."
    return Problem.warning(file, found, "cases to train on and others to validate", fix)


def class_counts(
    splits: Sequence[Split], present: Mapping[str, Iterable[int]], classes: int
) -> tuple[ClassCounts, ...]:
    """Return how many cases hold each class, on both sides of each fold; ``present``: the class indices in a case."""
    occurs = {case: frozenset(indices) for case, indices in present.items()}

    def count(cases: Iterable[str]) -> tuple[int, ...]:
        known = [occurs[case] for case in cases if case in occurs]
        return tuple(sum(index in indices for indices in known) for index in range(classes))

    return tuple(ClassCounts(count(split.training), count(split.validation)) for split in splits)


def missing_classes(counts: Sequence[ClassCounts], classes: Sequence[LabelClass], file: object) -> tuple[Problem, ...]:
    """Return one warning about all classes that a side of a fold lacks, if there are any.

    A class that no case has at all is no matter of folds. ``file`` is what the warning names.
    """
    lacking = []
    for index, each in list(enumerate(classes))[1:]:
        held = [(count.training[index], count.validation[index]) for count in counts]
        if not any(map(any, held)):
            continue
        sides = [
            f"{side} of fold {', '.join(map(str, folds))}"
            for number, side in enumerate(("training", "validation"))
            if (folds := [fold for fold, cases in enumerate(held) if not cases[number]])
        ]
        if sides:
            lacking.append(f"no {each.name!r} in {' and '.join(sides)} (in {plural(max(map(sum, held)), 'case')})")
    if not lacking:
        return ()
    others = f"{RANDOM} with another `--seed`, fewer with `--fold-count`, a column `fold`"
    fix = f"Choose other folds ({others}), or add cases."
    expected = "every class on both sides of every fold"
    return (Problem.warning(file, some(lacking, SHOWN_CLASSES, "; ", "classes"), expected, fix),)


def one_site(splits: Sequence[Split], file: object) -> tuple[Problem, ...]:
    """Return a warning where names begin with one of a few words, as with a site's, and a fold validates on one alone.

    Such a fold is harder or easier than the others, and its Dice is not that of new cases. ``file``: what it names.

    >>> halves = [Split(("b",), tuple(f"a_{n}" for n in range(9))), Split(("a",), tuple(f"b_{n}" for n in range(9)))]
    >>> print(one_site(halves, "")[0].found)
    names that begin with 'a' (9 cases) or 'b' (9), and all of one kind in the validation of fold 0, 1
    """
    held = [Counter(_beginning(case) for case in split.validation) for split in splits]
    sites = sum(held, Counter())
    if len(sites) < 2 or min(sites.values()) <= LARGEST_GROUP:
        return ()
    alone = [str(number) for number, beginnings in enumerate(held) if len(beginnings) == 1]
    if not alone:
        return ()
    (first, count), *others = sorted(sites.items())
    named = some([f"{first!r} ({count} cases)", *(f"{site!r} ({n})" for site, n in others)], SHOWN_CLASSES, " or ")
    found = f"names that begin with {named}, and all of one kind in the validation of fold {', '.join(alone)}"
    fix = (
        f"If names begin with the site or the scanner, spread these over the folds: {RANDOM}, by a `--seed`; with "
        "`--group-by` where cases share a patient."
    )
    return (Problem.warning(file, found, "every kind in the validation of every fold", fix),)


def _beginning(case: str) -> str:
    return re.split(r"[-_. ]", case, maxsplit=1)[0]


def alike_names(cases: Sequence[Case], file: object, folds: Sequence[Split] | None = None) -> tuple[Problem, ...]:
    """Return a warning where ids come in pairs or so, which differ in one end alone, as a patient's scans do.

    ``file`` is what it names. With ``folds``, only where cases of one such group are on both sides of a fold.

    >>> scans = [Case(f"{patient}_{phase}", (), None) for patient in "abc" for phase in ("ED", "ES")]
    >>> print(alike_names(scans, "")[0].found)
    6 of 6 cases in groups of like names, such as a_ED, a_ES
    >>> alike_names(scans, "", [Split(("a_ED", "a_ES", "b_ED", "b_ES"), ("c_ED", "c_ES"))])
    ()
    >>> alike_names([Case(f"liver_{number}", (), None) for number in range(6)], "")
    ()
    """
    by_data = {case.group for case in cases} | ({case.fold for case in cases} if folds is None else set())
    if len(by_data) > 1:
        return ()  # the data set says itself what belongs together
    found = [(groups, pattern) for pattern in PATIENTS if (groups := _like(cases, pattern))]
    if not found:
        return ()
    groups, pattern = max(found, key=lambda each: len(each[0]))  # patients are many
    sides = [({*split.training}, {*split.validation}) for split in folds or ()]
    if folds is not None and not any(_is_divided(group, sides) for group in groups):
        return ()
    text = f"{sum(map(len, groups))} of {len(cases)} cases in groups of like names, such as {', '.join(groups[0])}"
    fix = f"If a group is one patient, keep it in one fold: `--group-by '{pattern}'`, or by a CSV's column `group`."
    return (Problem.warning(file, text, "cases of different patients", fix),)


def _is_divided(group: Sequence[str], sides: Sequence[tuple[set[str], set[str]]]) -> bool:
    return any(not training.isdisjoint(group) and not validation.isdisjoint(group) for training, validation in sides)


def _like(cases: Sequence[Case], pattern: str) -> list[list[str]]:
    """The groups of several cases by a pattern; none where it fits too few cases to tell patients."""
    found: dict[str, list[str]] = {}
    for case in cases:
        match = re.match(pattern, case.id)
        if match is None:
            return []
        found.setdefault(match[1], []).append(case.id)
    groups = [ids for ids in found.values() if len(ids) > 1]
    several = len(groups) > 1 and max(map(len, groups)) <= LARGEST_GROUP
    return groups if several and 2 * sum(map(len, groups)) >= len(cases) else []
