"""Architectures, the search space and the compared networks in numbers (paper 3.2, 4.1 and Table 2)."""

import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from c2fnas.api.options import refuse_below, refuse_figure
from c2fnas.errors import UserError

if TYPE_CHECKING:
    from c2fnas.space.architecture import Architecture
    from c2fnas.space.cost import CellCost, NetworkCost

PRINTED = {
    "c2fnas-panc": "The paper prints 17.02 M parameters and 150.78 G FLOPs (multiply-accumulates) at 96×96×96. Figure "
    "5 is read as literally as the text allows; the differences, within 4 % and 1 %, are what the text leaves open."
}
"""The paper's numbers for a built-in architecture, and the reason why ours differ."""

PAPER = ((96, 96, 96), 1, 3)
"""The paper's patch in voxels, image channels and classes, the background included."""


@dataclass(frozen=True)
class Description:
    """An architecture with its cost.

    Attributes:
        architecture: the architecture.
        cost: parameters and multiply-accumulates, of the network and of each cell.
        input: the size in voxels that the cost is for.
        channels: image channels.
        classes: classes, the background included.
        note: what the paper prints for it; None where it prints nothing.
        validation: of a trained network, what its card says of its Dice, by the name of its folder.
    """

    architecture: "Architecture"
    cost: "NetworkCost"
    input: tuple[int, int, int]
    channels: int
    classes: int
    note: str | None = None
    validation: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The architecture in its text form, as code and operations, and what it costs."""
        content = {
            "architecture": self.architecture.to_text(),
            "parameters": self.cost.parameters,
            "macs": self.cost.macs,
            "input": list(self.input),
            "channels": self.channels,
            "classes": self.classes,
            "width": self.architecture.width,
            "code": list(self.architecture.topology.code),
            "operations": [operation.value for operation in self.architecture.operations],
            "cells": [_cell(cell) for cell in self.cost.cells],
        }
        more = {"note": self.note, "validation": self.validation}
        return content | {name: value for name, value in more.items() if value}


def describe(
    architecture: str | Path | None = None,
    *,
    space: bool = False,
    input: tuple[int, int, int] | None = None,
    channels: int | None = None,
    classes: int | None = None,
    figure: str | Path | None = None,
) -> Description | dict[str, int]:
    """Show an architecture (drawing, cells, parameters, multiply-accumulates) or the search space (counts).

    Args:
        architecture: A name (`c2fnas-panc`), a JSON file, a run or model folder, or the text form.
        space: Describe the search space instead.
        input: Input size in voxels for the cost; by default the patch of the run or model, else 96,96,96.
        channels: Image channels; by default those of the run or model, else 1.
        classes: Classes, the background included; by default those of the run or model, else 3.
        figure: Draw it into this file too: SVG, PNG or PDF.

    Returns:
        The architecture with its cost; of the search space its counts by name.

    Raises:
        UserError: no architecture, or no kind of picture that can be drawn.

    Examples:
        c2fnas describe c2fnas-panc
        c2fnas describe c2fnas-panc --input 40,56,40 --json
        c2fnas describe runs/hippocampus --figure network.svg
        c2fnas describe --space --json
    """
    if space == (architecture is not None):
        raise UserError("describe: give an architecture or --space, one of the two. `--help` has examples.")
    if input is not None:
        _refuse_sides("describe", input)
    refuse_below(1, channels=channels)
    refuse_below(2, classes=classes)
    refuse_figure(figure)
    if space and figure is not None:
        raise UserError("describe: --figure draws an architecture; --space has none. Leave one of the two out.")
    if space:
        return _space_counts()
    from c2fnas.inference.pretrained import with_design
    from c2fnas.space.architecture import Architecture
    from c2fnas.space.cost import network_cost

    found = Architecture.load(with_design(str(architecture)))
    if input is None or channels is None or classes is None:
        known = _planned(Path(str(architecture)))
        input, channels, classes = input or known[0], channels or known[1], classes or known[2]
    cost = network_cost(found, in_channels=channels, classes=classes, input_size=input)
    if figure is not None:
        from c2fnas.report.figures import save_architecture

        save_architecture(found, cost, Path(figure))
    printed = PRINTED.get(str(architecture).lower())
    return Description(found, cost, input, channels, classes, printed, _validation(Path(str(architecture))))


def _planned(path: Path) -> tuple[tuple[int, int, int], int, int]:
    """The patch, channels and outputs of a run's or a model's plan; the paper's where ``path`` is neither."""
    from pydantic import ValidationError

    from c2fnas.data.plan import Plan, load_plan
    from c2fnas.files import is_there, read_json
    from c2fnas.inference.pretrained import on_disk_or_pretrained, packages_in
    from c2fnas.runs.folder import RunFolder

    folder = on_disk_or_pretrained(path)
    if is_there(run := RunFolder(folder).plan):
        plan = load_plan(run)
    elif packages := [each for each in packages_in(folder) if each.is_dir()]:
        file = packages[0] / "plan.json"
        content = read_json(file)
        try:
            plan = Plan.model_validate({name: content[name] for name in Plan.model_fields if name in content})
        except (ValidationError, TypeError, KeyError) as error:
            raise UserError(f"{file}: not the plan of a model. Restore the model from a copy.") from error
    else:
        return PAPER
    return plan.patch_size, len(plan.channels), plan.outputs


