"""Our preparation of cases and our patches against nnU-Net's and MONAI's: the same files, plan and workers.

    python benchmarks/preprocessing.py DATASET --nnunet-python /path/to/venv/bin/python

DATASET is a Decathlon data set of one MR channel (Hippocampus); a CT-sized phantom is generated beside it. nnU-Net runs
in an environment of its own (`pip install torch nnunetv2`); without the option it is left out. Every run is a process
of its own, and the tools take turns. Time is wall clock and processor seconds, without imports. Memory is that of
the process and its workers together, sampled: each page counts once however many share it, mapped files included.
Results go to `benchmarks/results/preprocessing.{json,md}`.
"""

import argparse
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from preprocessing_data import SHAPE, write_nnunet, write_phantom
from preprocessing_report import table
from preprocessing_tools import descendants, process_stats
from sliding_window import commit

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
TOOLS = {
    "fingerprint": ("ours", "nnunet"),
    "prepare": ("ours", "nnunet", "cache", "persistent", "cache-cubic"),
    "patches": ("ours", "nnunet", "cache", "persistent"),
}
SAMPLE_EVERY, LOOK_EVERY = 0.05, 0.25
"""Seconds between samples of memory, and between looks for new worker processes."""


def main() -> None:
    """Run everything and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--nnunet-python", help="the Python of an environment with nnunetv2")
    parser.add_argument("--repeats", type=int, default=3, help="runs of every step on the data set")
    parser.add_argument("--large-repeats", type=int, default=1, help="the same on the phantom")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--work", type=Path, help="a folder to keep: the same call carries on from what is there")
    parser.add_argument("--quick", action="store_true", help="a small phantom alone, and no results written")
    parser.add_argument("--only", help="steps to run, with commas: fingerprint, prepare, patches", default="")
    arguments = parser.parse_args()
    if not arguments.nnunet_python:
        print("nnU-Net is left out; give --nnunet-python to compare with it.", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="preprocessing-") as folder:
        work = arguments.work or Path(folder)
        rows = [row for job, repeats in workloads(arguments, work) for row in steps(job, repeats, arguments)]
    facts = {"command": command(arguments), "machine": machine(), "workers": arguments.workers, "rows": rows}
    print(table(facts))
    if not (arguments.quick or arguments.only):
        RESULTS.mkdir(parents=True, exist_ok=True)
        (RESULTS / "preprocessing.json").write_text(json.dumps(facts, indent=2) + "\n")
        (RESULTS / "preprocessing.md").write_text(table(facts))


def workloads(arguments: argparse.Namespace, folder: Path) -> list[tuple[dict[str, Any], int]]:
    """What is measured and how often: cases, spacing, patches and batches."""
    shape = (128, 112, 80) if arguments.quick else SHAPE
    data = write_phantom(folder / "phantom", shape)
    large = {
        "workload": f"A CT-sized phantom, {'×'.join(map(str, shape))} at 0.8×0.8×1.25 mm, resampled to 1 mm",
        "data": str(data),
        "identifier": 902,
        "patch": (48,) * 3 if arguments.quick else (96,) * 3,
        "volumes": 1,
        "each": 2,
        "batches": 40,
        "resampled": True,
    }
    name = json.loads((arguments.dataset / "dataset.json").read_text())["name"]
    small = {
        "workload": f"{name}, as it is, 1 mm",
        "data": str(arguments.dataset.resolve()),
        "identifier": 901,
        "patch": (40, 56, 40),
        "volumes": 8,
        "each": 2,
        "batches": 100,
        "resampled": False,
    }
    common = {"spacing": (1.0, 1.0, 1.0), "workers": arguments.workers}
    chosen = [(large, arguments.large_repeats)]
    if not arguments.quick:
        chosen.insert(0, (small, arguments.repeats))
    return [(job | common | places(job, folder), repeats) for job, repeats in chosen]


def places(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Folders of a workload, nnU-Net's view of the data included."""
    work = folder / str(job["identifier"])
    (work / "preprocessed").mkdir(parents=True, exist_ok=True)
    name = write_nnunet(Path(job["data"]), work / "raw", job["identifier"])
    return {"work": str(work), "plan": str(work / "plan.json"), "name": name}


