"""Checkpoints are whole or absent; a damaged one gives way to the one before."""

import errno
import json
from pathlib import Path

import pytest
import torch

from c2fnas.errors import UserError
from c2fnas.training.checkpoint import forget_checkpoints, has_checkpoint, load_newest, save_checkpoint


def save(folder, *iterations):
    for iteration in iterations:
        save_checkpoint(folder, iteration, {"a": torch.full((3,), float(iteration))}, {"note": iteration})


def test_the_two_newest_are_kept(tmp_path):
    save(tmp_path, 5, 10, 15, 100_000_000)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "0000015.json",
        "0000015.safetensors",
        "100000000.json",
        "100000000.safetensors",
    ]
    newest = load_newest(tmp_path)
    assert (newest.iteration, newest.meta, newest.tensors["a"].tolist()) == (10**8, {"note": 10**8}, [1e8] * 3)


def test_none_where_there_is_none(tmp_path):
    assert load_newest(tmp_path / "nowhere") is None


def _flip(path):
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.write_bytes(data)


DAMAGES = {
    "flipped bit": lambda folder: _flip(folder / "0000010.safetensors"),
    "cut short": lambda folder: (folder / "0000010.safetensors").write_bytes(b"\x08"),
    "weights gone": lambda folder: (folder / "0000010.safetensors").unlink(),
    "no JSON": lambda folder: (folder / "0000010.json").write_text("{"),
    "JSON of nothing": lambda folder: (folder / "0000010.json").write_text("[]"),
    "JSON of something else": lambda folder: (folder / "0000010.json").write_text('{"sha256": "0"}'),
}


def test_those_of_the_weeks_before_are_loaded(tmp_path):
    """Their checksum is that of the weights."""
    save(tmp_path, 10)
    path = tmp_path / "0000010.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({"iteration": 10, "sha256": content["weights"], "meta": {"note": 10}}))
    assert (load_newest(tmp_path).iteration, load_newest(tmp_path).meta) == (10, {"note": 10})


def test_no_flipped_bit_of_the_json_passes(tmp_path):
    """It would skip an iteration, or have other settings."""
    save(tmp_path, 5, 10)
    path = tmp_path / "0000010.json"
    whole = path.read_bytes()
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        newest = load_newest(tmp_path)
        assert newest.iteration == 5 or newest.meta == {"note": 10}, damaged  # of white space it may pass


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_newest_falls_back_with_a_warning(tmp_path, damage, caplog):
    save(tmp_path, 5, 10)
    DAMAGES[damage](tmp_path)
    assert load_newest(tmp_path).iteration == 5
    assert "0000010" in caplog.text
    assert "checkpoint before" in caplog.text


@pytest.mark.parametrize("name", ["read_bytes", "read_text"])
def test_one_that_cannot_be_read_at_the_moment_is_not_passed_over(tmp_path, monkeypatch, name):
    """It may be whole: the training would go back, and delete it."""
    save(tmp_path, 5, 10)

    def failing(path, *arguments, **options):
        raise OSError(errno.EMFILE, "Too many open files", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, name, failing)
        with pytest.raises(UserError, match=r"0000010\.\w+: .*Too many open files.* give the same command again"):
            load_newest(tmp_path)
    assert load_newest(tmp_path).iteration == 10


def test_a_damaged_one_that_was_passed_over_takes_no_whole_ones_place(tmp_path):
    """Else one good checkpoint alone would be kept until the training is past the damaged one."""
    save(tmp_path, 5, 10)
    _flip(tmp_path / "0000010.safetensors")
    save(tmp_path, load_newest(tmp_path).iteration + 2)
    assert sorted(path.name for path in tmp_path.glob("*.json")) == ["0000005.json", "0000007.json"]
    assert load_newest(tmp_path).iteration == 7


def test_all_damaged_starts_from_the_beginning_and_says_so(tmp_path, caplog):
    save(tmp_path, 5, 10)
    for path in tmp_path.glob("*.json"):
        path.write_text("")
    assert load_newest(tmp_path) is None
    assert "starts from the beginning" in caplog.text


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    save(tmp_path, 5)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(path, data):
        with path.open("wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(UserError, match="No space left on device"):
            save(tmp_path, 10)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    save(tmp_path, 10)
    assert load_newest(tmp_path).iteration == 10


def test_leftovers_of_a_kill_are_cleared(tmp_path):
    save(tmp_path, 5)
    (tmp_path / ".123-0000010.safetensors").write_bytes(b"half")
    (tmp_path / "0000010.safetensors").write_bytes(b"whole, but its JSON was never written")
    (tmp_path / ".123-0000010.json").write_text("{")
    assert load_newest(tmp_path).iteration == 5
    save(tmp_path, 15)
    assert sorted(path.stem for path in tmp_path.glob("*.json")) == ["0000005", "0000015"]
    assert len([*tmp_path.iterdir()]) == 4


@pytest.mark.parametrize(("keep", "left"), [(0, None), (1, 10), (2, 10), (3, 10)])
def test_forgetting(tmp_path, keep, left):
    save(tmp_path / "checkpoints", 5, 10)
    forget_checkpoints(tmp_path, keep=keep)
    newest = load_newest(tmp_path / "checkpoints")
    assert (newest.iteration if newest else None) == left
    assert has_checkpoint(tmp_path) == bool(keep)
    assert len([*(tmp_path / "checkpoints").iterdir()]) == 2 * min(keep, 2)
