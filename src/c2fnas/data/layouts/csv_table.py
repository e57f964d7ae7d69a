"""A CSV with a row per case.

Columns: ``image``, or a column per channel (``image_0``, ``image_1`` or ``image_T2``, ``image_ADC``); ``label``;
optionally ``id``, ``group`` (or ``patient``, ``patient_id``, ``subject``, ``subject_id``), ``fold``, ``split``
(``training``, ``validation`` or ``test``) and ``spacing``, the true one where the headers have lost it, as ``1.25 1.25
8``: millimetres along the image's own axes. Relative paths start at the CSV's folder and stay below it; absolute ones
are taken as they are. A file of the CSV's name with the suffix ``.json`` may name ``labels``, ``regions_class_order``
and ``channels``; without it, labels are found by reading the label files.
"""

import csv
import io
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from c2fnas.data.dataset import Case
from c2fnas.data.geometry import parse_spacing
from c2fnas.data.layouts.layout import Layout, Reading
from c2fnas.data.layouts.manifest import (
    UNREAD,
    Draft,
    EntryError,
    fold_number,
    inside,
    name_of,
    parse_channels,
    read_manifest,
    told_apart,
)
from c2fnas.data.problem import CaseError, Finding
from c2fnas.errors import refuse_exhaustion

SPLITS = {
    **dict.fromkeys(("", "train", "training", "tr"), "training"),
    **dict.fromkeys(("val", "valid", "validation"), "validation"),
    **dict.fromkeys(("test", "testing", "ts"), "test"),
}
GROUPS = ("group", "patient", "subject", "patient_id", "subject_id")
COLUMNS = ("id", "label", *GROUPS, "fold", "split", "spacing")
"""Besides those of images."""
Row = dict[str, str]


class TableLayout(Layout):
    """A table of files."""

    name = "CSV"
    sign = "a CSV, itself or alone in its folder, with the columns `image` (or `image_0`, `image_1` ...) and `label`"

    def recognises(self, path: Path) -> bool:
        """True if this is a CSV, or a folder with a single one and no manifest."""
        return _csv(path) is not None

    def read(self, path: Path) -> Reading:
        """Read the CSV, and the labels' values where no JSON beside it names them."""
        file = _csv(path) or path
        rows, draft, known = _rows(file), Draft(file), file.with_suffix(".json")
        columns = _image_columns(tuple(rows.values()), file)
        named = read_manifest(known) if known.is_file() else {}
        draft.note_misspelt(named, known)
        if unread := [name for name in next(iter(rows.values())) if name not in ("", *columns, *COLUMNS)]:
            draft.note(Finding(f"columns {', '.join(unread)}", ", ".join(("image", *COLUMNS)), UNREAD, "warning"))
        cases: dict[str, list[Case]] = {"training": [], "test": []}
        for line, row in rows.items():
            name, split = row.get("id") or f"line {line}", SPLITS.get(row.get("split", "").lower())
            if split is None:
                fix = "Correct the column `split`."
                draft.note(Finding(f"split {row['split']!r}", "training, validation or test", fix), name)
                continue
            side = cases["test" if split == "test" else "training"]
            side += draft.cases([(name, row)], partial(_case, columns=columns, root=file.parent, split=split))
        if not any("id" in row for row in rows.values()):
            cases = {split: list(told_apart(each)) for split, each in cases.items()}
        training = cases["training"]
        scheme = draft.scheme(named, known) if "labels" in named else draft.found_classes(training)
        in_columns = tuple(column.removeprefix("image_") for column in columns if column != "image")
        return draft.reading(
            name=named.get("name") or file.stem,
            scheme=scheme,
            channels=parse_channels(named) or in_columns,
            **cases,
            files=(file, known) if known.is_file() else (file,),
        )


def _csv(path: Path) -> Path | None:
    if path.is_file():
        return path if path.suffix.lower() in (".csv", ".tsv") else None
    found = sorted(path.glob("*.csv")) if path.is_dir() else []
    tables = [each for each in found if not each.name.startswith(".")]  # such as macOS leaves beside a file
    return tables[0] if len(tables) == 1 else None


def _rows(file: Path) -> dict[int, Row]:
    """The rows by their lines, each by columns; separated by commas, semicolons or tabs, as the first line is."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        refuse_exhaustion(file, error)
        fix = "Save the table again as CSV in UTF-8."
        raise CaseError("", file, f"an unreadable table ({error})", "a CSV in UTF-8", fix) from error
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)
    rows = {}
    try:
        for row in reader:
            if any(row.values()):
                own = {_column(str(key or "")): str(value or "").strip() for key, value in row.items()}
                rows[reader.line_num] = own
    except csv.Error as error:
        fix = "Look for a quotation mark that is not closed."
        raise CaseError("", file, f"an unreadable table (line {reader.line_num}: {error})", "a CSV", fix) from error
    return rows


def _column(name: str) -> str:
    """A column's name in lower case but for that of a channel."""
    lower = name.strip().lower()
    return f"image_{name.strip()[6:]}" if lower.startswith("image_") else lower


def _image_columns(rows: Sequence[Row], file: Path) -> list[str]:
    columns = [name for name in (rows[0] if rows else ()) if name == "image" or name.startswith("image_")]
    if not columns:
        expected, fix = "a column `image` (or `image_0`, `image_1` ...)", "Name the columns in the first line."
        found = f"the columns {', '.join(rows[0])}" if rows else "no rows"
        raise CaseError("", file, found, expected, fix)
    numbered = all(name.removeprefix("image_").isdecimal() for name in columns)
    return sorted(columns, key=lambda name: int(name.removeprefix("image_"))) if numbered else columns


def _case(row: Row, columns: Sequence[str], root: Path, split: str) -> Case:
    images = tuple(_path(root, row[column]) for column in columns)
    label = _path(root, row["label"]) if row.get("label") else None
    fold = fold_number(row.get("fold") or ("0" if split == "validation" else None))
    group = next((row[column] for column in GROUPS if row.get(column)), None)
    try:
        spacing = parse_spacing(row["spacing"]) if row.get("spacing") else None
    except ValueError as error:
        expected, fix = "millimetres along three axes, such as 1.25 1.25 8", "Correct the column `spacing`."
        raise EntryError(Finding(f"spacing {row['spacing']!r}", expected, fix)) from error
    return Case(row.get("id") or name_of(images), images, label, group, fold, spacing)


def _path(root: Path, text: str) -> Path:
    return Path(text) if Path(text).is_absolute() and "\0" not in text else inside(root, text)
