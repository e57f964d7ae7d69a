"""The folder that predicted labels go to.

What made the labels, and of which images, is written down beside them, so that a second call carries on.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from filelock import FileLock, Timeout

from c2fnas.data.dataset import Case
from c2fnas.data.fingerprint import stamps
from c2fnas.data.formats import suffix_of, volume_files
from c2fnas.data.formats.dicom import is_dicom
from c2fnas.data.formats.dicom_seg import SUFFIX as SEG
from c2fnas.data.formats.dicom_seg import is_label_file
from c2fnas.data.geometry import Geometry
from c2fnas.data.plan import Plan
from c2fnas.data.volume import label_suffix
from c2fnas.errors import UserError
from c2fnas.files import read_json, write_atomically, write_json
from c2fnas.inference.options import LABELS_ALONE, Extras
from c2fnas.inference.statistics import StatisticsFiles
from c2fnas.shapes import Spacing

RECORD, SPACINGS, IMAGES = "prediction.json", "spacings", "images"
LOCK = ".prediction.lock"
PROBABILITIES, PREVIEW = "_probabilities.npz", ".png"
Stamp = tuple[tuple[str, int, int], ...]
"""Name, bytes and time of change of each file of an image."""


def output_name(case: Case, dicom_seg: bool = False) -> str:
    """Return the file name of a case's labels: that of its image, without a channel's number, in the same format."""
    return case.id + (SEG if dicom_seg else label_suffix(case.images[0]))


def save_probabilities(path: Path, values: np.ndarray, place: Geometry, plan: Plan) -> None:
    """Write class probabilities ``[classes, i, j, k]`` as a compressed ``.npz`` of NumPy.

    Besides ``probabilities`` (half precision) it holds ``affine``, 4×4 from voxel indices to millimetres (right,
    anterior, superior), and ``classes``, their names; regions have none for the background.

    Args:
        path: Of the file.
        values: The probabilities.
        place: Their grid.
        plan: Names the classes.

    Raises:
        UserError: the file can't be written.
    """
    names, half = np.array([each.name for each in plan.classes[-plan.outputs :]]), values.astype(np.float16, copy=False)
    write_atomically(
        path, lambda temporary: np.savez_compressed(temporary, probabilities=half, affine=place.matrix, classes=names)
    )


@dataclass(frozen=True)
class Record:
    """The record of the labels in a folder, ``prediction.json``.

    Attributes:
        maker: the models and options that made them; None where no record is there.
        spacings: by the file of labels, the spacing that the case stated.
        images: by the file of labels, the stamp of the images that they are of; earlier versions wrote none.
    """

    maker: dict[str, Any] | None = None
    spacings: dict[str, Spacing] = field(default_factory=dict)
    images: dict[str, Stamp] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read a folder's record.

        Raises:
            UserError: the file is there, and is none.
        """
        path = folder / RECORD
        if not path.is_file():
            return cls()
        try:
            maker = dict(read_json(path))
            spacings = {name: tuple(spacing) for name, spacing in maker.pop(SPACINGS, {}).items()}
            images = {name: tuple(map(tuple, stamp)) for name, stamp in maker.pop(IMAGES, {}).items()}
        except (TypeError, ValueError, AttributeError) as error:
            raise UserError(
                f"{path}: not the record of a prediction. Choose another --output folder, or move it elsewhere."
            ) from error
        return cls(maker, spacings, images)

    def write(self, folder: Path) -> None:
        """Write it into a folder."""
        more = {SPACINGS: self.spacings, IMAGES: self.images}
        write_json(folder / RECORD, {**(self.maker or {}), **{name: value for name, value in more.items() if value}})


