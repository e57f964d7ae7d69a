"""Training steps of C2FNAS-Panc against those of MONAI's DiNTS and nnU-Net's plain U-Net, per multiply-accumulate.

    python benchmarks/training_step.py                                   # CPU, two 64³ patches
    python benchmarks/training_step.py --device cuda --patch 96 --batch 2 4 8 --precisions bf16 --variants all
    python benchmarks/training_step.py --older ../c2fnas-0.1.0/src       # C2FNAS-Panc by an older version too

One step is that of `c2fnas.training`: forward, Dice + cross-entropy, backward, SGD. All rows are measured in one run,
each in a process of its own, one step of each in turn, so that a busy machine slows them alike; the median counts. On a
CPU it is that of processor seconds by the number of threads, since others may share the machine. Every row has the
settings of memory and threads that `c2fnas train` has. A row's memory is that of its process at its peak, beyond what
was there before the first step. A step costs three times the forward's multiply-accumulates, two FLOPs each: on a GPU
the rate is set against what a large matrix product of that precision reaches on the same card. nnU-Net's network is
used where `dynamic_network_architectures` can be imported (`pip install --no-deps --target DIR
dynamic-network-architectures`, DIR in PYTHONPATH), else MONAI's form of it. DiNTS is the network of its space that
`c2fnas train --network dints` trains. Results go to `benchmarks/results/training_step_DEVICE.{json,md}`.
"""

import argparse
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from c2fnas import __version__
from c2fnas.networks import build_network, count_network
from c2fnas.networks.baselines import Baseline, build_baseline
from c2fnas.space.architecture import Architecture
from c2fnas.training.device import use_threads
from c2fnas.training.recipe import paper_recipe
from c2fnas.training.step import Stepper

RESULTS = Path(__file__).parent / "results"
CLASSES = 3
FLOPS_PER_MAC = 6  # forward, and two products of its size backward; a multiplication and an addition each
VARIANTS = {
    "eager": {},
    "channels last": {"channels_last": True},
    "compiled": {"compile": "default"},
    "compiled, channels last": {"compile": "default", "channels_last": True},
    "compiled, CUDA graphs": {"compile": "reduce-overhead"},
}


def panc(width: float) -> nn.Module:
    """C2FNAS-Panc, whose width may be scaled."""
    architecture = replace(Architecture.named("c2fnas-panc"), width=width)
    return build_network(architecture, in_channels=1, classes=CLASSES)


def dints() -> nn.Module:
    """MONAI's DiNTS, a U-shaped member of its space."""
    return build_baseline(Baseline("dints"), in_channels=1, classes=CLASSES)


def plain_unet() -> nn.Module:
    """nnU-Net's plain convolutional U-Net as it plans it for patches of 64³ and 96³: five stages."""
    features, strides = [32, 64, 128, 256, 320], [1, 2, 2, 2, 2]
    try:
        from dynamic_network_architectures.architectures.unet import PlainConvUNet
    except ImportError:
        return build_baseline(Baseline("dynunet"), in_channels=1, classes=CLASSES)
    return PlainConvUNet(
        1,
        5,
        features,
        nn.Conv3d,
        3,
        strides,
        2,
        CLASSES,
        2,
        conv_bias=True,
        norm_op=nn.InstanceNorm3d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
    )


@dataclass
class Row:
    """One way of training one network, with the seconds of its steps."""

    network: str
    variant: str
    precision: str
    batch: int
    parameters: int
    macs: int
    memory: int
    seconds: list[float]
    processor_seconds: list[float]

    @property
    def median(self) -> float:
        """Seconds of a step: of the processor where it was read, else of the clock."""
        return statistics.median(self.processor_seconds or self.seconds)

    @property
    def gmacs_per_second(self) -> float:
        """Forward multiply-accumulates of trained patches a second."""
        return self.macs * self.batch / self.median / 1e9

    @property
    def tflops(self) -> float:
        return self.gmacs_per_second * FLOPS_PER_MAC / 1e3


OLDER = "C2FNAS-Panc, older"
NETWORKS = {"C2FNAS-Panc": panc, OLDER: panc, "DiNTS": lambda width: dints(), "plain U-Net": lambda width: plain_unet()}


