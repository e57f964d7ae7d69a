"""Trained models as values: loaded, used on images, exported to other tools."""

from pathlib import Path
from typing import TYPE_CHECKING

from c2fnas.api.exports import FIXED, Exportable
from c2fnas.errors import UserError
from c2fnas.inference.model import Model as VotingModel
from c2fnas.inference.model import load_model as load_voting_model

if TYPE_CHECKING:
    from c2fnas.space.architecture import Architecture


class Model(VotingModel, Exportable):
    """One trained network, or several that vote (paper 4.2); :func:`load_model` makes it."""

    def _folders(self) -> list[Path]:
        return [package.folder for package in self.packages]

    def _searched(self) -> "Architecture":
        from c2fnas.space.architecture import Architecture

        if not isinstance(self.architecture, Architecture):
            raise UserError(f"{self.architecture.to_text()}: {FIXED}")
        return self.architecture


def load_model(*sources: str | Path) -> Model:
    """Load a model, or several that vote.

    Args:
        sources: The name of models that come with c2fnas (`hippocampus`; a folder of this name on disk goes before), a
            run folder, a model folder, or a zip file of `c2fnas export`. A run and a name stand for the models of
            their folds.

    Raises:
        UserError: a source holds no model, a file of it is damaged, or models do not go together.
    """
    found = load_voting_model(*sources)
    return Model(found.packages, found._unpacked)
