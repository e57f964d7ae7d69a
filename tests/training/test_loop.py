"""The loop: accumulation, idle parameters, resuming, extending, stopping, failing."""

import json
import os
import signal
from itertools import pairwise

import pytest
import torch
from toy import alternating, batches, recipe, same, second, toy, weights

from c2fnas.errors import Interrupted, UserError
from c2fnas.training.checkpoint import load_newest
from c2fnas.training.loop import time_iterations, train
from c2fnas.training.step import TrainingFailed

ADAMW = {"optimiser": "adamw", "nesterov": False}


def trained(folder, rule, *, seed=0, dropout=0.1, **options):
    network = toy(dropout=dropout)
    result = train(network, batches, rule, folder=folder, seed=seed, device="cpu", **options)
    return network, result


def test_learns(tmp_path):
    seen = []
    trained(tmp_path, recipe(100, learning_rate=0.2), on_progress=seen.append)
    assert [progress.iteration for progress in seen] == [*range(1, 101)]
    assert seen[-1].loss < 0.7 * seen[0].loss
    assert seen[-1].remaining == 0 < seen[0].remaining
    assert [progress.learning_rate for progress in seen] == [
        recipe(100, learning_rate=0.2).learning_rate_at(i) for i in range(100)
    ]


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_equals_plain_pytorch(tmp_path, name):
    """The same steps written down without any of our machinery but the loss."""
    from c2fnas.training.losses import DiceCrossEntropy

    rule = recipe(6, optimiser=name, nesterov=name == "sgd")
    network, reference = trained(tmp_path, rule, dropout=0.0)[0], toy(dropout=0.0)
    optimiser = {
        "sgd": torch.optim.SGD(reference.parameters(), lr=1.0, momentum=0.9, nesterov=True, weight_decay=1e-3),
        "adamw": torch.optim.AdamW(reference.parameters(), lr=1.0, betas=(0.9, 0.99), weight_decay=1e-3),
    }[name]
    for iteration, batch in enumerate(batches(0, 6)):
        optimiser.param_groups[0]["lr"] = rule.learning_rate_at(iteration)
        optimiser.zero_grad()
        DiceCrossEntropy()(reference(batch.image), batch.label).backward()
        optimiser.step()
    assert same(weights(network), weights(reference))


@pytest.mark.exact
@pytest.mark.parametrize("micro", [1, 2, 3])
def test_accumulation_changes_nothing(tmp_path, micro):
    """3 does not divide the batch of 4: the last micro-batch is smaller and weighs less."""
    whole, _ = trained(tmp_path / "whole", recipe(8, gradient_clip=1.0), dropout=0.0)
    parts, _ = trained(tmp_path / "parts", recipe(8, gradient_clip=1.0, micro_batch=micro), dropout=0.0)
    torch.testing.assert_close(weights(parts), weights(whole), rtol=1e-4, atol=1e-5)


@pytest.mark.exact
def test_short_of_memory_it_goes_on_in_smaller_parts(tmp_path, caplog):
    """To the bits of a training that took one patch at a time from the start."""

    def roomy_for_one(network, image, iteration):
        if len(image) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return network(image)

    short, _ = trained(tmp_path / "short", recipe(6), dropout=0.0, forward=roomy_for_one)
    frugal, _ = trained(tmp_path / "frugal", recipe(6, micro_batch=1), dropout=0.0)
    assert same(weights(short), weights(frugal))
    assert [record.getMessage()[:38] for record in caplog.records if "Out of memory" in record.getMessage()] == [
        "Out of memory with 4 patches at a time",
        "Out of memory with 2 patches at a time",
    ]


def test_one_patch_that_does_not_fit_is_an_error(tmp_path):
    def hopeless(network, image, iteration):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        trained(tmp_path, recipe(6), forward=hopeless)


@pytest.mark.parametrize(("changes", "kept"), [({}, {"momentum"}), (ADAMW, {"exp_avg", "exp_avg_sq", "step"})])
def test_idle_parameters_stay_and_have_no_momentum(tmp_path, changes, kept):
    network, _ = trained(tmp_path, recipe(5, **changes), forward=second)
    assert torch.equal(network.branches[0].weight, toy().branches[0].weight)
    assert not torch.equal(network.branches[1].weight, toy().branches[1].weight)
    tensors = load_newest(tmp_path / "checkpoints").tensors
    momenta = {name for name in tensors if not name.startswith(("model/", "random/"))}
    assert momenta == {
        f"{each}/{name}" for each in kept for name, _ in network.named_parameters() if not name.startswith("branches.0")
    }


