"""The usable cores are those that affinity, container and user all allow."""

import os
from pathlib import Path

import pytest

from c2fnas import cores
from c2fnas.cores import limited_threads, usable_cores, usable_threads
from c2fnas.planning import run_timings


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


def test_cores_that_others_keep_busy_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of those of the affinity mask: one idle or waiting for a disk, one half busy; the third is not ours."""
    stat = tmp_path / "stat"

    def write(*rows: str) -> None:
        stat.write_text("\n".join(["cpu  9 9 9 9 9 9 9 9 0 0", *rows, "intr 5", "ctxt 7"]))

    write("cpu0 10 0 10 80 0 0 0 0 0 0", "cpu1 100 0 0 0 0 0 0 0 0 0", "cpu2 0 0 0 0 0 0 0 0 0 0")
    after = "cpu0 10 0 10 120 60 0 0 0 0 0", "cpu1 130 5 5 50 0 5 5 0 9 9", "cpu2 100 0 0 0 0 0 0 0 0 0"
    monkeypatch.setattr(cores.time, "sleep", lambda seconds: write(*after))
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda process: {0, 1}, raising=False)
    assert cores.busy_cores(0.3, stat) == pytest.approx(0.5)
    assert cores.busy_cores(0.0, tmp_path / "none") == 0.0
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda process: {7}, raising=False)
    assert cores.busy_cores(0.3, stat) == 0.0, "a core that the file does not have"


@pytest.mark.parametrize(
    ("busy", "threads", "advice"), [(1.1, 2, "`OMP_NUM_THREADS=1`"), (0.3, 2, None), (2.0, 1, None)]
)
def test_a_job_beside_other_work_is_advised_of_fewer_threads(
    busy: float, threads: int, advice: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"busy_cores": busy, "usable_cores": 2, "usable_threads": threads}.items():
        monkeypatch.setattr(run_timings, name, lambda value=value: value)
    told = run_timings.beside_others(("cpu",))
    assert told is None if advice is None else advice in (told or "")
    assert run_timings.beside_others(("cuda:0",)) is None
