"""A coarse search on a real Ray cluster of several nodes on this machine: what the driver takes, and survives.

    python benchmarks/cluster_scale.py --networks 50 500

The search is that of `c2fnas search coarse` with `--backend ray`: its searcher, ledger, executor and worker processes.
Only the jobs are others: they sleep, and import no torch (`cluster_jobs.py`): some fail, some are stragglers, some are
killed once. On the way a node is killed, another one joins, and the driver is killed and started again. Measured are
the driver's processor seconds per candidate, the size of the ledger, and the time from the driver's death until as
many candidates have ended as before it died, and one more. Results: `benchmarks/results/cluster_scale.{json,md}`.
"""

import argparse
import json
import os
import platform
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
import yaml

from c2fnas.files import read_json, write_json, write_text

HERE = Path(__file__).parent
RESULTS = HERE / "results"
POLL = 1.0


def drive(folder: Path, address: str, seconds: float) -> None:
    """Be the driver: search to the end, and say what it took."""
    from c2fnas.execution.ray import RayExecutor
    from c2fnas.runs.run import Run
    from c2fnas.stages.coarse import search_topology

    with_sleeping_jobs(seconds)
    run = Run(folder)
    with run.locked(), RayExecutor(address, cpus=1, grace=5) as executor:
        began = time.process_time()
        (folder / "cost.json").write_text(json.dumps({"start": began}))
        search_topology(run.using(executor))
        write_json(folder / "cost.json", {"start": began, "search": time.process_time() - began})


