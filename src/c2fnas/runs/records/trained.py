"""The value of a training's job: what it has reached, and why it has no Dice where it has none."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from c2fnas.data.folds import UNKNOWN


@dataclass(frozen=True)
class Trained:
    """A training that has ended.

    Attributes:
        dice: mean over classes; None where it has no score.
        per_class: Dice by class.
        rungs: Dice by iteration of those on the way that were asked for; None where nothing could be scored.
        seconds: of processor time in its process.
        unscored: why it has no score; None where it has one.
    """

    dice: float | None
    per_class: Mapping[str, float | None] = field(default_factory=dict)
    rungs: Mapping[str, float | None] = field(default_factory=dict)
    seconds: float = 0.0
    unscored: str | None = None

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the value of :meth:`to_json`; what else a job returns is left out."""
        return cls(**{name: value[name] for name in cls.__dataclass_fields__ if name in value})

    @classmethod
    def of(cls, value: Mapping[str, Any] | None) -> Self | None:
        """Return the value of a training; None of any other job, and of one that has not ended."""
        return None if value is None or "dice" not in value else cls.from_json(value)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON value; without ``unscored`` where there is a score."""
        return {name: value for name, value in asdict(self).items() if name != "unscored" or value is not None}

    @property
    def score(self) -> float:
        """The Dice of a training that has one."""
        assert self.dice is not None
        return self.dice

    @property
    def could_be_scored(self) -> bool:
        """True if it has no score, though a case is left to score it."""
        return self.unscored not in (None, UNKNOWN)
