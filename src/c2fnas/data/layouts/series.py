"""Folders of DICOM series as images without labels: what ``check`` and ``predict`` take as they come from a scanner."""

from pathlib import Path

from c2fnas.data.dataset import Case
from c2fnas.data.formats import suffix_of
from c2fnas.data.formats.dicom import find_series, is_dicom
from c2fnas.data.layouts.layout import Layout, Reading
from c2fnas.data.layouts.manifest import Draft
from c2fnas.data.scheme import LabelScheme

LEVELS = 4
"""Folders below each other in which a series is looked for: patient, study, series."""


class SeriesLayout(Layout):
    """Series of slices, all of them test cases; a CSV gives them labels."""

    name = "DICOM"
    sign = "a folder of DICOM series, which are images without labels"

    def recognises(self, path: Path) -> bool:
        """Return True if a folder holds a DICOM file, itself or below, and no volume of another format."""
        if not path.is_dir() or any(suffix_of(file) for file in path.iterdir()):
            return False
        folders = [path, *(below for level in range(1, LEVELS) for below in path.glob("/".join("*" * level)))]
        return any(is_dicom(each) for each in folders if each.is_dir())

    def read(self, path: Path) -> Reading:
        """List the series."""
        draft = Draft(path / "DICOM")
        cases = [Case(name, (place,), None) for name, place in find_series(path)]
        return draft.reading(scheme=LabelScheme.of("background"), channels=("channel 0",), training=(), test=cases)
