"""An architecture drawn in the terminal: levels as rows, cells as columns."""

from c2fnas.space.architecture import Architecture
from c2fnas.space.topology import STEM

WIDTH = 5


def draw_text(architecture: Architecture) -> str:
    """Levels as rows with their resolution and filters, cells as columns, second inputs below.

    >>> print(draw_text(Architecture.from_text("0:3D 1:P3D 0:2D")))
    level        cell    1    2    3
      0    1/2    64f   3D    ·   2D
      1    1/4   128f    ·  P3D    ·
    second input                   1
    """
    topology = architecture.topology
    header = "level        cell" + "".join(f"{cell:>{WIDTH}}" for cell in range(1, topology.cells + 1))
    rows = [header]
    for level in range(topology.downsamplings + 1):
        marks = (
            architecture.operations[cell].value if topology.code[cell] == level else "·" for cell in range(topology.cells)
        )
        label = f"  {level}  {f'1/{2 ** (level + 1)}':>5} {f'{architecture.filters(level)}f':>6}"
        rows.append(label.ljust(17) + "".join(f"{mark:>{WIDTH}}" for mark in marks))
    seconds = (_name(sources[1]) if len(sources) > 1 else "" for sources in topology.inputs)
    rows.append(("second input".ljust(17) + "".join(f"{name:>{WIDTH}}" for name in seconds)).rstrip())
    return "\n".join(rows)


def _name(source: int) -> str:
    return "stem" if source == STEM else str(source + 1)
