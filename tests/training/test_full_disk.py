"""A disk that fills in the middle of a training: said in one paragraph, nothing lost that was saved."""

import resource
import shutil
import subprocess
from pathlib import Path

import processes
import pytest
from toy import alternating, batches, recipe, same, toy

from c2fnas.errors import UserError
from c2fnas.training.checkpoint import load_newest
from c2fnas.training.loop import train
from c2fnas.training.metrics_log import EVERY, MetricsLog, Progress

RULE = recipe(12)


def training(folder: Path, *, on_progress=None, every: int = 2) -> None:
    train(
        toy(),
        batches,
        RULE,
        folder=folder,
        device="cpu",
        forward=alternating,
        on_progress=on_progress,
        checkpoint_every=every,
    )


def short_of_room(folder: Path) -> None:
    """From iteration 5 on no file may grow beyond 2 kB: a checkpoint takes 20."""

    def limit(progress: Progress) -> None:
        if progress.iteration == 5:
            resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    with pytest.raises(UserError, match=r"0000006\.safetensors: cannot be written .* iteration 4 is intact"):
        training(folder, on_progress=limit)


def test_the_previous_checkpoint_is_intact_and_resumed(tmp_path):
    training(tmp_path / "straight")
    folder = tmp_path / "broken"
    assert processes.run(short_of_room, folder) == 0
    assert {path.stem for path in (folder / "checkpoints").iterdir()} == {"0000002", "0000004"}
    assert load_newest(folder / "checkpoints").iteration == 4
    training(folder)
    ends = [load_newest(tmp_path / name / "checkpoints") for name in ("straight", "broken")]
    assert same(ends[0].tensors, ends[1].tensors)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 kB, where this user may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    if (
        not shutil.which("mount")
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", place], capture_output=True).returncode
    ):
        pytest.skip("this user may not mount a small file system")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_disk_that_is_really_full(small_disk, tmp_path):
    """Two checkpoints of 20 kB fit, the third does not; with half a megabyte it goes on."""
    with pytest.raises(UserError, match="No space left on device") as refused:
        training(small_disk)
    assert "is intact, and the same command carries on" in str(refused.value)
    assert load_newest(small_disk / "checkpoints") is not None
    subprocess.run(["mount", "-o", "remount,size=512k", small_disk], check=True)
    training(small_disk)
    training(tmp_path / "straight")
    ends = [load_newest(folder / "checkpoints") for folder in (small_disk, tmp_path / "straight")]
    assert same(ends[0].tensors, ends[1].tensors)


def test_a_first_checkpoint_without_room_says_so(tmp_path):
    (tmp_path / "checkpoints").write_text("a file where a folder should be")
    with pytest.raises(UserError, match="No checkpoint had been written yet"):
        training(tmp_path)


def metrics_without_room(folder: Path) -> None:
    log = MetricsLog(folder, 0)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
    with pytest.raises(UserError, match=r"cannot be written .*are intact"):
        tell_much(log)


def tell_much(log: MetricsLog) -> None:
    with log:
        for iteration in range(EVERY, 1000 * EVERY, EVERY):
            log.iteration(Progress(iteration, 1000 * EVERY, 0.5, 0.1, 0.1))


def test_metrics_without_room_are_said_likewise(tmp_path):
    assert processes.run(metrics_without_room, tmp_path) == 0
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    MetricsLog(tmp_path, 3 * EVERY)
    assert (tmp_path / "metrics.jsonl").read_text().splitlines() == lines[:3]
