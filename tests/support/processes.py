"""Trainings in processes of their own: one that may be killed, or several that train together as under torchrun.

The processes are forked from a server that has imported torch once and runs no threads.
"""

import multiprocessing
import os
import socket
from collections.abc import Callable
from multiprocessing.process import BaseProcess

CONTEXT = multiprocessing.get_context("forkserver")
PRELOADED = ["c2fnas.training.loop", "lightning_fabric.strategies", "toy", "torch.utils.tensorboard"]
CONTEXT.set_forkserver_preload(PRELOADED)


def start(target: Callable[..., None], *arguments: object) -> BaseProcess:
    process = CONTEXT.Process(target=target, args=arguments)
    process.start()
    return process


def run(target: Callable[..., None], *arguments: object) -> int:
    """The exit code of ``target(*arguments)`` in a process of its own; negative: the signal that ended it."""
    return ended(start(target, *arguments))


def ended(process: BaseProcess, seconds: float = 120.0) -> int:
    process.join(seconds)
    if process.exitcode is None:
        process.kill()
        raise AssertionError(f"a process did not end within {seconds} s")
    return process.exitcode


def together(world: int, target: Callable[..., None], *arguments: object) -> list[int]:
    """The exit codes of ``world`` processes that each call ``target(*arguments)`` as torchrun would have them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [start(_as_rank, rank, world, port, target, *arguments) for rank in range(world)]
    return [ended(process) for process in processes]


def _as_rank(rank: int, world: int, port: int, target: Callable[..., None], *arguments: object) -> None:
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "GROUP_RANK": "0",
        "WORLD_SIZE": str(world),
        "LOCAL_WORLD_SIZE": str(world),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_RUN_ID": "test",
        "TORCHELASTIC_RESTART_COUNT": "0",
        "TORCHELASTIC_MAX_RESTARTS": "0",
    }
    target(*arguments)
