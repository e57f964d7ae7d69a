"""The third stage as a report needs it: the rows of its table."""

from c2fnas.files import read_json
from c2fnas.runs.folder import RunFolder
from c2fnas.studies.widths import Scaled


def read_widths(folder: RunFolder) -> tuple[Scaled, ...]:
    """The rows of Table 4; none where no widths were trained."""
    rows = read_json(folder.scale_table) if folder.scale_table.exists() else []
    return tuple(map(Scaled.from_json, rows))
