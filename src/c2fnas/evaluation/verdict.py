"""The verdict on a search: its network against references that were trained alike, case by case, in words."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from c2fnas.evaluation.comparison import LEAST_GROUPS, PairedDifference
from c2fnas.evaluation.metrics import ByClass, Evaluation

REFERENCES = 2
"""Networks that a verdict compares the found one with, trained on each of its folds."""


NOT_JUDGED = "Nothing was searched: the network is the default one, and there is nothing to compare it with."


@dataclass(frozen=True)
class Contestant:
    """A network of a verdict, what it costs and what it reached.

    Args:
        title: In words, to stand in a sentence.
        design: As text.
        parameters: Learnable numbers.
        macs: Multiply-accumulates of one patch.
        dice: Mean Dice over cases, then over classes; None where its training failed.
        per_class: By class name, or None.
    """

    title: str
    design: str
    parameters: int
    macs: int
    dice: float | None
    per_class: ByClass | None

    def with_scores(self, evaluation: Evaluation) -> "Contestant":
        """Return the same with its scores."""
        return Contestant(self.title, self.design, self.parameters, self.macs, evaluation.mean, evaluation.per_class)


@dataclass(frozen=True)
class Reference:
    """A network to compare with.

    Args:
        name: A word for programs.
        network: What it is; None where there is none of the kind.
        note: How it was chosen, without a full stop.
        difference: Of the searched network minus this one; None where this one has no Dice.
        reason: Why it has none, else None.
    """

    name: str
    network: Contestant | None
    note: str
    difference: PairedDifference | None
    reason: str | None = None

    @property
    def better(self) -> bool | None:
        """True if the searched network is better, False if it is worse; None: neither is shown."""
        found = self.difference.mean.better if self.difference else None
        return None if found is None else found == "first"

    @property
    def sentence(self) -> str:
        """The verdict on this pair, in words."""
        if self.network is None or self.difference is None:
            title = self.network.title if self.network else self.name.replace("_", " ")
            return f"No comparison with the {title}: {(self.reason or '').rstrip('.')}."
        words = {True: "Better than", False: "Worse than", None: "No gain shown over"}[self.better]
        return f"{words} the {self.network.title}: {in_words(self.difference)}."

    def to_json(self) -> dict[str, Any]:
        """Return a row of ``verdict.json``."""
        network = asdict(self.network) if self.network else None
        return {
            "name": self.name,
            "network": network,
            "note": self.note,
            "difference": self.difference and self.difference.to_json(),
            "better": self.better,
            "reason": self.reason,
            "sentence": self.sentence,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the value of :meth:`to_json`."""
        network, difference = value["network"], value["difference"]
        return cls(
            value["name"],
            network and Contestant(**network),
            value["note"],
            difference and PairedDifference.from_json(difference),
            value["reason"],
        )


@dataclass(frozen=True)
class Verdict:
    """The verdict of ``verdict.json``.

    Args:
        searched: The network that the search found.
        references: What it is compared with.
        cases: Validation cases, of all ``folds`` together.
        folds: Trained and validated, each network on each.
        training: The recipe that all of them were trained with, in words.
        caveats: What to know before believing it.
    """

    searched: Contestant
    references: tuple[Reference, ...]
    cases: int
    folds: tuple[int, ...]
    training: str
    caveats: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """The verdict in one line."""
        return " ".join(reference.sentence for reference in self.references) or NOT_JUDGED

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence on each reference: how it was chosen."""
        return tuple(f"{each.network.title}: {each.note}." for each in self.references if each.network)

    @property
    def details(self) -> tuple[str, ...]:
        """The background of the sentence: how references were chosen and trained, and the caveats."""
        return (*self.notes, f"All were trained with {self.training}.", *self.caveats)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON value that :meth:`from_json` reads, with sentences for programs that only show them."""
        return {
            "sentence": self.sentence,
            "searched": asdict(self.searched),
            "references": [reference.to_json() for reference in self.references],
            "cases": self.cases,
            "folds": list(self.folds),
            "training": self.training,
            "caveats": list(self.caveats),
            "details": list(self.details),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the value of :meth:`to_json`."""
        references = tuple(Reference.from_json(row) for row in value["references"])
        return cls(
            Contestant(**value["searched"]),
            references,
            value["cases"],
            tuple(value["folds"]),
            value["training"],
            tuple(value["caveats"]),
        )


def in_words(found: PairedDifference) -> str:
    """Return the mean difference with its interval, and a warning where there are few cases or groups of them.

    >>> from c2fnas.evaluation.comparison import Difference
    >>> in_words(PairedDifference(Difference(0.0123, 0.001, 0.0234, 40, 20), {}, 0.95))
    'Dice +0.0123, 95 % interval +0.0010 to +0.0234, 40 cases of 20 groups'
    """
    mean = found.mean
    few = f", too few to tell (at least {LEAST_GROUPS})" if mean.groups < LEAST_GROUPS else ""
    if mean.low is None or mean.high is None:
        return f"Dice {mean.mean:+.4f}, {counted(mean.cases, mean.groups)}{few}"
    interval = f"{100 * found.level:g} % interval {mean.low:+.4f} to {mean.high:+.4f}"
    return f"Dice {mean.mean:+.4f}, {interval}, {counted(mean.cases, mean.groups)}{few}"


def counted(cases: int, groups: int) -> str:
    """Return the number of cases, and that of their groups where some belong together.

    >>> counted(40, 20), counted(5, 5), counted(2, 1)
    ('40 cases of 20 groups', '5 cases', '2 cases of 1 group')
    """
    text = f"{cases} case{'s' if cases > 1 else ''}"
    return text if groups == cases else f"{text} of {groups} group{'s' if groups > 1 else ''}"