@dataclass(frozen=True)
class PredictionFolder:
    """A folder of labels by one maker: the models and every option that changes labels.

    Args:
        root: The folder.
        extras: What is written there beside labels.
    """

    root: Path
    extras: Extras = LABELS_ALONE

    def path(self, case: Case) -> Path:
        """Return the file of a case's labels."""
        return self.root / output_name(case, self.extras.dicom_seg)

    def probabilities(self, case: Case) -> Path:
        """Return the file of a case's class probabilities."""
        return self.root / f"{case.id}{PROBABILITIES}"

    def preview(self, case: Case) -> Path:
        """Return the file of a case's picture."""
        return self.root / f"{case.id}{PREVIEW}"

    @cached_property
    def statistics(self) -> StatisticsFiles:
        """The figures of the folder's cases."""
        return StatisticsFiles(self.root)

    def _paths(self, case: Case) -> tuple[Path, ...]:
        """The files that are asked for; labels last, as they are written."""
        asked = [self.probabilities(case)] if self.extras.probabilities else []
        asked += [self.preview(case)] if self.extras.preview else []
        return (*asked, self.path(case))

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes from predicting into the folder; where a file system has no locks, none is kept out.

        Raises:
            UserError: another process predicts into it, or it is a file.
        """
        self._refuse_no_folder()
        is_new, lock = not self.root.exists(), FileLock(self.root / LOCK, fallback_to_soft=False)
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0)
        except Timeout:
            raise UserError(
                f"{self.root}: another process predicts into this folder. Wait for it, or name another folder."
            ) from None
        except (OSError, NotImplementedError):
            pass  # what can't be written is told by the first label
        try:
            yield
        finally:
            if lock.is_locked:
                (self.root / LOCK).unlink(missing_ok=True)  # while it is held: who opened it meanwhile finds it gone
                lock.release()
            if is_new:
                with suppress(OSError):  # it holds something
                    self.root.rmdir()

    def claim(self, cases: Sequence[Case], maker: dict[str, Any], *, overwrite: bool) -> tuple[Case, ...]:
        """Take the folder for ``maker`` and return the cases that are yet to be predicted.

        A prediction that is there counts where the same maker made it, by the spacing that its case states, and its
        images have not changed since; ``overwrite`` predicts all again, and takes the folder from another maker, whose
        predictions it replaces.

        Raises:
            UserError: two cases share a file, a prediction would replace an image, or the files are another's.
        """
        self._refuse_clashes(cases)
        known = Record.read(self.root)
        ours = known.maker is not None
        if known.maker != maker:
            self._take_over(cases, overwrite, ours=ours)
            known = Record()
        own = {self.path(case).name: case.spacing for case in cases}
        images = {self.path(case).name: _stamp(case) for case in cases}
        self._clear_leftovers(cases)
        open_ = tuple(
            case
            for case in cases
            if overwrite
            or known.spacings.get(name := self.path(case).name) != own[name]
            or not self._is_current(case, known.images.get(name), images[name])
        )
        self.statistics.drop(case.id for case in open_)
        self.statistics.save()  # before its labels go: what is killed after it must not stand beside another label
        for case in open_:  # one that fails must not leave what is out of date
            outdated = (self.path(case), self.probabilities(case), self.preview(case)) if ours else self._paths(case)
            for path in outdated:
                path.unlink(missing_ok=True)
        spacings = {name: spacing for name, spacing in {**known.spacings, **own}.items() if spacing}
        record = Record(maker, spacings, {**known.images, **{name: stamp for name, stamp in images.items() if stamp}})
        if record != known:
            record.write(self.root)
        return open_

    def forget(self, case: Case) -> None:
        """Remove what was written of a case that has failed in the middle."""
        self.statistics.drop([case.id])
        for path in self._paths(case):
            path.unlink(missing_ok=True)

    def _refuse_no_folder(self) -> None:
        if self.root.exists() and not self.root.is_dir():
            raise UserError(f"{self.root}: a file, and labels go to a folder. Name a folder by --output.")
        if suffix_of(self.root) and not self.root.exists():
            raise UserError(f"{self.root}: the name of a file, and labels go to a folder. Name a folder by --output.")

    def _take_over(self, cases: Sequence[Case], overwrite: bool, *, ours: bool) -> None:
        """Remove another maker's predictions of ``cases``; there must be none of other cases, which would seem ours.

        Where the folder is not ``ours``, not of any prediction, no file that is asked for may be there, either.
        """
        beside = [path for case in cases for path in self._paths(case) if path.exists() and not is_label_file(path)]
        if beside and not ours and not overwrite:
            raise UserError(
                f"{beside[0]}: here already, and no prediction has written it. Choose another folder, or give "
                "--overwrite to replace it."
            )
        outputs = {self.path(case) for case in cases}
        others = sorted(file for file in self.root.glob("[!.]*") if is_label_file(file)) if self.root.is_dir() else []
        if others and not overwrite:
            raise UserError(
                f"{self.root}: {len(others)} volumes are here already that these models and options have not made, "
                f"such as {others[0].name}. Choose another folder, or give --overwrite to replace them."
            )
        strangers = [file for file in others if file not in outputs]
        if strangers:
            raise UserError(
                f"{self.root}: {len(strangers)} volumes here are of other cases, such as {strangers[0].name}, and of "
                "other models or options; a folder holds predictions of one kind. Choose another folder."
            )
        for file in others:
            file.unlink()

    def _is_current(self, case: Case, known: Stamp | None, now: Stamp) -> bool:
        """True if everything that is asked for is there, and of the image as it is ``now``, or of one that is gone."""
        there = all(path.exists() for path in self._paths(case))
        if not there or (self.extras.statistics and case.id not in self.statistics):
            return False
        if not now:  # nothing could be predicted in place of what is there
            return True
        return known == now if known is not None else self._is_younger(case)

    def _is_younger(self, case: Case) -> bool:
        """True if what is there is younger than its image, as earlier versions have decided."""
        try:
            changed = max(file.stat().st_mtime_ns for image in case.images for file in volume_files(image))
            return all(path.stat().st_mtime_ns >= changed for path in self._paths(case))
        except OSError:
            return False

    def _refuse_clashes(self, cases: Sequence[Case]) -> None:
        owner: dict[Path, Case] = {}
        images = {image.resolve() for case in cases for image in case.images}
        if self.extras.dicom_seg and (others := [image for image in images if not is_dicom(image)]):
            raise UserError(f"{others[0]}: not DICOM, and a SEG refers to a series. Leave --format dicom-seg out.")
        places = [(each, path) for each in cases for path in self._paths(each)]
        if self.extras.statistics:
            places += [(each, self.root / f"statistics.json: {each.id}") for each in cases]
        for case, path in places:
            if path.resolve() in images:
                raise UserError(f"{path}: the prediction would replace an image. Choose another --output folder.")
            if path in owner:
                raise UserError(
                    f"{case.images[0]} and {owner[path].images[0]} would both be predicted into {path}. Rename one of "
                    "them, or predict them into two folders."
                )
            owner[path] = case

    def _clear_leftovers(self, cases: Sequence[Case]) -> None:
        """Remove what a kill in the middle of a write has left."""
        names = {path.name for case in cases for path in self._paths(case)}
        for path in self.root.glob(".[0-9]*-*"):
            if path.name.partition("-")[2] in names:
                path.unlink(missing_ok=True)


def _stamp(case: Case) -> Stamp:
    """The stamp of a case's images; empty where one is not there, which its prediction will say."""
    try:
        return stamps(replace(case, label=None))
    except OSError:
        return ()
