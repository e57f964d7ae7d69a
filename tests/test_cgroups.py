"""Limits of control groups, read from folders as the kernel writes them."""

from pathlib import Path

import pytest

from c2fnas.cgroups import UNLIMITED, container_cores, container_limit, container_memory

NONE_OF_VERSION_1 = str(2**63 - 4096)


def group(folder: Path, **files: str) -> None:
    """The files of a group; two underscores stand for a full stop."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content)


def own(folder: Path, *lines: str) -> Path:
    """What ``/proc/self/cgroup`` says."""
    (folder / "own").write_text("".join(f"{line}\n" for line in lines))
    return folder / "own"


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
@pytest.mark.parametrize("lines", [("0::/",), ("0::/../../elsewhere",), ()])
def test_a_containers_memory(limit: str | None, stat: str, expected: int, lines: tuple[str], tmp_path: Path) -> None:
    if limit is not None:
        group(tmp_path, memory__max=limit, memory__stat=stat)
    assert container_memory(tmp_path, own(tmp_path, *lines) if lines else tmp_path / "none") == expected


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("200000 100000", 2), ("150000 100000", 2), ("1000 100000", 1), ("max 100000", 99), ("", 99), (None, 99)],
)
def test_a_containers_quota_is_rounded_up(quota: str | None, expected: int, tmp_path: Path) -> None:
    if quota is not None:
        group(tmp_path, cpu__max=quota)
    assert container_cores(99, tmp_path, own(tmp_path, "0::/")) == expected


def test_the_least_of_a_group_and_those_around_it_counts(tmp_path: Path) -> None:
    """Slurm's steps and systemd's units see the whole tree; the limit may be at any level."""
    step = tmp_path / "system.slice/job_1/step_0"
    group(step, memory__max="max", memory__stat="anon 100", cpu__max="max 100000")
    group(step.parent, memory__max="5000", memory__stat="anon 1000", cpu__max="300000 100000")
    group(step.parent.parent, memory__max="9000", memory__stat="anon 6000", cpu__max="800000 100000")
    group(tmp_path / "system.slice/job_2", memory__max="10", memory__stat="anon 0", cpu__max="1000 100000")
    found = own(tmp_path, "0::/system.slice/job_1/step_0")
    assert container_memory(tmp_path, found) == 3000
    assert container_limit(tmp_path, found) == 5000
    assert container_cores(99, tmp_path, found) == 3


@pytest.mark.parametrize("inside", [False, True])
def test_limits_of_version_1(inside: bool, tmp_path: Path) -> None:
    """In a container with a view of its own, the group's name is one that is nowhere."""
    name = "docker/abc"
    memory, cpu = (tmp_path / each / ("" if inside else name) for each in ("memory", "cpu"))
    group(memory, memory__limit_in_bytes="2000", memory__stat="cache 900\ntotal_rss 500")
    group(cpu, cpu__cfs_quota_us="150000", cpu__cfs_period_us="100000")
    if not inside:
        group(tmp_path / "memory", memory__limit_in_bytes=NONE_OF_VERSION_1, memory__stat="total_rss 700")
        group(tmp_path / "cpu", cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000")
    found = own(tmp_path, f"4:memory:/{name}", f"3:cpu,cpuacct:/{name}", "0::/")
    assert container_memory(tmp_path, found) == 1500
    assert container_limit(tmp_path, found) == 2000
    assert container_cores(99, tmp_path, found) == 2


def test_no_limit_of_version_1(tmp_path: Path) -> None:
    group(tmp_path / "memory", memory__limit_in_bytes=NONE_OF_VERSION_1, memory__stat="total_rss 700")
    assert container_limit(tmp_path, own(tmp_path, "4:memory:/")) == UNLIMITED
    group(tmp_path / "cpu", cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000")
    found = own(tmp_path, "4:memory:/", "3:cpu,cpuacct:/")
    assert (container_memory(tmp_path, found), container_cores(99, tmp_path, found)) == (UNLIMITED, 99)
