"""Training on a stand-in for a GPU: the results of a CPU, no tensor of the host among them, and no waiting for it."""

import gc
import math
import weakref
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
import supernet_training
import torch
from small_cases import plan_of, prepared
from stand_in import DEVICE, Accelerator, StandIn, on_host
from torch import Tensor, nn
from toy import alternating, batches, recipe, same, toy

from c2fnas.data import patches as patches_module
from c2fnas.data.augment import augmentation
from c2fnas.data.patches import PatchSampler, prefetched
from c2fnas.training.checkpoint import load_newest
from c2fnas.training.loop import train
from c2fnas.training.step import Forward, Stepper, TrainingFailed, plain_forward

ADAMW = {"optimiser": "adamw", "nesterov": False}
OPTIMISERS = pytest.mark.parametrize("changes", [{"gradient_clip": 1.0}, ADAMW], ids=["sgd", "adamw"])


def held(network: nn.Module) -> dict[str, Tensor]:
    return {name: getattr(value, "held", value).clone() for name, value in network.state_dict().items()}


def trained(folder: Path, rule, device: str = "cuda:0", forward: Forward = alternating, **options) -> dict[str, Tensor]:
    network = toy(dropout=0.0)
    train(network, batches, rule, folder=folder, device=device, forward=forward, **options)
    assert all(isinstance(each, StandIn) == (device == "cuda:0") for each in network.parameters())
    return held(network)


@OPTIMISERS
def test_trains_as_on_a_cpu(tmp_path: Path, accelerator: Accelerator, changes: dict) -> None:
    on_it = trained(tmp_path / "gpu", recipe(12, **changes))
    assert same(on_it, trained(tmp_path / "cpu", recipe(12, **changes), "cpu"))


@OPTIMISERS
def test_a_super_network_trains_as_on_a_cpu(tmp_path: Path, accelerator: Accelerator, changes: dict) -> None:
    """To rounding: on a CPU some layers are computed another way."""

    def weights(device: str) -> dict[str, Tensor]:
        network, rule = supernet_training.supernet(), supernet_training.recipe(4, learning_rate=0.005, **changes)
        forward, folder = supernet_training.along_path, tmp_path / device[:3]
        train(network, supernet_training.batches, rule, folder=folder, device=device, forward=forward)
        return held(network)

    torch.testing.assert_close(weights("cuda:0"), weights("cpu"), rtol=1e-3, atol=1e-4)


@OPTIMISERS
def test_stopped_and_resumed_equals_uninterrupted(tmp_path: Path, accelerator: Accelerator, changes: dict) -> None:
    rule = recipe(14, **changes)
    whole = trained(tmp_path / "whole", rule)
    trained(tmp_path / "parts", rule, until=6)
    assert same(trained(tmp_path / "parts", rule), whole)
    ends = [load_newest(tmp_path / name / "checkpoints") for name in ("whole", "parts")]
    assert same(ends[0].tensors, ends[1].tensors)
    assert on_host(ends[0].tensors)
    assert ends[0].meta["loss"] == ends[1].meta["loss"]


@OPTIMISERS
def test_a_step_never_waits(accelerator: Accelerator, changes: dict) -> None:
    assert steps_wait(accelerator, recipe(6, **changes)) == []


def test_a_step_of_fp16_waits_for_the_scaler_alone(accelerator: Accelerator) -> None:
    """Whether weights may be moved is known to the device alone."""
    waits = steps_wait(accelerator, recipe(6, precision="fp16"))
    assert set(waits) <= {"training/step.py"}
    assert len(waits) <= 6 * 3


def test_a_step_that_waits_is_found(accelerator: Accelerator) -> None:
    """The rule of the two tests above can be broken."""

    def planted(network: nn.Module, image: Tensor, iteration: int) -> Tensor:
        logits = network(image)
        return logits if logits.mean() < 1e9 else -logits

    assert len(steps_wait(accelerator, recipe(6), planted)) == 6


def steps_wait(accelerator: Accelerator, rule, forward: Forward = plain_forward) -> list[str]:
    """The places in which six steps wait for the device."""
    stepper = Stepper(toy(), rule, "cuda:0", forward)
    for iteration, batch in enumerate(batches(0, 6)):
        stepper.step(batch, iteration)
    return list(accelerator.reads)


def test_losses_are_read_every_few_iterations(tmp_path: Path, accelerator: Accelerator) -> None:
    seen = []
    trained(tmp_path, recipe(25), on_progress=lambda progress: seen.append(progress.loss))
    reads = Counter(accelerator.reads)
    assert reads["training/loop.py"] == 4, "after 1, 10, 20 and 25 iterations"
    assert set(reads) == {"training/loop.py", "training/state.py", "training/weights.py"}
    assert [index + 1 for index in range(1, 25) if seen[index] != seen[index - 1]] == [10, 20, 25]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("at", [12, 13, 19])
