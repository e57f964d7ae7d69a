"""Targets that the executors' tests call, in this process and in others."""

import logging
import os
import signal
import time
from pathlib import Path
from typing import Any

import psutil

from c2fnas.errors import Interrupted, UserError
from c2fnas.training.stop import StopRequest

Payload = dict[str, Any]


def _count(folder: Path) -> int:
    """How often this folder has been worked in, this time included."""
    marks = folder / "calls"
    with marks.open("a") as file:
        file.write(f"{os.getpid()}\n")
    return len(marks.read_text().splitlines())


def calls(folder: Path) -> int:
    """How often a target has been called in ``folder``."""
    return len((folder / "calls").read_text().splitlines()) if (folder / "calls").exists() else 0


def describe(payload: Payload, folder: Path, device: str) -> Payload:
    _count(folder)
    return {"payload": payload, "folder": folder.name, "device": device, "pair": (1, 2)}


def sees_beside_another(payload: Payload, folder: Path, device: str) -> Payload:
    """The GPU that is visible while another job runs, and the process that started this one."""
    place = Path(payload["place"])
    (place / folder.name).touch()
    while len([*place.iterdir()]) < 2:
        time.sleep(0.05)
    return {"gpu": os.environ.get("CUDA_VISIBLE_DEVICES"), "starter": os.getppid()}


def fail(payload: Payload, folder: Path, device: str) -> Payload:
    raise ValueError("the candidate cannot be trained:\n  " + payload["why"])


def fails_once(payload: Payload, folder: Path, device: str) -> Payload:
    if _count(folder) == 1:
        raise ValueError("a disk has gone")
    return {"calls": calls(folder)}


def warn(payload: Payload, folder: Path, device: str) -> Payload:
    logging.getLogger("c2fnas.training.checkpoint").warning("%s: damaged.\nFalling back.", payload["what"])
    return {}


def leave(payload: Payload, folder: Path, device: str) -> Payload:
    raise SystemExit(3)


def not_json(payload: Payload, folder: Path, device: str) -> Payload:
    return {"score": object()}


def not_a_number(payload: Payload, folder: Path, device: str) -> Payload:
    return {"score": float("nan"), "loss": float("inf")}


def needs_half_the_memory(payload: Payload, folder: Path, device: str) -> Payload:
    divisor = payload.get("micro_batch_divisor", 1)
    _count(folder)
    if divisor == 1:
        raise MemoryError("too large")
    return {"divisor": divisor, "batch": payload["batch"]}


def never_fits(payload: Payload, folder: Path, device: str) -> Payload:
    _count(folder)
    raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")


def user_error(payload: Payload, folder: Path, device: str) -> Payload:
    raise UserError("disk.img: no space is left. Free some.")


def interrupted_once(payload: Payload, folder: Path, device: str) -> Payload:
    if _count(folder) == 1:
        raise Interrupted("stopped on request")
    return {"calls": _count(folder) - 1}


def wait_for(payload: Payload, folder: Path, device: str) -> Payload:
    """Ends when the named file is there."""
    end = time.monotonic() + 60
    while not Path(payload["file"]).exists():
        if time.monotonic() > end:
            raise TimeoutError(payload["file"])
        time.sleep(0.01)
    return {"seen": True}


def waits_and_is_counted(payload: Payload, folder: Path, device: str) -> Payload:
    _count(folder)
    return wait_for(payload, folder, device)


def killed_then_resumes(payload: Payload, folder: Path, device: str) -> Payload:
    """Counts to 10 with a checkpoint each step; killed at steps 3 and, if asked, 6."""
    checkpoint = folder / "checkpoint"
    start = step = int(checkpoint.read_text()) if checkpoint.exists() else 0
    _count(folder)
    while step < 10:
        step += 1
        checkpoint.write_text(str(step))
        if step in payload["killed_at"]:
            os.kill(os.getpid(), signal.SIGKILL)
    return {"steps": step, "resumed_at": start}


def segmentation_fault(payload: Payload, folder: Path, device: str) -> Payload:
    _count(folder)
    print("about to crash", flush=True)
    os.kill(os.getpid(), signal.SIGSEGV)
    return {}


def saves_when_asked(payload: Payload, folder: Path, device: str) -> Payload:
    """As the training loop does: works until it is asked to stop, saves, and says that it was interrupted.

    The stop file comes first and SIGINT after it, perhaps in the middle of the saving.
    """
    with StopRequest(folder) as stop:
        (folder / "began").touch()
        while not stop:
            time.sleep(0.01)
        (folder / "saved").touch()
    raise Interrupted("stopped on request")


def deaf(payload: Payload, folder: Path, device: str) -> Payload:
    """Neither looks for a stop file nor heeds Ctrl-C; has a child of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    child = os.fork()
    if child == 0:
        time.sleep(600)
        os._exit(0)
    (folder / "pids").write_text(f"{os.getpid()} {child}")
    time.sleep(600)
    return {}


def threads(payload: Payload, folder: Path, device: str) -> Payload:
    return {"threads": os.environ.get("OMP_NUM_THREADS"), "visible": os.environ.get("CUDA_VISIBLE_DEVICES")}


def measured_by_its_process(payload: Payload, folder: Path, device: str) -> Payload:
    """In the place of what a network takes."""
    return {"patch": 0.0, "window": 0.0, "memory": os.getpid()}


def slow_square(payload: Payload, folder: Path, device: str) -> Payload:
    """A candidate of the toy driver."""
    _count(folder)
    time.sleep(payload["seconds"])
    return {"score": payload["number"] ** 2 / 1000}


def is_alone(payload: Payload, folder: Path, device: str) -> Payload:
    """Whether the worker of that process id has left; a zombie has."""
    try:
        return {"alone": psutil.Process(payload["pid"]).status() == psutil.STATUS_ZOMBIE}
    except psutil.NoSuchProcess:
        return {"alone": True}


def killed_when_undivided(payload: Payload, folder: Path, device: str) -> Payload:
    if "micro_batch_divisor" not in payload:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"divisor": payload["micro_batch_divisor"]}


def wait_for_and_count(payload: Payload, folder: Path, device: str) -> Payload:
    count = _count(folder)
    wait_for(payload, folder, device)
    if count == 1:
        time.sleep(600)  # until its node is lost
    return {"calls": count}
