"""Training steps by how OpenMP's threads wait for each other, on a quiet and on a busy machine (decision 0103).

    python benchmarks/thread_waiting.py                                  # no, one and two busy processes beside
    python benchmarks/thread_waiting.py --busy 0 8 --spins 0 1000

A step of two patches of 48×48×24 voxels, as in `c2fnas demo`: C2FNAS-Panc at width 0.25, fp32. Each row is measured in
a process of its own with the threads of all usable cores, by the clock: what waits asleep takes no processor seconds.
The last row has one thread. Results go to `benchmarks/results/thread_waiting.{json,md}`.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import repeat
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "thread_waiting"
PATCH, STEPS, TIMES = (48, 48, 24), 5, 3


def main() -> None:
    """Measure all rows and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spins", type=int, nargs="+", default=[0, 1000, 10_000])
    parser.add_argument("--busy", type=int, nargs="+", default=[0, 1, 2], help="processes that compute beside")
    parser.add_argument("--step", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        print(seconds_of_a_step())
        return
    rows: dict[str, dict[str, str]] = {f"{spins:,} rounds": {"GOMP_SPINCOUNT": f"{spins}"} for spins in arguments.spins}
    rows["one thread"] = {"OMP_NUM_THREADS": "1"}
    found: dict[str, list[float]] = {name: [] for name in rows}
    for busy in arguments.busy:
        with computing_beside(busy):
            for name, environment in rows.items():
                found[name].append(measured(environment))
                print(f"{busy} busy, {name}: {found[name][-1]:.3f} s", flush=True)
    write(found, arguments.busy)


def measured(environment: dict[str, str]) -> float:
    """Return the seconds of a step in a process with ``environment``."""
    inherited = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    command = [sys.executable, __file__, "--step"]
    done = subprocess.run(command, env=inherited | environment, check=True, capture_output=True, text=True)
    return float(done.stdout)


def seconds_of_a_step() -> float:
    """Return the median seconds of a training step in this process."""
    import numpy as np
    import torch

    from c2fnas.data.scheme import LabelScheme
    from c2fnas.networks import build_network
    from c2fnas.planning.step_timing import noise
    from c2fnas.space.architecture import Architecture
    from c2fnas.training.loop import time_iterations
    from c2fnas.training.recipe import modern_recipe

    torch.manual_seed(0)
    np.random.seed(0)
    network = build_network(replace(Architecture.named("c2fnas-panc"), width=0.25), in_channels=1, classes=3)
    recipe, batch = modern_recipe(1000), noise(2, 1, 3, PATCH)
    found = [
        time_iterations(network, lambda a, b: repeat(batch, b - a), recipe, STEPS, device="cpu", scheme=LabelScheme())
        for _ in range(TIMES)
    ]
    return statistics.median(found)


@contextmanager
def computing_beside(count: int) -> Iterator[None]:
    """Have so many processes compute meanwhile."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def write(found: dict[str, list[float]], busy: list[int]) -> None:
    """Write the table, and the same as JSON."""
    import torch

    about = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, "
    about += f"{torch.backends.cpu.get_cpu_capability()}, {time.strftime('%d %B %Y')}"
    heads = [f"{count} busy beside" for count in busy]
    lines = [f"# Seconds of a training step, by how threads wait\n\n`{' '.join(['python', *sys.argv])}`\n\n{about}.\n"]
    lines += ["| waiting awake | " + " | ".join(heads) + " |", "|---" * (1 + len(heads)) + "|"]
    lines += [f"| {name} | " + " | ".join(f"{each:.3f}" for each in values) + " |" for name, values in found.items()]
    RESULTS.with_suffix(".md").write_text("\n".join(lines) + "\n")
    RESULTS.with_suffix(".json").write_text(json.dumps({"busy": busy, "seconds": found, "machine": about}, indent=2))


if __name__ == "__main__":
    main()
