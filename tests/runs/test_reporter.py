"""A step that can't tell of itself is told of while it lasts, and no longer."""

import threading

import pytest

from c2fnas.runs.reporter import Silent, ticking


class Listening(Silent):
    """Notes what it hears; lets a test wait for the third update."""

    def __init__(self) -> None:
        self.heard: list[tuple[object, ...]] = []
        self.third = threading.Event()

    def say(self, text: str) -> None:
        self.heard.append(("say", text))

    def start(self, stage: str, total: float) -> None:
        self.heard.append(("start", stage, total))

    def update(self, stage: str, done: float, note: str = "") -> None:
        self.heard.append(("update", stage, done, note))
        if len(self.heard) > 4:
            self.third.set()

    def finish(self, stage: str, note: str = "") -> None:
        self.heard.append(("finish", stage))


def test_it_is_told_of_again_and_again() -> None:
    listening, threads = Listening(), threading.active_count()
    with ticking(listening, "onnx", "follows the network", every=0.001):
        assert listening.third.wait(60)
    start, said, *updates, finish = listening.heard
    assert (start, finish) == (("start", "onnx", 1), ("finish", "onnx"))
    assert said == ("say", "onnx: follows the network ...")
    assert set(updates) == {("update", "onnx", 0, "follows the network")}
    assert len(updates) >= 3
    assert threading.active_count() == threads


def test_a_failure_ends_it_too() -> None:
    listening, threads = Listening(), threading.active_count()
    with pytest.raises(ValueError, match="no"), ticking(listening, "onnx", "note", every=60):
        raise ValueError("no")
    assert listening.heard == [("start", "onnx", 1), ("say", "onnx: note ..."), ("update", "onnx", 0, "note")]
    assert threading.active_count() == threads
