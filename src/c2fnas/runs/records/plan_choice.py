"""The choice of a plan as the run keeps it in ``planning.json``: what was weighed, which were close, and their race."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from c2fnas.data.plan import Plan
from c2fnas.files import read_json, refusing_damage, write_json
from c2fnas.text import crossed


@dataclass(frozen=True)
class WeighedPlan:
    """A plan and what is expected of it.

    Attributes:
        plan: the plan.
        ceilings: the Dice of a perfect label that is mapped there and back, by class.
        allowed: false where a class would lose too much, or too few voxels lie across it.
        patch_seconds: of a training step, by patch.
        view_seconds: of a view of a whole case's foreground.
        views: that the final network's time pays for.
        expected: Dice, for comparison with other plans alone.
    """

    plan: Plan
    ceilings: Mapping[str, float]
    allowed: bool
    patch_seconds: float
    view_seconds: float
    views: float
    expected: float

    @property
    def ceiling(self) -> float:
        """The mean over classes."""
        return float(np.mean([*self.ceilings.values()]))

    @property
    def text(self) -> str:
        """A line about it: spacing, patch, ceiling by class, what its time pays for."""
        lost = ", ".join(f"{name} {value:.3f}" for name, value in self.ceilings.items())
        spacing, patch = crossed(self.plan.spacing or ()), crossed(self.plan.patch_size)
        return f"{spacing} mm, patch {patch}: ceiling {lost}; {self.views:,.0f} views of a case"

    def to_json(self) -> dict[str, Any]:
        """Return a JSON value."""
        return {**asdict(self), "plan": self.plan.model_dump(mode="json")}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the value of :meth:`to_json`."""
        return cls(**{**value, "plan": Plan.model_validate(value["plan"])})


@dataclass(frozen=True)
class PlanChoice:
    """The plans among which one was chosen, and how far a race between the nearest has come.

    Attributes:
        weighed: of every plan its text, whether it was allowed, and the Dice expected of it; best first.
        close: the plans that are as good as the best by all that is known, the best first.
        width: of the run's networks, by the time that this plan leaves; None in runs that chose none.
        case_seconds: of the preparation of a case; 0 where all were prepared before.
        begun: seconds of the run at which a race began to prepare its cases.
        iterations: of each entrant; they stand once its trainings have begun.
        race: the text and Dice of each entrant, None where it failed; empty where there was no time for a race.
        best: the number of the winner, until it has its place.
        lost_seconds: that the trainings of the others took.
    """

    weighed: tuple[Mapping[str, Any], ...] = ()
    close: tuple[WeighedPlan, ...] = ()
    width: float | None = None
    case_seconds: float = 0.0
    begun: float | None = None
    iterations: tuple[int, ...] | None = None
    race: tuple[Mapping[str, Any], ...] | None = None
    best: int | None = None
    lost_seconds: float = 0.0

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return the choice that ``path`` holds; an empty one of a plan that was not weighed.

        Raises:
            UserError: the file is damaged, or of another version.
        """
        if not path.exists():
            return cls()
        fix = "Prepare the run again in another folder; plan.yaml can be copied there."
        with refusing_damage(path, "the choice of a plan", fix):
            value: dict[str, Any] = read_json(path)
            value["close"] = map(WeighedPlan.from_json, value.get("close", ()))
            lists = ("weighed", "close", "iterations", "race")
            return cls(**value | {name: tuple(value[name]) for name in lists if name in value})

    def save(self, path: Path) -> None:
        """Write it; what is not known is left out."""
        known = {name: getattr(self, name) for name in self.__dataclass_fields__}
        known["close"] = [each.to_json() for each in self.close]
        write_json(path, {name: value for name, value in known.items() if value is not None})
