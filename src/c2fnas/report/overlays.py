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
from c2fnas.data.plan import load_plan
from c2fnas.data.resample import resample_image
from c2fnas.data.restoration import Restoration
from c2fnas.data.scheme import LabelScheme
from c2fnas.evaluation.metrics import CaseScores
from c2fnas.files import write_atomically
from c2fnas.inference.ensemble import Mirrored
from c2fnas.inference.forward import Precision, resolve_device
from c2fnas.inference.package import load_package
from c2fnas.inference.preview import EDGES, PLANES, shown_slice
from c2fnas.inference.sinks import RestoringSink
from c2fnas.report.final import FinalSummary, FoldSummary
from c2fnas.runs.folder import RunFolder
from c2fnas.training.precision import resolve_precision

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


def read_overlays(
    folder: RunFolder, final: FinalSummary, precision: str, *, device: str = "auto", say: Say = lambda text: None
) -> tuple[Overlay, ...]:
    """Return the cases of Figure 6; those that an earlier report has not kept are predicted.

    Args:
        folder: Of the run.
        final: Its deployment, with one finished fold at least.
        precision: Of the deployment's recipe; where the device does not compute in it, fp32 takes its place.
        device: Where to predict.
        say: Receives a line on each prediction.

    Raises:
        UserError: a model package or the cache is damaged or gone.
    """
    cache, found, scheme = Cache.open(folder.cache), [], load_plan(folder.plan).scheme
    for role, fold, scores in telling_cases(final):
        case = cache[scores.case]
        prediction = _prediction(folder, fold, case, precision, device, say)
        found.append(Overlay(role, fold.fold, scores, telling_slices(case, prediction, scheme)))
    return tuple(found)


def telling_cases(final: FinalSummary) -> list[tuple[str, FoldSummary, CaseScores]]:
    """Return the best, the median and the worst case of all folds with a model, by mean Dice; none twice."""
    rows = [pair for pair in final.worst_first if pair[0].model is not None]
    places = {"worst": 0, "best": len(rows) - 1, "median": (len(rows) - 1) // 2} if rows else {}
    roles: dict[int, str] = {}
    for role, place in places.items():  # of few cases, one may be the worst and the best
        roles.setdefault(place, role)
    return [(roles[place], *rows[place]) for place in sorted(roles, reverse=True)]


def telling_slices(
    case: PreparedCase, prediction: np.ndarray, scheme: LabelScheme = LabelScheme()
) -> tuple[Slice, ...]:
    """Return the slice with most structure and the one with most errors, zoomed to what is there.

    Slices lie across the axis with the thickest ones; where none is thicker, they are axial.

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
    volumes, axis = [way.view(original_image(case)), truth, found], through_axis(way.spacing)
    return tuple(
        _slice(volumes, way.spacing, axis, index, why) for why, index in _telling(truth, counted, axis).items()
    )


def _telling(truth: np.ndarray, prediction: np.ndarray, axis: int) -> dict[str, int]:
    """Return the number of each slice along ``axis`` that is shown, by the reason."""
    others = tuple(each for each in range(3) if each != axis)
    structure = ((truth > 0) | (prediction > 0)).sum(axis=others)
    errors = (truth != prediction).sum(axis=others)
    found = {"most structure": int(structure.argmax())}
    if errors.any() and errors.argmax() != structure.argmax():
        found["most errors"] = int(errors.argmax())
    return found


def _slice(volumes: list[np.ndarray], spacing: tuple[float, float, float], axis: int, index: int, why: str) -> Slice:
    """Return a slice of the image, the truth and the prediction, all canonical."""
    across, down = (spacing[each] for each in range(3) if each != axis)
    image, truth, prediction = (shown_slice(volume, axis, index) for volume in volumes)
    box = _zoom(truth + prediction, down, across)
    return Slice(
        image=image[box],
        truth=truth[box],
        prediction=prediction[box],
        aspect=down / across,
        plane=PLANES[axis],
        edges=EDGES[axis],
        number=index + 1,
        count=volumes[0].shape[axis],
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


def _zoom(classes: np.ndarray, row_mm: float, column_mm: float) -> tuple[slice, slice]:
    """Return the part of a slice that is not background, with a margin; all of it if everything is background."""
    if not classes.any():
        return slice(None), slice(None)

    def side(places: np.ndarray, mm: float) -> slice:
        margin = round(MARGIN_MM / mm)
        return slice(max(0, int(places.min()) - margin), int(places.max()) + margin + 1)

    rows, columns = np.nonzero(classes)
    return side(rows, row_mm), side(columns, column_mm)


def _prediction(
    folder: RunFolder, fold: FoldSummary, case: PreparedCase, precision: str, device: str, say: Say
) -> np.ndarray:
    """Return class indices of a case in its original grid, as the fold's evaluation had them; they are kept."""
    assert fold.model is not None
    assert fold.checksum is not None
    kept = folder.report / KEPT / f"{case.folder.name}-{fold.checksum[:16]}.npy"
    if not kept.exists():
        say(f"Predicting {case.id} with the model of fold {fold.fold} ...")
        labels = predict_case(fold.model, case, precision, device)
        write_atomically(kept, lambda path: np.save(path, labels))
    return np.load(kept, allow_pickle=False)


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
