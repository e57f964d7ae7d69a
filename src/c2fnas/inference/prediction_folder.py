"""The folder that predictions go to: what made them is written down, so that a second call carries on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from c2fnas.data.dataset import Case
from c2fnas.data.formats import suffix_of
from c2fnas.errors import UserError
from c2fnas.files import read_json, write_json
from c2fnas.inference.inputs import output_name

RECORD = "prediction.json"


@dataclass(frozen=True)
class PredictionFolder:
    """Predictions of one maker: the models and every setting that changes labels."""

    root: Path

    def path(self, case: Case) -> Path:
        """The file of a case's labels."""
        return self.root / output_name(case)

    def claim(self, cases: Sequence[Case], maker: dict[str, Any], *, overwrite: bool) -> tuple[Case, ...]:
        """Take the folder for ``maker`` and return the cases that are yet to be predicted.

        A prediction that is there counts where the same maker made it and its images have not changed since;
        ``overwrite`` predicts all again, and takes the folder from another maker, whose predictions it replaces.

        Raises:
            UserError: two cases share a file, a prediction would replace an image, or the files are another's.
        """
        self._refuse_clashes(cases)
        record = self.root / RECORD
        if not record.exists() or read_json(record) != maker:
            self._take_over(cases, overwrite)
            write_json(record, maker)
        self._clear_leftovers(cases)
        open_ = tuple(case for case in cases if overwrite or not self._is_current(case))
        for case in open_:
            self.path(case).unlink(missing_ok=True)  # a case that fails must not leave what is out of date
        return open_

    def _take_over(self, cases: Sequence[Case], overwrite: bool) -> None:
        """Remove another maker's predictions of ``cases``; there must be none of other cases, which would seem ours."""
        outputs = {self.path(case) for case in cases}
        others = sorted(file for file in self.root.glob("[!.]*") if suffix_of(file)) if self.root.is_dir() else []
        if others and not overwrite:
            raise UserError(
                f"{self.root}: {len(others)} volumes are here already that these models and settings have not made, "
                f"such as {others[0].name}. Choose another folder, or give --overwrite to replace them."
            )
        strangers = [file for file in others if file not in outputs]
        if strangers:
            raise UserError(
                f"{self.root}: {len(strangers)} volumes here are of other cases, such as {strangers[0].name}, and of "
                "other models or settings; a folder holds predictions of one kind. Choose another folder."
            )
        for file in others:
            file.unlink()

    def _is_current(self, case: Case) -> bool:
        path = self.path(case)
        try:
            return path.stat().st_mtime_ns >= max(image.stat().st_mtime_ns for image in case.images)
        except OSError:
            return False

    def _refuse_clashes(self, cases: Sequence[Case]) -> None:
        owner: dict[Path, Case] = {}
        images = {image.resolve() for case in cases for image in case.images}
        for case in cases:
            path = self.path(case)
            if path.resolve() in images:
                raise UserError(f"{path}: the prediction would replace an image. Choose another --output folder.")
            if path in owner:
                raise UserError(
                    f"{case.images[0]} and {owner[path].images[0]} would both be predicted into {path}. Rename one of "
                    "them, or predict them into two folders."
                )
            owner[path] = case

    def _clear_leftovers(self, cases: Sequence[Case]) -> None:
        """Remove what a kill in the middle of a write has left."""
        names = {output_name(case) for case in cases}
        for path in self.root.glob(".[0-9]*-*"):
            if path.name.partition("-")[2] in names:
                path.unlink(missing_ok=True)
