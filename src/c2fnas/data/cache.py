"""Prepared cases on disk: memory-mapped arrays in a folder named by a hash of file contents and plan."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.lib.format import open_memmap
from threadpoolctl import threadpool_limits

from c2fnas.data.dataset import Case
from c2fnas.data.fingerprint import CaseFingerprint, content_hash
from c2fnas.data.normalisation import SAMPLES_PER_CASE, Moments, NormalisedImage, with_statistics
from c2fnas.data.parallel import Progress, bounded_workers, in_order, read_array
from c2fnas.data.plan import ChannelPlan, Plan
from c2fnas.data.preprocess import MOST_CENTRES, patch_centres, prepare_case, prepared_shape
from c2fnas.data.restoration import Restoration
from c2fnas.data.volume import read_geometry
from c2fnas.errors import UserError, refuse_exhaustion
from c2fnas.files import read_json, refusing_damage, write_atomically, write_json
from c2fnas.shapes import Spacing

INDEX = "index.json"
UNFINISHED = ".unfinished-"


@dataclass(frozen=True)
class PreparedCase:
    """A case of the cache; ``channels`` says how its image is normalised.

    Arrays are read-only memory maps, opened whenever they are asked for and not kept: open files are few, whatever the
    number of cases.
    """

    id: str
    folder: Path
    channels: tuple[ChannelPlan, ...] = ()

    @property
    def raw(self) -> np.ndarray:
        """The resampled image as it is stored, not normalised, float32 ``[channels, i, j, k]``."""
        return _open(self.folder / "image.npy")

    @property
    def image(self) -> NormalisedImage:
        """The image ``[channels, i, j, k]``, normalised where it is read."""
        return NormalisedImage(self.raw, self.channels, self.moments)

    @property
    def label(self) -> np.ndarray | None:
        """Class indices in the prepared grid, uint8 ``[i, j, k]``; None without a label."""
        return _open(self.folder / "label.npy") if self._about["labelled"] else None

    @property
    def truth(self) -> np.ndarray | None:
        """Class indices in the original grid, uint8, so that evaluation needs no original file; or None."""
        return _open(self.folder / "truth.npy") if self._about["labelled"] else None

    @property
    def sample(self) -> np.ndarray:
        """Foreground voxels ``[channels, n]`` of the original image, at even distances."""
        return _open(self.folder / "sample.npy", None)

    @property
    def foreground(self) -> tuple[np.ndarray, ...]:
        """Of each foreground class, voxels ``[n, 3]`` in the prepared grid; of a large one only some, evenly chosen."""
        return self._places[: len(self._about["foreground"])] if self._about["labelled"] else ()

    @property
    def known(self) -> np.ndarray | None:
        """Voxels ``[n, 3]`` of any class, some of them, where others are ignored; None where none are."""
        return self._places[-1] if self._about.get("known") else None

    @property
    def _places(self) -> tuple[np.ndarray, ...]:
        counts = [*self._about["foreground"], *filter(None, [self._about.get("known")])]
        voxels = _open(self.folder / "foreground.npy") if any(counts) else np.zeros((0, 3), np.int32)
        return tuple(np.split(voxels, np.cumsum(counts)[:-1]))

    @property
    def moments(self) -> Moments:
        """Mean and standard deviation of each channel, as it was before it was resampled."""
        return tuple((mean, std) for mean, std in self._about["moments"])

    @cached_property
    def restoration(self) -> Restoration:
        """The way back to the original grid."""
        return Restoration.from_json(self._about["restoration"])

    @cached_property
    def _about(self) -> dict[str, Any]:
        return read_json(self.folder / "case.json")


@dataclass(frozen=True)
class Cache:
    """Prepared cases by id."""

    folder: Path
    plan_key: str
    cases: dict[str, PreparedCase]

    @classmethod
    def open(cls, folder: Path, plan: Plan | None = None) -> Self:
        """Open the cases that :func:`prepare_cases` left in ``folder``.

        With a plan, their images are normalised by its channels. Where it leaves the numbers of CT to the
        folds, they come from :meth:`fold_channels`. Without a plan, only raw images can be read.

        Raises:
            UserError: nothing is prepared there, or for another plan than ``plan``.
        """
        with refusing_damage(folder / INDEX, "the prepared cases", "Delete it, and prepare the run again."):
            index = read_json(folder / INDEX)
            key, channels = index["plan"], () if plan is None else plan.channels
            cases = {case: PreparedCase(case, folder / place, channels) for case, place in index["cases"].items()}
        if plan is not None and key != plan.preparation_key:
            raise UserError(f"{folder}: these cases were prepared for another plan. Prepare the run again.")
        return cls(folder, key, cases)

    def fold_channels(self, channels: Sequence[ChannelPlan], training: Iterable[str]) -> tuple[ChannelPlan, ...]:
        """Return the channels with the CT statistics of the cases called ``training``."""
        return with_statistics(channels, (self[case].sample for case in training))

    @property
    def ids(self) -> tuple[str, ...]:
        """The cases' ids, in the order they were asked for."""
        return tuple(self.cases)

    def __getitem__(self, case: str) -> PreparedCase:
        try:
            return self.cases[case]
        except KeyError:
            raise UserError(f"{self.folder}: no prepared case {case!r}. Prepare the run again.") from None


