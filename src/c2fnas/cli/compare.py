"""`c2fnas compare`: what the compared networks cost, beside what the paper prints (Table 2)."""

import json as json_format
from typing import Annotated, Any

import typer

from c2fnas.cli.text_table import aligned
from c2fnas.errors import UserError
from c2fnas.report.words import plural
from c2fnas.space.geometry import by


def compare(
    input: Annotated[tuple[int, int, int], typer.Option("--input", help="Input size in voxels.")] = (96, 96, 96),
    channels: Annotated[int, typer.Option(min=1, help="Image channels.")] = 1,
    classes: Annotated[int, typer.Option(min=2, help="Classes, the background included.")] = 3,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Count parameters and multiply-accumulates of 3D U-Net, V-Net, VoxResNet, ResDSN, Attention U-Net and C2FNAS-Panc.

    Beside them what the paper prints, which is of 96×96×96 voxels, 1 channel and 3 classes. Nothing is computed or
    allocated. `c2fnas train --network unet3d` (vnet, voxresnet, resdsn, attention_unet) trains one of them,
    `c2fnas train --architecture c2fnas-panc` the last.

    Examples:

    `c2fnas compare`

    `c2fnas compare --input 128 128 64 --channels 4 --classes 4 --json`
    """
    if min(input) < 1:
        raise UserError(f"compare: --input {' '.join(map(str, input))}: every side has at least one voxel.")
    rows = compared(input, channels, classes)
    if json:
        typer.echo(json_format.dumps({"input": list(input), "networks": rows}, indent=2))
    else:
        typer.echo(_in_words(rows, input, channels, classes))


def compared(size: tuple[int, int, int], channels: int, classes: int) -> list[dict[str, Any]]:
    """A row for each network of Table 2, with the paper's figures and what is known of them where they are comparable.

    Parameters depend on channels and classes, multiply-accumulates on the size too; a note speaks of all of it.
    """
    from c2fnas.networks.baselines.table_2 import PAPER_CHANNELS, PAPER_CLASSES, PAPER_SIZE, TABLE_2
    from c2fnas.networks.count import count_network

    same_network = (channels, classes) == (PAPER_CHANNELS, PAPER_CLASSES)
    same = same_network and size == PAPER_SIZE
    rows = []
    for published in TABLE_2:
        network = published.build(in_channels=channels, classes=classes)
        parameters, macs = count_network(network, in_channels=channels, input_size=size)
        rows.append(
            {
                "name": published.name,
                "title": published.title,
                "parameters": parameters,
                "macs": macs,
                "paper_parameters": round(published.parameters) if same_network else None,
                "paper_macs": round(published.macs) if same else None,
                "note": published.note if same else None,
            }
        )
    return rows


def _in_words(rows: list[dict[str, Any]], size: tuple[int, int, int], channels: int, classes: int) -> str:
    title = f"Parameters and multiply-accumulates at {by(size)}, {plural(channels, 'channel')}, {classes} classes"
    head = ["network", "params (M)", "paper", "MACs (G)", "paper"]
    lines = [
        [
            row["title"],
            f"{row['parameters'] / 1e6:.2f}",
            _beside(row["parameters"], row["paper_parameters"], 1e6),
            f"{row['macs'] / 1e9:.2f}",
            _beside(row["macs"], row["paper_macs"], 1e9),
        ]
        for row in rows
    ]
    notes = [f"{row['title']}: {row['note']}" for row in rows if row["note"] is not None]
    return "\n".join([title, aligned([head, *lines], left=1), *notes])


def _beside(counted: float, printed: float | None, unit: float) -> str:
    """The printed figure and by how much ours differs."""
    return "–" if printed is None else f"{printed / unit:.2f} ({100 * (counted / printed - 1):+.1f}%)"