def test_a_loss_that_is_not_finite_is_found_and_never_saved(
    tmp_path: Path, accelerator: Accelerator, bad: float, at: int
) -> None:
    """The loss alone is not finite, for once: the weights do not show it."""

    class Poison(torch.autograd.Function):
        @staticmethod
        def forward(context, logits: Tensor) -> Tensor:
            return logits * bad

        @staticmethod
        def backward(context, gradient: Tensor) -> Tensor:
            return torch.zeros_like(gradient)

    def poisoned(network: nn.Module, image: Tensor, iteration: int) -> Tensor:
        return Poison.apply(network(image)) if iteration == at - 1 else network(image)

    seen = []
    with pytest.raises(TrainingFailed, match=f"at iteration {at}; a lower"):
        trained(
            tmp_path, recipe(40), forward=poisoned, checkpoint_every=6, on_progress=lambda p: seen.append(p.iteration)
        )
    assert seen[-1] < 20
    assert load_newest(tmp_path / "checkpoints").iteration == 6 * ((at - 1) // 6)


@pytest.mark.parametrize("error", ["cuDNN error: CUDNN_STATUS_ALLOC_FAILED", "CUDA error: out of memory"])
def test_short_of_memory_it_goes_on_in_smaller_parts(tmp_path: Path, accelerator: Accelerator, error: str) -> None:
    def roomy_for_one(network: nn.Module, image: Tensor, iteration: int) -> Tensor:
        if len(image) > 1:
            raise RuntimeError(error)
        return network(image)

    short = trained(tmp_path / "short", recipe(6), forward=roomy_for_one)
    assert same(short, trained(tmp_path / "frugal", recipe(6, micro_batch=1), forward=plain_forward))


class HostWeight(nn.Module):
    """A weight that is neither parameter nor buffer stays on the host when its network moves."""

    def __init__(self, operation) -> None:
        super().__init__()
        self.network, self.operation, self.weight = toy(), operation, torch.ones(3, 3, 1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.operation(self.network(x), self.weight)


def test_a_validation_that_goes_on_with_the_cpu_leaves_the_network_on_the_gpu(
    tmp_path: Path, accelerator: Accelerator
) -> None:
    """Where no window fits beside the training: its Dice decides nothing, and the next step finds its weights."""
    seen = []

    def validate(network: nn.Module) -> float:
        network.to("cpu")
        seen.append(all(on_host(each) for each in network.parameters()))
        return 0.5

    trained(tmp_path, recipe(6), validate=validate, validate_every=3)  # with all weights there at the end
    assert seen == [True, True]


def test_volumes_leave_the_device_with_their_sampler(tmp_path: Path) -> None:
    """The next training of the process finds room for its own; nobody waits for a collection of garbage."""
    cases = list(prepared(tmp_path).cases.values())
    gc.collect()
    gc.disable()
    try:
        sampler = PatchSampler(cases, patch_size=(4, 4, 4), volumes=2, patches_per_volume=1, seed=0, device="cpu")
        assert sampler._resident is not None
        volume = weakref.ref(sampler._resident[0][0])
        list(prefetched(sampler, 0, 2))
        del sampler
        assert volume() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "operation",
    [
        nn.functional.conv3d,
        lambda x, weight: x * weight[0, :, :, :, 0],
        lambda x, weight: torch.cat([x[:1, :, :1, :1, :1], weight[:1]]),
        lambda x, weight: x + x.new_zeros(()) * weight.sum((1, 2, 3, 4))[:, None, None, None],
    ],
)
def test_a_weight_left_on_the_host_is_found(accelerator: Accelerator, operation) -> None:
    with pytest.raises(RuntimeError, match="same device"):
        Stepper(HostWeight(operation), recipe(6), "cuda:0").step(next(batches(0, 1)), 0)


def test_a_host_scalar_may_meet_a_tensor_of_the_device(accelerator: Accelerator) -> None:
    there = torch.arange(3.0, device=DEVICE)
    assert (there * torch.tensor(2.0)).tolist() == [0, 2, 4]
    assert there[torch.tensor([2, 0])].tolist() == [2, 0]
    with pytest.raises(RuntimeError, match="same device"):
        torch.ones(3) * there[0]
    with pytest.raises(RuntimeError, match="same device"):
        torch.stack([there[0], torch.tensor(2.0)])
    with pytest.raises(TypeError, match="cpu"):
        there.numpy()


@pytest.mark.parametrize("name", ["paper", "modern", "none"])
@pytest.mark.parametrize("kept", ["single", "half", "files"])
def test_patches_are_those_of_a_cpu(
    tmp_path: Path, accelerator: Accelerator, monkeypatch: pytest.MonkeyPatch, kept: str, name: str
) -> None:
    """From resident volumes, and from files by pinned memory; in half precision to its rounding."""
    if kept == "files":
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (0, 1))
    cases = tuple(prepared(tmp_path).cases.values())
    options = {"patch_size": (8, 8, 8), "volumes": 2, "patches_per_volume": 1, "seed": 0, "foreground_rate": 0.5}
    options["augmentation"] = augmentation(name, plan_of())
    host = PatchSampler(cases, **options)
    there = PatchSampler(cases, **options, device="cuda:0", half=kept == "half")
    assert there.resident == (kept != "files")
    assert not host.resident
    tolerance = {"rtol": 1e-2, "atol": 2e-3} if kept == "half" else {"rtol": 0, "atol": 0}
    for own, other in zip(prefetched(there, 0, 8), prefetched(host, 0, 8), strict=True):
        assert own.image.device == own.label.device == DEVICE
        assert own.image.dtype == torch.float32
        assert own.label.dtype == torch.uint8
        assert torch.equal(own.label.held, other.label)
        torch.testing.assert_close(own.image.held, other.image, **tolerance)
    assert bool(accelerator.pinned) == (kept == "files")
    assert accelerator.reads == []


