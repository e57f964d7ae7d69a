"""The cases of Figure 6: the best, the median and the worst, predicted by the fold that has not seen them.

Everything comes from the run folder: prepared images, truths and model packages. The data set need not be there.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np

from c2fnas.data.cache import Cache, PreparedCase
from c2fnas.data.folds import Fold
from c2fnas.data.parallel import read_array
from c2fnas.data.plan import load_plan
from c2fnas.data.resample import resample_image
from c2fnas.data.restoration import Restoration
from c2fnas.data.scheme import LabelScheme
from c2fnas.errors import UserError
from c2fnas.evaluation.metrics import CaseScores
from c2fnas.files import write_atomically
from c2fnas.inference.ensemble import Mirrored
from c2fnas.inference.forward import resolve_device
from c2fnas.inference.package import load_package
from c2fnas.inference.preview import EDGES, PLANES, shown_slice
from c2fnas.inference.sinks import RestoringSink
from c2fnas.report.final import FinalSummary, FoldSummary
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.records.predictions import kept_prediction
from c2fnas.text import some
from c2fnas.training.precision import resolve_precision
from c2fnas.training.recipe import Precision

THICK = 1.2  # an axis this many times coarser than the others is the one through the slices
MARGIN_MM = 25.0
KEPT = "predictions"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Slice:
    """A slice as it is shown: rows downwards, columns to the right.

    Attributes:
        image: the first channel, resampled, float32 ``[rows, columns]``.
        truth: class indices, uint8, the same size.
        prediction: class indices, uint8, the same size.
        aspect: a pixel's height by its width.
        plane: its name.
        edges: left, right, top, bottom in the patient.
        number: of the slice along the axis through it, from 1, of ``count``.
        why: it was chosen.
    """

    image: np.ndarray
    truth: np.ndarray
    prediction: np.ndarray
    aspect: float
    plane: str
    edges: tuple[str, str, str, str]
    number: int
    count: int
    why: str


@dataclass(frozen=True)
class Overlay:
    """A case of Figure 6: ``role`` is best, median or worst."""

    role: str
    fold: Fold
    scores: CaseScores
    slices: tuple[Slice, ...]


@dataclass(frozen=True)
class Volumes:
    """A case as it is shown: canonical arrays ``[right, anterior, superior]`` of the original's voxels.

    Attributes:
        image: the first channel, resampled.
        truth: indices of the parts that are shown.
        prediction: the same, as the network has them.
        counted: the same, as they were scored: without what is ignored.
        spacing: in mm.
    """

    image: np.ndarray
    truth: np.ndarray
    prediction: np.ndarray
    counted: np.ndarray
    spacing: tuple[float, float, float]

    @property
    def axis(self) -> int:
        """The axis across which slices lie."""
        return through_axis(self.spacing)

    @property
    def sides(self) -> tuple[float, float]:
        """Width and height of a pixel in mm."""
        across, down = (self.spacing[each] for each in range(3) if each != self.axis)
        return across, down


@dataclass(frozen=True)
class Predictions:
    """The predictions of a run's validation cases: kept by the evaluation, by an earlier report, or made now.

    Attributes:
        folder: Of the run.
        precision: Of the deployment's recipe; where the device does not compute in it, fp32 takes its place.
        device: Where to predict.
        say: Receives a line on each prediction that has to be made.
        place: Where those that are made are kept; by default in the run's report.
    """

    folder: RunFolder
    precision: str
    device: str = "auto"
    say: Say = lambda text: None
    place: Path | None = None

    def volumes(self, fold: FoldSummary, name: str) -> Volumes:
        """Return a case of a fold as it is shown.

        Raises:
            UserError: the model package or the cache is damaged or gone.
        """
        case = Cache.open(self.folder.cache, load_plan(self.folder.plan))[name]
        return shown_volumes(case, self._labels(fold, case), load_plan(self.folder.plan).scheme)

    def _labels(self, fold: FoldSummary, case: PreparedCase) -> np.ndarray:
        """Return indices of parts of a case in its original grid, as the fold's evaluation had them."""
        assert fold.model is not None
        assert fold.checksum is not None
        scored = kept_prediction(fold.model.parent, case)
        if scored is not None:
            return scored
        kept = (self.place or self.folder.report) / KEPT / f"{case.folder.name}-{fold.checksum[:16]}.npy"
        if not kept.exists():
            self.say(f"Predicting {case.id} with the model of fold {fold.fold} ...")
            labels = predict_case(fold.model, case, self.precision, self.device)
            write_atomically(kept, lambda path: np.save(path, labels))
        return read_array(lambda: np.load(kept, allow_pickle=False))


def read_overlays(final: FinalSummary, predictions: Predictions) -> tuple[Overlay, ...]:
    """Return the cases of Figure 6; those that neither the evaluation nor an earlier report has kept are predicted.

    Args:
        final: The deployment of a run, with one finished fold at least.
        predictions: Of its cases.

    Raises:
        UserError: a model package or the cache is damaged or gone.
    """
    return tuple(
        Overlay(role, fold.fold, scores, telling_slices(predictions.volumes(fold, scores.case)))
        for role, fold, scores in telling_cases(final)
    )


