"""A check that a patch fits the memory: predicted where there is room to spare, else measured by a training step."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

import torch

from c2fnas.data.patches import RESIDENT_SHARE
from c2fnas.data.scheme import LabelScheme
from c2fnas.execution.environment import is_cuda
from c2fnas.memory import free_memory, peak_memory
from c2fnas.networks.count import count_saved_values
from c2fnas.networks.designs import Design, build_design, design_from_json
from c2fnas.planning.plan import PLANNED_BATCH
from c2fnas.planning.probe import run_on_each, run_once
from c2fnas.planning.request import Request
from c2fnas.planning.step_timing import noise
from c2fnas.runs.reporter import Reporter
from c2fnas.runs.run import Run
from c2fnas.shapes import Size
from c2fnas.space.architecture import Architecture
from c2fnas.space.memory import TrainingMemory, memory_of_values, training_memory
from c2fnas.space.search_space import SearchSpace
from c2fnas.text import crossed
from c2fnas.training.device import use_threads
from c2fnas.training.precision import common_precision
from c2fnas.training.recipe import modern_recipe
from c2fnas.training.step import Stepper

SPARE = 1 / 3
"""A prediction below this share of the memory is taken for true."""

HOPELESS = 1.5
"""A prediction above this multiple of the memory is not tried: it would have the system end processes."""

USED = 0.9
"""The share of the memory that a measured step may take; the super-network and evaluation need a little more."""


@dataclass(frozen=True)
class TrainingStep:
    """A step to be measured, on how many patches of which kind; ``classes`` are the network's outputs."""

    in_channels: int
    classes: int
    patches: int
    precision: str
    regions: bool = False

    @property
    def scheme(self) -> LabelScheme:
        """Classes, or as many regions as the network has outputs."""
        names = [str(index) for index in range(self.classes + self.regions)]
        return LabelScheme.of(*names, order=tuple(range(1, len(names))) if self.regions else None)


Measure = Callable[[Design, TrainingStep, Size, str], int | None]
"""``(design, step, patch, device)`` to the bytes at its peak; None where they exceed the memory."""


class MemoryFit:
    """A check that training on a patch fits a device's memory; ``fits`` of :func:`c2fnas.planning.plan.make_plan`.

    The network is the one to be trained or, where one is searched, the most demanding of the coarse stage's candidates,
    so that none of them fails for lack of memory.

    Args:
        space: what is searched.
        width: of every network.
        step: all else of a step.
        device: "cpu", "cuda:0" ...
        available: bytes that one training may take there.
        reporter: hears of measurements, which take seconds.
        measure: by default a step in a process of its own.
        design: the network to be trained; None where one is searched.
    """

    def __init__(
        self,
        space: SearchSpace,
        width: float,
        step: TrainingStep,
        device: str,
        available: int,
        reporter: Reporter,
        measure: Measure | None = None,
        design: Design | None = None,
    ) -> None:
        self._design = design
        self._space, self._width, self._step, self._device = space, width, step, device
        self.available, self._reporter, self._measure = available, reporter, measure or measure_step
        self._correction = 1.0
        self._measured: dict[Size, bool] = {}

    def __call__(self, patch: Size) -> bool:
        """Return true if a step on patches of this size fits; one is measured once."""
        if patch in self._measured:
            return self._measured[patch]
        predicted = self._bytes(self._heaviest, patch)
        if predicted * self._correction <= self.available * SPARE:
            return True
        if predicted * self._correction > self.available * HOPELESS:
            return False
        peak = self._measure(self._heaviest, self._step, patch, self._device)
        if peak is not None:
            self._correction = peak / predicted  # so that sizes far too large aren't tried one by one
        fits = peak is not None and peak <= self.available * USED
        self._reporter.say(self._result(patch, peak, fits))
        self._measured[patch] = fits
        return fits

    @cached_property
    def _heaviest(self) -> Design:
        """The network, or the candidate that takes most; which one it is hardly depends on the patch."""
        if self._design is not None:
            return self._design
        candidates = [Architecture.uniform(topology, width=self._width) for topology in self._space.topologies()]
        return max(candidates, key=lambda candidate: self._bytes(candidate, (64, 64, 64)))

    def _bytes(self, design: Design, patch: Size) -> int:
        return predicted_memory(design, self._step, patch).of(self._step.patches)

    def _result(self, patch: Size, peak: int | None, fits: bool) -> str:
        size, took = crossed(patch), "more than there is" if peak is None else f"{peak / 1e9:.1f} GB"
        verdict = "fits" if fits else "does not fit"
        return (
            f"A training step on {self._step.patches} patches of {size}, width {self._width:g}, takes {took} of "
            f"{self.available / 1e9:.1f} GB: "
            f"{verdict}."
        )


