"""Many machines: a Ray cluster behind the same interface (extra ``c2fnas[ray]``).

The run folder must lie on a disk that all nodes see under the same path. A Ray task does nothing but look after a
worker process, the same that runs on local devices, so that crashes, checkpoints and retries are the same everywhere.
"""

import os
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from c2fnas.errors import UserError
from c2fnas.execution.call import Report, clear_stop, finished
from c2fnas.execution.environment import limited_environment
from c2fnas.execution.executor import Executor
from c2fnas.execution.job import Job, Outcome
from c2fnas.execution.process import WorkerProcess
from c2fnas.execution.retry import Try
from c2fnas.files import STOP

try:
    import ray
except ImportError as error:
    raise UserError("The Ray backend needs an extra package: pip install 'c2fnas[ray]'.") from error

_POLL = 0.1  # seconds
LOCAL = "local"
"""A cluster of this process's own; without an address Ray would join whichever it finds on the machine."""


@dataclass(frozen=True)
class _Task:
    """A Ray task that looks after a try at a job."""

    current: Try
    reference: Any  # ray.ObjectRef of (report, device)
    submitted: float


class RayExecutor(Executor):
    """One worker process per Ray task; Ray chooses the node.

    Args:
        address: of the cluster, such as ``"auto"`` or ``"ray://head:10001"``; None joins the one that
            ``RAY_ADDRESS`` names or starts one on this machine, whatever else runs here.
        slots: how many jobs run at a time; None: as many as the cluster has room for, counted again at every turn, so
            that nodes may come and go.
        cpus: the cores of a job, which are also its threads.
        gpus: the GPUs of a job; None: one where the cluster has any when the job is submitted.
        retries: how often a job is started again when its worker is killed or its node is lost.
        grace: seconds that running jobs have to save and leave when the executor is closed or a node loses its driver.

    Raises:
        UserError: Ray is not installed, or the cluster can't be reached.
    """

    elsewhere = True

    def __init__(
        self,
        address: str | None = None,
        *,
        slots: int | None = None,
        cpus: int = 1,
        gpus: float | None = None,
        retries: int = 1,
        grace: float = 30.0,
    ) -> None:
        self._started_here = _join(address)
        self.cpus, self.retries, self.grace = cpus, retries, grace
        self._gpus = gpus
        self._slots = slots
        self._tasks: list[_Task] = []
        self._ready: deque[tuple[Job, Report]] = deque()

    @property
    def gpus(self) -> float:
        """The GPUs that a job gets which is submitted now."""
        return float(bool(ray.cluster_resources().get("GPU"))) if self._gpus is None else self._gpus

    @property
    def slots(self) -> int:
        """The number of jobs that the cluster has room for, though more may wait in its queue since a node left."""
        return self._capacity()

    @property
    def idle(self) -> int:
        """The number of further jobs that the cluster has room for; where it has none at all, one that waits for it."""
        return 0 if self._closed else max(0, self._capacity() - len(self._tasks) - len(self._ready))

    @property
    def running(self) -> tuple[Job, ...]:
        """The jobs submitted and not yet returned."""
        return tuple(job for job, _ in self._ready) + tuple(task.current.job for task in self._tasks)

    def submit(self, job: Job) -> None:
        """Hand ``job`` to the cluster. Raises RuntimeError where nothing is idle."""
        self._refuse_unless_idle()
        if report := finished(job):
            self._ready.append((job, report))
            return
        clear_stop(job)
        self._tasks.append(self._start(Try(job), time.monotonic()))

    def wait(self, timeout: float | None = None) -> Outcome | None:
        """Return the next outcome. Raises as :meth:`Executor.wait` does."""
        if not self.running:
            raise RuntimeError("nothing runs")
        end = None if timeout is None else time.monotonic() + timeout
        while not self._ready:
            left = None if end is None else max(0.0, end - time.monotonic())
            ended, _ = ray.wait([task.reference for task in self._tasks], num_returns=1, timeout=left)
            if not ended:
                return None
            task = next(task for task in self._tasks if task.reference == ended[0])
            if outcome := self._ended(task):
                return outcome
        job, report = self._ready.popleft()
        return report.outcome(job, "none: done before")

    def close(self) -> None:
        """Ask running jobs to save and leave; end those that haven't after the grace period, or at once on Ctrl-C."""
        self._closed = True
        left = [task.reference for task in self._tasks]
        try:
            for folder in [task.current.job.folder for task in self._tasks]:
                with suppress(OSError):  # lest one that can't be asked keeps the others from being asked
                    folder.mkdir(parents=True, exist_ok=True)  # of a job that waits in the cluster's queue
                    (folder / STOP).touch()
            if left:
                _, left = ray.wait(left, num_returns=len(left), timeout=self.grace + 5)
        finally:
            for reference in left:  # not those that ended: Ray may abort where a cancellation meets a task's last word
                ray.cancel(reference, force=True)
            self._tasks.clear()
            self._ready.clear()
            if self._started_here:
                ray.shutdown()
                self._started_here = False

    def _capacity(self) -> int:
        if self._slots is not None:
            return self._slots
        return room_on(ray.nodes(), self.cpus, self.gpus)

    def _start(self, current: Try, submitted: float) -> _Task:
        gpus = self.gpus
        task = _LOOK_AFTER.options(num_cpus=self.cpus, num_gpus=gpus)
        request = {**asdict(current), "job": {**asdict(current.job), "folder": str(current.job.folder.resolve())}}
        return _Task(current, task.remote(request, self.cpus, gpus, self.grace), submitted)

    def _ended(self, task: _Task) -> Outcome | None:
        """Return the outcome of a task that has ended; None where the job is tried again."""
        self._tasks.remove(task)
        report, device = _fetch(task)
        again = task.current.retry(report.kind, self.retries)
        if again is not None:
            self._tasks.append(self._start(again, task.submitted))
            return None
        return report.outcome(task.current.job, device, time.monotonic() - task.submitted)


