"""Our sliding window against MONAI's and nnU-Net's predictor: the same network, the same windows, labels in the end.

    python benchmarks/sliding_window.py --nnunet-python /path/to/venv/bin/python

nnU-Net's predictor runs in an environment of its own (`pip install torch nnunetv2 jaxtyping`); without the option it is
left out. The others have the network twice: as it is today, and as 0.1.0 computed it (the last layer at full
resolution, up cells that interpolate first). Every run is a process of its own, and all take turns. Time is that from
image to labels in memory, as wall clock and as processor seconds; memory is the peak above what the process held just
before, network, weights and image included. Where the machine has other work, take one thread: threads that wait for
each other count as busy. A last workload is ours alone: 104 classes within 4 GiB, the process' whole peak. Results go
to `benchmarks/results/sliding_window.{json,md}`.
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
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PATH = "c2fnas-panc"
TOOLS = ("ours", "monai", "nnunet", "monai then", "nnunet then")
NAMES = {"ours": "c2fnas", "monai": "MONAI sliding_window_inference", "nnunet": "nnU-Net predictor"}
THEN = " then"
"""Ends the name of a tool that gets the network as 0.1.0 computed it."""
MAX_MEMORY = 4 * 2**30


@dataclass(frozen=True)
class Workload:
    """A volume, a network and its windows; half a patch divides the volume, so all three place the same windows."""

    name: str
    shape: tuple[int, int, int]
    patch: tuple[int, int, int]
    width: float
    classes: int
    overlap: int = 2
    """Windows that cover a voxel along an axis."""

    @property
    def windows(self) -> int:
        """How many there are."""
        count = 1
        for size, side in zip(self.shape, self.patch, strict=True):
            count *= -(-(size - side) // (side // self.overlap)) + 1
        return count


WORKLOADS = (
    Workload("organ", (192, 144, 144), (96, 96, 96), 0.25, 3),
    Workload("whole body", (336, 192, 144), (96, 96, 96), 0.0625, 25),
)
MANY = Workload("many classes", (512, 512, 400), (96, 96, 96), 0.0625, 104, overlap=1)
QUICK = (Workload("quick", (64, 64, 48), (32, 32, 32), 0.0625, 5),)
KNOWN = {each.name: each for each in (*WORKLOADS, *QUICK)}


def main() -> None:
    """Run everything and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nnunet-python", help="the Python of an environment with nnunetv2")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--workloads", nargs="+", choices=[*KNOWN], help="some of them, and not the many classes")
    parser.add_argument("--quick", action="store_true", help="a small volume, and no results written")
    parser.add_argument(
        "--output", type=Path, default=RESULTS / "sliding_window", help="of the results, without suffix"
    )
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        print(json.dumps(work(**json.loads(arguments.worker))))
        return
    tools = [tool for tool in TOOLS if "nnunet" not in tool or arguments.nnunet_python]
    if "nnunet" not in tools:
        print("nnU-Net is left out; give --nnunet-python to compare with it.", file=sys.stderr)
    chosen = [KNOWN[name] for name in arguments.workloads or ()] or (QUICK if arguments.quick else WORKLOADS)
    rows = [compare(workload, tools, arguments) for workload in chosen]
    many = None if arguments.quick or arguments.workloads else run("ours", MANY, arguments)
    text = table(rows, many, arguments)
    print(text)
    if not arguments.quick:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        facts = {"command": command(arguments), "machine": machine(), "threads": arguments.threads, "workloads": rows}
        facts["many_classes"] = asdict(MANY) | {key: value for key, value in (many or {}).items() if key != "labels"}
        arguments.output.with_suffix(".json").write_text(json.dumps(facts, indent=2) + "\n")
        arguments.output.with_suffix(".md").write_text(text)


def compare(workload: Workload, tools: list[str], arguments: argparse.Namespace) -> dict[str, Any]:
    """All runs of a workload, the tools in turn, and whether their labels agree."""
    runs: dict[str, list[dict[str, Any]]] = {tool: [] for tool in tools}
    for repeat in range(arguments.repeats):
        for tool in tools if repeat % 2 == 0 else tools[::-1]:
            runs[tool].append(run(tool, workload, arguments))
            print(workload.name, tool, {k: runs[tool][-1][k] for k in ("wall", "cpu", "peak")}, file=sys.stderr)
    medians = {
        tool: {key: statistics.median(each[key] for each in runs[tool]) for key in ("wall", "cpu", "peak")}
        for tool in tools
    }
    agreement = {tool: agree(runs["ours"][0]["labels"], runs[tool][0]["labels"]) for tool in tools}
    versions = {tool: runs[tool][0]["version"] for tool in tools}
    return asdict(workload) | {
        "windows": workload.windows,
        "medians": medians,
        "labels_as_ours": agreement,
        "versions": versions,
        "runs": {tool: [{k: each[k] for k in ("wall", "cpu", "peak")} for each in runs[tool]] for tool in tools},
    }