def telling_cases(final: FinalSummary) -> list[tuple[str, FoldSummary, CaseScores]]:
    """Return the best, the median and the worst case of all folds with a model, by mean Dice; none twice."""
    rows = [pair for pair in final.worst_first if pair[0].model is not None]
    places = {"worst": 0, "best": len(rows) - 1, "median": (len(rows) - 1) // 2} if rows else {}
    roles: dict[int, str] = {}
    for role, place in places.items():  # of few cases, one may be the worst and the best
        roles.setdefault(place, role)
    return [(roles[place], *rows[place]) for place in sorted(roles, reverse=True)]


def viewed_case(final: FinalSummary, name: str | None = None) -> tuple[FoldSummary, CaseScores]:
    """Return the case to scroll through: the one of this name, else the worst; one fold at least has a model.

    Raises:
        UserError: no fold with a model has validated it.
    """
    rows = [pair for pair in final.every_case if pair[0].model is not None]
    found = next((pair for pair in rows if name in (None, pair[1].case)), None)
    if found is None:
        known = some([row.case for _, row in rows], 5)
        raise UserError(f"--case {name}: no validation case of a final network. There are {known}.")
    return found


def shown_volumes(case: PreparedCase, prediction: np.ndarray, scheme: LabelScheme = LabelScheme()) -> Volumes:
    """Return a labelled case as it is shown.

    Args:
        case: A labelled case.
        prediction: Indices of parts in its original grid.
        scheme: Of the labels; of regions, the last one that holds a voxel is shown.
    """
    way = Restoration.to_axes(case.restoration.original)
    assert case.truth is not None
    stored = np.asarray(case.truth)
    counted = prediction if scheme.ignored is None else np.where(stored == scheme.ignored, 0, prediction)
    truth, counted, found = (way.view(scheme.shown(each)) for each in (stored, counted, prediction))
    return Volumes(way.view(original_image(case)), truth, found, counted, way.spacing)


def telling_slices(volumes: Volumes) -> tuple[Slice, ...]:
    """Return the slice with most structure and the one with most errors, zoomed to what is there.

    Slices lie across the axis with the thickest ones; where none is thicker, they are axial.
    """
    telling = _telling(volumes.truth, volumes.counted, volumes.axis)
    return tuple(_slice(volumes, index, why) for why, index in telling.items())


def _telling(truth: np.ndarray, prediction: np.ndarray, axis: int) -> dict[str, int]:
    """Return the number of each slice along ``axis`` that is shown, by the reason."""
    others = tuple(each for each in range(3) if each != axis)
    structure = ((truth > 0) | (prediction > 0)).sum(axis=others)
    errors = (truth != prediction).sum(axis=others)
    found = {"most structure": int(structure.argmax())}
    if errors.any() and errors.argmax() != structure.argmax():
        found["most errors"] = int(errors.argmax())
    return found


def _slice(volumes: Volumes, index: int, why: str) -> Slice:
    """Return a slice of the image, the truth and the prediction."""
    axis, (across, down) = volumes.axis, volumes.sides
    shown = (volumes.image, volumes.truth, volumes.prediction)
    image, truth, prediction = (shown_slice(volume, axis, index) for volume in shown)
    box = zoom((truth > 0) | (prediction > 0), down, across)
    return Slice(
        image=image[box],
        truth=truth[box],
        prediction=prediction[box],
        aspect=down / across,
        plane=PLANES[axis],
        edges=EDGES[axis],
        number=index + 1,
        count=volumes.image.shape[axis],
        why=why,
    )


def through_axis(spacing: tuple[float, float, float]) -> int:
    """Return the canonical axis across which a case is shown.

    >>> through_axis((1.0, 5.0, 1.0)), through_axis((1.0, 1.0, 1.1))
    (1, 2)
    """
    coarsest = int(np.argmax(spacing))
    return coarsest if spacing[coarsest] > THICK * sorted(spacing)[1] else 2


def original_image(case: PreparedCase) -> np.ndarray:
    """Return the prepared first channel in the original grid, float32; outside of the crop its lowest value."""
    way, prepared = case.restoration, np.asarray(case.raw[0], dtype=np.float32)
    result = np.full(way.original.shape, prepared.min(), dtype=np.float32)
    way.view(result)[...] = resample_image(prepared, way.crop_shape, way.nearest_axis) if way.resampled else prepared
    return result


def zoom(classes: np.ndarray, row_mm: float, column_mm: float) -> tuple[slice, slice]:
    """Return the part of a slice that is not background, with a margin; all of it if everything is background."""
    if not classes.any():
        return slice(None), slice(None)

    def side(places: np.ndarray, mm: float) -> slice:
        margin = round(MARGIN_MM / mm)
        return slice(max(0, int(places.min()) - margin), int(places.max()) + margin + 1)

    rows, columns = np.nonzero(classes)
    return side(rows, row_mm), side(columns, column_mm)


def predict_case(model: Path, case: PreparedCase, precision: str, device: str) -> np.ndarray:
    """Return class indices of a prepared case in its original grid, uint8, by the model package's own window."""
    place = resolve_device(device)
    package = load_package(model)
    usual = resolve_precision("auto", place.type)
    window = package.window(precision=cast(Precision, precision if precision == usual else "fp32"))
    network = Mirrored(package.network) if package.plan.mirror else package.network
    image = replace(case, channels=package.plan.channels).image
    (sink,) = window.stream(
        network, [(image, RestoringSink(case.restoration, scheme=package.plan.scheme))], device=place
    )
    return sink.labels
