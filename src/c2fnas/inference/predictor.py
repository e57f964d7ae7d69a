"""Models that vote, or a single one: from an image to its labels, and to what is written beside them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from c2fnas.data.dataset import Case
from c2fnas.data.formats.dicom import identifiers
from c2fnas.data.formats.dicom_seg import write_segments
from c2fnas.data.normalisation import NormalisedImage
from c2fnas.data.preprocess import prepare_image, resampled_image
from c2fnas.data.restoration import Restoration
from c2fnas.data.volume import Volume, read_geometry, read_image, write_label
from c2fnas.errors import UserError
from c2fnas.inference.components import keep_largest
from c2fnas.inference.ensemble import Ensemble, Mirrored
from c2fnas.inference.options import LABELS_ALONE, Extras, Vote
from c2fnas.inference.package import ModelPlan, Package
from c2fnas.inference.prediction_folder import PredictionFolder, save_probabilities
from c2fnas.inference.preview import draw_preview, save_preview
from c2fnas.inference.quality import foresee, remarks
from c2fnas.inference.sinks import Keep, RestoringSink
from c2fnas.inference.sliding_window import SlidingWindow
from c2fnas.inference.statistics import class_statistics
from c2fnas.shapes import Spacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Image = np.ndarray | NormalisedImage
Prepared = tuple[Image, Restoration]


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
        foresee([(name.name, volume.geometry, self.spacing)], self.plan, self.plan.seen)
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
