"""The worker's side of the ranking: paths scored with the super-network's weights, and some of them timed."""

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch

from c2fnas.errors import Interrupted
from c2fnas.evaluation.path_ranking import CaseResult, groups_of, score_by_case
from c2fnas.execution.retry import MICRO_BATCH_DIVISOR
from c2fnas.files import append_json_line, read_json_lines, write_text
from c2fnas.inference.forward import autocast, resolve_device
from c2fnas.inference.sliding_window import SlidingWindow
from c2fnas.networks import SuperNetwork
from c2fnas.runs.live import progress_to
from c2fnas.runs.run import Run
from c2fnas.space.operation import Operation, OperationPath
from c2fnas.stages.supernet import trained_supernet
from c2fnas.training.stop import StopRequest

ROWS = "rows.jsonl"
TIMED = 5

Json = dict[str, Any]
Row = list[float | None] | None
"""Dice per foreground class on one case; None for a path whose logits are not finite."""


def rank_paths(payload: Json, folder: Path, device: str) -> Json:
    """Score paths on validation cases with the super-network's weights (paper Eq. 7); a row per path and case.

    Each case is kept when it is finished, so an interrupted ranking carries on with the next one, to the same bits.
    """
    run = Run.open(folder / payload["run"])
    window = _window(run, payload)
    cases = run.cases(payload["cases"])
    paths = [tuple(map(Operation, path)) for path in payload["paths"]]
    kept = _kept(folder / ROWS, payload, window)
    tell = progress_to(folder, "ranked", device)
    total = len(cases) * len(groups_of(cases, paths, window, run.classes))
    results = score_by_case(
        trained_supernet(run, payload["code"]),
        cases,
        paths,
        window,
        class_names=run.class_names,
        device=device,
        finished=kept.keys(),
    )
    with StopRequest(folder) as stop:
        for result in results:
            kept[result.case, result.first] = rows = _rows(result)
            append_json_line(folder / ROWS, {"case": result.case, "first": result.first, "rows": rows})
            tell(len(kept), total)
            if stop and len(kept) < total:
                stop.obeyed()
                raise Interrupted(f"{folder}: stopped after {len(kept)} of {total} cases; the same command carries on.")
    return {"rows": [_of_path(kept, payload["cases"], index) for index in range(len(paths))]}


def measure_latency(payload: Json, folder: Path, device: str) -> Json:
    """Measure the milliseconds of one window through each path: the median of a few passes after a warm-up."""
    run = Run.open(folder / payload["run"])
    place, window = resolve_device(device), run.window(ranking=True)
    supernet = trained_supernet(run, payload["code"]).to(place).eval()
    image = torch.randn(1, run.in_channels, *window.patch_size, device=place)
    tell = progress_to(folder, "timed", device)
    latencies = []
    with torch.inference_mode(), autocast(place, window.precision):
        for path in payload["paths"]:
            operations = tuple(map(Operation, path))
            seconds = [_timed(supernet, image, operations) for _ in range(1 + TIMED)]
            latencies.append(1000 * median(seconds[1:]))
            tell(len(latencies), len(payload["paths"]))
    return {"milliseconds": latencies}


def _window(run: Run, payload: Json) -> SlidingWindow:
    """The ranking's window, with a smaller batch after an out-of-memory."""
    window = run.window(ranking=True)
    return replace(window, batch=max(1, window.batch // payload.get(MICRO_BATCH_DIVISOR, 1)))


def _kept(path: Path, payload: Json, window: SlidingWindow) -> dict[tuple[str, int], list[Row]]:
    """The rows that an earlier call of this very job has kept; those of another job, and a cut line, are removed."""
    key = hashlib.sha256(json.dumps([payload, window.batch], sort_keys=True).encode()).hexdigest()
    header, *lines = [*read_json_lines(path)] or [{}]
    if header.get("job") != key:
        lines = []
    write_text(path, "".join(json.dumps(line) + "\n" for line in [{"job": key}, *lines]))
    return {(line["case"], line["first"]): line["rows"] for line in lines}


def _rows(result: CaseResult) -> list[Row]:
    return [None if row is None else list(row.dice.values()) for row in result.rows]


def _of_path(kept: dict[tuple[str, int], list[Row]], cases: Sequence[str], index: int) -> list[Row]:
    """A path's row on every case."""
    first = max(start for _, start in kept if start <= index)
    return [kept[case, first][index - first] for case in cases]


def _timed(supernet: SuperNetwork, image: torch.Tensor, path: OperationPath) -> float:
    start = time.perf_counter()
    supernet(image, path)
    if image.device.type == "cuda":
        torch.cuda.synchronize(image.device)
    return time.perf_counter() - start
