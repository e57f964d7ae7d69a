"""Killed with SIGKILL at any moment and resumed, a training ends as if nothing had happened, to the last bit."""

import json
import os
import random
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import processes
import pytest
from toy import alternating, batches, recipe, same, toy

from c2fnas.training import checkpoint
from c2fnas.training.checkpoint import load_newest
from c2fnas.training.loop import train

RULE = recipe(12)
EVERY = 3
"""Iterations between checkpoints: four are written, and two of them removed."""


def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def training(folder: Path, *, forward=alternating, on_progress=None) -> None:
    train(
        toy(),
        batches,
        RULE,
        folder=folder,
        device="cpu",
        forward=forward,
        on_progress=on_progress,
        checkpoint_every=EVERY,
    )


def killed_in_forward(folder: Path, iteration: int) -> None:
    training(folder, forward=lambda n, x, i: die() if i == iteration - 1 else alternating(n, x, i))


def killed_in_backward(folder: Path, iteration: int) -> None:
    def forward(network, image, i):
        logits = alternating(network, image, i)
        if i == iteration - 1:
            logits.register_hook(die)
        return logits

    training(folder, forward=forward)


def killed_after(folder: Path, iteration: int) -> None:
    training(folder, on_progress=lambda progress: die() if progress.iteration == iteration else None)


def killed_in_save(folder: Path, hazard: str, number: int) -> None:
    """Killed at the ``hazard`` of the ``number``-th checkpoint."""
    count, save = iter(range(1, 100)), checkpoint.save_checkpoint

    def saving(*arguments: object) -> None:
        if next(count) == number:
            HAZARDS[hazard]()
        save(*arguments)

    import c2fnas.training.loop as loop

    loop.save_checkpoint = saving
    training(folder)


def half_the_weights() -> None:
    def half(path, data):
        with path.open("wb") as file:
            file.write(data[: len(data) // 2])
            file.flush()
            os.fsync(file.fileno())
        die()

    Path.write_bytes = half


def weights_not_flushed() -> None:
    os.fsync = die


def weights_not_renamed() -> None:
    Path.replace = die


def weights_without_their_json() -> None:
    checkpoint.write_json = die


def json_not_renamed() -> None:
    rename = Path.replace
    Path.replace = lambda path, target: die() if path.suffix == ".json" else rename(path, target)


def whole_but_the_old_one_not_removed() -> None:
    checkpoint._remove = die


def half_of_the_old_one_removed() -> None:
    remove = Path.unlink

    def unlink(path: Path, missing_ok: bool = False) -> None:
        remove(path, missing_ok)
        if path.suffix == ".json" and not path.name.startswith("."):
            die()

    Path.unlink = unlink


HAZARDS = {
    hazard.__name__: hazard
    for hazard in (
        half_the_weights,
        weights_not_flushed,
        weights_not_renamed,
        weights_without_their_json,
        json_not_renamed,
        whole_but_the_old_one_not_removed,
        half_of_the_old_one_removed,
    )
}


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """The uninterrupted training: its last checkpoint and its metrics."""
    folder = tmp_path_factory.mktemp("straight")
    assert processes.run(training, folder) == 0
    return outcome(folder)


def outcome(folder: Path) -> SimpleNamespace:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return SimpleNamespace(
        checkpoint=load_newest(folder / "checkpoints"),
        losses={line["iteration"]: line["loss"] for line in lines},
        told=[line["iteration"] for line in lines],
    )


def assert_as_if_nothing_had_happened(folder: Path, straight: SimpleNamespace) -> None:
    found = outcome(folder)
    assert found.checkpoint.iteration == RULE.iterations
    assert same(found.checkpoint.tensors, straight.checkpoint.tensors)
    assert found.checkpoint.meta == straight.checkpoint.meta
    assert (found.told, found.losses) == (straight.told, straight.losses)


@pytest.mark.parametrize("where", [killed_in_forward, killed_in_backward, killed_after])
@pytest.mark.parametrize("iteration", [1, 4, 6, 12])
def test_killed_at_an_iteration(tmp_path, straight, where, iteration):
    assert processes.run(where, tmp_path, iteration) == -signal.SIGKILL
    assert processes.run(training, tmp_path) == 0
    assert_as_if_nothing_had_happened(tmp_path, straight)


@pytest.mark.parametrize("number", [1, 3, 4])
@pytest.mark.parametrize("hazard", HAZARDS)
def test_killed_while_a_checkpoint_is_written(tmp_path, straight, hazard, number):
    """The hazards of removal come true at the third checkpoint at the earliest."""
    assert processes.run(killed_in_save, tmp_path, hazard, number) == -signal.SIGKILL
    assert processes.run(training, tmp_path) == 0
    assert_as_if_nothing_had_happened(tmp_path, straight)


@pytest.mark.exact
def test_killed_again_and_again(tmp_path, straight):
    """One training dies once in every iteration after the third, in turns while it computes and while it saves."""
    for iteration in range(4, 13):
        died = processes.run(killed_in_backward, tmp_path, iteration)
        assert died == -signal.SIGKILL
        if iteration % EVERY == 0:
            assert processes.run(killed_in_save, tmp_path, "half_the_weights", 1) == -signal.SIGKILL
    assert processes.run(training, tmp_path) == 0
    assert_as_if_nothing_had_happened(tmp_path, straight)


def slowly(folder: Path) -> None:
    training(folder, on_progress=lambda progress: time.sleep(0.02))


def test_killed_from_outside_at_random(tmp_path, straight):
    """Delays that the process knows nothing of; about a dozen kills until it is through."""
    draw, kills, code = random.Random(3), 0, -signal.SIGKILL
    while code:
        process = processes.start(slowly, tmp_path)
        process.join(draw.uniform(0.05, 0.4) + 0.02 * kills)
        process.kill()
        process.join()
        code = process.exitcode
        kills += code != 0
    assert kills
    assert_as_if_nothing_had_happened(tmp_path, straight)
