"""Prediction of label files: case by case in bounded memory, resumable; a case that fails is passed over."""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from c2fnas.data.dataset import Case
from c2fnas.data.fingerprint import alike
from c2fnas.data.formats.dicom import identifiers
from c2fnas.data.formats.dicom_seg import write_segments
from c2fnas.data.geometry import Geometry
from c2fnas.data.normalisation import NormalisedImage
from c2fnas.data.preprocess import prepare_image, resampled_image
from c2fnas.data.problem import CaseError
from c2fnas.data.restoration import Restoration
from c2fnas.data.volume import Volume, read_geometry, read_image, write_label
from c2fnas.errors import UserError
from c2fnas.inference.components import keep_largest
from c2fnas.inference.ensemble import Ensemble, Mirrored
from c2fnas.inference.options import LABELS_ALONE, Extras, Vote
from c2fnas.inference.package import ModelPlan, Package
from c2fnas.inference.prediction_files import PredictionFolder, save_probabilities
from c2fnas.inference.preview import draw_preview, save_preview
from c2fnas.inference.quality import foresee, remarks
from c2fnas.inference.sinks import Keep, RestoringSink
from c2fnas.inference.sliding_window import SlidingWindow
from c2fnas.inference.statistics import class_statistics
from c2fnas.shapes import Spacing
from c2fnas.space.geometry import by
from c2fnas.text import plural, some

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Image = np.ndarray | NormalisedImage
Prepared = tuple[Image, Restoration]
UnderWay = tuple[Case, Restoration]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Failure:
    """A case that could not be predicted, and why."""

    case: str
    reason: str


@dataclass(frozen=True)
class Predicted:
    """The cases that a call has predicted, those that were there already, and those that failed."""

    folder: Path
    done: tuple[str, ...]
    kept: tuple[str, ...]
    failures: tuple[Failure, ...]

    def text(self) -> str:
        """Return a line on what is in the folder now."""
        kept = f", {len(self.kept)} were there already" if self.kept else ""
        return f"{plural(len(self.done), 'case')} predicted{kept}: {self.folder}"

    def failure_text(self) -> str:
        """Return a line on each case that failed, and one on how to go on; empty where none failed."""
        if not self.failures:
            return ""
        lines = [f"case {failure.case} failed: {failure.reason}" for failure in self.failures]
        total = len(self.done) + len(self.kept) + len(self.failures)
        how = "Fix them and run the same command again."
        return "\n".join([*lines, f"{len(self.failures)} of {total} cases failed. {how}"])

    def to_json(self) -> dict[str, Any]:
        """Return the same as JSON."""
        failures = [asdict(failure) for failure in self.failures]
        return {"folder": str(self.folder), "done": list(self.done), "kept": list(self.kept), "failures": failures}


