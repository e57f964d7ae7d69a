"""Prediction of label files: case by case in bounded memory, resumable; a case that fails is passed over."""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from c2fnas.data.dataset import Case
from c2fnas.data.fingerprint import alike
from c2fnas.data.geometry import Geometry
from c2fnas.data.normalisation import NormalisedImage
from c2fnas.data.preprocess import is_far, prepare_image, prepared_shape, resampled_image
from c2fnas.data.problem import CaseError
from c2fnas.data.restoration import Restoration
from c2fnas.data.volume import Volume, read_geometry, write_label
from c2fnas.errors import UserError
from c2fnas.inference.ensemble import Ensemble, Mirrored
from c2fnas.inference.options import Vote
from c2fnas.inference.package import Package
from c2fnas.inference.prediction_files import PredictionFolder
from c2fnas.inference.sinks import RestoringSink
from c2fnas.inference.sliding_window import SlidingWindow
from c2fnas.shapes import Spacing
from c2fnas.space.geometry import by
from c2fnas.text import plural, some

log = logging.getLogger(__name__)

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
    """

    models: tuple[Package, ...]
    window: SlidingWindow
    vote: Vote = "majority"
    mirror: bool = False
    device: str | torch.device = "auto"
    spacing: Spacing | None = None

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

    def label(self, volume: Volume, name: Path, probabilities: bool = False) -> RestoringSink:
        """Return the labels of one image in memory, and its class probabilities; its array is overwritten.

        Raises:
            CaseError: it has other channels than the models; ``name`` is what to call it.
            UserError: one window does not fit into memory, or the spacing has to be stated.
        """
        self.look([(name.name, volume.geometry, None)])
        image, way = self.read(Case("", (name,), None), volume)
        sink = self.sink(way, probabilities)
        return next(self.window.stream(self.network, [(image, sink)], device=self.device))

    def sink(self, way: Restoration, probabilities: bool = False) -> RestoringSink:
        """Return what takes a case's logits and leaves its labels."""
        plan = self.models[0].plan
        classes = plan.outputs if probabilities else None
        return RestoringSink(way, len(self.models), self.vote, classes, plan.scheme)

    def read(self, case: Case, volume: Volume | None = None) -> Prepared:
        """Return a case's image, as each model normalises it, and the way back; ``volume`` is what was read of it."""
        plan, spacing = self.models[0].plan, case.spacing or self.spacing
        if not self._apart:
            return prepare_image(case.images, plan, case.id, volume, spacing)
        image, way, own = resampled_image(case.images, plan, case.id, volume, spacing)
        return NormalisedImage(image, [channel for model in self.models for channel in model.plan.channels], own), way

    def write(self, case: Case, sink: RestoringSink, path: Path) -> None:
        """Write a case's labels with the label values of the plan, in the image's own grid and integer type."""
        parts, grid = self.models[0].plan.scheme.parts, read_geometry(case.images[0], case.id)
        write_label(path, sink.labels, grid, None, parts, template=case.images[0])

    def look(self, grids: Iterable[tuple[str, Geometry, Spacing | None]]) -> None:
        """Tell of images whose spacing is far from all that the models were trained on; of each its name and grid.

        Raises:
            UserError: a header looks as those did for which another spacing was stated in training.
        """
        plan, far, unstated = self.models[0].plan, list[str](), list[str]()
        span = plan.seen or (None if plan.spacing is None else (plan.spacing, plan.spacing))
        for name, grid, stated in grids:
            way = Restoration.to_axes(grid.with_spacing(stated or self.spacing), plan.axes)
            if not (stated or self.spacing) and alike(grid.spacing) in plan.stated_headers:
                unstated.append(f"{name} ({by(grid.spacing)} mm)")
            elif span and is_far(way.spacing, *span):
                size = prepared_shape(way.shape, way.spacing, plan)
                needed = f"{4 * prod(size) * len(plan.channels) / 1e9:.2g} GB"
                far.append(f"{name} of {by(way.spacing)} mm, resampled to {by(size)} voxels ({needed})")
        if unstated:
            raise UserError(
                f"{some(unstated)}: the models were trained on images with such headers, for which another spacing "
                "was stated. State the true one of these too: --spacing I,J,K in mm."
            )
        if far and span:
            log.warning(
                "Trained on a spacing of %s mm; far from it: %s. If a header is wrong, state the true spacing with "
                "--spacing I,J,K in mm.",
                " to ".join(dict.fromkeys(map(by, span))),
                some(far),
            )


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
    output = PredictionFolder(folder)
    open_ = output.claim(cases, predictor.maker, overwrite=overwrite)
    work = _Work(predictor, output, len(cases) - len(open_), on_progress)
    work.run(open_)
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
                case, _ = under_way.popleft()
                self._predictor.write(case, sink, self._output.path(case))
                self.done.append(case.id)
                self._tell()
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
