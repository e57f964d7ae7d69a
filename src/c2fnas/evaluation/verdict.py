"""The verdict on a search: its network against references that were trained alike, in words that trainings allow."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from c2fnas.data.folds import FOLDS
from c2fnas.evaluation.comparison import LEAST_GROUPS, PairedDifference
from c2fnas.evaluation.metrics import ByClass, Evaluation
from c2fnas.evaluation.replicates import LEVEL, SEED_NOISE, Comparison
from c2fnas.text import duration, plural

LESS = 0.9
"""A network costs less if it has at most so many of the other's multiply-accumulates."""

EARLIER = (
    "This verdict was made by an earlier version, which took an interval over cases for an answer; `c2fnas verdict "
    "RUN` judges again."
)

NOT_JUDGED = (
    "Nothing was searched: the network is the default one. `c2fnas verdict RUN --replicates 5` compares it with plain "
    "networks."
)


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
        memory: Bytes that training steps were measured to take; None where they were not measured.
        latency: Seconds that a window was measured to take, or None.
    """

    title: str
    design: str
    parameters: int
    macs: int
    dice: float | None
    per_class: ByClass | None
    memory: int | None = None
    latency: float | None = None

    def with_scores(self, evaluation: Evaluation) -> "Contestant":
        """Return the same with its scores."""
        return replace(self, dice=evaluation.mean, per_class=evaluation.per_class)


@dataclass(frozen=True)
class Reference:
    """A network to compare with.

    Args:
        name: A word for programs.
        network: What it is; None where there is none of the kind.
        note: How it was chosen, without a full stop.
        comparison: Of the searched network minus this one, over trainings; None where one of the two lacks a Dice.
        networks: Of the two trained networks, over cases, where each was trained once; else None.
        reason: Why there is no comparison, else None.
    """

    name: str
    network: Contestant | None
    note: str
    comparison: Comparison | None
    networks: PairedDifference | None = None
    reason: str | None = None

    def sentence(self, searched: Contestant) -> str:
        """Return the answer on this pair, in words."""
        if self.network is None or self.comparison is None:
            title = self.network.title if self.network else self.name.replace("_", " ")
            return f"No comparison with the {title}: {(self.reason or '').rstrip('.')}."
        title, found = self.network.title, in_words(self.comparison)
        if self.comparison.answer != "as good":
            words = {"better": "Better than", "worse": "Worse than", "cannot tell": "Cannot tell from"}
            return f"{words[self.comparison.answer]} the {title}: {found}."
        less = f" at less, {_costs(searched, self.network)}" if searched.macs <= LESS * self.network.macs else ""
        return f"As good as the {title}{less}: {found}."

    def to_json(self, searched: Contestant) -> dict[str, Any]:
        """Return a row of ``verdict.json``."""
        return {
            "name": self.name,
            "network": asdict(self.network) if self.network else None,
            "note": self.note,
            "comparison": self.comparison and self.comparison.to_json(),
            "networks": self.networks and self.networks.to_json(),
            "reason": self.reason,
            "sentence": self.sentence(searched),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any], trainings: int = 1) -> Self:
        """Return the value of :meth:`to_json`; earlier versions kept a difference over cases alone."""
        network, comparison = value["network"], value.get("comparison")
        difference = value.get("networks", value.get("difference"))
        over_cases = difference and PairedDifference.from_json(difference)
        found = comparison and Comparison.from_json(comparison)
        if over_cases and "comparison" not in value:
            mean = over_cases.mean
            found = Comparison(mean.mean, None, 0, None, 0.0, (trainings, trainings), "seeds", mean.groups)
        network = network and Contestant(**network)
        return cls(value["name"], network, value["note"], found, over_cases, value["reason"])


@dataclass(frozen=True)
class Verdict:
    """The verdict of ``verdict.json``.

    Args:
        searched: The network that the search found.
        references: What it is compared with, the primary one first.
        cases: Validation cases, of all ``folds`` together.
        folds: Trained and validated, each network on each.
        training: The recipe that all of them were trained with, in words.
        caveats: What to know before believing it.
        replicates: Trainings of each network that were asked for; None where that was left to the run.
        search_seconds: Device-seconds of the search; None where it is not known.
    """

    searched: Contestant
    references: tuple[Reference, ...]
    cases: int
    folds: tuple[int, ...]
    training: str
    caveats: tuple[str, ...]
    replicates: int | None = None
    search_seconds: float | None = None

    @property
    def sentences(self) -> tuple[str, ...]:
        """The answer on each reference, the primary one first, and what the search cost."""
        if not self.references:
            return (NOT_JUDGED,)
        answers = (reference.sentence(self.searched) for reference in self.references)
        if self.search_seconds is None:
            return tuple(answers)
        return (*answers, f"The search itself took {duration(self.search_seconds)} of a device.")

    @property
    def sentence(self) -> str:
        """The verdict in one line."""
        return " ".join(self.sentences)

    @property
    def about_networks(self) -> tuple[str, ...]:
        """A sentence on each pair of networks that were trained once: of these two, not of their architectures."""
        pairs = [(each.network, each.networks) for each in self.references if each.network and each.networks]
        return tuple(f"{self.searched.title} less {network.title}, {over_cases(found)}" for network, found in pairs)

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence on each reference: how it was chosen."""
        return tuple(f"{each.network.title}: {each.note}." for each in self.references if each.network)

    @property
    def details(self) -> tuple[str, ...]:
        """The background of the sentence: how references were chosen and trained, and the caveats."""
        return (*self.about_networks, *self.notes, f"All were trained with {self.training}.", *self.caveats)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON value that :meth:`from_json` reads, with sentences for programs that only show them."""
        return {
            "sentence": self.sentence,
            "searched": asdict(self.searched),
            "references": [reference.to_json(self.searched) for reference in self.references],
            "cases": self.cases,
            "folds": list(self.folds),
            "training": self.training,
            "caveats": list(self.caveats),
            "replicates": self.replicates,
            "search_seconds": self.search_seconds,
            "details": list(self.details),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the value of :meth:`to_json`; a verdict of an earlier version never holds an answer."""
        rows, folds = value["references"], tuple(value["folds"])
        earlier = any("difference" in row for row in rows)
        return cls(
            Contestant(**value["searched"]),
            tuple(Reference.from_json(row, len(folds)) for row in rows),
            value["cases"],
            folds,
            value["training"],
            (*value["caveats"], *([EARLIER] if earlier else [])),
            value.get("replicates"),
            value.get("search_seconds"),
        )