def main() -> None:
    """Measure and write the results, or be the process of one row."""
    options = parse()
    if options.row:
        work(options)
        return
    networks = [name for name in NETWORKS if name != OLDER or options.older]
    variants = list(VARIANTS) if options.variants == ["all"] else options.variants
    rows = []
    for precision, batch in product(options.precisions, options.batch):
        runs = [(name, variant, precision, batch) for name in networks for variant in variants]
        rows += measure_in_turn([Worker(options, run) for run in runs], options)
    peaks = {p: matrix_peak(p, options.device) for p in options.precisions} if options.device == "cuda" else {}
    write(rows, peaks, options)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--patch", type=int, default=64)
    parser.add_argument("--batch", type=int, nargs="+", default=[2])
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"], choices=["fp32", "bf16", "fp16"])
    parser.add_argument("--variants", nargs="+", default=["eager"], choices=[*VARIANTS, "all"])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--width", type=float, default=1.0, help="of C2FNAS-Panc")
    parser.add_argument("--threads", type=int, default=int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    parser.add_argument("--older", type=Path, help="folder `src` of an older version")
    parser.add_argument("--output", type=Path, default=None)
    parser.add_argument("--row", help=argparse.SUPPRESS)
    return parser.parse_args()


class Worker:
    """The process of a row, which takes a step when it is told to."""

    def __init__(self, options: argparse.Namespace, run: tuple[str, str, str, int]) -> None:
        print("warm-up:", *run, file=sys.stderr, flush=True)
        own = ["--row", json.dumps(run), "--device", options.device, "--patch", options.patch, "--width", options.width]
        name, variant, precision, batch = run
        environment = dict(os.environ, OMP_NUM_THREADS=str(options.threads))
        if name == OLDER:
            environment["PYTHONPATH"] = os.pathsep.join(
                [str(options.older.resolve()), os.environ.get("PYTHONPATH", "")]
            )
        self.process = subprocess.Popen(
            [sys.executable, __file__, *map(str, own)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        about = self.read()
        version = about.pop("version")
        label = {"plain U-Net": unet_name(), OLDER: f"C2FNAS-Panc of {version}"}.get(name, name)
        self.row = Row(label, variant, precision, batch, **about, memory=0, seconds=[], processor_seconds=[])

    def read(self) -> dict[str, Any]:
        """What the process says next."""
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process of a row ended with status {self.process.wait()}")
        return json.loads(line)

    def step(self) -> None:
        """Have one step taken."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        said = self.read()
        self.row.memory = said["memory"]
        self.row.seconds.append(said["seconds"])
        if said["processor"] is not None:
            self.row.processor_seconds.append(said["processor"])


def work(options: argparse.Namespace) -> None:
    """Be the process of a row: two warm-up steps, which compile; then one for every line of the standard input."""
    torch.backends.cudnn.benchmark = True
    name, variant, precision, batch = json.loads(options.row)
    network, how, size = NETWORKS[name](options.width).train(), VARIANTS[variant], (options.patch,) * 3
    parameters, macs = count_network(network, in_channels=1, input_size=size)
    image, label = torch.randn(batch, 1, *size), torch.randint(CLASSES, (batch, *size))
    layout = torch.channels_last_3d if how.get("channels_last") else torch.contiguous_format
    network = network.to(device=options.device, memory_format=layout)
    patches = SimpleNamespace(
        image=image.to(options.device).contiguous(memory_format=layout), label=label.to(options.device)
    )
    if how.get("compile"):
        network.compile(mode=how["compile"])
    stepper = Stepper(network, paper_recipe("coarse").model_copy(update={"precision": precision}), options.device)
    threads, before = use_threads(stepper.fabric), held(options.device)
    for _ in range(2):
        stepper.step(patches, 0)
    print(json.dumps({"parameters": parameters, "macs": macs, "version": __version__}), flush=True)
    for _ in sys.stdin:
        start, processor = time.perf_counter(), time.process_time()
        stepper.step(patches, 0)
        if options.device == "cuda":
            torch.cuda.synchronize()
        seconds, used = time.perf_counter() - start, (time.process_time() - processor) / threads
        said = {"seconds": seconds, "processor": used if options.device == "cpu" else None}
        print(json.dumps(said | {"memory": held(options.device, "VmHWM") - before}), flush=True)


def held(device: str, field: str = "VmRSS") -> int:
    """Bytes of main memory by a field of /proc, or of the GPU at the peak so far."""
    if device == "cuda":
        return torch.cuda.max_memory_reserved()
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def measure_in_turn(workers: list[Worker], options: argparse.Namespace) -> list[Row]:
    """One step of each in turn, so many times."""
    for _ in range(options.repeats):
        for worker in workers:
            worker.step()
    for worker in workers:
        worker.process.stdin.close()
        worker.process.wait()
    return [worker.row for worker in workers]


def matrix_peak(precision: str, device: str, size: int = 8192) -> float:
    """TFLOP/s of the best of ten large square matrix products."""
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    seconds = []
    for _ in range(13):
        torch.cuda.synchronize()
        start = time.perf_counter()
        a @ b
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds[3:]) / 1e12


def unet_name() -> str:
    try:
        return f"nnU-Net plain U-Net ({metadata.version('dynamic-network-architectures')})"
    except metadata.PackageNotFoundError:
        return "MONAI DynUNet"


def write(rows: list[Row], peaks: dict[str, float], options: argparse.Namespace) -> None:
    stem = options.output or RESULTS / f"training_step_{options.device}"
    stem.parent.mkdir(parents=True, exist_ok=True)
    surroundings = {
        "command": shlex.join(["python", *sys.argv]),
        "hardware": hardware(options),
        "versions": {name: metadata.version(name) for name in ("torch", "monai", "c2fnas")},
        "matrix_peak_tflops": peaks,
    }
    values = {**surroundings, "rows": [asdict(row) for row in rows]}
    stem.with_suffix(".json").write_text(json.dumps(values, indent=2) + "\n")
    stem.with_suffix(".md").write_text(table(rows, peaks, surroundings, options))
    print(stem.with_suffix(".md").read_text())


def hardware(options: argparse.Namespace) -> str:
    if options.device == "cuda":
        return f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"
    flags = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    fast = [name for name in ("avx512_bf16", "amx_bf16") if flags.get(name)]
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    return (
        f"{cpu_name()}, {options.threads} of {os.cpu_count()} threads, bf16 by {', '.join(fast) or 'emulation'}; "
        f"load average at the end {load}"
    )


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def table(rows: list[Row], peaks: dict[str, float], surroundings: dict[str, Any], options: argparse.Namespace) -> str:
    head = (
        "| network | variant | precision | batch | parameters | MACs a patch | memory | s a step | patches/s | GMAC/s |"
    )
    lines = [
        "# Training steps",
        "",
        f"`{surroundings['command']}`",
        "",
        surroundings["hardware"],
        "",
        ", ".join(f"{name} {version}" for name, version in surroundings["versions"].items()),
        "",
        f"Patch {options.patch}³, median of {options.repeats} steps. Last column: rate per multiply-accumulate, that "
        "of C2FNAS-Panc eager in the same precision and batch being 1."
        + (f" Matrix peak: {', '.join(f'{p} {peak:.0f} TFLOP/s' for p, peak in peaks.items())}." if peaks else ""),
        "",
        head + (" TFLOP/s | of the peak |" if peaks else "") + " relative |",
        "|---|---|---|--:|--:|--:|--:|--:|--:|--:|" + ("--:|--:|" if peaks else "") + "--:|",
    ]
    for row in rows:
        own = next(r for r in rows if (r.precision, r.batch) == (row.precision, row.batch))
        size = f"{row.parameters / 1e6:.2f} M | {row.macs / 1e9:.1f} G | {row.memory / 2**20:.0f} MiB"
        gpu = f" {row.tflops:.1f} | {row.tflops / peaks[row.precision]:.0%} |" if peaks else ""
        lines.append(
            f"| {row.network} | {row.variant} | {row.precision} | {row.batch} | {size} | "
            f"{row.median:.3g} | {row.batch / row.median:.3g} | "
            f"{row.gmacs_per_second:.1f} |{gpu} {row.gmacs_per_second / own.gmacs_per_second:.2f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
