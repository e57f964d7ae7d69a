"""Parts for the configurations of a MONAI Bundle: our reading, preparation and way back.

Preparation and restoration are those of `c2fnas predict`, so a bundle's labels are the same; windows, engines, losses
and metrics around them are MONAI's own.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Transform
from torch import nn

from c2fnas.data.dataset import Case
from c2fnas.data.layouts import load_dataset
from c2fnas.data.normalisation import normalise_image
from c2fnas.data.plan import Plan
from c2fnas.data.preprocess import prepare_case
from c2fnas.data.restoration import Restoration
from c2fnas.data.volume import read_geometry
from c2fnas.errors import UserError
from c2fnas.inference.components import keep_largest
from c2fnas.inference.ensemble import Mirrored
from c2fnas.inference.options import stated_spacing
from c2fnas.inference.package import ModelPlan, Package, load_package, read_card, save_package
from c2fnas.inference.prediction_files import find_cases
from c2fnas.inference.quality import foresee, grids_of
from c2fnas.shapes import Spacing
from c2fnas.training.losses import DiceCrossEntropy

Item = dict[str, Any]


def package(folder: str) -> Package:
    """Return the model package of the bundle, checked against its checksums; weights are safetensors.

    Raises:
        UserError: it is damaged.
    """
    return load_package(Path(folder))


def views(network: nn.Module, mirror: bool) -> nn.Module:
    """Return the network itself, or its mean over mirrored views."""
    return Mirrored(network) if mirror else network


def images(dataset_dir: str, package: Package, spacing: str | Spacing | None = None) -> list[Item]:
    """Return the images of a file or folder, without labels.

    Args:
        dataset_dir: the file or folder.
        package: the model.
        spacing: the true one, where headers have lost it and the images state none of their own.

    Raises:
        UserError: there are none, or their spacing has to be stated.
    """
    return _items(find_cases(Path(dataset_dir), len(package.plan.channels)), package, spacing)


def labelled(dataset_dir: str, package: Package, spacing: str | Spacing | None = None) -> list[Item]:
    """Return the labelled cases of a data set: Decathlon's layout, nnU-Net's, or a CSV.

    Args:
        dataset_dir: the data set.
        package: the model that is fine-tuned.
        spacing: the true one, where headers have lost it and the cases state none of their own.

    Raises:
        UserError: it is no data set, has fewer than two labelled cases, or their spacing has to be stated.
    """
    cases = [case for case in load_dataset(Path(dataset_dir)).training if case.label]
    if len(cases) < 2:
        raise UserError(f"{dataset_dir}: {len(cases)} labelled cases; fine-tuning needs one to train on, one to check.")
    return _items(cases, package, spacing)


class Prepare(Transform):
    """Paths to tensors: ``image`` float32 ``[channels, i, j, k]`` and, where there is one, ``label`` uint8.

    The label is ``[1, i, j, k]`` of class indices. ``way`` is the way back to the image's own grid, as JSON. The item's
    ``image`` may be one path, or one per channel; its ``spacing``, where it has one, counts in place of the header's.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def __call__(self, data: Item) -> Item:
        """Read and prepare a case."""
        paths = [data["image"]] if isinstance(data["image"], str | Path) else data["image"]
        label = Path(data["label"]) if data.get("label") else None
        name = str(data.get("case", Path(paths[0]).name))
        case = Case(name, tuple(map(Path, paths)), label, spacing=data.get("spacing"))
        arrays: dict[str, np.ndarray] = {}

        def allocate(name: str, shape: tuple[int, ...], dtype: type) -> np.ndarray:
            arrays[name] = np.empty(shape, dtype)
            return arrays[name]

        done = prepare_case(case, self.plan, allocate)
        normalise_image(arrays["image"], self.plan, done.moments)
        way = replace(done.way, original=read_geometry(case.images[0], case.id))  # labels keep their image's header
        item = {"image": torch.from_numpy(arrays["image"]), "case": case.id, "way": json.dumps(way.to_json())}
        return item if label is None else item | {"label": torch.from_numpy(arrays["label"])[None]}