def in_words(found: Comparison) -> str:
    """Return the mean difference with its interval over trainings, and what would tell where they don't.

    >>> in_words(Comparison(0.0123, 0.003, 8, 0.0047, 0.0, (5, 5), "seeds", 40))
    'Dice +0.0123, 95 % interval +0.0054 to +0.0192 over 5 seeds of each'
    >>> in_words(Comparison(0.0123, None, 0, None, 0.0, (1, 1), "seeds", 40)).partition("; ")[0]
    'Dice +0.0123, one training of each'
    """
    ours, theirs = found.trainings
    count = f"{ours} {found.over} of each" if ours == theirs else f"{ours} and {theirs} {found.over}"
    if found.interval is None:
        once = "one training of each" if ours == theirs == 1 else count
        return f"Dice {found.mean:+.4f}, {once}{_remedy(found)}"
    low, high = found.interval
    text = f"Dice {found.mean:+.4f}, {100 * found.level:.3g} % interval {low:+.4f} to {high:+.4f} over {count}"
    if found.level != LEVEL:
        text += " (Holm)"
    return text + (f", within ±{found.margin:g}" if found.answer == "as good" else _remedy(found))


def over_cases(found: PairedDifference) -> str:
    """Return what cases say of two trained networks: never an answer about their architectures.

    >>> from c2fnas.evaluation.comparison import Difference
    >>> over_cases(PairedDifference(Difference(0.0123, 0.001, 0.0234, 40, 20), {}, 0.95))
    'these two trained networks alone, over cases: Dice +0.0123 (95 % +0.0010 to +0.0234; 40 cases of 20 groups).'
    """
    mean = found.mean
    few = f", too few to tell (at least {LEAST_GROUPS})" if mean.groups < LEAST_GROUPS else ""
    ends = "" if mean.low is None else f"{100 * found.level:g} % {mean.low:+.4f} to {mean.high:+.4f}; "
    counts = counted(mean.cases, mean.groups)
    return f"these two trained networks alone, over cases: Dice {mean.mean:+.4f} ({ends}{counts}{few})."


def _remedy(found: Comparison) -> str:
    """The trainings or cases that would tell, where nothing does."""
    if found.answer != "cannot tell":
        return ""
    if found.groups < LEAST_GROUPS:
        return f"; {plural(found.groups, 'case or group', 'cases or groups')} can't tell, at least {LEAST_GROUPS} would"
    if found.further is None:
        return "; a hundred trainings of each would not tell, more cases might"
    if found.over == "folds":
        if min(found.trainings) + found.further <= FOLDS:
            return f"; {plural(found.further, 'further fold')} would tell, or several seeds of one (`--replicates`)"
        return f"; {FOLDS} folds would not tell, several seeds of one might (`--replicates`)"
    guess = f" if seeds differ as on Hippocampus ({SEED_NOISE:g})" if found.spread is None else ""
    return f"; {plural(found.further, 'further training')} of each would tell{guess}"


def _costs(ours: Contestant, theirs: Contestant) -> str:
    """The costs of two networks, the first against the second."""
    parts = [
        f"{ours.macs / theirs.macs:.2f} of its MACs ({ours.macs / 1e9:.2f} G to {theirs.macs / 1e9:.2f})",
        f"{ours.parameters / 1e6:.2f} M parameters to {theirs.parameters / 1e6:.2f}",
    ]
    if ours.memory is not None and theirs.memory is not None:
        parts.append(f"{ours.memory / 2**20:.0f} MiB in training to {theirs.memory / 2**20:.0f}")
    if ours.latency is not None and theirs.latency is not None:
        parts.append(f"{1000 * ours.latency:.1f} ms a window to {1000 * theirs.latency:.1f}")
    return ", ".join(parts)


def counted(cases: int, groups: int) -> str:
    """Return the number of cases, and that of their groups where some belong together.

    >>> counted(40, 20), counted(5, 5), counted(2, 1)
    ('40 cases of 20 groups', '5 cases', '2 cases of 1 group')
    """
    text = f"{cases} case{'s' if cases > 1 else ''}"
    return text if groups == cases else f"{text} of {groups} group{'s' if groups > 1 else ''}"
