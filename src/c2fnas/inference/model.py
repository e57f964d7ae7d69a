"""A trained model as users hold it: load it by name or place, give it an image, get its labels.

An array or a tensor gives an array; a nibabel image, a file or a DICOM folder gives a nibabel image.

>>> from c2fnas.inference.model import load_model
>>> model = load_model("hippocampus")
>>> len(model.packages), model.classes
(5, {'background': 0, 'Anterior': 1, 'Posterior': 2})
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from c2fnas.data.formats import suffix_of
from c2fnas.devices import find_device
from c2fnas.errors import UserError
from c2fnas.inference.options import Options, Vote
from c2fnas.inference.prediction_files import find_cases, is_folder_of_images, read_paths
from c2fnas.inference.prediction_folder import output_name
from c2fnas.inference.pretrained import is_archive, model_folders
from c2fnas.notebook import Bars, in_notebook
from c2fnas.shapes import Size, Spacing

if TYPE_CHECKING:
    from c2fnas.inference.images import ImageLike
    from c2fnas.inference.package import ModelPlan, Package
    from c2fnas.inference.predict import Predicted
    from c2fnas.inference.predictor import Predictor
    from c2fnas.networks.designs import Design

Source = str | os.PathLike[str]
Progress = Callable[[int, int, int], None]
"""Called with the cases done, those of them that failed, and all."""


def _silent(done: int, failed: int, total: int) -> None:
    pass


class Model:
    """One trained network, or several that vote (paper 4.2).

    Args:
        packages: Of one preparation: the networks of a run's folds, say.
        unpacked: A folder that the packages lie in; it is kept as long as the model.

    Raises:
        UserError: the packages' classes, preparation, patches or blending differ.
    """

    def __init__(self, packages: "Sequence[Package]", unpacked: TemporaryDirectory[str] | None = None) -> None:
        from c2fnas.inference.predictor import refuse_unlike

        refuse_unlike(packages)
        self.packages = tuple(packages)
        self._unpacked = unpacked

    @property
    def plan(self) -> "ModelPlan":
        """The preparation of images, their windows, and the values of labels."""
        return self.packages[0].plan

    @property
    def architecture(self) -> "Design":
        """The architecture of the first network; of a compared network, its name and width."""
        return self.packages[0].design

    @property
    def classes(self) -> dict[str, int]:
        """The value that labels have for each class, or for each region, the background first."""
        return {each.name: each.values[0] for each in self.plan.scheme.written}

    def __repr__(self) -> str:
        return f"Model({', '.join(self.classes)}: {len(self.packages)} × {self.architecture.to_text()})"

    def predict(
        self,
        image: "ImageLike",
        *,
        affine: Any = None,
        output: Source | None = None,
        probabilities: bool = False,
        statistics: bool = False,
        preview: bool = False,
        vote: Vote = "majority",
        mirror: bool | None = None,
        stride: int | str | Size | None = None,
        device: str = "auto",
        precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto",
        max_memory: int | str | None = None,
        spacing: str | Spacing | None = None,
        keep_largest: bool | None = None,
    ) -> Any:
        """Label an image, or every image of a folder, in its own grid. Nothing is written but to ``output``.

        Args:
            image: A volume file (``CASE_0000``, ``CASE_0001`` ... are one case's channels), a list of a file per
                channel, a DICOM folder, a nibabel image (channels last), an array or a tensor ``[i, j, k]`` or
                ``[channels, i, j, k]``, or a folder of volume files.
            affine: Of an array: 4×4, from voxel indices to mm to the right, to the front and to the head; MONAI's
                ``MetaTensor`` has its own.
            output: A label file to write, of any format, or a folder; a folder of images needs one.
            probabilities: Return class probabilities too, the mean of several models'. They take four bytes for
                every voxel and class.
            statistics: Return volume, mean intensity and box of each class too, the models' disagreement and remarks on
                quality, as :meth:`c2fnas.inference.predictor.Predictor.statistics` has them.
            preview: Return a figure of matplotlib too, three planes with outlines.
            vote: How several models are fused: majority voting (the paper), or the mean probability.
            mirror: Average over all eight mirrorings; by default as the model was validated.
            stride: Voxels between windows, one number or three; by default the model's.
            device: ``auto`` (the first GPU, else the CPU), ``cpu``, ``cuda:1`` ...
            precision: ``auto``: what the device computes fast.
            max_memory: What to compute in, such as ``8G``: the GPU's memory, or on the CPU all of this process's.
            spacing: The true one, in mm along the image's own axes, where its header has lost it. Labels keep the
                header.
            keep_largest: Keep the largest component of every class alone, or of none; by default as the model has it.
                Not for regions, which overlap.

        Returns:
            Label values: an array ``[i, j, k]`` for an array or a tensor, a nibabel image for a nibabel image, a file
            or a DICOM folder. With ``probabilities``, ``statistics`` or ``preview`` a tuple of labels and these;
            probabilities are a float32 array ``[classes, i, j, k]`` or a nibabel image ``[i, j, k, classes]``, of
            regions without one for the background. With ``output`` the label file's path; for a folder of images a
            :class:`c2fnas.inference.predict.Predicted`, see :func:`predict_folder`.

        Raises:
            UserError: an image is not sound or has other channels than the model, an option is wrong, or one window
                does not fit into memory.
        """
        options = Options(vote, mirror, stride, device, precision, max_memory, spacing, keep_largest)
        path = Path(image) if isinstance(image, str | os.PathLike) else None
        goal = None if output is None else Path(output)
        if goal is not None and (probabilities or statistics or preview):
            raise UserError(
                "probabilities=, statistics= and preview= are returned, not written. Leave output= out, and save what "
                "is returned; `c2fnas.predict` writes them for a folder of images."
            )
        if path is not None and is_folder_of_images(path) and (goal is None or suffix_of(goal)):
            raise UserError(f"{path}: a folder of images. Name the folder that their labels go to, as output=.")
        if goal is not None and not suffix_of(goal):
            if path is None:
                raise UserError(f"{goal}: name a file to write, such as labels.nii.gz.")
            return self._into_folder(path, goal, options)
        from c2fnas.inference.images import Image
        from c2fnas.inference.sinks import Keep

        predictor = self.predictor(options)
        given = Image.of(image, affine, len(self.plan.channels))
        keep = Keep("image" if probabilities else None, self.plan.outputs, disputed=statistics)
        bars = Bars() if in_notebook() else None
        if bars is not None:
            bars.start("predict", 1)
        told = partial(bars.update, "predict") if bars is not None else lambda share: None
        sink, way = predictor.label(given.volume, given.name, keep, told)
        if goal is not None:
            given.write(goal, sink.labels, self.plan.scheme.parts)
            return goal
        found = [given.labels(sink.labels, self.plan.scheme.parts)]
        if sink.probabilities is not None:
            found.append(given.probabilities(sink.probabilities))
        if statistics or preview:
            again = Image.of(image, affine, len(self.plan.channels)).volume  # the other one was overwritten
            volume = replace(again, geometry=way.original)
            found += [predictor.statistics(sink, volume, way)] * statistics
            found += [predictor.picture(sink, volume, given.name.name)] * preview
        return tuple(found) if len(found) > 1 else found[0]

    def predictor(self, options: Options = Options()) -> "Predictor":
        """Return these models with options, for :func:`c2fnas.inference.predict.predict_cases`.

        Raises:
            UserError: an option is wrong on this machine or with these models.
        """
        from c2fnas.inference.predictor import Predictor
        from c2fnas.training.precision import resolve_precision

        device = find_device(options.device)
        try:
            window = self.packages[0].window(
                stride=options.steps,
                precision=resolve_precision(options.precision, device),  # type: ignore[arg-type]
                max_memory=options.bytes,
            )
        except ValueError as error:
            raise UserError(f"--stride {options.stride}: {error}.") from error
        mirror = self._shared("mirror", "--mirror or --no-mirror") if options.mirror is None else options.mirror
        every = tuple(range(1, len(self.plan.classes)))
        if options.keep_largest is None:
            largest = self._shared("largest", "--keep-largest or --no-keep-largest")
        else:
            largest = every if options.keep_largest else ()
        if largest and self.plan.scheme.order is not None:
            raise UserError("--keep-largest: not for regions, which overlap: what is left of one is part of another.")
        own = options.stated, largest, options.extras
        return Predictor(self.packages, window, options.vote, mirror, device, *own)

    def _shared(self, name: str, option: str) -> Any:
        """A value of the plans that decides how labels are made, where all models have the same."""
        values = {getattr(each.plan, name): each for each in self.packages}
        if len(values) > 1:
            first, other, *_ = (each.folder for each in values.values())
            raise UserError(f"{first} and {other} were not made to predict alike: say {option} for all of them.")
        return next(iter(values))

    def _into_folder(self, path: Path, output: Path, options: Options) -> "Path | Predicted":
        own = {each.name: getattr(options, each.name) for each in fields(options)}
        predicted = predict_folder(self, path, output, **own)
        if is_folder_of_images(path):
            return predicted
        if predicted.failures:
            raise UserError(predicted.failures[0].reason)
        return output / output_name(find_cases([path], len(self.plan.channels))[0])


def load_model(*sources: Source) -> Model:
    """Load a model.

    Args:
        sources: The name of models that come with c2fnas (a folder of this name on disk goes before), a run's folder,
            a package's, or a zip file of ``c2fnas export``. A run and a name stand for the models of their folds, which
            vote; so do several sources.

    Raises:
        UserError: a source holds no model, or a file of it is damaged.
    """
    folders = model_folders([Path(source) for source in sources])
    from c2fnas.inference.package import load_package
    from c2fnas.inference.unpacking import unpack

    archives = any(map(is_archive, folders))
    unpacked = TemporaryDirectory(prefix="c2fnas-", ignore_cleanup_errors=True) if archives else None
    packages: list[Package] = []
    for number, folder in enumerate(folders):
        if unpacked is not None and is_archive(folder):
            archive, folder = folder, Path(unpacked.name) / str(number)
            unpack(archive, folder)
        packages += map(load_package, model_folders([folder]))
    return Model(packages, unpacked)


def predict_folder(
    model: "Model | Source | Sequence[Source]",
    images: Source | Sequence[Source],
    output: Source,
    *,
    overwrite: bool = False,
    on_progress: Progress = _silent,
    **options: Any,
) -> "Predicted":
    """Label every image of a folder, or some files, into the folder ``output``; called again, it carries on.

    Labels have the names and formats of their images: ``CASE_0000`` gives ``CASE``, ``.nhdr`` and ``.mhd`` become
    ``.nrrd`` and ``.mha``. They have the type of an image of integers where it holds them, else the smallest unsigned
    one. A case that fails is passed over; the result tells of it.

    Args:
        model: A model, or what :func:`load_model` takes; it is loaded once the options are known to be right.
        images: A folder of volume files, one of them, or several of both; see
            :func:`c2fnas.inference.prediction_files.find_cases`.
        output: A folder, with the labels of one model and one choice of options.
        overwrite: Predict all again, and replace other models' predictions.
        on_progress: Called with the cases done, those of them that failed, and all.
        options: Those of :class:`c2fnas.inference.options.Options`.

    Raises:
        UserError: an option is wrong, there are no images, the folder holds other predictions or can't be written, or
            one window does not fit into memory.
    """
    chosen = Options(**options)
    paths = read_paths(images)
    if not isinstance(model, Model):
        model = load_model(*((model,) if isinstance(model, str | os.PathLike) else model))
    from c2fnas.inference.predict import predict_cases

    cases = find_cases(paths, len(model.plan.channels))
    return predict_cases(
        model.predictor(chosen),
        cases,
        Path(output),
        overwrite=overwrite,
        on_progress=lambda done, failed: on_progress(done, failed, len(cases)),
    )