class Restore(Transform):
    """Scores ``pred`` ``[classes, i, j, k]`` to label values ``[1, i, j, k]`` in the image's own grid.

    Of the classes whose largest component a model keeps, the others go.
    """

    def __init__(self, plan: Plan) -> None:
        self.scheme = plan.scheme
        self.largest = plan.largest if isinstance(plan, ModelPlan) else ()
        values = np.array([each.values[0] for each in self.scheme.parts])
        self.values = values.astype(np.uint8 if values.max() < 256 else np.int32)

    def __call__(self, data: Item) -> Item:
        """Go the way back that :class:`Prepare` has noted."""
        way = Restoration.from_json(json.loads(data["way"]))
        indices = way.argmax(torch.as_tensor(data["pred"]), self.scheme.decode)
        keep_largest(indices, self.largest)
        labels = self.values[indices]
        affine = torch.from_numpy(way.original.matrix)
        # SaveImaged goes to the original grid, which it is told is this one; it miscounts the axes without.
        meta = {"filename_or_obj": f"{data['case']}.nii.gz", "original_affine": affine, "spatial_shape": labels.shape}
        return data | {"pred": MetaTensor(torch.from_numpy(labels)[None], affine=affine, meta=meta)}


class Loss(DiceCrossEntropy):
    """The loss of regions, and of labels with ignored voxels: the one that the network was trained by.

    Args:
        plan: With the scheme of the labels.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__(scheme=plan.scheme)

    def forward(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Return the loss of labels ``[b, 1, i, j, k]``."""
        return super().forward(logits, label[:, 0])


class Compared(Transform):
    """Scores ``pred`` and indices ``label`` to masks ``[regions, i, j, k]`` of both; none has ignored voxels."""

    def __init__(self, plan: Plan) -> None:
        self.scheme = plan.scheme

    def __call__(self, data: Item) -> Item:
        """Make the masks."""
        label = torch.as_tensor(data["label"])[0].cpu()
        found = torch.from_numpy(self.scheme.decode(torch.as_tensor(data["pred"])))
        if self.scheme.ignored is not None:
            found = found.masked_fill(label == self.scheme.ignored, 0)
        names = range(len(self.scheme.names))
        pred, truth = (torch.stack([self.scheme.mask(each, n) for n in names]).float() for each in (found, label))
        return data | {"pred": pred, "label": truth}


class SaveBest:
    """A handler of the validating engine: whenever its metric is the best so far, the network is saved as a package.

    Args:
        package: The model that the training has started from, which says all but the weights.
        network: What is trained.
        folder: Of the new package; `c2fnas predict` takes it, and so does the bundle's ``model_dir``.
    """

    def __init__(self, package: Package, network: nn.Module, folder: str) -> None:
        self.package, self.network, self.folder = package, network, Path(folder)

    def attach(self, engine: Any) -> None:
        """Have the engine call this at the end of every validation."""
        from ignite.engine import Events

        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Any) -> None:
        """Save, if this validation was the best."""
        if engine.state.best_metric_epoch != engine.state.epoch:
            return
        plan, best = self.package.plan, f"{engine.state.best_metric:.4f} after {engine.state.epoch} epochs"
        text = f"{read_card(self.package.folder)}\n\nFine-tuned as a MONAI Bundle: Dice {best}.\n"
        save_package(
            self.folder,
            self.network,
            self.package.design,
            plan,
            card=text,
            weighting=plan.weighting,
            mirror=plan.mirror,
        )


def _items(cases: Sequence[Case], package: Package, spacing: str | Spacing | None) -> list[Item]:
    """The cases for :class:`Prepare`; headers by which the model was not trained are refused."""
    _refuse_alike(cases)
    stated = None if spacing is None else stated_spacing(spacing)
    known = [replace(case, spacing=case.spacing or stated) for case in cases]
    foresee(grids_of(known), package.plan, package.plan.seen)
    return [_item(case) for case in known]


def _refuse_alike(cases: Sequence[Case]) -> None:
    """Refuse cases of one name, whose labels would be one file."""
    known: dict[str, Case] = {}
    for case in cases:
        if case.id in known:
            raise UserError(
                f"{case.images[0]} and {known[case.id].images[0]} are both case {case.id!r}. Rename one of them."
            )
        known[case.id] = case


def _item(case: Case) -> Item:
    item: Item = {"case": case.id, "image": [str(path) for path in case.images], "spacing": case.spacing}
    return item if case.label is None else item | {"label": str(case.label)}
