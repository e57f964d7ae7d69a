"""One driver at a time."""

import errno
import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from c2fnas.errors import UserError
from c2fnas.runs.lock import RunLock

HOLDER = """
import sys, time
from pathlib import Path
from c2fnas.runs.lock import RunLock
with RunLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process that holds the lock until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_driver_is_refused_naming_the_first(tmp_path: Path, holder: "subprocess.Popen[str]") -> None:
    with pytest.raises(UserError) as refusal:
        RunLock(tmp_path).acquire()
    for part in (str(tmp_path), f"process {holder.pid}", os.uname().nodename, " since 20", "-c"):
        assert part in str(refusal.value)


def test_a_refused_driver_disturbs_nothing(tmp_path: Path, holder: "subprocess.Popen[str]") -> None:
    before = (tmp_path / "driver.json").read_text()
    lock = RunLock(tmp_path)
    with pytest.raises(UserError):
        lock.acquire()
    lock.release()
    assert (tmp_path / "driver.json").read_text() == before
    with pytest.raises(UserError):
        RunLock(tmp_path).acquire()


def test_the_lock_of_a_killed_driver_is_taken_over(tmp_path: Path, holder: "subprocess.Popen[str]") -> None:
    holder.kill()
    holder.wait()
    assert (tmp_path / "driver.json").exists()
    with RunLock(tmp_path) as lock:
        assert lock.held
        assert f'"pid": {os.getpid()}' in (tmp_path / "driver.json").read_text()


def test_a_driver_that_ends_gives_the_lock_back(tmp_path: Path, holder: "subprocess.Popen[str]") -> None:
    holder.communicate()
    assert not (tmp_path / "driver.json").exists()
    with RunLock(tmp_path) as lock:
        assert lock.held
    assert not lock.held


def test_refused_within_one_process_too(tmp_path: Path) -> None:
    with RunLock(tmp_path), pytest.raises(UserError):
        RunLock(tmp_path).acquire()


def test_refused_before_the_first_has_said_who_it_is(tmp_path: Path) -> None:
    with RunLock(tmp_path):
        (tmp_path / "driver.json").write_text("{")
        with pytest.raises(UserError, match="has not yet said"):
            RunLock(tmp_path).acquire()


def test_a_run_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be locked"):
        RunLock(tmp_path / "file").acquire()


def test_a_disk_without_locks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that merely says that it is a lock would stay for ever where its process is killed."""

    def lacking(*_: object) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", lacking)
    with pytest.raises(UserError, match=r"cannot be locked.*supports file locks"):
        RunLock(tmp_path).acquire()
