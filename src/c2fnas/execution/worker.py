"""The process of one job: ``python -m c2fnas.execution.worker JOBFILE``.

It leaves ``result.json`` in the job's folder. Its standard input is a pipe that the driver holds open: when the driver
is gone, however it went, the pipe ends and so does the worker. A lock in the folder keeps a worker that a new driver
has started waiting until the one of the dead driver has left.
"""

import os
import signal
import sys
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock

from c2fnas.errors import UserError
from c2fnas.execution.call import Report, finished, make_call, read_report, write_report
from c2fnas.execution.job import Job
from c2fnas.execution.log import keep_warnings
from c2fnas.files import STOP, read_json, write_json
from c2fnas.memory import offer_to_be_killed_first

JOB_FILE = "job.json"
LOCK_FILE = ".worker.lock"
CANNOT_WRITE = 74  # the exit status of a worker whose report found no room


def write_job_file(job: Job, payload: dict[str, Any], device: str, grace: float) -> Path:
    """Write the file that a worker reads; the folder that it lies in is the job's.

    ``grace``: the seconds a worker without a driver has for a last checkpoint.
    """
    path = job.folder / JOB_FILE
    job_values = {"id": job.id, "target": job.target, "payload": job.payload}
    write_json(path, {"job": job_values, "payload": payload, "device": device, "grace": grace})
    return path


def main(arguments: list[str]) -> int:
    """Do the job of the given file; return 0 if a report has been written."""
    path = Path(arguments[0])
    request = read_json(path)
    job, grace = Job(folder=path.parent, **request["job"]), request["grace"]
    offer_to_be_killed_first()
    keep_warnings(job.folder)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # shells have background processes ignore it
    threading.Thread(target=_leave_with_the_driver, args=(job.folder, grace), daemon=True).start()
    try:
        with FileLock(job.folder / LOCK_FILE, timeout=2 * grace + 10, fallback_to_soft=False):
            _work(job, request["payload"], request["device"])
    except UserError:
        traceback.print_exc()
        return CANNOT_WRITE
    return 0


def _work(job: Job, payload: dict[str, Any], device: str) -> None:
    if finished(job):
        return
    start = time.monotonic()
    try:
        make_call(job, payload, device)
    except KeyboardInterrupt:
        if (report := read_report(job)) is None or report.kind != "done":  # the request may have come after the report
            write_report(job, Report("interrupted", None, "stopped on request", time.monotonic() - start))


def _leave_with_the_driver(folder: Path, grace: float) -> None:
    """Wait for the end of standard input; then ask the target to stop, and end the process after a grace period."""
    with suppress(OSError):
        while os.read(0, 1):
            pass
    with suppress(OSError):
        (folder / STOP).touch()
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(grace)
    end_group(os.getpid())


def end_group(pid: int) -> None:
    """End the process ``pid``, which leads its own group where there are groups, with all that it has started."""
    with suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(pid, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGTERM)


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.exit(code)