class Search:
    """One search: its run folder, its cluster, its driver."""

    def __init__(self, folder: Path, networks: int, options: argparse.Namespace) -> None:
        from ray.cluster_utils import Cluster

        self.folder, self.networks, self.options = folder, networks, options
        self.run = prepared(folder, networks)
        os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
        self.each = options.workers // options.nodes
        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        for _ in range(options.nodes - 1):
            self.cluster.add_node(num_cpus=self.each)

    def start(self) -> psutil.Popen:
        """Start a driver."""
        own = ["--driver", str(self.run), self.cluster.address, str(self.options.seconds)]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        log = (self.folder / "driver.log").open("a")
        return psutil.Popen([sys.executable, __file__, *own], env=environment, stdout=log, stderr=log)

    def ended(self) -> int:
        """Candidates that have ended, by the ledger."""
        from c2fnas.runs.folder import RunFolder
        from c2fnas.runs.ledger import trials_of

        if not any((self.run / "coarse").glob("*/*")):  # a ledger that is being created is not to be read
            return 0
        return sum(trial.finished for trial in trials_of(RunFolder(self.run), "coarse"))

    def until(self, condition: Callable[[], bool], driver: psutil.Popen) -> None:
        """Wait; the driver must live."""
        while not condition():
            if driver.poll() is not None:
                raise RuntimeError(f"the driver has ended early: {(self.folder / 'driver.log').read_text()[-2000:]}")
            time.sleep(POLL)

    def measure(self) -> dict[str, Any]:
        """Search, with all that happens on the way."""
        begun, driver = time.monotonic(), self.start()
        self.until(lambda: self.ended() >= self.networks // 4, driver)
        self.cluster.remove_node(self.cluster.list_all_nodes()[-1], allow_graceful=False)
        self.until(lambda: self.ended() >= self.networks // 3, driver)
        self.cluster.add_node(num_cpus=self.each)
        self.cluster.add_node(num_cpus=self.each)
        self.until(lambda: self.ended() >= self.networks // 2, driver)
        times, start = driver.cpu_times(), json.loads((self.run / "cost.json").read_text())["start"]
        first = times.user + times.system - start
        before, killed = self.ended(), time.monotonic()
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        driver, peak = self.start(), [0]
        self.until(lambda: self.ended() > before, driver)
        lost = time.monotonic() - killed
        while driver.poll() is None:
            try:
                peak[0] = max(peak[0], driver.memory_info().rss)
            except psutil.Error:
                break
            time.sleep(POLL)
        driver.wait()
        return self.result(first, lost, time.monotonic() - begun, peak[0])

    def result(self, first: float, lost: float, wall: float, peak: int) -> dict[str, Any]:
        """The figures of a search that has ended."""
        from c2fnas.runs.folder import RunFolder
        from c2fnas.runs.ledger import trials_of

        told = json.loads((self.run / "cost.json").read_text())
        trials = trials_of(RunFolder(self.run), "coarse")
        states = {state: sum(trial.state == state for trial in trials) for state in {trial.state for trial in trials}}
        study = RunFolder(self.run).study
        slept = sum(float(path.read_text()) for path in self.run.rglob("slept"))
        return {
            "networks": self.networks,
            "states": states,
            "driver_seconds": first + told["search"],
            "driver_seconds_per_candidate": (first + told["search"]) / len(trials),
            "driver_start_seconds": told["start"],
            "driver_peak_bytes": peak,
            "ledger_bytes": study.stat().st_size,
            "lost_after_the_drivers_death": lost,
            "wall": wall,
            "slept": slept,
        }

    def close(self) -> None:
        """End the cluster."""
        self.cluster.shutdown()


def alone(folder: Path, networks: int) -> dict[str, Any]:
    """Search with jobs that answer at once in this process: what searcher and ledger take, without Ray."""
    from c2fnas.execution import InlineExecutor
    from c2fnas.runs.run import Run
    from c2fnas.stages.coarse import search_topology

    run = Run(prepared(folder, networks))
    with_sleeping_jobs(0.0)
    began = time.process_time()
    with run.locked(), InlineExecutor("cpu") as executor:
        search_topology(run.using(executor))
    seconds = time.process_time() - began
    return {
        "networks": networks,
        "seconds_per_candidate": seconds / networks,
        "ledger": run.folder.study.stat().st_size,
    }


def with_sleeping_jobs(seconds: float) -> None:
    """Have the coarse stage's jobs sleep instead of training."""
    from c2fnas.execution.job import Job
    from c2fnas.runs.run import Run
    from c2fnas.stages.coarse import search_topology

    def sleeping(run: Run, trial: Any, until: int | None = None) -> Job:
        payload = {"number": trial.number, "seconds": seconds, "code": list(trial.architecture.topology.code)}
        return Job(f"candidate {trial.number}", "cluster_jobs:sleep", payload, run.folder.coarse_trial(trial.number))

    sys.modules[search_topology.__module__].candidate_job = sleeping  # type: ignore[attr-defined]


def prepared(folder: Path, networks: int) -> Path:
    """A run on phantoms, prepared but not begun, that searches among so many networks."""
    from c2fnas.data.phantoms import write_phantoms
    from c2fnas.planning.request import request_for
    from c2fnas.runs.run import Run
    from c2fnas.stages.preparation import prepare

    recipe = {"name": "modern", "iterations": 2}
    budget, run = folder / "budget.yaml", Run(folder / "run")
    folder.mkdir(parents=True, exist_ok=True)
    coarse = {"clusters": 8, "per_cluster": 2, "evaluations": networks, "recipe": recipe, "validation_share": None}
    parts = {"fine": {"candidates": 2, "recipe": recipe}, "deployment": {"folds": "last", "recipe": recipe}}
    budget.write_text(yaml.safe_dump({"plan": "planned", "width": 0.0625, "hours": None, "coarse": coarse, **parts}))
    data = write_phantoms(folder / "Task00", cases=15, test_cases=0)
    prepare(run, data, request_for(run.folder, budget=str(budget), devices=("cpu",)))
    return run.folder.root


def in_words(found: dict[str, Any]) -> str:
    """The figures as Markdown."""
    rows = "\n".join(
        f"| {row['networks']} | {', '.join(f'{count} {state}' for state, count in sorted(row['states'].items()))} | "
        f"{row['driver_seconds_per_candidate']:.3f} | {row['driver_start_seconds']:.1f} | "
        f"{row['driver_peak_bytes'] / 2**20:.0f} | {row['ledger_bytes'] / 1024:.0f} | "
        f"{row['lost_after_the_drivers_death']:.0f} | {row['wall']:.0f} | {row['slept']:.0f} |"
        for row in found["rows"]
    )
    return f"""# A coarse search on a Ray cluster

`{found["command"]}`, Ray {found["versions"]["ray"]}, {found["cores"]} cores under all of it, other work beside it: load
{found["load"]:.0f} at the end. {found["workers"]} workers on {found["nodes"]} nodes; a candidate sleeps
{found["seconds"]:g} s, a straggler {5 * found["seconds"]:g} s; a quarter through a node is killed, a third through two
join, half through the driver is killed and started again.

| networks | candidates | driver's processor s per candidate | its start, s | its peak, MiB | ledger, KiB | \
s from its death to the next result | wall s | slept s |
|--:|---|--:|--:|--:|--:|--:|--:|--:|
{rows}

Wall time is that of starting processes on these few cores: a worker process for every candidate.
{without_ray(found)}"""


def without_ray(found: dict[str, Any]) -> str:
    """The driver's own share, by number of networks."""
    if "alone" not in found:
        return ""
    rows = "\n".join(
        f"| {row['networks']} | {row['seconds_per_candidate']:.3f} | {row['ledger'] / 1024:.0f} |"
        for row in found["alone"]
    )
    return f"""
`{found["alone_command"]}`: the same search without Ray, jobs that answer at once in the driver's process.

| networks | processor s per candidate | ledger, KiB |
|--:|--:|--:|
{rows}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, nargs="+", default=[50, 500])
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=10.0, help="that a candidate sleeps")
    parser.add_argument("--alone", type=int, nargs="+", help="search without Ray, jobs at once, and add the figures")
    parser.add_argument("--work", type=Path, help="a folder to keep the runs in")
    parser.add_argument("--quick", action="store_true", help="write no results")
    parser.add_argument("--driver", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.driver:
        drive(Path(options.driver[0]), options.driver[1], float(options.driver[2]))
        return
    if options.alone:
        found = read_json(RESULTS / "cluster_scale.json")
        with tempfile.TemporaryDirectory() as name:
            found["alone"] = [alone(Path(name) / str(networks), networks) for networks in options.alone]
        found["alone_command"] = shlex.join(["python", "benchmarks/cluster_scale.py", *sys.argv[1:]])
        record(found)
        return
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for networks in options.networks:
            search = Search((options.work or Path(name)) / str(networks), networks, options)
            try:
                rows.append(search.measure())
            finally:
                search.close()
            print(rows[-1], file=sys.stderr, flush=True)
    found = {
        "rows": rows,
        "workers": options.workers,
        "nodes": options.nodes,
        "seconds": options.seconds,
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "command": shlex.join(["python", "benchmarks/cluster_scale.py", *sys.argv[1:]]),
        "versions": {"python": platform.python_version(), "ray": metadata.version("ray")},
    }
    if options.quick:
        print(in_words(found))
    else:
        record(found)


def record(found: dict[str, Any]) -> None:
    """Write the results."""
    print(in_words(found))
    write_json(RESULTS / "cluster_scale.json", found)
    write_text(RESULTS / "cluster_scale.md", in_words(found))


if __name__ == "__main__":
    main()
