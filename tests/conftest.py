"""What every test process starts from."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
import pytest
from hypothesis import HealthCheck, settings

# pytest starts a process per core, and threads that spin would wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell starts what runs in the background deaf to Ctrl-C; tests of Ctrl-C, and what they start, have to hear it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine is no fault of the code: nothing here asserts a time. Examples are the same in every call, so that a
# tolerance that fails once in a thousand calls fails in none or at once; `pytest --hypothesis-profile searching` draws.
settings.register_profile("searching", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("unhurried", settings.get_profile("searching"), derandomize=True)
settings.load_profile("unhurried")


@pytest.fixture
def accelerator() -> Iterator[Any]:
    """A stand-in for a GPU, ``cuda:0`` of this process; gives what happened on it."""
    from stand_in import plugged_in

    with plugged_in() as plugged:
        yield plugged


@pytest.fixture(scope="module")
def ray_alone() -> Iterator[None]:
    """One test file at a time has a Ray cluster, in a folder of its own: Ray joins whichever cluster it finds there."""
    temporary = Path(tempfile.gettempdir())
    with (
        filelock.FileLock(temporary / f"c2fnas-tests-ray-{os.getuid()}.lock"),
        pytest.MonkeyPatch.context() as environment,
    ):
        folder = tempfile.mkdtemp(prefix="ray", dir=temporary)  # short: sockets lie there
        environment.setenv("RAY_TMPDIR", folder)
        environment.setenv("RAY_USAGE_STATS_ENABLED", "0")
        environment.delenv("RAY_ADDRESS", raising=False)
        yield
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def fast_steps() -> Iterator[None]:
    """A machine whose steps take no time to speak of and are not measured: a time budget keeps the data's grid."""
    from c2fnas.planning import run_timings
    from c2fnas.runs.timing.timings import Timings

    with pytest.MonkeyPatch.context() as steps:
        steps.setattr(run_timings, "measure", lambda *_: Timings(patch=1e-5, window=1e-6))
        yield


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--precision",
        choices=["fp32", "bf16"],
        help="what the precision `auto` is on a CPU, instead of what this processor is best at",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Runs name their precision in run.yaml, so what a test starts as a process of its own follows."""
    if wish := config.getoption("--precision"):
        from c2fnas.training import precision

        precision._cpu_multiplies_bf16 = lambda: wish == "bf16"
