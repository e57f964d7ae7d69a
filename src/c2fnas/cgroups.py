"""Limits of Linux' control groups, by which containers, Slurm and systemd bound memory and cores: versions 2 and 1."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

ROOT, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
LIMIT, LIMIT_OF_VERSION_1 = "memory.max", "memory.limit_in_bytes"
UNLIMITED = 1 << 62
"""Of memory: as large a number or a larger one is no limit, as version 1 writes it."""


def container_memory(root: Path = ROOT, own: Path = OWN) -> int:
    """Return the bytes that this process' groups may still take; `UNLIMITED` without a limit.

    What they hold of files' contents is not counted as taken: it is given up where memory is short.
    """
    left = (
        *_found(_memory_left, _groups("", root, own), LIMIT, "anon"),
        *_found(_memory_left, _groups("memory", root, own), LIMIT_OF_VERSION_1, "total_rss"),
    )
    return min(left, default=UNLIMITED)


def container_limit(root: Path = ROOT, own: Path = OWN) -> int:
    """Return the bytes that this process' groups may take in all; `UNLIMITED` without a limit."""
    limits = (
        *_found(_memory_limit, _groups("", root, own), LIMIT),
        *_found(_memory_limit, _groups("memory", root, own), LIMIT_OF_VERSION_1),
    )
    return min(limits, default=UNLIMITED)


def container_cores(otherwise: int, root: Path = ROOT, own: Path = OWN) -> int:
    """Return the cores of the least quota of this process' groups, rounded up; ``otherwise`` where there is none."""
    found = (*_found(_quota, _groups("", root, own)), *_found(_quota_of_version_1, _groups("cpu", root, own)))
    return min(found, default=otherwise)


def _groups(controller: str, root: Path, own: Path) -> Iterator[Path]:
    """The folders of the group that a controller keeps this process in, and of those around it; "" is version 2's.

    In a container with a view of its own they are the root alone, whatever the group's name is outside.
    """
    mounts = (root / controller,) if controller else (root, root / "unified")
    with suppress(OSError):
        for line in own.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controller in controllers.split(","):
                inner = Path(path.strip("/"))
                yield from (mount / place for mount in mounts for place in (inner, *inner.parents))
                return
    yield from mounts


def _found(read: Callable[..., int], groups: Iterable[Path], *names: str) -> Iterator[int]:
    for group in groups:
        with suppress(OSError, ValueError, KeyError):
            yield read(group, *names)


def _memory_left(group: Path, limit: str, taken: str) -> int:
    fields = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    most = _memory_limit(group, limit)
    return max(0, most - int(fields[taken])) if most < UNLIMITED else UNLIMITED


def _memory_limit(group: Path, limit: str) -> int:
    return min(UNLIMITED, int((group / limit).read_text()))


def _quota(group: Path) -> int:
    quota, period = (group / "cpu.max").read_text().split()
    return _rounded_up(int(quota), int(period))


def _quota_of_version_1(group: Path) -> int:
    quota, period = (int((group / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
    if quota < 0:
        raise ValueError("no quota")
    return _rounded_up(quota, period)


def _rounded_up(quota: int, period: int) -> int:
    return max(1, -(-quota // period))
