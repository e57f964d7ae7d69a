"""Processes that train together over gloo equal one process with the whole batch."""

import os
from functools import partial
from pathlib import Path

import processes
import pytest
import torch
from toy import alternating, batches, recipe, same, second, toy

from c2fnas.errors import Interrupted, UserError
from c2fnas.training.checkpoint import load_newest
from c2fnas.training.device import ranks
from c2fnas.training.loop import train
from c2fnas.training.step import TrainingFailed, share_gradients
from c2fnas.training.weights import save_weights

FORWARDS = {"alternating": alternating, "second": second}


def training(folder: Path, rule, size: int = 4, forward="alternating", on_progress=None, **options) -> None:
    """Train on this rank's share of every batch, and leave each rank's weights beside the checkpoints.

    The networks of the ranks begin differently: the first one's weights count. Without dropout, whose random numbers
    can't be the same for one process and for two.
    """
    rank, world = ranks()
    network = toy(seed=rank, dropout=0.0)
    train(
        network,
        partial(batches, size=size, rank=rank, world=world),
        rule,
        folder=folder,
        device="cpu",
        forward=FORWARDS.get(forward, forward),
        on_progress=on_progress,
        **options,
    )
    save_weights(folder / f"rank-{rank}.safetensors", network)


def final(folder: Path) -> dict[str, torch.Tensor]:
    newest = load_newest(folder / "checkpoints")
    return {name: value for name, value in newest.tensors.items() if not name.startswith("random/")}


def assert_both_equal_one(folder: Path, *arguments: object, rtol: float = 1e-5) -> None:
    training(folder / "one", *arguments)
    assert processes.together(2, training, folder / "both", *arguments) == [0, 0]
    torch.testing.assert_close(final(folder / "both"), final(folder / "one"), rtol=rtol, atol=rtol)
    bytes_of_ranks = {(folder / "both" / f"rank-{rank}.safetensors").read_bytes() for rank in range(2)}
    assert len(bytes_of_ranks) == 1, "the ranks' weights have drifted apart"


@pytest.mark.exact
@pytest.mark.parametrize("forward", FORWARDS)
def test_two_equal_one(tmp_path, forward):
    """Momentum too, and none of a path that was not taken."""
    assert_both_equal_one(tmp_path, recipe(12, gradient_clip=1.0), 4, forward)
    idle = [name for name in final(tmp_path / "both") if name.startswith("momentum/branches.0")]
    assert bool(idle) == (forward == "alternating")


def test_shares_of_unequal_size_weigh_by_their_patches(tmp_path):
    """Five patches: three in one process, two in the other."""
    assert_both_equal_one(tmp_path, recipe(12), 5)


def test_accumulation_in_two_processes(tmp_path):
    assert_both_equal_one(tmp_path, recipe(12, micro_batch=2), 5)


def too_many(folder: Path) -> None:
    with pytest.raises(UserError, match=r"3 processes have nothing to share: .* takes 2 patches"):
        training(folder, recipe(6, volumes=2), 2)
    torch.distributed.barrier()  # the first process serves the others while they join


def test_more_processes_than_patches_are_refused(tmp_path):
    assert processes.together(3, too_many, tmp_path) == [0, 0, 0]


@pytest.mark.exact
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_low_precision(tmp_path, precision):
    """Kernels may round otherwise for another batch; the loss scale is agreed on."""
    assert_both_equal_one(tmp_path, recipe(12, precision=precision), rtol=1e-2)


def interrupted(folder: Path, rule) -> None:
    """One of the two processes alone is asked to stop."""

    def ask(network, image, iteration):
        if iteration == 4 and ranks()[0] == 1:
            os.kill(os.getpid(), 2)
        return alternating(network, image, iteration)

    with pytest.raises(Interrupted, match="iteration 5"):
        training(folder, rule, 4, ask)


@pytest.mark.exact
def test_a_request_to_one_process_stops_both_and_resuming_costs_no_bit(tmp_path):
    rule = recipe(12)
    assert processes.together(2, training, tmp_path / "straight", rule) == [0, 0]
    assert processes.together(2, interrupted, tmp_path / "broken", rule) == [0, 0]
    assert load_newest(tmp_path / "broken/checkpoints").iteration == 5
    assert processes.together(2, training, tmp_path / "broken", rule) == [0, 0]
    straight, broken = (load_newest(tmp_path / name / "checkpoints") for name in ("straight", "broken"))
    assert same(straight.tensors, broken.tensors)
    assert straight.tensors["random/torch"].shape[0] == 2


def test_resumed_by_another_number_of_processes(tmp_path, caplog):
    """Equal within rounding; where generators matter they are told apart, so it is said."""
    rule = recipe(12)
    training(tmp_path / "one", rule)
    assert processes.together(2, interrupted, tmp_path / "both", rule) == [0, 0]
    training(tmp_path / "both", rule)
    assert "Resumed on 1 processes after 2" in caplog.text
    torch.testing.assert_close(final(tmp_path / "both"), final(tmp_path / "one"), rtol=1e-5, atol=1e-5)


def poisoned(folder: Path) -> None:
    """The loss of one process is not finite: both say so, and neither waits for the other for ever."""

    def forward(network, image, iteration):
        return network(image) * (float("nan") if ranks()[0] == 1 and iteration == 2 else 1)

    with pytest.raises(TrainingFailed, match="iteration 3"):
        training(folder, recipe(6), 4, forward)


def test_a_loss_that_is_not_finite_in_one_fails_in_both(tmp_path):
    assert processes.together(2, poisoned, tmp_path) == [0, 0]


def test_alone_gradients_and_flags_stay_as_they_are():
    from c2fnas.training.device import make_fabric

    parameter = torch.nn.Parameter(torch.zeros(3))
    parameter.grad = torch.tensor([1.0, 2.0, 3.0])
    loss, raised = share_gradients(make_fabric("cpu", "fp32"), [parameter], torch.tensor(0.5), 4, [True, False])
    assert (parameter.grad.tolist(), float(loss), raised) == ([1, 2, 3], 0.5, (True, False))