def run(tool: str, workload: Workload, arguments: argparse.Namespace) -> dict[str, Any]:
    """One run in a process of its own."""
    python = arguments.nnunet_python if "nnunet" in tool else sys.executable
    payload = asdict(workload) | {"tool": tool, "device": arguments.device, "threads": arguments.threads}
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": str(arguments.threads)}
    result = subprocess.run(
        [python, __file__, "--worker", json.dumps(payload)], capture_output=True, text=True, env=environment
    )
    if result.returncode:
        sys.exit(f"{tool} failed:\n{result.stderr}")
    return dict(json.loads(result.stdout.splitlines()[-1]))


def work(tool: str, device: str, threads: int, name: str, **workload: Any) -> dict[str, Any]:
    """What a process does: build, then label the volume once, measured; the labels go to a file."""
    import numpy as np
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    shape, patch = (tuple(workload.pop(key)) for key in ("shape", "patch"))
    case = Workload(name, shape, patch, **workload)
    image = np.random.default_rng(0).standard_normal((1, *case.shape), dtype=np.float32)
    if tool.endswith(THEN):
        compute_as_0_1_0()
    make = {"ours": ours, "monai": monai, "nnunet": nnunet}[tool.removesuffix(THEN)]
    label, version = make(case, network(case).to(device), device)
    before = reset_peak()
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
    wall, cpu = time.perf_counter(), time.process_time()
    labels = label(image)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = memory("VmHWM") - before if device == "cpu" else torch.cuda.max_memory_allocated()
    whole = memory("VmHWM")
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"sliding-window-{os.getppid()}-{tool}-{name}.npy".replace(" ", "-")
    np.save(path, np.asarray(labels, dtype=np.uint8))
    return {"wall": wall, "cpu": cpu, "peak": peak, "whole": whole, "labels": str(path), "version": version}


def network(case: Workload) -> Any:
    """C2FNAS-Panc with random weights, large enough in the last layer that its labels are no ties."""
    import torch

    from c2fnas.networks import build_network
    from c2fnas.space.architecture import Architecture

    panc = Architecture.named(PATH)
    scaled = Architecture(panc.topology, panc.operations, case.width)
    built = build_network(scaled, in_channels=1, classes=case.classes).eval()
    with torch.no_grad():
        list(built.parameters())[-1].zero_()
    return built


def compute_as_0_1_0() -> None:
    """Have this process compute networks as 0.1.0 did."""
    from c2fnas.networks import blocks, stem

    blocks.UpSampling.forward = lambda self, x, size: self.conv(blocks.interpolate(x, size))
    stem.composed = lambda features, size: False


