"""Prediction of label files: case by case in bounded memory, resumable; a case that fails is passed over."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from c2fnas.data.dataset import Case
from c2fnas.data.problem import CaseError
from c2fnas.data.restoration import Restoration
from c2fnas.errors import Interrupted, UserError
from c2fnas.inference.prediction_folder import PredictionFolder
from c2fnas.inference.predictor import Image, Predictor, Prepared
from c2fnas.inference.quality import foresee, grids_of
from c2fnas.inference.sinks import RestoringSink
from c2fnas.text import plural

UnderWay = tuple[Case, Restoration]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Failure:
    """A case that could not be predicted, and why."""

    case: str
    reason: str


@dataclass(frozen=True)
class Predicted:
    """The cases that a call has predicted, those that were there already, and those that failed."""

    folder: Path
    done: tuple[str, ...]
    kept: tuple[str, ...]
    failures: tuple[Failure, ...]

    def text(self) -> str:
        """Return a line on what is in the folder now."""
        kept = f", {len(self.kept)} were there already" if self.kept else ""
        return f"{plural(len(self.done), 'case')} predicted{kept}: {self.folder}"

    def failure_text(self) -> str:
        """Return a line on each case that failed, and one on how to go on; empty where none failed."""
        if not self.failures:
            return ""
        lines = [f"case {failure.case} failed: {failure.reason}" for failure in self.failures]
        total = len(self.done) + len(self.kept) + len(self.failures)
        how = "Fix them and run the same command again."
        return "\n".join([*lines, f"{len(self.failures)} of {total} cases failed. {how}"])

    def to_json(self) -> dict[str, Any]:
        """Return the same as JSON."""
        failures = [asdict(failure) for failure in self.failures]
        return {"folder": str(self.folder), "done": list(self.done), "kept": list(self.kept), "failures": failures}


def predict_cases(
    predictor: Predictor,
    cases: Sequence[Case],
    folder: Path,
    *,
    overwrite: bool = False,
    on_progress: Progress = lambda done, failed: None,
) -> Predicted:
    """Predict ``cases`` into ``folder``; called again after an interruption it carries on.

    ``on_progress(done, failed)`` counts cases; those done include kept and failed ones.

    Raises:
        UserError: the folder holds other predictions, can't be written or is another process' at the moment, or one
            window does not fit into memory.
    """
    foresee(grids_of(cases, predictor.spacing), predictor.plan, predictor.plan.seen)
    output = PredictionFolder(folder, predictor.extras)
    with output.held():
        open_ = output.claim(cases, predictor.maker, overwrite=overwrite)
        work = _Work(predictor, output, len(cases) - len(open_), on_progress)
        try:
            work.run(open_)
        except BaseException:
            with suppress(UserError, OSError):  # what has stopped the work tells more
                output.statistics.save()
            raise
        output.statistics.save()
    kept = tuple(case.id for case in cases if case not in open_)
    return Predicted(folder, tuple(work.done), kept, tuple(work.failures))


class _Work:
    """The progress of one call."""

    def __init__(self, predictor: Predictor, output: PredictionFolder, kept: int, on_progress: Progress) -> None:
        self.done: list[str] = []
        self.failures: list[Failure] = []
        self._predictor, self._output, self._network = predictor, output, predictor.network
        self._kept, self._on_progress = kept, on_progress

    def run(self, cases: Sequence[Case]) -> None:
        """Predict the cases; where a batch fails, those it may have come from one by one, then the others."""
        waiting = deque(cases)
        self._tell()
        while waiting:
            suspects = self._stream(waiting)
            for case in suspects:
                self._stream(deque([case]), alone=True)

    def _stream(self, waiting: deque[Case], alone: bool = False) -> list[Case]:
        """Predict from the front of ``waiting``, which is emptied; returns the cases under way when a batch failed."""
        under_way: deque[UnderWay] = deque()
        try:
            sinks = self._predictor.window.stream(
                self._network, self._volumes(waiting, under_way), device=self._predictor.device
            )
            for sink in sinks:
                self._write(*under_way.popleft(), sink)
        except (UserError, Interrupted, KeyboardInterrupt):
            raise  # concerns every case: a full disk, no room for a single window
        except Exception as error:
            if not under_way:
                raise  # no case's fault
            if alone:
                self._fail(under_way[0][0], error)
                return []
            return [case for case, _ in under_way]
        return []

    def _write(self, case: Case, way: Restoration, sink: RestoringSink) -> None:
        try:
            self._predictor.write(case, sink, way, self._output)
        except Exception as error:
            if isinstance(error, UserError) and not isinstance(error, CaseError):
                raise  # a full disk, say
            self._output.forget(case)
            self._fail(case, error)
            return
        self.done.append(case.id)
        self._tell()

    def _volumes(self, waiting: deque[Case], under_way: deque[UnderWay]) -> Iterator[tuple[Image, RestoringSink]]:
        """Prepared images, the next one read while the windows of this one are computed."""
        with ThreadPoolExecutor(1) as reader:
            coming: Future[Prepared] | None = None
            while waiting:
                case = waiting[0]
                coming = coming or reader.submit(self._predictor.read, case)
                try:
                    image, way = coming.result()
                except Exception as error:
                    self._fail(waiting.popleft(), error)
                    coming = None
                    continue
                waiting.popleft()
                under_way.append((case, way))
                coming = reader.submit(self._predictor.read, waiting[0]) if waiting else None
                yield image, self._predictor.sink(way)

    def _fail(self, case: Case, error: Exception) -> None:
        text = str(error) if isinstance(error, CaseError) else f"{case.images[0]}: {str(error) or type(error).__name__}"
        self.failures.append(Failure(case.id, text))
        self._tell()

    def _tell(self) -> None:
        self._on_progress(self._kept + len(self.done) + len(self.failures), len(self.failures))