def _validation(path: Path) -> dict[str, str]:
    """The Dice of the models in a folder, as their cards tell it."""
    from c2fnas.inference.pretrained import on_disk_or_pretrained, packages_in
    from c2fnas.runs.folder import PACKAGE

    found = {}
    for package in packages_in(on_disk_or_pretrained(path)):
        card = package / "README.md"
        text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
        if line := re.search(r"^- \*\*Validation\*\*: (.+)$", text, re.MULTILINE):
            found[(package.parent if package.name == PACKAGE else package).name] = line[1]
    return found


@dataclass(frozen=True)
class Compared:
    """A network of Table 2: what it costs, and what the paper prints where input, channels and classes are its own."""

    name: str
    title: str
    parameters: int
    macs: int
    paper_parameters: int | None
    paper_macs: int | None
    note: str | None


@dataclass(frozen=True)
class Comparison:
    """The networks of Table 2 at one size of input."""

    input: tuple[int, int, int]
    channels: int
    classes: int
    networks: tuple[Compared, ...]

    def to_json(self) -> dict[str, Any]:
        """The size of the input and a row for each network."""
        return {"input": list(self.input), "networks": [asdict(each) for each in self.networks]}


def compare(*, input: tuple[int, int, int] = (96, 96, 96), channels: int = 1, classes: int = 3) -> Comparison:
    """Count parameters and multiply-accumulates of 3D U-Net, V-Net, VoxResNet, ResDSN, Attention U-Net and C2FNAS-Panc.

    The numbers that the paper prints stand beside them; they are for 96×96×96 voxels, 1 channel and 3 classes. Nothing
    is computed or allocated. `c2fnas train --network unet3d` (vnet, voxresnet, resdsn, attention_unet) trains one of
    them, `c2fnas train --architecture c2fnas-panc` the last.

    Args:
        input: Input size in voxels.
        channels: Image channels.
        classes: Classes, the background included.

    Raises:
        UserError: a size, a number of channels or a number of classes that no network can have.

    Examples:
        c2fnas compare
        c2fnas compare --input 128,128,64 --channels 4 --classes 4 --json
    """
    _refuse_sides("compare", input)
    refuse_below(1, channels=channels)
    refuse_below(2, classes=classes)
    from c2fnas.networks.baselines.table_2 import PAPER_CHANNELS, PAPER_CLASSES, PAPER_SIZE, TABLE_2
    from c2fnas.networks.count import count_network

    same_network = (channels, classes) == (PAPER_CHANNELS, PAPER_CLASSES)
    same = same_network and tuple(input) == PAPER_SIZE
    rows = []
    for published in TABLE_2:
        network = published.build(in_channels=channels, classes=classes)
        parameters, macs = count_network(network, in_channels=channels, input_size=input)
        printed = (
            round(published.parameters) if same_network else None,
            round(published.macs) if same else None,
            published.note if same else None,
        )
        rows.append(Compared(published.name, published.title, parameters, macs, *printed))
    return Comparison(input, channels, classes, tuple(rows))


def _refuse_sides(command: str, size: tuple[int, int, int]) -> None:
    if min(size) < 1:
        raise UserError(f"{command}: --input {','.join(map(str, size))}: every side has at least one voxel.")


def _space_counts() -> dict[str, int]:
    from c2fnas.space.search_space import SearchSpace

    space = SearchSpace()
    return {
        "cells": space.cells,
        "downsamplings": space.downsamplings,
        "topologies": space.topology_count,
        "unpruned_topologies": space.unpruned_topology_count,
        "walks": space.walk_count,
        "operation_configurations": space.operation_configuration_count,
        "architectures": space.topology_count * space.operation_configuration_count,
    }


def _cell(cell: "CellCost") -> dict[str, Any]:
    row = {name: getattr(cell, name) for name in ("cell", "level", "filters", "parameters", "macs")}
    return row | {"operation": str(cell.operation), "inputs": list(cell.inputs)}
