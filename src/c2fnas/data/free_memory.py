"""The main memory that this process may still take: a container has less than its machine."""

from pathlib import Path

import psutil

CGROUP = Path("/sys/fs/cgroup")
UNLIMITED = 1 << 62


def free_memory() -> int:
    """Bytes that are free on the machine, or those that the container may still take where they are fewer."""
    return min(psutil.virtual_memory().available, container_memory())


def container_memory(folder: Path = CGROUP) -> int:
    """Bytes that a container's processes may still take, caches given back; very many where there is no limit."""
    try:
        limit = int((folder / "memory.max").read_text())
        fields = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return max(0, limit - int(fields["anon"]))
    except (OSError, ValueError, KeyError):
        return UNLIMITED
