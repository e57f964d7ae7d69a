"""A row of the third stage's table (paper 5.3, Table 4)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from c2fnas.evaluation.metrics import ByClass


@dataclass(frozen=True)
class Scaled:
    """A row of Table 4: a width, what it costs and what it reaches on the validation fold of the search.

    ``dice`` and ``per_class`` are None where its training has failed, for ``reason``. ``macs`` are of one patch.
    """

    width: float
    patch: tuple[int, int, int]
    parameters: int
    macs: int
    dice: float | None
    per_class: ByClass | None
    reason: str | None

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "width": self.width,
            "patch": list(self.patch),
            "parameters": self.parameters,
            "macs": self.macs,
            "dice": self.dice,
            "per_class": self.per_class,
            "reason": self.reason,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """What :meth:`to_json` gave."""
        return cls(**{**value, "patch": tuple(value["patch"])})
