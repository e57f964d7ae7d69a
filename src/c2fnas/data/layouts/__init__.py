"""The layouts of data sets that are understood; each reads its own manifest into the same :class:`Dataset`."""

from pathlib import Path
from typing import Protocol

from c2fnas.data.dataset import Dataset
from c2fnas.data.layouts.msd import MsdLayout
from c2fnas.errors import UserError


class Layout(Protocol):
    """One way to lay out a data set."""

    def recognises(self, path: Path) -> bool:
        """Whether the folder or file at ``path`` has this layout."""

    def load(self, path: Path) -> Dataset:
        """Read the manifest.

        Raises:
            UserError: the manifest has a fault.
        """


LAYOUTS: tuple[Layout, ...] = (MsdLayout(),)


def load_dataset(path: Path) -> Dataset:
    """Read the data set at ``path`` in whatever layout it has.

    Raises:
        UserError: nothing there is understood as a data set.
    """
    for layout in LAYOUTS:
        if layout.recognises(path):
            return layout.load(path)
    raise UserError(
        f"{path}: no data set is found here. Give a folder with a dataset.json (Medical Segmentation Decathlon or nnU-Net "
        "raw layout), or a CSV file with the columns image and label."
    )
