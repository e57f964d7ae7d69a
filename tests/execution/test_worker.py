"""Requests to stop that come at a bad moment."""

from pathlib import Path

import pytest

from c2fnas.execution import Job, worker
from c2fnas.execution.call import finished, make_call, read_report


def test_a_request_to_stop_that_comes_after_the_report_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(*call):
        make_call(*call)
        raise KeyboardInterrupt

    monkeypatch.setattr(worker, "make_call", late)
    job = Job("one", "c2fnas.execution.call:echo", {"a": 1}, tmp_path)
    worker._work(job, {"a": 1}, "cpu")
    assert finished(job).value == {"a": 1}


def test_one_that_comes_before_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def early(*call):
        raise KeyboardInterrupt

    monkeypatch.setattr(worker, "make_call", early)
    job = Job("one", "c2fnas.execution.call:echo", {"a": 1}, tmp_path)
    worker._work(job, {"a": 1}, "cpu")
    assert read_report(job).kind == "interrupted"
