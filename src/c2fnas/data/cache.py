"""Prepared cases on disk, one memory-mapped array each, under a key of file contents and plan."""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np

from c2fnas.data.dataset import Case
from c2fnas.data.fingerprint import content_hash
from c2fnas.data.plan import Plan
from c2fnas.data.preprocess import prepare_case
from c2fnas.data.restoration import Restoration
from c2fnas.errors import UserError
from c2fnas.files import read_json, write_atomically, write_json

INDEX = "index.json"
MOST_FOREGROUND = 20_000


@dataclass(frozen=True)
class PreparedCase:
    """A case of the cache; its arrays are memory-mapped when they are first asked for."""

    id: str
    folder: Path

    @cached_property
    def image(self) -> np.ndarray:
        """Normalised, float32 ``[channels, i, j, k]``."""
        return np.load(self.folder / "image.npy", mmap_mode="r")

    @cached_property
    def label(self) -> np.ndarray:
        """Class indices on the prepared grid, uint8 ``[i, j, k]``."""
        return np.load(self.folder / "label.npy", mmap_mode="r")

    @cached_property
    def truth(self) -> np.ndarray:
        """Class indices on the original grid, uint8, so that evaluation needs no original file."""
        return np.load(self.folder / "truth.npy", mmap_mode="r")

    @cached_property
    def foreground(self) -> tuple[np.ndarray, ...]:
        """Voxels ``[n, 3]`` of each foreground class on the prepared grid; of large ones a part at even distances."""
        with np.load(self.folder / "foreground.npz") as file:
            return tuple(file[str(index)] for index in range(len(file.files)))

    @cached_property
    def restoration(self) -> Restoration:
        """The way back to the original grid."""
        return Restoration.from_json(read_json(self.folder / "case.json")["restoration"])


@dataclass(frozen=True)
class Cache:
    """The prepared cases of a run by id."""

    folder: Path
    cases: dict[str, PreparedCase]

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open what :func:`prepare_cases` has finished."""
        keys = read_json(folder / INDEX)
        return cls(folder, {case: PreparedCase(case, folder / key) for case, key in keys.items()})

    @property
    def ids(self) -> tuple[str, ...]:
        """All case ids, in the data set's order."""
        return tuple(self.cases)

    def __getitem__(self, case: str) -> PreparedCase:
        try:
            return self.cases[case]
        except KeyError:
            raise UserError(f"{self.folder}: the case {case!r} was not prepared. Prepare the run again.") from None


def prepare_cases(
    cases: Sequence[Case], plan: Plan, folder: Path, *, workers: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Cache:  # fmt: skip
    """Prepare ``cases`` into ``folder``; those that are there for the same files and plan are kept.

    A case's folder is named by a hash of its files' contents and of the plan, and its ``case.json`` is written last, so a
    stale or half-written case is never used.
    """
    keys = {}
    with ThreadPoolExecutor(workers) as pool:
        for done, (case, key) in enumerate(
            zip(cases, pool.map(lambda each: _prepared(each, plan, folder), cases), strict=True), start=1
        ):
            keys[case.id] = key
            progress(done, len(cases))
    write_json(folder / INDEX, keys)
    return Cache.open(folder)


def _prepared(case: Case, plan: Plan, folder: Path) -> str:
    key = f"{case.id}-{_key(case, plan)}"
    if not (folder / key / "case.json").exists():
        _write(case, plan, folder / key)
    return key


def _key(case: Case, plan: Plan) -> str:
    """Contents of the files and what of the plan decides the arrays."""
    deciding = plan.model_dump_json(include={"channels", "classes", "spacing", "resize", "axes", "crop_nonzero"})
    return hashlib.sha256((content_hash(case) + deciding).encode()).hexdigest()[:12]


def _write(case: Case, plan: Plan, folder: Path) -> None:
    image, label, truth, way = prepare_case(case, plan)
    for name, array in (("image", image), ("label", label), ("truth", truth)):
        write_atomically(folder / f"{name}.npy", lambda temporary, array=array: np.save(temporary, array))
    places = {str(index): _places(label == index + 1) for index in range(len(plan.classes) - 1)}
    write_atomically(folder / "foreground.npz", lambda temporary: np.savez(temporary, **places))
    write_json(folder / "case.json", {"id": case.id, "restoration": way.to_json()})


def _places(mask: np.ndarray) -> np.ndarray:
    found = np.argwhere(mask).astype(np.int32)
    return found[:: max(1, len(found) // MOST_FOREGROUND)]