def room_on(nodes: Sequence[Mapping[str, Any]], cpus: float, gpus: float) -> int:
    """Count the jobs of so many cores and GPUs that fit on nodes, each of them on one; where none fits, one that waits.

    A job in the queue is what has an autoscaler start nodes.

    Args:
        nodes: as ``ray.nodes()`` tells of them.
        cpus: cores of a job.
        gpus: GPUs of a job, or the part of one.

    >>> node = {"Alive": True, "Resources": {"CPU": 6.0, "GPU": 1.0}}
    >>> room_on([node, node], 4, 0), room_on([node, node], 1, 0.25), room_on([], 1, 0)
    (2, 8, 1)
    """
    wanted = {name: count for name, count in (("CPU", cpus), ("GPU", gpus)) if count}
    there = [node["Resources"] for node in nodes if node["Alive"]] if wanted else []
    return max(1, sum(min(int(each.get(name, 0) / count) for name, count in wanted.items()) for each in there))


def look_after(request: dict[str, Any], cpus: int, gpus: float, grace: float) -> tuple[dict[str, Any], str]:
    """Run, on a node, the worker of a try to its end; return its report and where it ran."""
    job = Job(**{**request["job"], "folder": Path(request["job"]["folder"])})
    current = Try(job, request["kills"], request["divided"])
    device = "cuda:0" if gpus else "cpu"
    process = WorkerProcess(current, device, limited_environment(max(1, cpus)), grace)
    try:
        while not process.ended:
            if (job.folder / STOP).exists():
                process.ask_to_stop()
            time.sleep(_POLL)
    finally:
        process.end()
    name = f"cuda:{os.environ.get('CUDA_VISIBLE_DEVICES', '')}" if gpus else "cpu"
    return asdict(process.report()), f"{socket.gethostname()} {name}"


# Ray would end its own process after each task with a GPU, and start another one for the next, which takes longer than
# all else that a job costs. Here a task computes nothing: what it looks after is a process of its own.
_LOOK_AFTER = ray.remote(max_retries=0, max_calls=0)(look_after)


def _join(address: str | None) -> bool:
    """Join a cluster; True if it was not joined before."""
    if ray.is_initialized():
        return False
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    address = address or os.environ.get("RAY_ADDRESS") or LOCAL
    try:
        _reach(address)
        with _sigterm_as_it_was():
            ray.init(address=address, log_to_driver=False)
    except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        named = "of this machine" if address == LOCAL else address
        raise UserError(
            f"The Ray cluster {named} cannot be joined ({' '.join(str(error).split())}). Start "
            "one with `ray start --head`, or give the address of a running one with --address."
        ) from error
    return True


@contextmanager
def _sigterm_as_it_was() -> Iterator[None]:
    """Keep what SIGTERM does in this process; Ray would print a stack trace of C++ and end it."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before if before is not None else signal.SIG_DFL)


def _reach(address: str) -> None:
    """Raise OSError where nobody answers at ``host:port``; Ray itself would try for many minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host, int(port)), timeout=10).close()


def _fetch(task: _Task) -> tuple[Report, str]:
    try:
        report, device = ray.get(task.reference)
        return Report(**report), device
    except ray.exceptions.RayTaskError as error:
        cause = " ".join(str(error.cause).split())
        return Report("failed", None, f"The worker could not be started: {cause}", 0.0), "unknown"
    except ray.exceptions.OutOfMemoryError as error:
        return Report(
            "out_of_memory", None, f"Ray ended the worker for lack of memory: {_brief(error)}", 0.0
        ), "unknown"
    except ray.exceptions.RayError as error:
        return Report("killed", None, f"{type(error).__name__}: {_brief(error)}", 0.0), "unknown"


def _brief(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
