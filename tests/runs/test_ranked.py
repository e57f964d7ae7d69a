"""Ranked candidates: what is written is read again, and a file that is cut short is never taken for a whole one."""

import math
import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from c2fnas.errors import UserError
from c2fnas.files import write_json
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.records.ranked import RankedPath, ranking_is_whole, read_ranked, write_ranked
from c2fnas.search.paths import random_paths
from c2fnas.space.architecture import Architecture
from c2fnas.space.search_space import SearchSpace
from c2fnas.space.topology import Topology

TOPOLOGY = Topology((0, 0, 1, 1, 2, 3, 2, 2, 1, 0, 0, 0))
PATHS = random_paths(SearchSpace(), 12, seed=0)
DICE = st.none() | st.floats(0, 1)
ROW = st.builds(
    RankedPath,
    number=st.integers(0, 5000),
    architecture=st.builds(Architecture, st.just(TOPOLOGY), st.sampled_from(PATHS), st.sampled_from([0.25, 1.0, 1.75])),
    dice=DICE,
    cases=st.integers(1, 300),
    macs=st.integers(1, 10**13),
    parameters=st.integers(1, 10**9),
    front=st.booleans(),
    first_rung_dice=DICE,
    first_rung_cases=st.none() | st.integers(1, 300),
    latency_ms=st.none() | st.floats(0, 1e5, exclude_min=True),
    memory=st.none() | st.integers(1, 2**40),
    device=st.none() | st.text(max_size=8),
    reason=st.none() | st.text(max_size=40),
)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


def rows(count: int = 4) -> tuple[RankedPath, ...]:
    architectures = [Architecture(TOPOLOGY, path, 0.25) for path in PATHS[:count]]
    last = {"dice": None, "reason": "its logits are\nnot finite"}
    found = [RankedPath(number, each, 0.9 - number / 10, 5, 10**9, 10**6) for number, each in enumerate(architectures)]
    return (*found[:-1], replace(found[-1], **last))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(st.lists(ROW, max_size=5))
def test_what_is_written_is_read(folder: RunFolder, written: list[RankedPath]) -> None:
    write_ranked(folder, written)
    assert read_ranked(folder) == tuple(written)


def test_before_the_ranking_there_are_none(folder: RunFolder) -> None:
    assert read_ranked(folder) == ()
    assert not ranking_is_whole(folder)


def test_written_again_it_replaces_what_was_there(folder: RunFolder) -> None:
    write_ranked(folder, rows(12))
    write_ranked(folder, rows(3))
    assert read_ranked(folder) == rows(3)
    assert [path.name for path in folder.fine.iterdir()] == ["candidates.jsonl"]


@pytest.mark.parametrize("dice", [math.nan, math.inf, -1e-9, 1.0000001])
def test_a_dice_outside_0_1_is_a_failure(folder: RunFolder, dice: float) -> None:
    row = replace(rows()[0], dice=dice)
    assert (row.dice, row.reason) == (None, f"The score {dice} is not within [0, 1].")
    write_ranked(folder, [row])
    assert read_ranked(folder) == (row,)


def test_a_cut_at_any_byte_is_seen(folder: RunFolder) -> None:
    """Whatever is left of the file, it gives all candidates or is refused with the remedy."""
    write_ranked(folder, rows())
    write_json(folder.ranking_file, {"candidates": 4})
    whole = folder.candidates.read_bytes()
    for length in range(len(whole)):
        folder.candidates.write_bytes(whole[:length])
        if length == len(whole) - 1:  # all but the last line's end
            assert read_ranked(folder) == rows()
            continue
        assert not ranking_is_whole(folder)
        with pytest.raises(UserError, match=r"candidates\.jsonl: damaged.* `c2fnas search fine .*` again"):
            read_ranked(folder)


def test_other_bytes_are_no_crash(folder: RunFolder) -> None:
    write_ranked(folder, rows())
    write_json(folder.ranking_file, {"candidates": 4})
    whole, rng = folder.candidates.read_bytes(), random.Random(0)
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(rng.randint(1, 5)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        folder.candidates.write_bytes(damaged)
        if ranking_is_whole(folder):
            assert len(read_ranked(folder)) == 4
        else:
            with pytest.raises(UserError, match="again: it writes them"):
                read_ranked(folder)


def test_a_write_that_is_killed_leaves_the_file_as_it_was(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    write_ranked(folder, rows(2))

    def dies(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", dies)
        with pytest.raises(KeyboardInterrupt):
            write_ranked(folder, rows(12))
    assert read_ranked(folder) == rows(2)