def fit_for(run: Run, request: Request, width: float | None = None) -> MemoryFit:
    """Return the check that a patch fits the memory of each of the request's devices; by default at its width."""
    fingerprint, config, devices = run.fingerprint, request.draft, request.devices
    step = TrainingStep(
        in_channels=len(fingerprint.channels),
        classes=fingerprint.scheme.outputs,
        regions=fingerprint.regions_class_order is not None,
        patches=config.plan.batch_size or PLANNED_BATCH,
        precision=common_precision(devices),
    )
    room = available_memory(devices)
    width = request.width if width is None else width
    return MemoryFit(config.space, width, step, devices[0], room, run.reporter, design=request.design)


def predicted_memory(design: Design, step: TrainingStep, patch: Size) -> TrainingMemory:
    """Predict the memory of training a network of any kind, in closed form where there is one."""
    channels, classes, precision = step.in_channels, step.classes, step.precision
    if isinstance(design, Architecture):
        return training_memory(design, in_channels=channels, classes=classes, input_size=patch, precision=precision)
    with torch.device("meta"):
        network = build_design(design, in_channels=channels, classes=classes)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    saved = count_saved_values(network, in_channels=channels, input_size=patch)
    return memory_of_values(parameters, saved, classes * prod(patch), precision)


def available_memory(devices: Sequence[str]) -> int:
    """Bytes that a training on any of ``devices`` may take; those on the CPU share what is free.

    On GPUs, which a worker each is asked for, a part is left to the volumes that may be kept there.
    """
    gpus = [device for device in devices if is_cuda(device)]
    sharing, room = len(devices) - len(gpus), []
    if sharing:
        room.append(free_memory() // sharing)
    if gpus:
        answers = run_on_each("free memory", "c2fnas.planning.memory_fit:free_on_device", {}, gpus)
        room.append(int(min(answer["bytes"] for answer in answers) * (1 - RESIDENT_SHARE)))
    return min(room)


def measure_step(design: Design, step: TrainingStep, patch: Size, device: str) -> int | None:
    """The bytes that a step takes at its peak, measured in a process of its own; None where there are not enough.

    Raises:
        RuntimeError: the step failed for another reason.
    """
    payload = {"design": design.to_json(), "step": asdict(step), "patch": patch}
    try:
        return run_once("memory of a training step", "c2fnas.planning.memory_fit:run_step", payload, [device])["bytes"]
    except MemoryError:
        return None


def free_on_device(payload: dict[str, Any], folder: Path, device: str) -> dict[str, Any]:
    """A job: the bytes that are free on a GPU."""
    return {"bytes": torch.cuda.mem_get_info(device)[0]}


def run_step(payload: dict[str, Any], folder: Path, device: str) -> dict[str, Any]:
    """A job: two training steps on noise (the second has the momentum of the first), and the bytes they took."""
    if payload.get("micro_batch_divisor", 1) > 1:
        return {"bytes": None}  # the whole batch did not fit
    step, design = TrainingStep(**payload["step"]), design_from_json(payload["design"])
    network = build_design(design, in_channels=step.in_channels, classes=step.classes)
    recipe = modern_recipe(100).model_copy(update={"volumes": step.patches, "precision": step.precision})
    stepper = Stepper(network.train(), recipe, device, scheme=step.scheme)
    use_threads(stepper.fabric)
    for iteration in range(2):
        stepper.step(noise(step.patches, step.in_channels, len(step.scheme.parts), payload["patch"]), iteration)
    fitted = stepper.micro_batch is None  # else it went on in parts, and the question was the whole batch
    return {"bytes": peak_memory(stepper.fabric.device) if fitted else None}
