"""What runs on a device in the fine stage: training the super-network, ranking paths, timing and retraining some."""

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch

from c2fnas.errors import Interrupted
from c2fnas.evaluation.path_ranking import CaseResult, groups_of, score_by_case
from c2fnas.execution.retry import MICRO_BATCH_DIVISOR
from c2fnas.files import append_json_line, read_json_lines, write_text
from c2fnas.inference.forward import autocast, resolve_device
from c2fnas.inference.sliding_window import SlidingWindow
from c2fnas.networks import SuperNetwork
from c2fnas.runs.live import progress_to
from c2fnas.runs.run import Setting
from c2fnas.search.paths import SAMPLINGS
from c2fnas.space.architecture import Architecture
from c2fnas.space.operation import Operation
from c2fnas.space.topology import Topology
from c2fnas.stages.jobs import Json, evaluate_on, fitted, new_network, setting_of, train_on
from c2fnas.training.checkpoint import forget_checkpoints
from c2fnas.training.stop import StopRequest
from c2fnas.training.weights import load_weights, save_weights

WEIGHTS = "weights.safetensors"
ROWS = "rows.jsonl"
TIMED = 5

Row = list[float | None] | None
"""Dice per foreground class on one case; None for a path whose logits are not finite."""


def train_supernet(payload: Json, folder: Path, device: str) -> Json:
    """Train the super-network of a topology by single-path one-shot (paper 3.4, Eq. 6)."""
    supernet, sampling = train_supernet_network(payload, folder, device)
    save_weights(folder / WEIGHTS, supernet)
    return {"sampling": sampling}


def train_supernet_network(payload: Json, folder: Path, device: str) -> tuple[SuperNetwork, list[list[int]]]:
    """The trained super-network, and how often each cell has trained each operation.

    Where several processes train together, each of them calls this.
    """
    setting = setting_of(payload, folder)
    config = setting.config
    supernet = new_supernet(setting, payload["code"])
    paths = SAMPLINGS[config.fine.sampling](config.operations, config.cells, seed=config.seed)
    recipe = fitted(config.fine.recipe, payload)
    train_on(
        setting,
        supernet,
        setting.search_split.training,
        recipe,
        folder,
        device,
        forward=lambda network, image, iteration: network(image, paths(iteration)),
    )
    return supernet, paths.counts(recipe.iterations)


def rank_paths(payload: Json, folder: Path, device: str) -> Json:
    """Score paths on validation cases with the super-network's weights (paper Eq. 7); a row per path and case.

    Each case is kept when it is finished, so an interrupted ranking carries on with the next one, to the same bits.
    """
    setting = setting_of(payload, folder)
    window = _window(setting, payload)
    cases = setting.cases(payload["cases"])
    paths = [tuple(map(Operation, path)) for path in payload["paths"]]
    kept = _kept(folder / ROWS, payload, window)
    tell = progress_to(folder, "ranked", device)
    total = len(cases) * len(groups_of(cases, paths, window, setting.classes))
    results = score_by_case(
        trained_supernet(setting, payload["code"]),
        cases,
        paths,
        window,
        class_names=setting.class_names,
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
    """Milliseconds of one window through each path on this device: the median of a few passes after a warm-up."""
    setting = setting_of(payload, folder)
    place, window = resolve_device(device), setting.window(ranking=True)
    supernet = trained_supernet(setting, payload["code"]).to(place).eval()
    image = torch.randn(1, setting.in_channels, *window.patch_size, device=place)
    tell = progress_to(folder, "timed", device)
    latencies = []
    with torch.inference_mode(), autocast(place, window.precision):
        for path in payload["paths"]:
            operations = tuple(map(Operation, path))
            seconds = [_timed(supernet, image, operations) for _ in range(1 + TIMED)]
            latencies.append(1000 * median(seconds[1:]))
            tell(len(latencies), len(payload["paths"]))
    return {"milliseconds": latencies}


def retrain_candidate(payload: Json, folder: Path, device: str) -> Json:
    """Train a ranked candidate from scratch as the final network would be, with a seed of its own, and score it."""
    setting = setting_of(payload, folder)
    setting = replace(setting, config=setting.config.model_copy(update={"seed": payload["seed"]}))
    network = new_network(setting, Architecture.from_json(payload["architecture"]))
    recipe = fitted(setting.config.deployment.recipe.with_iterations(payload["iterations"]), payload)
    train_on(setting, network, setting.search_split.training, recipe, folder, device)
    evaluation = evaluate_on(setting, network, setting.search_split.validation, folder, device)
    forget_checkpoints(folder)
    return {"dice": evaluation.mean}


def new_supernet(setting: Setting, code: Sequence[int]) -> SuperNetwork:
    """The super-network of a topology's code with the run's first weights."""
    torch.manual_seed(setting.config.seed)
    config = setting.config
    return SuperNetwork(
        Topology(tuple(code)),
        in_channels=setting.in_channels,
        classes=setting.classes,
        width=config.width,
        operations=config.operations,
    )


def trained_supernet(setting: Setting, code: Sequence[int]) -> SuperNetwork:
    """The super-network with the weights that its training has left.

    Raises:
        UserError: they are damaged, missing or another network's.
    """
    supernet = new_supernet(setting, code)
    load_weights(setting.folder.supernet / WEIGHTS, supernet)
    return supernet


def _window(setting: Setting, payload: Json) -> SlidingWindow:
    """The ranking's window, with a smaller batch after an out-of-memory."""
    window = setting.window(ranking=True)
    return replace(window, batch=max(1, window.batch // payload.get(MICRO_BATCH_DIVISOR, 1)))


def _kept(path: Path, payload: Json, window: SlidingWindow) -> dict[tuple[str, int], list[Row]]:
    """What an earlier call has finished of this very job; rows of another one, and a line cut short, are removed."""
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


def _timed(supernet: SuperNetwork, image: torch.Tensor, path: tuple[Operation, ...]) -> float:
    start = time.perf_counter()
    supernet(image, path)
    if image.device.type == "cuda":
        torch.cuda.synchronize(image.device)
    return time.perf_counter() - start
