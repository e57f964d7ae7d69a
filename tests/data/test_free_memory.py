"""Free memory is what the machine and the container both have."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from small_cases import write_case

from c2fnas.data import free_memory as module
from c2fnas.data import parallel
from c2fnas.data.free_memory import UNLIMITED, container_memory, free_memory
from c2fnas.data.scan import _voxels


@pytest.mark.parametrize(
    ("limit", "stat", "expected"),
    [
        ("1000", "anon 300\nfile 600", 700),
        ("1000", "anon 3000", 0),
        ("max", "anon 300", UNLIMITED),
        ("1000", "", UNLIMITED),
        (None, "", UNLIMITED),
    ],
)
def test_a_containers_limit(limit: str | None, stat: str, expected: int, tmp_path: Path) -> None:
    if limit is not None:
        (tmp_path / "memory.max").write_text(limit)
        (tmp_path / "memory.stat").write_text(stat)
    assert container_memory(tmp_path) == expected


@pytest.mark.parametrize("container", [700, UNLIMITED])
def test_the_smaller_one_counts(container: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.psutil, "virtual_memory", lambda: SimpleNamespace(available=5000))
    monkeypatch.setattr(module, "container_memory", lambda: container)
    assert free_memory() == min(5000, container)


def test_workers_are_as_many_as_the_container_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [write_case(tmp_path, name) for name in "abcd"]
    each = 9 * 11 * 7 * 4 * parallel.VOLUMES_EACH
    for room in (2, 3):
        monkeypatch.setattr(parallel, "free_memory", lambda room=room: int(room * each / parallel.MEMORY_SHARE) + 1)
        assert parallel.bounded_workers(cases, 8, _voxels) == room
