"""Pairs of networks by name, each with its answer and its sentence: of tables, and of predictions on disk."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from c2fnas.evaluation.comparison import PairedDifference, difference
from c2fnas.evaluation.replicates import Comparison, Trainings, compare, holm
from c2fnas.evaluation.verdict import in_words, over_cases
from c2fnas.search.posterior import MARGIN

WORDS = {
    "better": "is better than",
    "worse": "is worse than",
    "as good": "is as good as",
    "cannot tell": "cannot be told from",
}


@dataclass(frozen=True)
class Pair:
    """Two networks by name.

    Attributes:
        first: of the difference's sign: the first less the second.
        second: the other one.
        comparison: over trainings; None where they have no fold in common.
        networks: of the two trained networks, over cases, where each was trained once; else None.
    """

    first: str
    second: str
    comparison: Comparison | None
    networks: PairedDifference | None

    @property
    def sentences(self) -> tuple[str, ...]:
        """The answer, and apart from it what cases say of two trained networks."""
        if self.comparison is None:
            return (f"{self.first} and {self.second}: no fold of both.",)
        answer = f"{self.first} {WORDS[self.comparison.answer]} {self.second}: {in_words(self.comparison)}."
        return (answer, *([f"{self.first} less {self.second}, {over_cases(self.networks)}"] if self.networks else []))

    def to_json(self) -> dict[str, Any]:
        """Return the pair as JSON."""
        return {
            "first": self.first,
            "second": self.second,
            "comparison": self.comparison and self.comparison.to_json(),
            "networks": self.networks and self.networks.to_json(),
            "sentences": list(self.sentences),
        }


def paired(
    first: tuple[str, Trainings],
    second: tuple[str, Trainings],
    *,
    groups: Mapping[str, str] | None = None,
    seed: int = 0,
    margin: float = MARGIN,
) -> Pair:
    """Return the pair of two networks, each by name with its trainings; differences within ``margin`` do not matter.

    Raises:
        UserError: trainings of a fold were not scored on the same cases and classes, or no case shows a structure.
    """
    comparison = compare(first[1], second[1], groups=groups, margin=margin)
    return Pair(first[0], second[0], comparison, of_networks(first[1], second[1], comparison, groups, seed))


def of_networks(
    first: Trainings,
    second: Trainings,
    comparison: Comparison | None,
    groups: Mapping[str, str] | None = None,
    seed: int = 0,
) -> PairedDifference | None:
    """Return what cases say of two trained networks, where each was trained once; else None."""
    folds = {fold for fold, _ in first} & {fold for fold, _ in second}
    if comparison is None or comparison.trainings != (1, 1) or len(folds) > 1:
        return None
    ours, theirs = ({fold: each for (fold, _), each in side.items()} for side in (first, second))
    return difference(ours, theirs, groups=groups, seed=seed)


def corrected(pairs: Sequence[Pair]) -> tuple[Pair, ...]:
    """Return the pairs with their answers corrected together, by Holm."""
    found = holm([each.comparison for each in pairs])
    return tuple(replace(pair, comparison=comparison) for pair, comparison in zip(pairs, found, strict=True))
