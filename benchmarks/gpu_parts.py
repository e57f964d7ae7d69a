"""Parts of `gpu.sh` that no other benchmark has, each in one process: training steps by variant, memory by prediction.

    python benchmarks/gpu_parts.py steps --device cuda --seconds 100 --output OUT
    python benchmarks/gpu_parts.py memory --device cuda --seconds 40 --output OUT

`steps`: C2FNAS-Panc at the paper's width on patches of 96³ in bf16: a step of `c2fnas.training` as it is, with compiled
cells, and with forward and backward as CUDA graphs, at batches of 2 to 16. A step costs three times the forward's
multiply-accumulates, two FLOPs each; the rate is set against what a large matrix product of that precision reaches on
the same card. What does not fit, fails, or would begin after the time is up is written down as such.
`memory`: the peak of two training steps by the allocator, against `c2fnas.space.memory.training_memory`.
`--device cpu` tries the same on small patches: its figures say nothing.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from c2fnas.files import write_json
from c2fnas.memory import release_memory
from c2fnas.networks import build_network, count_network
from c2fnas.space.architecture import Architecture
from c2fnas.space.memory import training_memory
from c2fnas.training.recipe import paper_recipe
from c2fnas.training.step import Stepper

CLASSES, PRECISION = 3, "bf16"
FLOPS_PER_MAC = 6  # forward, and two products of its size backward; a multiplication and an addition each
WARM, TIMED = 3, 10
BATCHES = {"cuda": (2, 4, 8, 16), "cpu": (2,)}
PATCH, WIDTH = {"cuda": 96, "cpu": 32}, {"cuda": 1.0, "cpu": 0.0625}
MATRIX = {"cuda": 8192, "cpu": 256}
MEMORY_PATCHES = {"cuda": ((64, 2), (96, 2), (96, 8), (128, 2)), "cpu": ((32, 2),)}
Json = dict[str, Any]


def network_of(device: str) -> nn.Module:
    """C2FNAS-Panc, in training."""
    panc = replace(Architecture.named("c2fnas-panc"), width=WIDTH[device])
    return build_network(panc, in_channels=1, classes=CLASSES).train()


def eager(network: nn.Module, image: torch.Tensor) -> nn.Module:
    """The network as it is."""
    return network


def compiled_cells(network: nn.Module, image: torch.Tensor) -> nn.Module:
    """Each cell compiled for itself: compiling takes less than that of the whole."""
    torch._dynamo.config.recompile_limit = 64  # twelve cells of one class
    for cell in network.cells:
        cell.compile(dynamic=False)
    return network


def cuda_graphs(network: nn.Module, image: torch.Tensor) -> nn.Module:
    """Forward and backward recorded once and replayed, so that the host starts no kernels one by one."""
    with torch.autocast("cuda", torch.bfloat16, cache_enabled=False):
        return torch.cuda.make_graphed_callables(network, (image,))


VARIANTS: dict[str, Callable[[nn.Module, torch.Tensor], nn.Module]] = {
    "eager": eager,
    "CUDA graphs": cuda_graphs,
    "compiled cells": compiled_cells,
}


def patches(batch: int, device: str, side: int) -> SimpleNamespace:
    """Noise."""
    size = (side,) * 3
    label = torch.randint(CLASSES, (batch, *size), dtype=torch.uint8, device=device)
    return SimpleNamespace(image=torch.randn(batch, 1, *size, device=device), label=label)


def wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def matrix_peak(device: str) -> float:
    """TFLOP/s of the best of ten large square matrix products."""
    size, seconds = MATRIX[device], []
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    for _ in range(WARM + TIMED):
        wait(device)
        start = time.perf_counter()
        a @ b
        wait(device)
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds[WARM:]) / 1e12


def timed(variant: str, batch: int, device: str, macs: int, peak: float) -> Json:
    """The median of some steps, and the memory that they took."""
    torch.backends.cudnn.benchmark = True
    images = patches(batch, device, PATCH[device])
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    network = VARIANTS[variant](network_of(device).to(device), images.image)
    stepper = Stepper(network, paper_recipe("coarse").model_copy(update={"precision": PRECISION}), device)
    seconds = []
    for _ in range(WARM + TIMED):
        start = time.perf_counter()
        stepper.step(images, 0)
        wait(device)
        seconds.append(time.perf_counter() - start)
    median = statistics.median(seconds[WARM:])
    rate = macs * batch * FLOPS_PER_MAC / median / 1e12
    return {
        "seconds": median,
        "patches_per_second": batch / median,
        "tflops": rate,
        "of_the_peak": rate / peak,
        "in_parts_of": stepper.micro_batch,
        "memory": torch.cuda.max_memory_allocated() if device == "cuda" else None,
    }


def order(device: str) -> Iterator[tuple[str, int]]:
    """Variants by what is to be known first; compiling, which takes longest, comes last."""
    for variant in VARIANTS:
        if device == "cuda" or variant != "CUDA graphs":
            yield from ((variant, batch) for batch in BATCHES[device])


def steps(device: str, until: float) -> Json:
    """All rows that the time allows."""
    parameters, macs = count_network(network_of(device), in_channels=1, input_size=(PATCH[device],) * 3)
    peak, rows = matrix_peak(device), []
    for variant, batch in order(device):
        row: Json = {"variant": variant, "batch": batch}
        if time.monotonic() > until:
            rows.append(row | {"failure": "not begun: the time was up"})
            continue
        try:
            row |= timed(variant, batch, device, macs, peak)
        except Exception as error:  # a variant that fails costs itself
            row["failure"] = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        release_memory()
        with suppress(AttributeError):
            torch._dynamo.reset()
        print(row, flush=True)
        rows.append(row)
    return {"parameters": parameters, "macs": macs, "matrix_peak_tflops": peak, "rows": rows}


def memory(device: str, until: float) -> Json:
    """Peaks of trainings beside their prediction."""
    rows, panc = [], replace(Architecture.named("c2fnas-panc"), width=WIDTH[device])
    for side, batch in MEMORY_PATCHES[device]:
        if time.monotonic() > until:
            break
        size = (side,) * 3
        found = training_memory(panc, in_channels=1, classes=CLASSES, input_size=size, precision=PRECISION).of(batch)
        stepper = Stepper(
            network_of(device), paper_recipe("coarse").model_copy(update={"precision": PRECISION}), device
        )
        images = patches(batch, device, side)
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        for _ in range(2):
            stepper.step(images, 0)
        peak = torch.cuda.max_memory_allocated() if device == "cuda" else None
        row = {"patch": side, "batch": batch, "predicted": found, "measured": peak}
        rows.append(row | {"in_parts_of": stepper.micro_batch})
        print(rows[-1], flush=True)
        del stepper
        release_memory()
    return {"rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["steps", "memory"])
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--seconds", type=float, default=100, help="after which nothing more is begun")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    until = time.monotonic() + options.seconds
    found = {"steps": steps, "memory": memory}[options.part](options.device, until)
    device = torch.cuda.get_device_name() if options.device == "cuda" else "cpu: figures say nothing"
    options.output.mkdir(parents=True, exist_ok=True)
    write_json(options.output / f"{options.part}.json", {"device": device, "torch": torch.__version__, **found})


if __name__ == "__main__":
    main()
