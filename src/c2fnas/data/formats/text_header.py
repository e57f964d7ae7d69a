"""What NRRD and MetaImage headers share: a package to have, a data file that may stand beside, and LPS axes."""

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from c2fnas.data.formats.header import DEFLATE_RATIO
from c2fnas.data.problem import CaseError, Finding
from c2fnas.errors import UserError

AGAIN = "Copy or download the file again, or export it from its source again."
DIRECTIONS = {"right": 1, "left": -1, "anterior": 1, "posterior": -1, "superior": 1, "inferior": -1}
AXES = (("right", "left"), ("anterior", "posterior"), ("superior", "inferior"))


def need(package: str, path: Path) -> Any:
    """Import an optional package.

    Raises:
        UserError: it is not installed.
    """
    try:
        return import_module(package)
    except ImportError as error:
        raise UserError(
            f"{path}: {path.suffix} files need the package {package}. Install it with `pip install c2fnas[formats]`."
        ) from error


def to_ras(space: Iterable[str]) -> np.ndarray | None:
    """The 4×4 matrix from a named space to (right, anterior, superior); None where the space isn't anatomical.

    >>> to_ras(("left", "posterior", "superior")).diagonal().tolist()
    [-1.0, -1.0, 1.0, 1.0]
    """
    names = tuple(space)
    if len(names) != 3 or any(name not in pair for name, pair in zip(names, AXES, strict=True)):
        return None
    return np.diag([float(DIRECTIONS[name]) for name in names] + [1.0])


def detached(header: Path, name: str) -> Path:
    """The data file that a header names, which must lie beside the header.

    Raises:
        CaseError: the name leads elsewhere, or to several files.
    """
    if (
        not name
        or name in (".", "..")
        or name != Path(name).name
        or "\\" in name
        or "%" in name
        or name.upper().startswith("LIST")
    ):
        raise CaseError(
            "",
            header,
            f"voxels in {name!r}",
            "one data file in the header's own folder",
            "Save the volume as one file (.nrrd, .mha).",
        )
    return header.parent / name


def extent_findings(data: Path, start: int, size: int, *, packed: bool) -> list[Finding]:
    """Whether a data file can hold ``size`` bytes of voxels from byte ``start`` on."""
    if not data.exists():
        return [Finding(f"no data file {data.name}", "the voxels' file beside the header", "Copy it there.")]
    length = data.stat().st_size - start
    if packed and size > length * DEFLATE_RATIO:
        return [
            Finding(
                f"{size:,} bytes of voxels in {length:,} packed bytes",
                f"at most {DEFLATE_RATIO} times the packed size",
                AGAIN,
            )
        ]
    if not packed and size > length:
        return [
            Finding(
                f"{length:,} bytes of voxels", f"{size:,} bytes, as the header says", f"The file is cut short. {AGAIN}"
            )
        ]
    return []


def no_space() -> Finding:
    """The warning of a file that doesn't say where its axes point."""
    fix = "Left and right may be swapped; left-posterior-superior is taken. Set the space if you know it."
    return Finding("no anatomical orientation", "a space such as left-posterior-superior", fix, "warning")
