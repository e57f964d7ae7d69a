"""TensorBoard and optuna-dashboard, started on a run folder that is being written to (docs/how-to/watch-a-run.md)."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from c2fnas.runs.ledger import Ledger
from c2fnas.space.architecture import Architecture
from c2fnas.training.metrics_log import MetricsLog, Progress

pytestmark = pytest.mark.long


@contextmanager
def served(tool: str, *arguments: str) -> Iterator[Callable[[str], Any]]:
    """A tool of this environment as a server on a free port; gives what it answers to a path, as JSON."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name(tool)), *arguments, "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def get(path: str) -> Any:
        while True:
            assert process.poll() is None, f"{tool} has ended"
            try:
                return json.load(urlopen(f"http://127.0.0.1:{port}/{path}", timeout=60))
            except (URLError, ConnectionError, TimeoutError):
                time.sleep(0.2)

    try:
        yield get
    finally:
        process.terminate()
        process.wait()


def until(ask: Callable[[], Any], expected: Any) -> None:
    """Ask until the answer is the expected one; the timeout of the test ends what never is."""
    while ask() != expected:
        time.sleep(0.2)


@pytest.mark.timeout(300)
def test_optuna_dashboard_shows_the_studies_and_candidates_of_a_ledger_under_way(tmp_path: Path) -> None:
    architecture = Architecture.from_text("0:3D 1:3D 0:3D @0.25")
    coarse = Ledger(tmp_path / "study.db", "coarse")
    first = coarse.start(architecture, {"cluster": 3})
    with served("optuna-dashboard", f"sqlite:///{tmp_path / 'study.db'}") as get:

        def studies() -> dict[str, int]:
            return {each["study_name"]: each["study_id"] for each in get("api/studies")["study_summaries"]}

        def trials(study: str) -> list[tuple[str, list[float] | None]]:
            found = get(f"api/studies/{studies()[study]}")["trials"]
            return [(trial["state"], trial.get("values")) for trial in found]

        assert list(studies()) == ["coarse"]
        assert trials("coarse") == [("Running", None)]
        coarse.succeed(first, 0.75)
        coarse.start(architecture)
        until(lambda: trials("coarse"), [("Complete", [0.75]), ("Running", None)])
        scale = Ledger(tmp_path / "study.db", "scale")
        scale.add_scored([(architecture, 0.5, {})])
        until(lambda: sorted(studies()), ["coarse", "scale"])
        assert trials("scale") == [("Complete", [0.5])]
        (parameters,) = [each["params"] for each in get(f"api/studies/{studies()['scale']}")["trials"]]
        assert [each["param_external_value"] for each in parameters] == ["0.25"]


@pytest.mark.timeout(300)
def test_tensorboard_shows_the_curves_of_candidates_as_they_start(tmp_path: Path) -> None:
    def train(folder: str, iterations: int) -> None:
        with MetricsLog(tmp_path / folder, 0) as log:
            for iteration in range(1, iterations + 1):
                log.iteration(Progress(iteration, iterations, 1 / iteration, 0.01, 0.1), memory=1e9)

    train("coarse/0000", 20)
    with served("tensorboard", "--logdir", str(tmp_path), "--reload_interval", "1") as get:
        until(lambda: get("data/runs"), ["coarse/0000/tensorboard"])
        train("coarse/0001", 10)
        until(lambda: sorted(get("data/runs")), ["coarse/0000/tensorboard", "coarse/0001/tensorboard"])
        tags = get("data/plugin/scalars/tags")["coarse/0000/tensorboard"]
        assert {"loss", "learning_rate", "seconds_per_iteration", "memory"} <= tags.keys()
        points = get("data/plugin/scalars/scalars?run=coarse%2F0000%2Ftensorboard&tag=loss")
        assert [(step, round(loss, 3)) for _, step, loss in points] == [(1, 1.0), (10, 0.1), (20, 0.05)]