@dataclass(frozen=True)
class Predictor:
    """Models that vote, or a single one, with the window and the views by which they see a volume.

    Args:
        models: Of one preparation, see :func:`refuse_unlike`.
        window: The sliding window.
        vote: The fusion of several models (paper 4.2: majority).
        mirror: Each model averages over all eight mirrorings.
        device: The device to compute on.
        spacing: The true spacing of images, along their own axes, where headers have lost it.
        largest: Indices of the classes of which the largest component alone is kept.
        extras: What is kept and written beside labels.
    """

    models: tuple[Package, ...]
    window: SlidingWindow
    vote: Vote = "majority"
    mirror: bool = False
    device: str | torch.device = "auto"
    spacing: Spacing | None = None
    largest: tuple[int, ...] = ()
    extras: Extras = LABELS_ALONE

    def __post_init__(self) -> None:
        refuse_unlike(self.models)

    @property
    def maker(self) -> dict[str, Any]:
        """The models and options that change labels: equal makers make equal predictions, except for rounding."""
        return {
            "models": sorted(model.checksum for model in self.models),
            "vote": self.vote if len(self.models) > 1 else None,
            "mirror": self.mirror,
            "stride": list(self.window.stride),
            "weighting": self.window.weighting,
            **({"spacing": list(self.spacing)} if self.spacing else {}),
            **({"largest": list(self.largest)} if self.largest else {}),
        }

    @property
    def network(self) -> nn.Module:
        """The network whose logits hold every model's classes side by side."""
        networks = [Mirrored(model.network) if self.mirror else model.network for model in self.models]
        return networks[0] if len(networks) == 1 else Ensemble(networks, apart=self._apart)

    @property
    def _apart(self) -> bool:
        """True if the models normalise differently: each with the statistics of its own fold."""
        return len({model.plan.channels for model in self.models}) > 1

    @property
    def plan(self) -> ModelPlan:
        """The plan that the models share, but for the statistics of CT."""
        return self.models[0].plan

    def label(
        self, volume: Volume, name: Path, keep: Keep = Keep(), on_share: Callable[[float], None] = lambda share: None
    ) -> tuple[RestoringSink, Restoration]:
        """Return the labels of one image in memory and the way back to its grid; its array is overwritten.

        ``on_share`` hears of the share that is done, from 0 to 1.

        Raises:
            CaseError: it has other channels than the models; ``name`` is what to call it.
            UserError: one window does not fit into memory, or the spacing has to be stated.
        """
        self.look([(name.name, volume.geometry, None)])
        image, way = self.read(Case("", (name,), None), volume)
        sink = self.sink(way, keep)

        def told(planes: slice, logits: Tensor) -> None:
            sink(planes, logits)
            on_share(planes.stop / image.shape[1])

        next(self.window.stream(self.network, [(image, told)], device=self.device))
        return self.finished(sink), way

    def sink(self, way: Restoration, keep: Keep | None = None) -> RestoringSink:
        """Return what takes a case's logits and leaves its labels; by default it keeps what the extras need."""
        if keep is None:
            keep = Keep(self.extras.probabilities, self.plan.outputs, np.float16, self.extras.statistics)
        return RestoringSink(way, len(self.models), self.vote, keep, self.plan.scheme)

    def finished(self, sink: RestoringSink) -> RestoringSink:
        """Return a sink whose volume is complete, with the largest components alone where these are to be kept."""
        keep_largest(sink.labels, self.largest)
        return sink

    def statistics(self, sink: RestoringSink, volume: Volume, way: Restoration) -> dict[str, Any]:
        """Return the figures of a case that was predicted: of each class, the models' disagreement, and remarks.

        Args:
            sink: With the labels.
            volume: The image as it came, in the grid of the stated spacing if there is one: ``way.original``.
            way: Of its preparation.
        """
        channels = [channel.name for channel in self.plan.channels]
        disputed, foreground = sink.disputed.tolist()
        return {
            "spacing_mm": list(volume.geometry.spacing),
            "classes": class_statistics(sink.labels, volume, self.plan.scheme, channels),
            "disagreement": disputed / foreground if foreground else None,
            "quality": remarks(sink.labels, volume, way, self.plan, self.plan.seen),
        }

    def picture(self, sink: RestoringSink, volume: Volume, title: str) -> "Figure":
        """Return a preview of a case that was predicted; of regions, the last around each voxel."""
        names = [each.name for each in self.plan.classes]
        return draw_preview(volume, self.plan.scheme.shown(sink.labels), names, title)

    def read(self, case: Case, volume: Volume | None = None) -> Prepared:
        """Return a case's image, as each model normalises it, and the way back; ``volume`` is what was read of it."""
        plan, spacing = self.plan, case.spacing or self.spacing
        if not self._apart:
            return prepare_image(case.images, plan, case.id, volume, spacing)
        image, way, own = resampled_image(case.images, plan, case.id, volume, spacing)
        return NormalisedImage(image, [channel for model in self.models for channel in model.plan.channels], own), way

    def write(self, case: Case, sink: RestoringSink, way: Restoration, output: PredictionFolder) -> None:
        """Write a case's labels, in the image's own grid and integer type, and before them what goes beside.

        Raises:
            UserError: a file can't be written, or the image is no longer there.
        """
        self.finished(sink)
        path, image, plan = output.path(case), case.images[0], self.plan
        grid, looked_at = read_geometry(image, case.id), self.extras.statistics or self.extras.preview
        volume = Volume(read_image(case.images, case.id).array, way.original) if looked_at else None
        if sink.probabilities is not None:
            place = grid if self.extras.probabilities == "image" else way.prepared
            save_probabilities(output.probabilities(case), sink.probabilities, place, plan)
        if volume is not None and self.extras.preview:
            save_preview(self.picture(sink, volume, case.id), output.preview(case))
        if volume is not None and self.extras.statistics:
            told = {"identifiers": identifiers(case.images)} if self.extras.identifiers else {}
            output.statistics.add(case.id, self.statistics(sink, volume, way) | told)
        if self.extras.dicom_seg:
            named = [(each.name, each.code) for each in plan.classes[1:]]
            write_segments(path, plan.scheme.segments(sink.labels), named, image, grid.matrix)
        else:
            write_label(path, sink.labels, grid, None, plan.scheme.parts, template=image)

    def look(self, grids: Iterable[tuple[str, Geometry, Spacing | None]]) -> None:
        """Tell of images that are far from what training showed, or large once resampled; of each its name and grid.

        Raises:
            UserError: a header looks as those did for which another spacing was stated in training.
        """
        unstated, known = list[str](), list[tuple[str, Geometry]]()
        for name, grid, own in grids:
            stated = own or self.spacing
            if stated is None and alike(grid.spacing) in self.plan.stated_headers:
                unstated.append(f"{name} ({by(grid.spacing)} mm)")
            known.append((name, grid.with_spacing(stated)))
        if unstated:
            raise UserError(
                f"{some(unstated)}: the models were trained on images with such headers, for which another spacing "
                "was stated. State the true one of these too: --spacing I,J,K in mm."
            )
        if far := list(foresee(known, self.plan, self.plan.seen)):
            log.warning("%s. If a header is wrong, state the true spacing: --spacing I,J,K in mm.", some(far, 5, "\n"))