def test_short_of_memory_for_patches_the_volumes_leave_the_device(
    tmp_path: Path, accelerator: Accelerator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Patches are the same, from files; what a network takes in its later steps is known to nobody before them."""
    cases = tuple(prepared(tmp_path).cases.values())
    options = {"patch_size": (8, 8, 8), "volumes": 2, "patches_per_volume": 1, "seed": 0, "foreground_rate": 0.5}
    there, host = PatchSampler(cases, **options, device="cuda:0"), PatchSampler(cases, **options)
    volume, crop = weakref.ref(there._resident[0][0]), patches_module.crop
    assert torch.equal(there.batch(0).image.held, host.batch(0).image)

    def short(array, *arguments, **given):
        if isinstance(array, StandIn):
            raise RuntimeError("CUDA error: out of memory")
        return crop(array, *arguments, **given)

    monkeypatch.setattr(patches_module, "crop", short)
    for own, other in zip(prefetched(there, 1, 4), prefetched(host, 1, 4), strict=True):
        assert own.image.device == own.label.device == DEVICE
        assert torch.equal(own.image.held, other.image)
        assert torch.equal(own.label.held, other.label)
    assert not there.resident
    assert volume() is None
    assert caplog.text.count("Out of memory for patches") == 1


def test_another_failure_of_patches_leaves_the_volumes(
    tmp_path: Path, accelerator: Accelerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"patch_size": (8, 8, 8), "volumes": 1, "patches_per_volume": 1, "seed": 0, "device": "cuda:0"}
    sampler = PatchSampler(tuple(prepared(tmp_path).cases.values()), **options)

    def broken(*arguments, **given):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(patches_module, "crop", broken)
    with pytest.raises(RuntimeError, match="illegal"):
        sampler.batch(0)
    assert sampler.resident


def test_half_precision_takes_half_of_the_memory_and_a_cpu_takes_none(
    tmp_path: Path, accelerator: Accelerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = tuple(prepared(tmp_path).cases.values())
    images, labels = sum(case.image.nbytes for case in cases), sum(case.label.nbytes for case in cases)
    options = {"patch_size": (8, 8, 8), "volumes": 1, "patches_per_volume": 1, "seed": 0}
    enough = (images / 2 + labels) / patches_module.RESIDENT_SHARE + 1
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (enough, enough))
    assert PatchSampler(cases, **options, device="cuda:0", half=True).resident
    assert not PatchSampler(cases, **options, device="cuda:0").resident
    exact, wished = (PatchSampler(cases, **options, device="cpu", half=half).batch(3) for half in (False, True))
    assert torch.equal(exact.image, wished.image)


def test_patches_do_without_pinned_memory(
    tmp_path: Path, accelerator: Accelerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(tensor: Tensor) -> Tensor:
        raise RuntimeError("CUDA error: out of memory")

    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (0, 1))
    monkeypatch.setattr(Tensor, "pin_memory", exhausted)
    options = {"patch_size": (8, 8, 8), "volumes": 1, "patches_per_volume": 1, "seed": 0, "device": "cuda:0"}
    batch = PatchSampler(tuple(prepared(tmp_path).cases.values()), **options).batch(0)
    assert batch.image.device == DEVICE


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int64])
def test_labels_of_any_integer_type_train_alike(accelerator: Accelerator, dtype: torch.dtype) -> None:
    stepper = Stepper(toy(dropout=0.0), recipe(6), "cuda:0")
    batch = next(batches(0, 1))
    loss = stepper.step(SimpleNamespace(image=batch.image, label=batch.label.to(dtype)), 0).loss
    expected = Stepper(toy(dropout=0.0), recipe(6), "cpu").step(batch, 0).loss
    assert loss.item() == expected.item()
