"""In-process calls and their reports."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from c2fnas.errors import UserError
from c2fnas.execution import InlineExecutor, Job
from c2fnas.execution.call import Report, finished, make_call, read_report, write_report
from c2fnas.execution.process import report_of_death
from c2fnas.inference.forward import WindowTooLarge


def press_ctrl_c(payload: dict, folder: Path, device: str) -> dict:
    raise KeyboardInterrupt


def test_ctrl_c_passes_and_leaves_no_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    job = Job("one", f"{Path(__file__).stem}:press_ctrl_c", {}, tmp_path)
    with InlineExecutor() as executor:
        executor.submit(job)
        with pytest.raises(KeyboardInterrupt):
            executor.wait()
    assert read_report(job) is None


def test_a_report_answers_for_its_own_job_alone(tmp_path: Path) -> None:
    job = Job("one", "module:train", {"width": 0.25}, tmp_path)
    report = Report("done", {"score": 0.5}, None, 1.5)
    write_report(job, report)
    assert read_report(job) == report
    for other in (
        Job("two", "module:train", {"width": 0.25}, tmp_path),
        Job("one", "module:other", {"width": 0.25}, tmp_path),
        Job("one", "module:train", {"width": 0.5}, tmp_path),
    ):
        assert read_report(other) is None


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO])
def test_a_report_that_cannot_be_read_at_the_moment_is_not_none(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is done would be done again."""
    job = Job("one", "module:train", {}, tmp_path)
    assert finished(job) is None
    write_report(job, Report("done", {}, None, 0.0))

    def failing(path: Path, **_: Any) -> str:
        raise OSError(number, os.strerror(number), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", failing)
        said = "ulimit -n" if number == errno.EMFILE else "Give the same command again"
        with pytest.raises(UserError, match=rf"result\.json: .*{said}"):
            finished(job)
    assert finished(job) is not None


def test_a_report_survives_a_move_of_the_run_folder(tmp_path: Path) -> None:
    write_report(Job("one", "module:train", {}, tmp_path / "here"), Report("done", {}, None, 0.0))
    (tmp_path / "here").rename(tmp_path / "there")
    assert read_report(Job("one", "module:train", {}, tmp_path / "there")) is not None


def run_out(payload: dict, folder: Path, device: str) -> dict:
    errors = {
        "threads": RuntimeError("can't start new thread"),
        "files": OSError(errno.EMFILE, "Too many open files"),
        "memory": MemoryError(),
        "window": WindowTooLarge("There is not enough memory for one window of this network."),
        "bug": RuntimeError("can't do that"),
    }
    raise errors[payload["of"]]


@pytest.mark.parametrize(
    ("of", "kind", "text"),
    [
        ("threads", "user_error", "one: a resource of the system has run out (can't start new thread). Close"),
        ("files", "user_error", "one: a resource of the system has run out (Too many open files). Raise the limit"),
        ("memory", "out_of_memory", "MemoryError"),
        ("window", "out_of_memory", "not enough memory for one window"),
        ("bug", "failed", "can't do that"),
    ],
)
def test_a_system_without_threads_or_files_is_no_jobs_fault(
    of: str, kind: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    job = Job("one", f"{Path(__file__).stem}:run_out", {"of": of}, tmp_path)
    report = make_call(job, job.payload, "cpu")
    assert report.kind == kind
    assert text in (report.failure or "")


@pytest.mark.parametrize(
    ("code", "deaths", "short", "kind", "text"),
    [
        (-9, 1, False, "killed", "The worker was ended by SIGKILL: the last words (see"),
        (-9, 2, False, "killed", "The worker was ended 2 times, at last by SIGKILL"),
        (-9, 1, True, "out_of_memory", "lack of memory"),
        (-11, 1, True, "killed", "SIGSEGV"),
        (1, 1, False, "killed", "exit status 1"),
        (-250, 1, False, "killed", "signal 250"),
        (74, 1, False, "user_error", "the last words"),
    ],
)
def test_what_a_silent_worker_died_of(
    tmp_path: Path, code: int, deaths: int, short: bool, kind: str, text: str
) -> None:
    (tmp_path / "worker.log").write_text("hello\nthe last words\n")
    report = report_of_death(Job("one", "module:train", {}, tmp_path), code, deaths, short)
    assert report.kind == kind
    assert text in (report.failure or "")
