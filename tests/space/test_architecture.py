import json
from pathlib import Path

import pytest
from hypothesis import given
from space_strategies import architectures

from c2fnas.errors import UserError
from c2fnas.space.architecture import Architecture
from c2fnas.space.operation import Operation
from c2fnas.space.topology import Topology

SMALL = Architecture.from_text("0:2D 1:P3D 0:3D @0.5")


@given(architectures())
def test_json_round_trip(architecture: Architecture):
    assert Architecture.from_json(json.loads(json.dumps(architecture.to_json()))) == architecture


@given(architectures())
def test_text_round_trip(architecture: Architecture):
    assert Architecture.from_text(architecture.to_text()) == architecture
    assert Architecture.load(architecture.to_text()) == architecture


@given(architectures())
def test_filters_double_with_every_level(architecture: Architecture):
    filters = [architecture.filters(level) for level in range(5)]
    assert all(deeper == 2 * filters[level] for level, deeper in enumerate(filters[1:]))
    assert architecture.stem_filters == (32 * architecture.width, 64 * architecture.width)
    assert architecture.stem_filters[1] == filters[0]


def test_panc_is_built_in():
    panc = Architecture.named("C2FNAS-Panc")
    assert panc.topology.code == (0, 0, 1, 1, 2, 3, 2, 2, 1, 0, 0, 0)
    assert " ".join(panc.operations) == "2D P3D 3D 3D 3D 2D 3D 3D P3D 3D 2D 3D"
    assert panc.width == 1.0


def test_text_without_width_is_of_width_one():
    assert Architecture.from_text("0:3D").width == 1.0


def test_uniform_has_the_same_operation_everywhere():
    topology = Topology((0, 1, 0))
    assert Architecture.uniform(topology).operations == (Operation.CONV3D,) * 3
    assert Architecture.uniform(topology, Operation.P3D, 0.25).to_text() == "0:P3D 1:P3D 0:P3D @0.25"


def test_two_texts_differ_in_the_cells_that_differ():
    panc = Architecture.named("c2fnas-panc")
    changed = Architecture(panc.topology, (Operation.CONV3D, *panc.operations[1:]))
    pairs = zip(panc.to_text().split(), changed.to_text().split(), strict=True)
    assert [(before, after) for before, after in pairs if before != after] == [("0:2D", "0:3D")]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("0:3D 1:4D 0:3D", "cell 2: '4D' is no operation; choose among 3D, P3D, 2D"),
        ("0:3D 1:3d 0:3D", "cell 2: '3d' is no operation"),
        ("0:3D 1.5:3D 0:3D", "cell 2: '1.5' is no level"),
        ("0:3D -1:3D 0:3D", "cell 2: '-1' is no level"),
        ("0:3D ²:3D 0:3D", "cell 2: '²' is no level"),
        ("0:3D 1:3D 3D", "cell 3: '3D' is not of the form"),
        ("0:3D 2:3D 0:3D", "cell 2: goes from level 0 to 2"),
        ("1:3D 0:3D 1:3D 0:3D", "cell 3: goes down after an up cell"),
        ("0:3D 1:3D 1:3D", "cell 3: ends at level 1"),
        ("0:3D 1:3D 0:3D @x", "width: 'x' is not a number"),
        ("0:3D @0", "width 0.0"),
        ("0:3D @nan", "width nan"),
        ("0:3D @inf", "width inf"),
        ("0:3D @0.3", "width 0.3: 32 × width must be a positive whole number"),
        ("@1", "cell 1: missing"),
        ("", "cell 1: '' is not of the form"),
    ],
)
def test_faulty_text_names_the_cell(text: str, fault: str):
    with pytest.raises(ValueError, match="^" + fault.replace("(", r"\(").replace(".", r"\.")):
        Architecture.from_text(text)
    with pytest.raises(UserError, match="not an architecture"):
        Architecture.load(text)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"code": [0, 1, "x"]}, "cell 3: 'x' is no level"),
        ({"code": [0, 1, 1.0]}, "cell 3: 1.0 is no level"),
        ({"code": [0, True, 0]}, "cell 2: True is no level"),
        ({"code": [0, None, 0]}, "cell 2: None is no level"),
        ({"code": [0, 1, 2]}, "cell 3: ends at level 2"),
        ({"operations": ["2D", "P3D"]}, "cell 3: missing; 2 operations for 3 cells"),
        ({"operations": ["2D"] * 4}, "cell 4: has an operation, but no level"),
        ({"operations": ["2D", ["P3D"], "3D"]}, r"cell 2: \['P3D'\] is no operation"),
        ({"operations": "2D"}, "code and operations are lists"),
        ({"width": None}, "width: None"),
        ({"format": "c2fnas-architecture-99"}, "expected an object with"),
        ({"depth": 3}, "expected the keys"),
    ],
)
def test_faulty_json_names_the_cell(change: dict, fault: str):
    with pytest.raises(ValueError, match=fault):
        Architecture.from_json({**SMALL.to_json(), **change})


@pytest.mark.parametrize("missing", ["code", "operations", "format"])
def test_json_with_a_missing_key_is_refused(missing: str):
    value = SMALL.to_json()
    del value[missing]
    with pytest.raises(ValueError, match="expected"):
        Architecture.from_json(value)


def test_loads_a_file_and_the_folder_that_holds_it(tmp_path: Path):
    file = tmp_path / "architecture.json"
    file.write_text(json.dumps(SMALL.to_json()))
    assert Architecture.load(file) == Architecture.load(str(tmp_path)) == SMALL


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[" * 100_000, b"[]", b'{"code": [NaN]}'])
def test_faulty_file_is_a_readable_error(tmp_path: Path, content: bytes):
    file = tmp_path / "mine.json"
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"mine\.json: not an architecture"):
        Architecture.load(file)


@pytest.mark.parametrize("source", ["no-such-name", "/no/such/file.json", "0:3D " * 5000 + "1:3D", "\0"])
def test_what_is_neither_is_a_readable_error(source: str):
    with pytest.raises(UserError, match="not an architecture"):
        Architecture.load(source)


def test_a_path_is_told_from_a_text_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("unfinished").mkdir()
    with pytest.raises(UserError, match=r"no architecture\.json in this folder"):
        Architecture.load("unfinished")
    for source in ("mine.json", "runs/liver"):
        with pytest.raises(UserError, match="no such file or folder"):
            Architecture.load(source)
    for source in ("", "0:3D 1:9D 0:3D"):
        with pytest.raises(UserError, match="cell"):
            Architecture.load(source)


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(UserError, match="c2fnas-panc"):
        Architecture.named("c2fnas-liver")


def test_operations_must_be_operations():
    with pytest.raises(ValueError, match="cell 1: '3D' is no operation"):
        Architecture(Topology((0,)), ("3D",))  # type: ignore[arg-type]