def prepare_cases(
    cases: Sequence[Case],
    plan: Plan,
    folder: Path,
    *,
    workers: int = 1,
    progress: Progress | None = None,
    hashes: Mapping[str, str] | None = None,
) -> Cache:
    """Prepare ``cases`` into ``folder``; those already there, for the same file contents and plan, are kept.

    Interrupted anywhere, the same call carries on: a case's folder gets its name when it is whole. Workers are as many
    as fit the memory, ``workers`` at most. Arrays of other plans or files are removed at the end.

    ``hashes`` are known :func:`content_hash` es by case; the files of any other case are read for its own.

    Raises:
        CaseError: a case can't be prepared.
        UserError: the folder can't be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for left_over in folder.glob(f"{UNFINISHED}*"):
        shutil.rmtree(left_over, ignore_errors=True)
    workers = preparing_workers(cases, plan, workers)
    # Workers share the cores already; a BLAS that starts its own threads in each of them would only get in the way.
    with threadpool_limits(1 if workers > 1 else None, user_api="blas"):
        known = hashes or {}
        keys = in_order(lambda case: _prepared(case, plan, folder, known.get(case.id)), cases, workers, progress)
        found = dict(zip((case.id for case in cases), keys, strict=True))
    write_json(folder / INDEX, {"plan": plan.preparation_key, "cases": found})
    for stale in {entry.name for entry in folder.iterdir() if entry.is_dir()} - set(found.values()):
        shutil.rmtree(folder / stale, ignore_errors=True)
    return Cache.open(folder, plan)


def preparing_workers(cases: Sequence[Case], plan: Plan, workers: int) -> int:
    """Return how many of ``workers`` prepare ``cases`` at a time: as many as the memory holds the largest for."""
    return bounded_workers(cases, workers, lambda case: _most_voxels(case, plan))


def disk_needed(cases: Iterable[CaseFingerprint], plan: Plan, folder: Path) -> tuple[int, int]:
    """Return the number of cases that :func:`prepare_cases` has yet to prepare into ``folder``, and their bytes.

    How many voxels of a class there are after resampling is an estimate; a few hundred bytes of JSON are left out.
    """
    missing = [case for case in cases if not (folder / _name(plan, case.sha256, case.stated)).is_dir()]
    return len(missing), sum(_bytes(case, plan) for case in missing)


def _bytes(case: CaseFingerprint, plan: Plan) -> int:
    """Bytes of a prepared case: image, label, truth, and some voxels of each class and of the foreground."""
    own, (i, j, k) = case.nonzero_shape if plan.crop_nonzero else case.shape, plan.axes
    prepared = prod(prepared_shape((own[i], own[j], own[k]), [case.spacing[axis] for axis in plan.axes], plan))
    channels, foreground = len(plan.channels), case.voxels[1:]
    places = sum(min(voxels * prepared // prod(own), MOST_CENTRES) for voxels in foreground)
    sample = min(sum(foreground), SAMPLES_PER_CASE)
    return (4 * channels + 1) * prepared + prod(case.shape) + 12 * places + 4 * channels * sample


def _name(plan: Plan, content: str, spacing: Spacing | None) -> str:
    """The name of the folder of a case whose files have the hash ``content``, of a spacing that was stated."""
    stated = f" {spacing}" if spacing else ""
    return hashlib.sha256(f"{plan.preparation_key} {content}{stated}".encode()).hexdigest()[:32]


def _prepared(case: Case, plan: Plan, folder: Path, known: str | None) -> str:
    """The name of a case's folder, once it is there; ``known`` is its hash, where it is."""
    key = _name(plan, known or content_hash(case), case.spacing)
    if (folder / key).is_dir():
        return key
    try:
        unfinished = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=folder))
        try:
            _write(case, plan, unfinished)
            _rename(unfinished, folder / key)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        refuse_exhaustion(folder, error)
        raise UserError(
            f"{folder}: the case {case.id} can't be written ({error.strerror or error}). Free some space or choose "
            "another folder; cases already prepared are kept."
        ) from error
    return key


def _write(case: Case, plan: Plan, folder: Path) -> None:
    maps: dict[str, np.memmap] = {}

    def allocate(name: str, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        path = folder / f"{name}.npy"
        maps[name] = open_memmap(path, mode="w+", dtype=dtype, shape=shape)
        _claim(path)
        return maps[name]

    done = prepare_case(case, plan, allocate)
    places, known = patch_centres(maps["label"], plan.scheme) if "label" in maps else ([], [])
    if places:
        write_atomically(
            folder / "foreground.npy", lambda temporary: np.save(temporary, np.concatenate([*places, *known]))
        )
    write_atomically(folder / "sample.npy", lambda temporary: np.save(temporary, done.sample))
    for each in maps.values():
        each.flush()
    about = {
        "case": case.id,
        "restoration": done.way.to_json(),
        "moments": done.moments,
        "labelled": "label" in maps,
        "foreground": [*map(len, places)],
        **({"known": len(known[0])} if known else {}),
    }
    write_json(folder / "case.json", about)


def _claim(path: Path) -> None:
    """Have the file system set a file's space aside: on a full disk, writing to a map kills the process instead."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def _rename(unfinished: Path, finished: Path) -> None:
    """Give a whole folder its name; another thread may have prepared a case of the same content meanwhile."""
    try:
        os.rename(unfinished, finished)
    except OSError:
        if not finished.is_dir():
            raise


def _open(path: Path, mode: Literal["r"] | None = "r") -> np.ndarray:
    try:
        return read_array(lambda: np.load(path, mmap_mode=mode, allow_pickle=False))
    except (OSError, ValueError) as error:
        refuse_exhaustion(path, error)
        raise UserError(f"{path}: damaged ({error}). Delete {path.parent} and prepare the run again.") from error


def _most_voxels(case: Case, plan: Plan) -> int:
    """Voxels over all channels, as stored or as prepared, whichever are more; by one look at one header."""
    way = Restoration.to_axes(read_geometry(case.images[0], case.id).with_spacing(case.spacing), plan.axes)
    return len(plan.channels) * max(prod(way.shape), prod(prepared_shape(way.shape, way.spacing, plan)))
