"""The folds of a run as it keeps them in ``folds.json``, with the groups that validation cases share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from c2fnas.data.folds import Split
from c2fnas.files import read_json, refusing_damage, write_json


@dataclass(frozen=True)
class KeptFolds:
    """The folds of a run.

    Attributes:
        splits: in order.
        groups: of every validation case that shares its group with another one, by the case's id.
    """

    splits: tuple[Split, ...] = ()
    groups: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, splits: tuple[Split, ...], groups: Mapping[str, str]) -> Self:
        """Return folds with those of ``groups`` that cases of a validation have."""
        validating = [case for split in splits for case in split.validation]
        return cls(splits, {case: groups[case] for case in validating if case in groups})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read them.

        Raises:
            UserError: the file is not there, or damaged.
        """
        rows = read_json(path)
        with refusing_damage(path, "the folds of a run", "Restore it from a copy, or choose another run folder."):
            splits = tuple(Split(tuple(row["training"]), tuple(row["validation"])) for row in rows)
            if not splits:
                raise ValueError("no fold")
            for split in splits:
                if both := {*split.training} & {*split.validation}:
                    raise ValueError(f"a fold trains and validates on {min(both)!r}")
            return cls(splits, {case: group for row in rows for case, group in row.get("groups", {}).items()})

    def save(self, path: Path) -> None:
        """Write them, a row each; groups where validation cases share some."""
        write_json(path, [self._row(split) for split in self.splits])

    def _row(self, split: Split) -> dict[str, Any]:
        row = {"training": list(split.training), "validation": list(split.validation)}
        own = {case: self.groups[case] for case in split.validation if case in self.groups}
        return {**row, "groups": own} if own else row
