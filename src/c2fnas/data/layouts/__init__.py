"""Layouts of data sets on disk; the first that recognises a path reads it."""

from pathlib import Path

from c2fnas.data.dataset import Dataset
from c2fnas.data.layouts.csv_table import TableLayout
from c2fnas.data.layouts.layout import DatasetError, Layout, Reading
from c2fnas.data.layouts.msd import MsdLayout
from c2fnas.data.layouts.nnunet import NnunetLayout
from c2fnas.data.layouts.series import SeriesLayout
from c2fnas.data.problem import CaseError

LAYOUTS: tuple[Layout, ...] = (MsdLayout(), NnunetLayout(), TableLayout(), SeriesLayout())

__all__ = ["LAYOUTS", "DatasetError", "Layout", "Reading", "datasets_in", "layout_of", "load_dataset", "read_dataset"]


def load_dataset(path: Path) -> Dataset:
    """Read the data set at ``path`` (a folder, manifest or CSV).

    Raises:
        UserError: no layout recognises it, or its manifest has errors.
    """
    return layout_of(path).load(Path(path))


def read_dataset(path: Path) -> Reading:
    """Read the data set at ``path`` as far as it can be read, and list what is wrong with its manifest.

    Raises:
        CaseError: no layout recognises it, or its manifest can't be read at all.
    """
    return layout_of(path).read(Path(path))


def layout_of(path: Path) -> Layout:
    """The layout of the data set at ``path``.

    Raises:
        CaseError: none recognises it, or its manifest can't be read.
    """
    path = Path(path)
    if not path.exists():
        raise CaseError("", path, "no such file or folder", "a data set", "Correct the path.")
    for layout in LAYOUTS:
        if layout.recognises(path):
            return layout
    signs = "; ".join(f"{layout.name}: {layout.sign}" for layout in LAYOUTS)
    fix = "Name the folder that holds the manifest, or the manifest."
    raise CaseError("", path, "no data set of a known layout", f"one of: {signs}", fix)


def datasets_in(folder: Path) -> tuple[Path, ...]:
    """Return the data sets in the subfolders of ``folder``, by name; none where it is a data set itself.

    A subfolder whose manifest can't be read counts, so that its fault is reported and not passed over.
    """
    if not folder.is_dir() or _is_dataset(folder):
        return ()
    return tuple(sorted(each for each in folder.iterdir() if each.is_dir() and _is_dataset(each)))


def _is_dataset(path: Path) -> bool:
    try:
        layout_of(path)
    except CaseError:
        return (path / "dataset.json").exists()
    return True
