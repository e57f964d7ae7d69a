"""Files of lines: what a crash has torn costs no line after it."""

from pathlib import Path

from c2fnas.files import append_json_line, is_there, read_json_lines


def test_a_line_after_a_torn_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    append_json_line(path, {"a": 1})
    with path.open("a") as file:
        file.write('{"a": 2')
    for number in (3, 4):
        append_json_line(path, {"a": number})
    assert [*read_json_lines(path)] == [{"a": 1}, {"a": 3}, {"a": 4}]


def test_a_text_too_long_for_a_path_is_nothings(tmp_path: Path) -> None:
    assert is_there(tmp_path)
    assert not is_there(Path("liver," * 100))
