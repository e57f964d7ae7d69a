"""`c2fnas describe`: an architecture or the search space, in words, numbers and a drawing."""

import json as json_format
from pathlib import Path
from typing import Annotated, Any

import typer

from c2fnas.errors import UserError
from c2fnas.text import plural

DRAWN = (".svg", ".png", ".pdf")


def describe(
    architecture: Annotated[
        str | None, typer.Argument(help="A name (`c2fnas-panc`), a JSON file, a run folder, or the text form.")
    ] = None,
    space: Annotated[bool, typer.Option("--space", help="Describe the search space instead.")] = False,
    input: Annotated[tuple[int, int, int], typer.Option("--input", help="Input size in voxels for the cost.")] = (
        96,
        96,
        96,
    ),
    channels: Annotated[int, typer.Option(min=1, help="Image channels.")] = 1,
    classes: Annotated[int, typer.Option(min=2, help="Classes, the background included.")] = 3,
    svg: Annotated[
        Path | None, typer.Option("--svg", metavar="FILE", help="Draw it into a file too (SVG, PNG or PDF).")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show an architecture (drawing, cells, parameters, multiply-accumulates) or the search space (counts).

    Examples:

    `c2fnas describe c2fnas-panc`

    `c2fnas describe c2fnas-panc --input 40 56 40 --json`

    `c2fnas describe runs/hippocampus --svg network.svg`

    `c2fnas describe --space --json`
    """
    if space == (architecture is not None):
        raise UserError(
            "describe: give an architecture or --space, one of the two. `c2fnas describe --help` has examples."
        )
    if min(input) < 1:
        raise UserError(f"describe: --input {' '.join(map(str, input))}: every side has at least one voxel.")
    if svg is not None and (space or svg.suffix.lower() not in DRAWN):
        raise UserError(f"describe: --svg {svg}: draws an architecture into a file that ends in {', '.join(DRAWN)}.")
    if space:
        facts = space_facts()
        typer.echo(json_format.dumps(facts, indent=2) if json else _lines(facts))
        return
    _describe_architecture(str(architecture), input, channels, classes, json, svg)


def space_facts() -> dict[str, int]:
    """The counts of the paper's search space (paper 3.2 and 4.1)."""
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


def _describe_architecture(
    text: str, size: tuple[int, int, int], channels: int, classes: int, as_json: bool, figure: Path | None
) -> None:
    from c2fnas.inference.pretrained import with_design
    from c2fnas.space.architecture import Architecture
    from c2fnas.space.cost import network_cost
    from c2fnas.space.drawing import draw_text

    architecture = Architecture.load(with_design(text))
    cost = network_cost(architecture, in_channels=channels, classes=classes, input_size=size)
    if figure is not None:
        from c2fnas.report.figures import save_architecture

        save_architecture(architecture, cost, figure)
    facts: dict[str, Any] = {
        "architecture": architecture.to_text(),
        "parameters": cost.parameters,
        "macs": cost.macs,
        "input": list(size),
        "channels": channels,
        "classes": classes,
        "width": architecture.width,
        "code": list(architecture.topology.code),
        "operations": [operation.value for operation in architecture.operations],
        "cells": [cell_row(cell) for cell in cost.cells],
    }
    note = published(text)
    if note:
        facts["note"] = note
    if as_json:
        typer.echo(json_format.dumps(facts, indent=2))
        return
    typer.echo(draw_text(architecture))
    typer.echo(
        f"\n{cost.parameters / 1e6:.2f} M parameters, {cost.macs / 1e9:.2f} G multiply-accumulates "
        f"at {size[0]}×{size[1]}×{size[2]}, {plural(channels, 'channel')}, {classes} classes"
    )
    typer.echo(facts["architecture"])
    if note:
        typer.echo(note)


def cell_row(cell: Any) -> dict[str, Any]:
    """One cell of the cost as JSON."""
    return {
        "cell": cell.cell,
        "operation": str(cell.operation),
        "level": cell.level,
        "filters": cell.filters,
        "inputs": list(cell.inputs),
        "parameters": cell.parameters,
        "macs": cell.macs,
    }


def published(name: str) -> str | None:
    """What the paper prints for a built-in architecture, and why ours differs."""
    if name.lower() != "c2fnas-panc":
        return None
    return (
        "The paper prints 17.02 M parameters and 150.78 G FLOPs (multiply-accumulates) at 96×96×96. Figure 5 is read "
        "as literally as the text allows; the differences, within 4 % and 1 %, are what the text leaves open."
    )


def _lines(facts: dict[str, int]) -> str:
    return "\n".join(f"{key.replace('_', ' '):28}{value:>15,}" for key, value in facts.items())