def steps(job: dict[str, Any], repeats: int, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """The steps of a workload in their order, which is that of their needs."""
    wanted = arguments.only.split(",") if arguments.only else list(TOOLS)
    return [compare(job | {"step": step}, repeats, arguments) for step in TOOLS if step in wanted or step != "patches"]


def compare(job: dict[str, Any], repeats: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """All runs of a step, the tools in turn."""
    left_out = {"nnunet"} if not arguments.nnunet_python else set()
    left_out |= set() if job["resampled"] else {"cache-cubic"}
    tools = [tool for tool in TOOLS[job["step"]] if tool not in left_out]
    runs: dict[str, list[dict[str, Any]]] = {tool: [] for tool in tools}
    for repeat in range(repeats):
        for tool in tools if repeat % 2 == 0 else tools[::-1]:
            runs[tool].append(kept(job | {"tool": tool}, repeat, arguments))
            print(job["workload"][:20], job["step"], tool, runs[tool][-1], file=sys.stderr, flush=True)
    keys = ("wall", "cpu", "peak", "added", "largest_process")
    medians = {tool: {key: statistics.median(each[key] for each in runs[tool]) for key in keys} for tool in tools}
    return {"workload": job["workload"], "step": job["step"], "repeats": repeats, "medians": medians, "runs": runs}


def kept(job: dict[str, Any], repeat: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """The run that an earlier call of the benchmark made, or a new one."""
    record = Path(job["work"]) / f"{job['step']}-{job['tool']}-{repeat}.json"
    if not record.exists():
        record.write_text(json.dumps(run(job, arguments)))
    return dict(json.loads(record.read_text()))


def run(job: dict[str, Any], arguments: argparse.Namespace) -> dict[str, Any]:
    """One run in a process of its own, its memory watched from here."""
    python = arguments.nnunet_python if job["tool"] == "nnunet" else sys.executable
    folders = {f"nnUNet_{name}": str(Path(job["work"]) / name) for name in ("raw", "preprocessed", "results")}
    environment = os.environ | folders | {"OMP_NUM_THREADS": str(job["workers"]), "PYTHONWARNINGS": "ignore"}
    if job["tool"] != "nnunet":
        environment["PYTHONPATH"] = str(ROOT / "src")
    script = Path(__file__).with_name("preprocessing_tools.py")
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [python, str(script), json.dumps(job)], stdout=output, stderr=errors, env=environment
        )
        samples: list[tuple[float, int]] = []
        watcher = threading.Thread(target=watch, args=(process, samples))
        watcher.start()
        process.wait()
        watcher.join()
        output.seek(0)
        errors.seek(0)
        if process.returncode:
            sys.exit(f"{job['tool']} {job['step']} failed:\n{errors.read()}")
        found = json.loads(output.read().splitlines()[-1])
    held = max((memory for when, memory in samples if when <= found["begin"]), default=0)
    peak = max((memory for when, memory in samples if found["begin"] <= when <= found["end"]), default=held)
    return {
        "wall": found["end"] - found["begin"],
        "cpu": found["cpu"],
        "peak": peak,
        "added": peak - held,
        "largest_process": found["largest_process"],
        "facts": found["facts"],
    }


def watch(process: subprocess.Popen[bytes], samples: list[tuple[float, int]]) -> None:
    """Time and memory of the process and its descendants, until it ends."""
    family, since = [process.pid], time.monotonic()
    while process.poll() is None:
        now = time.monotonic()
        if now - since > LOOK_EVERY:
            family, since = descendants(process.pid, process_stats()), now
        samples.append((now, together(family)))
        time.sleep(SAMPLE_EVERY)


def together(family: list[int]) -> int:
    """Bytes that processes hold together: pages of their own, each once; files, as the one with the most maps them.

    Whether programs beside the benchmark map the same libraries makes no difference.
    """
    own, files = 0, 0
    for pid in family:
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:  # it has ended
            continue
        own += kilobytes(rollup, "Pss_Anon") + kilobytes(rollup, "Pss_Shmem")
        files = max(files, kilobytes(status, "RssFile"))
    return 1024 * (own + files)


def kilobytes(text: str, field: str) -> int:
    """A field of the kernel's, zero where it is absent."""
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith(field + ":")), 0)


def command(arguments: argparse.Namespace) -> str:
    """The command line, with neutral names for the data set's folder and the other environment's Python."""
    options = ["--repeats", arguments.repeats, "--large-repeats", arguments.large_repeats]
    options += ["--workers", arguments.workers]
    other = ["--nnunet-python", "NNUNET_PYTHON"] if arguments.nnunet_python else []
    return shlex.join(["python", "benchmarks/preprocessing.py", arguments.dataset.name, *map(str, options), *other])


def machine() -> str:
    """Processor, cores, system, versions and commit."""
    from importlib.metadata import version

    lines = Path("/proc/cpuinfo").read_text().splitlines()
    processor = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "")
    versions = ", ".join(f"{package} {version(package)}" for package in ("torch", "monai", "numpy", "scipy"))
    return (
        f"{processor or platform.machine()}, {os.cpu_count()} cores, {platform.system()}, "
        f"Python {platform.python_version()}, {versions}; commit {commit()}"
    )


if __name__ == "__main__":
    main()
