"""`c2fnas watch`: drawn again until the run is finished, printed once elsewhere, served to this machine alone."""

import html
import http.client
import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from report_runs import finished_run, searching_run

import c2fnas
from c2fnas.api import watch_server
from c2fnas.cli import text_watch
from c2fnas.errors import UserError
from c2fnas.runs.state import RunState, read_state
from c2fnas.text import duration

CHROMIUM = shutil.which("chromium")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A search that is under way, driven from another machine."""
    searching_run(tmp_path / "run")
    (tmp_path / "run" / "driver.json").write_text(json.dumps({"pid": 1, "host": "node-7"}))
    return tmp_path / "run"


@pytest.fixture
def address(run: Path) -> Iterator[str]:
    with c2fnas.watch(run, serve=True, every=0.2).serve() as found:
        yield found


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_stage_and_what_is_left_is_told(run: Path) -> None:
    before = files(run)
    text, summary = text_watch.state(read_state(run)), read_state(run).summary
    assert summary is not None
    for stage in summary.stages:
        done = f"{stage.done}/{stage.total} {stage.unit.split()[-1]}"
        left = "nothing" if stage.finished else duration(stage.eta)
        assert re.search(rf"{stage.name} +[━┄]+ +{done} +{duration(stage.clock)} +{left}\n", text)
    table = text.partition("\n\n")[2].partition("\n\n")[0].splitlines()
    assert len(table) == 1 + len(summary.stages)
    assert max(map(len, table)) <= 80
    assert f"Best Dice of a candidate so far: {summary.best_dice:.3f}" in text
    assert "Driven from node-7" in text
    assert files(run) == before


def test_a_finished_run_ends_the_watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("there is nothing to wait for"))
    states = list(c2fnas.watch(finished_run(tmp_path).root))
    assert [state.finished for state in states] == [True]
    assert "The run is finished." in text_watch.state(states[0])


def test_each_look_is_at_the_run_as_it_is_then(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = iter([lambda: (run / "driver.json").unlink(), lambda: finish(run)])

    def finish(folder: Path) -> None:
        shutil.rmtree(folder)
        finished_run(folder)

    monkeypatch.setattr(time, "sleep", lambda _: next(steps)())
    states = list(c2fnas.watch(run))
    assert [state.driver for state in states] == ["node-7", None, None]
    assert [state.finished for state in states] == [False, False, True]


@pytest.mark.parametrize(
    ("options", "said"),
    [({"every": 0}, "--every 0"), ({"port": 80}, "--serve as well"), ({"serve": True, "port": 70000}, "--port 70000")],
)
def test_options_that_go_together_with_nothing_are_refused(run: Path, options: dict[str, float], said: str) -> None:
    with pytest.raises(UserError, match=said):
        c2fnas.watch(run, **options)
    with pytest.raises(UserError, match=r"no run\.yaml"):
        c2fnas.watch(run.parent)


def test_elsewhere_than_in_a_terminal_it_is_printed_once_and_as_json(run: Path) -> None:
    command = [sys.executable, "-m", "c2fnas", "watch", str(run)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.startswith(f"{run}: a search on Phantoms & <others>, budget demo\n")
    found = json.loads(subprocess.run([*command, "--json"], capture_output=True, text=True).stdout)
    assert (found["driver"], found["finished"]) == ("node-7", False)
    assert [stage["name"] for stage in found["stages"]][:2] == ["coarse", "super-network"]


def test_in_a_terminal_it_is_drawn_until_ctrl_c_which_is_no_failure(run: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "c2fnas", "watch", str(run), "--every", "0.2"]
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "80"}
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, env=environment) as process:
        os.close(theirs)
        shown = b""
        while shown.count(b"node-7") < 2:  # drawn, and drawn again
            shown += os.read(ours, 4096)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait() == 0
    os.close(ours)


def test_the_page_and_its_json_say_what_the_summary_says(run: Path, address: str) -> None:
    page = urlopen(address).read().decode()
    assert "Phantoms &amp; &lt;others&gt;" in page
    summary = read_state(run).summary
    assert summary is not None
    for stage in summary.stages:
        assert f'<th scope="row">{stage.name}<td>{stage.state}' in page
    told = json.load(urlopen(f"{address}state.json"))
    assert told["stages"] == json.loads(json.dumps(summary.to_json()["stages"]))
    assert not re.search(r"(src|href)=\"(?!data:,)", page)  # nothing is loaded from anywhere


def test_nothing_can_be_changed_and_nobody_else_is_answered(run: Path, address: str) -> None:
    before, port = files(run), int(address.rstrip("/").rpartition(":")[2])
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        with pytest.raises(HTTPError) as refused:
            urlopen(Request(address, method=method, data=b"x"))
        assert refused.value.code == 501
    for path in ("run.yaml", "../run.yaml", "%2e%2e/run.yaml", "//etc/passwd"):
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request("GET", f"/{path}")
        assert connection.getresponse().status == 404
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/", headers={"Host": f"elsewhere.example:{port}"})
    assert connection.getresponse().status == 403
    assert files(run) == before


def test_the_page_listens_on_the_loopback_alone(address: str) -> None:
    port = int(address.rstrip("/").rpartition(":")[2])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:  # sends nothing: it asks for this machine's address
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no other address")
        other = probe.getsockname()[0]
    if other.startswith("127."):
        pytest.skip("this machine has no other address")
    with pytest.raises(OSError, match=r"refused|timed out|unreachable"):
        socket.create_connection((other, port), timeout=5)


def test_a_port_that_is_taken_is_said(run: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"--port {port}: cannot be had"):
            c2fnas.watch(run, serve=True, port=port).serve().__enter__()


def test_a_folder_that_is_gone_is_no_end_of_the_server(run: Path, address: str) -> None:
    (run / "driver.json").unlink()
    config = (run / "run.yaml").rename(run / "moved")
    with pytest.raises(HTTPError) as refused:
        urlopen(address)
    assert refused.value.code == 503
    config.rename(run / "run.yaml")
    assert urlopen(address).status == 200


@pytest.mark.long
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_a_browser_shows_what_changes_without_being_asked(run: Path, tmp_path: Path) -> None:
    """The run is finished while the page is open; the page that the browser ends with says so."""
    page = watch_server.page(read_state(run), 0.2)
    assert "The run is not finished" in page
    lock, looks = threading.Lock(), 0

    def look() -> RunState:
        """The first look is the page's; before the second one the run is finished."""
        nonlocal looks
        with lock:
            looks += 1
            if looks == 2:
                shutil.rmtree(run)
                finished_run(run)
            return read_state(run)

    with watch_server.served(look, 0.2, 0) as address:
        command = [
            str(CHROMIUM),
            *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage"),
            *("--disable-background-networking", "--enable-logging=stderr", "--window-size=390,900"),
            *("--virtual-time-budget=10000", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", address),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    shown = html.unescape(done.stdout)
    assert "<p>The run is finished.</p>" in shown, done.stderr[-2000:]
    assert 'id="lost" hidden' in shown
    assert "CONSOLE" not in done.stderr, done.stderr