def refuse_unlike(models: Sequence[Package]) -> None:
    """Refuse models that can't share a window.

    Raises:
        UserError: their classes, preparation, patches or blending differ.
    """
    first, alike = models[0], ("patch_size", "weighting", "regions_class_order")
    for model in models[1:]:
        differing = [name for name in alike if getattr(model.plan, name) != getattr(first.plan, name)]
        if model.plan.preparation_key != first.plan.preparation_key:
            differing.insert(0, "channels, classes or grid")
        if differing:
            raise UserError(
                f"{first.folder} and {model.folder} can't be one ensemble: they differ in {', '.join(differing)}. "
                "Predict with models of one run or of one plan."
            )


def predict_cases(
    predictor: Predictor,
    cases: Sequence[Case],
    folder: Path,
    *,
    overwrite: bool = False,
    on_progress: Progress = lambda done, failed: None,
) -> Predicted:
    """Predict ``cases`` into ``folder``; called again after an interruption it carries on.

    ``on_progress(done, failed)`` counts cases; those done include kept and failed ones.

    Raises:
        UserError: the folder holds other predictions or can't be written, or one window does not fit into memory.
    """
    predictor.look(_grids(cases))
    output = PredictionFolder(folder, predictor.extras)
    open_ = output.claim(cases, predictor.maker, overwrite=overwrite)
    work = _Work(predictor, output, len(cases) - len(open_), on_progress)
    try:
        work.run(open_)
    finally:
        output.statistics.close()
    kept = tuple(case.id for case in cases if case not in open_)
    return Predicted(folder, tuple(work.done), kept, tuple(work.failures))


def _grids(cases: Sequence[Case]) -> Iterator[tuple[str, Geometry, Spacing | None]]:
    """Names and grids of images; those that can't be read are told of when it is their turn."""
    for case in cases:
        with suppress(CaseError):
            yield case.images[0].name, read_geometry(case.images[0], case.id), case.spacing


class _Work:
    """The progress of one call."""

    def __init__(self, predictor: Predictor, output: PredictionFolder, kept: int, on_progress: Progress) -> None:
        self.done: list[str] = []
        self.failures: list[Failure] = []
        self._predictor, self._output, self._network = predictor, output, predictor.network
        self._kept, self._on_progress = kept, on_progress

    def run(self, cases: Sequence[Case]) -> None:
        """Predict the cases; where a batch fails, those it may have come from one by one, then the others."""
        waiting = deque(cases)
        self._tell()
        while waiting:
            suspects = self._stream(waiting)
            for case in suspects:
                self._stream(deque([case]), alone=True)

    def _stream(self, waiting: deque[Case], alone: bool = False) -> list[Case]:
        """Predict from the front of ``waiting``, which is emptied; returns the cases under way when a batch failed."""
        under_way: deque[UnderWay] = deque()
        try:
            sinks = self._predictor.window.stream(
                self._network, self._volumes(waiting, under_way), device=self._predictor.device
            )
            for sink in sinks:
                self._write(*under_way.popleft(), sink)
        except (UserError, KeyboardInterrupt):
            raise  # concerns every case: a full disk, no room for a single window
        except Exception as error:
            if not under_way:
                raise  # no case's fault
            if alone:
                self._fail(under_way[0][0], error)
                return []
            return [case for case, _ in under_way]
        return []

    def _write(self, case: Case, way: Restoration, sink: RestoringSink) -> None:
        try:
            self._predictor.write(case, sink, way, self._output)
        except Exception as error:
            if isinstance(error, UserError) and not isinstance(error, CaseError):
                raise  # a full disk, say
            self._fail(case, error)
            return
        self.done.append(case.id)
        self._tell()

    def _volumes(self, waiting: deque[Case], under_way: deque[UnderWay]) -> Iterator[tuple[Image, RestoringSink]]:
        """Prepared images, the next one read while the windows of this one are computed."""
        with ThreadPoolExecutor(1) as reader:
            coming: Future[Prepared] | None = None
            while waiting:
                case = waiting[0]
                coming = coming or reader.submit(self._predictor.read, case)
                try:
                    image, way = coming.result()
                except Exception as error:
                    self._fail(waiting.popleft(), error)
                    coming = None
                    continue
                waiting.popleft()
                under_way.append((case, way))
                coming = reader.submit(self._predictor.read, waiting[0]) if waiting else None
                yield image, self._predictor.sink(way)

    def _fail(self, case: Case, error: Exception) -> None:
        text = str(error) if isinstance(error, CaseError) else f"{case.images[0]}: {error or type(error).__name__}"
        self.failures.append(Failure(case.id, text))
        self._tell()

    def _tell(self) -> None:
        self._on_progress(self._kept + len(self.done) + len(self.failures), len(self.failures))