@pytest.mark.parametrize("changes", [{}, ADAMW])
def test_a_branch_moves_in_its_own_iterations_alone(tmp_path, changes):
    """Momentum and weight decay of earlier iterations do not move a branch that is not taken."""
    network, history = toy(), []
    train(
        network,
        batches,
        recipe(8, **changes),
        folder=tmp_path,
        device="cpu",
        forward=alternating,
        on_progress=lambda progress: history.append([branch.weight.detach().clone() for branch in network.branches]),
    )
    moved = [[not torch.equal(a, b) for a, b in zip(then, now, strict=True)] for then, now in pairwise(history)]
    assert moved == [[bool(iteration % 2 == 0), bool(iteration % 2)] for iteration in range(1, 8)]


@pytest.mark.exact
@pytest.mark.parametrize("changes", [{}, {"precision": "bf16"}, {"precision": "fp16"}, ADAMW])
@pytest.mark.parametrize("stop_at", [1, 5, 11])
def test_stopped_and_resumed_equals_uninterrupted(tmp_path, changes, stop_at):
    rule = recipe(12, **changes)
    straight, _ = trained(tmp_path / "straight", rule, forward=alternating)

    def ask(progress):
        if progress.iteration == stop_at:
            (tmp_path / "broken" / "stop").touch()

    with pytest.raises(Interrupted, match="carries on"):
        trained(tmp_path / "broken", rule, forward=alternating, on_progress=ask) if stop_at < 11 else _stop_by_hand(
            tmp_path / "broken", rule
        )
    resumed, result = trained(tmp_path / "broken", rule, forward=alternating)
    assert same(weights(resumed), weights(straight))
    final, other = (load_newest(tmp_path / name / "checkpoints") for name in ("straight", "broken"))
    assert same(final.tensors, other.tensors)
    assert result.iterations == 12


def _stop_by_hand(folder, rule):
    def interrupt(network, image, iteration):
        if iteration == 10:
            os.kill(os.getpid(), signal.SIGINT)
        return alternating(network, image, iteration)

    trained(folder, rule, forward=interrupt)


def test_ctrl_c_ends_after_the_iteration_and_gives_the_handler_back(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted, match="iteration 11"):
        _stop_by_hand(tmp_path, recipe(20))
    assert load_newest(tmp_path / "checkpoints").iteration == 11
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_ctrl_c_acts_at_once(tmp_path):
    def impatient(network, image, iteration):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        return network(image)

    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, recipe(20), forward=impatient)


def test_a_finished_training_returns_at_once(tmp_path):
    network, result = trained(tmp_path, recipe(6))
    again = toy(seed=5)
    repeated = train(again, None, recipe(6), folder=tmp_path, device="cpu")
    assert same(weights(again), weights(network))
    assert (repeated.iterations, repeated.loss) == (6, result.loss)


def test_another_recipe_or_seed_is_refused(tmp_path):
    trained(tmp_path, recipe(6))
    with pytest.raises(UserError, match=r"learning_rate 0\.05 → 0\.1"):
        trained(tmp_path, recipe(6, learning_rate=0.1))
    with pytest.raises(UserError, match="seed 0 → 1"):
        trained(tmp_path, recipe(6), seed=1)
    trained(tmp_path, recipe(6, micro_batch=2))


@pytest.mark.exact
def test_paused_and_carried_on_equals_uninterrupted(tmp_path):
    whole, _ = trained(tmp_path / "whole", recipe(12))
    network, paused = trained(tmp_path / "paused", recipe(12), until=5)
    assert paused.iterations == 5
    assert not same(weights(network), weights(whole))
    again, still = trained(tmp_path / "paused", recipe(12), until=5)
    assert still.iterations == 5
    assert same(weights(again), weights(network))
    network, finished = trained(tmp_path / "paused", recipe(12))
    assert finished.iterations == 12
    assert same(weights(network), weights(whole))


def test_extending_continues_with_the_new_schedule(tmp_path):
    """Equal to a training by the new recipe that took over weights and momentum at that iteration."""
    trained(tmp_path, recipe(6))
    rates = []
    network, _ = trained(tmp_path, recipe(9), extend=True, on_progress=lambda p: rates.append(p.learning_rate))
    assert rates == [recipe(9).learning_rate_at(i) for i in (6, 7, 8)]
    assert not same(weights(network), weights(trained(tmp_path / "other", recipe(9))[0]))
    with pytest.raises(UserError, match="9 iterations are done, more than the 6"):
        trained(tmp_path, recipe(6), extend=True)


@pytest.mark.exact
def test_extending_by_an_unchanged_schedule_equals_a_longer_training(tmp_path):
    steady = {"schedule": "multistep", "milestones": (7,)}
    trained(tmp_path / "short", recipe(6, **steady))
    extended, _ = trained(tmp_path / "short", recipe(9, **steady), extend=True)
    assert same(weights(extended), weights(trained(tmp_path / "long", recipe(9, **steady))[0]))


