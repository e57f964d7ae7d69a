"""Files and folders: what a crash has torn costs nothing else."""

import errno
import os
from pathlib import Path

import pytest

from c2fnas import files
from c2fnas.errors import UserError, exhaustion
from c2fnas.files import (
    append_json_line,
    cannot_be_written,
    changed_at,
    files_below,
    is_there,
    new_folder,
    read_json,
    read_json_lines,
    write_text,
)


def test_a_line_after_a_torn_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    append_json_line(path, {"a": 1})
    with path.open("a") as file:
        file.write('{"a": 2')
    for number in (3, 4):
        append_json_line(path, {"a": number})
    assert [*read_json_lines(path)] == [{"a": 1}, {"a": 3}, {"a": 4}]


def test_a_line_of_other_bytes_costs_no_other(tmp_path: Path) -> None:
    """One bit that has flipped may not keep a training from being resumed."""
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a": 1}\n\xff\n{"a\xff": 2\n{"a": 3}\n')
    assert [*read_json_lines(path)] == [{"a": 1}, {"a": 3}]


def test_a_full_pipe_is_no_exhausted_system() -> None:
    assert "has run out" in exhaustion(BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"))
    full = BlockingIOError(errno.EAGAIN, "write could not complete without blocking", 8192)
    assert full.characters_written == 8192
    assert exhaustion(full) == ""


def test_too_many_open_files_are_no_full_disk(tmp_path: Path) -> None:
    error = cannot_be_written(tmp_path / "a", OSError(errno.EMFILE, "Too many open files"), "nothing is lost")
    assert "ulimit -n" in str(error)
    assert "space" not in str(error)


def test_a_folder_that_replaces_another_is_on_the_disk_before_that_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut between the two would leave neither."""
    folder, order = tmp_path / "model", list[str]()
    flush, remove = files._flush_folder, files.shutil.rmtree
    monkeypatch.setattr(files, "_flush_folder", lambda path: order.append(f"flush {path.name}") or flush(path))
    monkeypatch.setattr(files.shutil, "rmtree", lambda path, **k: order.append(path.name[-3:]) or remove(path, **k))
    folder.mkdir()
    with new_folder(folder, replace=True) as fresh:
        write_text(fresh / "weights", "new")
    assert order.index(f"flush {tmp_path.name}") < len(order) - 1 - order[::-1].index("old")


def test_a_text_too_long_for_a_path_is_nothings(tmp_path: Path) -> None:
    assert is_there(tmp_path)
    assert not is_there(Path("liver," * 100))


def test_a_folder_that_steps_aside_comes_back_where_ctrl_c_falls_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the two renames by which a folder is replaced."""
    folder, rename = tmp_path / "model", Path.rename
    folder.mkdir()
    (folder / "weights").write_text("old")

    def interrupted(self: Path, target: Path) -> Path:
        if target == folder and (self / "weights").read_text() == "new":
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt), new_folder(folder, replace=True) as fresh:
        (fresh / "weights").write_text("new")
    assert (folder / "weights").read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["model"]


def test_a_link_stays_one_and_a_device_is_written_to(tmp_path: Path) -> None:
    real, link, pipe = tmp_path / "real.json", tmp_path / "link.json", tmp_path / "pipe"
    real.write_text("old")
    link.symlink_to(real)
    write_text(link, "new")
    assert (link.is_symlink(), real.read_text()) == (True, "new")
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_text(pipe, "through")
    assert (os.read(reader, 100), pipe.is_fifo()) == (b"through", True)
    os.close(reader)
    write_text(Path(os.devnull), "nowhere")
    assert Path(os.devnull).is_char_device()
    for place in (tmp_path / ("long" * 70), *filter(Path.exists, [Path("/dev/full")])):
        with pytest.raises(UserError, match="cannot be written"):
            write_text(place, "no")


def test_json_of_windows_is_read_and_one_that_nests_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"a": 1}', encoding="utf-8-sig")
    assert read_json(path) == {"a": 1}
    path.write_text("[" * 100_000)
    with pytest.raises(UserError, match=r"a\.json: cannot be read as JSON"):
        read_json(path)


def test_a_folder_is_replaced_after_a_process_of_the_same_number_was_killed(tmp_path: Path) -> None:
    """In a container every process may have the number 1."""
    folder = tmp_path / "model"
    for number in range(2):
        with new_folder(folder, replace=True) as fresh:
            (fresh / "weights").write_text(str(number))
        left = tmp_path / f".{os.getpid()}-model-old"
        left.mkdir()
        (left / "weights").write_text("older")
    assert (folder / "weights").read_text() == "1"


def test_files_below_a_folder_are_found_on_another_disk_too(tmp_path: Path) -> None:
    run, disk = tmp_path / "run", tmp_path / "disk"
    for place in (run / "a" / "b", disk / "fold-0"):
        place.mkdir(parents=True)
        (place / "result.json").touch()
        (place / "other.json").touch()
    (run / "result.json").touch()
    (run / "final").symlink_to(disk)
    for place in (disk, disk / "fold-0"):
        (place / "back").symlink_to(run)  # without end, if links were followed further down
    found = [*files_below(run, "result.json", "metrics.jsonl")]
    places = ("result.json", "a/b/result.json", "final/fold-0/result.json")
    assert sorted(found) == sorted(run / place for place in places)
    assert [*files_below(tmp_path / "nowhere", "result.json")] == []
    assert changed_at(run / "result.json") > 0 == changed_at(run / "nothing")