def ours(case: Workload, network: Any, device: str) -> tuple[Callable[[Any], Any], str]:
    """This package."""
    import c2fnas
    from c2fnas.inference.sliding_window import SlidingWindow
    from c2fnas.inference.windows import importance

    importance(case.patch, "gaussian")  # imports MONAI, which is not what is measured
    i, j, k = (side // case.overlap for side in case.patch)
    window = SlidingWindow(case.patch, (i, j, k), max_memory=MAX_MEMORY if case == MANY else None)
    return lambda image: window.labels(network, image, device=device), c2fnas.__version__


def monai(case: Workload, network: Any, device: str) -> tuple[Callable[[Any], Any], str]:
    """MONAI: logits of the whole volume, then the best class."""
    import monai
    import torch
    from monai.inferers import sliding_window_inference

    def label(image: Any) -> Any:
        with torch.inference_mode():
            x = torch.from_numpy(image)[None].to(device)
            return sliding_window_inference(x, case.patch, 2, network, overlap=0.5, mode="gaussian").argmax(1)[0].cpu()

    return label, monai.__version__


def nnunet(case: Workload, network: Any, device: str) -> tuple[Callable[[Any], Any], str]:
    """nnU-Net: logits of the whole volume in half precision, then the best class."""
    from importlib.metadata import version
    from types import SimpleNamespace

    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(
        tile_step_size=0.5,
        use_gaussian=True,
        use_mirroring=False,
        perform_everything_on_device=True,
        device=torch.device(device),
        verbose=False,
        verbose_preprocessing=False,
        allow_tqdm=False,
    )
    predictor.network = network
    predictor.configuration_manager = SimpleNamespace(patch_size=list(case.patch))
    predictor.label_manager = SimpleNamespace(num_segmentation_heads=case.classes)
    predictor.allowed_mirroring_axes = None

    def label(image: Any) -> Any:
        return predictor.predict_sliding_window_return_logits(torch.from_numpy(image)).argmax(0).cpu()

    return label, version("nnunetv2")


def memory(field: str) -> int:
    """Bytes that the kernel tells of this process."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def reset_peak() -> int:
    """Have the kernel forget the peak; returns what is held now."""
    Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS")


def agree(first: str, second: str) -> float:
    """The share of voxels with the same label."""
    import numpy as np

    return float((np.load(first, mmap_mode="r") == np.load(second, mmap_mode="r")).mean())


def command(arguments: argparse.Namespace) -> str:
    """The command line, with a neutral name for the other environment's Python."""
    options = ["--repeats", str(arguments.repeats), "--threads", str(arguments.threads), "--device", arguments.device]
    other = ["--nnunet-python", "NNUNET_PYTHON"] if arguments.nnunet_python else []
    return shlex.join(["python", "benchmarks/sliding_window.py", *options, *other])


def machine() -> str:
    """Processor, cores, system and versions."""
    import torch

    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    processor = next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine()
    )
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return (
        f"{processor}, {os.cpu_count()} cores{gpu}; {platform.system()}, Python {platform.python_version()}, "
        f"torch {torch.__version__}"
    )


def commit() -> str:
    """The commit that is measured."""
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() or "none"


def table(rows: list[dict[str, Any]], many: dict[str, Any] | None, arguments: argparse.Namespace) -> str:
    """The results as Markdown, with the ratios that the goals are about."""
    lines = [
        "# Sliding window",
        "",
        f"`{command(arguments)}`",
        "",
        f"{machine()}; {arguments.threads} threads; commit {commit()}.",
        "",
        f"Medians of {arguments.repeats} alternated runs, each in its own process; image to labels, float32.",
        "",
    ]
    for row in rows:
        by = "×".join(map(str, row["shape"]))
        lines += [
            f"## {row['name'].capitalize()}: {by}, {row['classes']} classes, {row['windows']} windows of "
            f"{'×'.join(map(str, row['patch']))}, C2FNAS-Panc @{row['width']}",
            "",
            "| | wall s | processor s | peak MiB | our time to its | our memory to its | labels as ours |",
            "|---|---|---|---|---|---|---|",
        ]
        medians = row["medians"]
        for tool, found in medians.items():
            time_ratio, memory_ratio = (medians["ours"][key] / found[key] for key in ("cpu", "peak"))
            name, then = NAMES[tool.removesuffix(THEN)], ", network as in 0.1.0" if tool.endswith(THEN) else ""
            lines.append(
                f"| {name} {row['versions'][tool]}{then} | {found['wall']:.1f} | {found['cpu']:.1f} | "
                f"{found['peak'] / 2**20:.0f} | {time_ratio:.2f} | {memory_ratio:.2f} | "
                f"{100 * row['labels_as_ours'][tool]:.3f} % |"
            )
        lines += ["", *goals(medians)]
        lines.append("")
    if many is not None:
        by = "×".join(map(str, MANY.shape))
        lines += [
            f"## Many classes: {by}, {MANY.classes} classes, {MANY.windows} windows side by side",
            "",
            f"c2fnas alone, `max_memory` {MAX_MEMORY >> 20} MiB: the process' peak is {many['whole'] >> 20} MiB, with "
            f"Python and the image ({many['cpu']:.0f} processor seconds, {many['wall']:.0f} by the clock).",
            "",
        ]
    return "\n".join(lines)


def goals(medians: dict[str, dict[str, float]]) -> list[str]:
    """Our time to that of the faster other, our memory to that of the leaner one, by the network that they have."""
    lines = []
    for then in (True, False):
        others = [found for tool, found in medians.items() if tool != "ours" and tool.endswith(THEN) == then]
        ratios = [medians["ours"][key] / min(found[key] for found in others) for key in ("cpu", "peak")]
        network = "as in 0.1.0" if then else "as it is today"
        time_ratio, memory_ratio = ratios
        lines.append(f"Their network {network}: our time is {time_ratio:.2f} of the faster one's, our memory")
        lines.append(f"{memory_ratio:.2f} of the leaner one's.\n")
    return lines


if __name__ == "__main__":
    main()
