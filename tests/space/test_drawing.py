import unicodedata

from hypothesis import given
from space_strategies import architectures

from c2fnas.space.architecture import Architecture
from c2fnas.space.drawing import SLOT, draw_text
from c2fnas.space.topology import STEM

PANC = """\
       cell       1    2    3    4    5    6    7    8    9    10   11   12  out
0 1/2    64 stem─▶2D──▶P3D┬┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┬▶3D──▶2D──▶3D─▶out
1 1/4   128               └▶3D──▶3D─┬┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┬▶P3D┘
2 1/8   256                         └▶3D─┬┄┄┄┄┬▶3D──▶3D─┘
3 1/16  512                              └▶2D─┘
2nd input              stem                      5         4    2         10  11"""


def test_c2fnas_panc_is_drawn_in_80_columns():
    drawing = draw_text(Architecture.named("c2fnas-panc"))
    assert drawing == PANC
    assert max(map(len, drawing.splitlines())) == 80


def place(rows: list[str], cell: int) -> int:
    """The column of a cell's operation."""
    return rows[1].index("stem") + len("stem") + cell * SLOT + 2


@given(architectures())
def test_every_operation_stands_on_its_level(architecture: Architecture):
    rows = draw_text(architecture).splitlines()
    for cell, (level, operation) in enumerate(zip(architecture.topology.code, architecture.operations, strict=True)):
        drawn = [row[place(rows, cell) : place(rows, cell) + 3].rstrip("─┄ ") for row in rows[1:-1]]
        assert drawn == [operation.value if row == level else "" for row in range(len(drawn))]


@given(architectures())
def test_second_inputs_are_named(architecture: Architecture):
    rows, topology = draw_text(architecture).splitlines(), architecture.topology
    starts = [*(place(rows, cell) for cell in range(topology.cells)), place(rows, topology.cells) - 1]
    for start, sources in zip(starts, (*topology.inputs, topology.outputs), strict=True):
        names = ["stem" if source == STEM else str(source + 1) for source in sources[1:]]
        assert rows[-1][start : start + SLOT - 1].split() == names


@given(architectures())
def test_every_character_is_one_column_wide(architecture: Architecture):
    assert all(unicodedata.east_asian_width(character) not in "WF" for character in draw_text(architecture))
