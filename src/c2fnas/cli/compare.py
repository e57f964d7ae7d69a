"""`c2fnas compare`: what the compared networks cost, beside what the paper prints (Table 2)."""

import json as json_format
from typing import Annotated, Any

import typer

from c2fnas.errors import UserError


def compare(
    input: Annotated[tuple[int, int, int], typer.Option("--input", help="Input size in voxels.")] = (96, 96, 96),
    channels: Annotated[int, typer.Option(min=1, help="Image channels.")] = 1,
    classes: Annotated[int, typer.Option(min=2, help="Classes, the background included.")] = 3,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Count parameters and multiply-accumulates of 3D U-Net, V-Net, VoxResNet, ResDSN, Attention U-Net and C2FNAS-Panc.

    Beside them what the paper prints, at 96×96×96. Nothing is computed or allocated. `c2fnas train --network NAME`
    trains any of them.

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
        _print(rows, input)


def compared(size: tuple[int, int, int], channels: int, classes: int) -> list[dict[str, Any]]:
    """A row for each network of Table 2; the paper's multiply-accumulates at its own input size alone."""
    from c2fnas.networks.baselines.published import PAPER_SIZE, TABLE_2
    from c2fnas.networks.count import count_network

    rows = []
    for published in TABLE_2:
        network = published.build(in_channels=channels, classes=classes)
        parameters, macs = count_network(network, in_channels=channels, input_size=size)
        rows.append({
            "name": published.name, "title": published.title, "parameters": parameters, "macs": macs,
            "paper_parameters": round(published.parameters),
            "paper_macs": round(published.macs) if size == PAPER_SIZE else None, "note": published.note,
        })  # fmt: skip
    return rows


def _print(rows: list[dict[str, Any]], size: tuple[int, int, int]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"Parameters and multiply-accumulates at {size[0]}×{size[1]}×{size[2]}", title_justify="left")
    for name in ("network", "params (M)", "paper", "MACs (G)", "paper"):
        table.add_column(name, justify="left" if name == "network" else "right", no_wrap=True)
    for row in rows:
        table.add_row(
            row["title"],
            f"{row['parameters'] / 1e6:.2f}", _beside(row["parameters"], row["paper_parameters"], 1e6),
            f"{row['macs'] / 1e9:.2f}", _beside(row["macs"], row["paper_macs"], 1e9),
        )  # fmt: skip
    console = Console()
    console.print(table)
    for row in rows:
        console.print(f"{row['title']}: {row['note']}", highlight=False)


def _beside(counted: float, printed: float | None, unit: float) -> str:
    """The printed figure and by how much ours differs."""
    return "–" if printed is None else f"{printed / unit:.2f} ({100 * (counted / printed - 1):+.1f}%)"
