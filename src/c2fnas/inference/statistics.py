"""Figures of predicted cases: volume, intensity and box of each class, remarks on quality; of a folder, JSON and CSV.

They stand in ``statistics.json`` and ``statistics.csv``. A case under way is appended to a journal, so that a folder of
any length streams and an interruption loses nothing.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from c2fnas.data.scheme import LabelScheme
from c2fnas.data.volume import Volume
from c2fnas.errors import UserError
from c2fnas.files import append_json_line, read_json, read_json_lines, write_atomically, write_json

Json = dict[str, Any]
MM3_PER_ML = 1000.0


def class_statistics(labels: np.ndarray, volume: Volume, scheme: LabelScheme, channels: Sequence[str]) -> Json:
    """Return the figures of each class of a case, or of each region with all that it shares with others, by its name.

    Args:
        labels: Indices of the scheme's parts, uint8 ``[i, j, k]``.
        volume: The image that they are of, in the grid of its true spacing.
        scheme: Of the labels.
        channels: The names of the image's channels.

    Returns:
        ``value`` in label files, ``voxels``, ``volume_ml`` by the true spacing, ``intensity_mean`` of each channel
        (None without a voxel), and ``box``: first and last voxel + 1 along i, j and k (None without a voxel).
    """
    voxels, sums = _counts(labels, volume.array, len(scheme.parts))
    each_ml = abs(np.linalg.det(volume.geometry.matrix[:3, :3])) / MM3_PER_ML
    boxes = ndimage.find_objects(labels, len(scheme.parts) - 1)
    return {
        each.name: {
            "value": each.values[0],
            "voxels": (count := int(voxels[own].sum())),
            "volume_ml": count * each_ml,
            "intensity_mean": {
                name: float(sums[channel, own].sum() / count) if count else None
                for channel, name in enumerate(channels)
            },
            "box": _box([box for part in own if (box := boxes[part - 1]) is not None]),
        }
        for each, own in zip(scheme.written[1:], map(list, scheme.regions), strict=True)
    }


class StatisticsFiles:
    """The statistics of a folder, by case.

    Args:
        folder: Of the labels; figures that it holds already are read.
    """

    def __init__(self, folder: Path) -> None:
        self._json, self._csv = folder / "statistics.json", folder / "statistics.csv"
        self._journal = folder / ".statistics.jsonl"
        self._rows: dict[str, Json] = read_json(self._json) if self._json.exists() else {}
        if not isinstance(self._rows, dict) or any("classes" not in row for row in self._rows.values()):
            raise UserError(
                f"{self._json}: not the statistics of predictions. Choose another folder, or move the file."
            )
        self._rows |= {row.pop("case"): row for row in read_json_lines(self._journal)}
        self._changed = self._journal.exists() or self._table_is_older()

    def __contains__(self, case: str) -> bool:
        return case in self._rows

    def drop(self, cases: Iterable[str]) -> None:
        """Forget cases: they are about to be predicted again, or are another model's."""
        for case in list(cases):
            self._changed |= self._rows.pop(case, None) is not None

    def add(self, case: str, row: Json) -> None:
        """Take the figures of a case; they are safe when this returns."""
        append_json_line(self._journal, {"case": case, **row})
        self._rows[case], self._changed = row, True

    def _table_is_older(self) -> bool:
        """True where a call has ended between the two files, of which the table is the later one."""
        both = self._json.exists() and self._csv.exists()
        return both and self._csv.stat().st_mtime_ns < self._json.stat().st_mtime_ns

    def save(self) -> None:
        """Write both files where anything has changed, in the order of the cases' names."""
        if not self._changed:
            return
        rows = {case: self._rows[case] for case in sorted(self._rows)}
        write_json(self._json, rows)
        table = list(_table(rows))
        write_atomically(self._csv, lambda temporary: _write_csv(temporary, table))
        self._journal.unlink(missing_ok=True)
        self._changed = False


def _box(boxes: Sequence[tuple[slice, ...]]) -> list[list[int]] | None:
    """First and last voxel + 1 along each axis of all boxes together; None without one."""
    sides = [[min(side.start for side in axis), max(side.stop for side in axis)] for axis in zip(*boxes, strict=True)]
    return sides or None


def _counts(labels: np.ndarray, array: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Voxels ``[classes]`` and sums of intensities ``[channels, classes]``; plane by plane, temporaries stay small."""
    voxels, sums = np.zeros(classes, np.int64), np.zeros((len(array), classes))
    for plane, values in zip(labels, np.moveaxis(array, 1, 0), strict=True):
        flat = plane.ravel()
        voxels += np.bincount(flat, minlength=classes)
        for channel, own in enumerate(values):
            sums[channel] += np.bincount(flat, own.ravel(), minlength=classes)
    return voxels, sums


def _table(rows: dict[str, Json]) -> Iterator[Json]:
    """A line for each case and class; what concerns the case as a whole is repeated."""
    for case, row in rows.items():
        for name, own in row["classes"].items():
            line = {"case": case, "class": name, **{key: own[key] for key in ("value", "voxels", "volume_ml")}}
            line |= {f"intensity_mean_{channel}": mean for channel, mean in own["intensity_mean"].items()}
            for axis, side in zip("ijk", own["box"] or [(None, None)] * 3, strict=True):
                line |= {f"{axis}_first": side[0], f"{axis}_end": side[1]}
            line |= row.get("identifiers", {})
            yield line | {"disagreement": row["disagreement"], "quality": "; ".join(row["quality"])}


def _write_csv(path: Path, table: Sequence[Json]) -> None:
    columns = list(dict.fromkeys(key for line in table for key in line))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(table)
