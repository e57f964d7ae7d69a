"""The usable cores are those that affinity, container and user all allow."""

import os
from pathlib import Path

import pytest

from c2fnas import cores
from c2fnas.cores import container_cores, limited_threads, usable_cores, usable_threads


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("200000 100000", 2), ("150000 100000", 2), ("1000 100000", 1), ("max 100000", 99), ("", 99), (None, 99)],
)
def test_a_containers_quota_is_rounded_up(quota: str | None, expected: int, tmp_path: Path) -> None:
    if quota is not None:
        (tmp_path / "cpu.max").write_text(quota)
    assert container_cores(99, tmp_path / "cpu.max") == expected


@pytest.mark.parametrize(("affinity", "container"), [(8, 3), (2, 6)])
def test_the_smaller_one_counts(affinity: int, container: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(affinity)), raising=False)
    monkeypatch.setattr(cores, "container_cores", lambda otherwise: container)
    assert usable_cores() == min(affinity, container)


@pytest.mark.parametrize(("limit", "threads"), [("3", 3), ("64", 8), ("0", 8), ("many", 8), ("", 8), (None, 8)])
def test_a_users_limit_only_lowers_it(limit: str | None, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "usable_cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if limit is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", limit)
    assert usable_threads() == limited_threads("OMP_NUM_THREADS", 8) == threads