def test_extending_by_another_optimiser_begins_its_momentum_anew(tmp_path):
    """A short recipe prolonged to a long one: weights stay, the new optimiser knows nothing of the old one's steps."""
    trained(tmp_path, recipe(4, **ADAMW))
    reached = load_newest(tmp_path / "checkpoints").tensors
    network = toy()
    train(network, batches, recipe(5), folder=tmp_path, device="cpu", extend=True)
    tensors = load_newest(tmp_path / "checkpoints").tensors
    assert {name.split("/")[0] for name in tensors} == {"model", "random", "momentum"}
    assert not torch.equal(tensors["model/stem.weight"], reached["model/stem.weight"])


def test_a_checkpoint_of_before_there_was_a_choice_of_optimiser_is_taken_up(tmp_path):
    """Its recipe says nothing of one, and it was SGD."""
    trained(tmp_path / "straight", recipe(8))
    trained(tmp_path / "old", recipe(8), until=4)
    (file,) = (tmp_path / "old" / "checkpoints").glob("*.json")
    facts = json.loads(file.read_text())
    del facts["meta"]["recipe"]["optimiser"]
    file.write_text(json.dumps(facts))
    resumed, _ = trained(tmp_path / "old", recipe(8))
    straight, _ = trained(tmp_path / "straight", recipe(8))
    assert same(weights(resumed), weights(straight))


@pytest.mark.exact
def test_a_damaged_newest_checkpoint_costs_no_bit(tmp_path, caplog):
    straight, _ = trained(tmp_path, recipe(10), checkpoint_every=4)
    path = tmp_path / "checkpoints" / "0000010.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    again, _ = trained(tmp_path, recipe(10), checkpoint_every=4)
    assert "damaged" in caplog.text
    assert same(weights(again), weights(straight))


def test_a_loss_that_is_not_finite_fails_with_its_iteration(tmp_path):
    def poisoned(network, image, iteration):
        return network(image) * (float("nan") if iteration == 3 else 1)

    with pytest.raises(TrainingFailed, match="nan at iteration 4"):
        trained(tmp_path, recipe(6), forward=poisoned)


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
    """The last iteration's loss is finite and its gradient is not."""

    class Trap(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            return gradient * float("inf")

    with pytest.raises(TrainingFailed, match="weights are not finite"):
        trained(tmp_path, recipe(2), forward=lambda n, x, i: Trap.apply(n(x)) if i == 1 else n(x))
    assert load_newest(tmp_path / "checkpoints") is None


def test_fp16_skips_an_overflow_and_goes_on(tmp_path):
    def overflowing(network, image, iteration):
        return network(image) * (float("inf") if iteration == 2 else 1)

    losses, history, network = [], [], toy()
    train(
        network,
        batches,
        recipe(6, precision="fp16", gradient_clip=1.0),
        folder=tmp_path,
        device="cpu",
        forward=overflowing,
        on_progress=lambda p: (losses.append(p.loss), history.append(network.head.weight.detach().clone())),
    )
    assert [loss is None for loss in losses] == [False, False, True, False, False, False]
    assert torch.equal(history[2], history[1])
    assert not torch.equal(history[3], history[2])
    assert load_newest(tmp_path / "checkpoints").meta["scaler"]["scale"] == 2.0**15


def test_fp16_that_always_overflows_fails(tmp_path):
    with pytest.raises(TrainingFailed, match="50 times in a row"):
        trained(tmp_path, recipe(100, precision="fp16"), forward=lambda n, x, i: n(x) * float("inf"))


def test_too_few_batches_are_not_a_finished_training(tmp_path):
    with pytest.raises(ValueError, match="ended at iteration 4 of 6"):
        train(toy(), lambda start, stop: batches(start, 4), recipe(6), folder=tmp_path, device="cpu")


def test_metrics_tell_every_iteration_once(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"iteration": 40, "loss": 1}\n{"iterat')
    trained(tmp_path, recipe(25), validate=lambda network: 0.5, validate_every=10)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in lines if "loss" in line] == [1, 10, 20, 25]
    assert [(line["iteration"], line["validation"]) for line in lines if "validation" in line] == [
        (10, 0.5),
        (20, 0.5),
        (25, 0.5),
    ]
    assert {"iterations", "learning_rate", "seconds_per_iteration"} <= lines[-2].keys()


def test_tensorboard_holds_the_same(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    trained(tmp_path, recipe(20))
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [event.step for event in events.Scalars("loss")] == [1, 10, 20]
    assert [event.value for event in events.Scalars("loss")] == pytest.approx([line["loss"] for line in lines])


def test_validation_sees_an_evaluating_network_and_changes_nothing(tmp_path):
    modes = []
    watched, _ = trained(
        tmp_path / "a",
        recipe(6),
        validate=lambda n: modes.append((n.training, torch.is_grad_enabled())) or 0.0,
        validate_every=2,
    )
    assert modes == [(False, False)] * 3
    assert same(weights(watched), weights(trained(tmp_path / "b", recipe(6))[0]))


def test_timing_leaves_the_network_alone():
    network = toy()
    assert time_iterations(network, batches, recipe(6), 2, device="cpu") > 0
    assert same(weights(network), weights(toy()))
