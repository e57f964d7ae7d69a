"""Ranking (paper Eq. 7): candidates scored with the super-network's weights, case by case, by jobs on all devices."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

import torch

from c2fnas.errors import Interrupted, UserError
from c2fnas.evaluation.metrics import CaseScores
from c2fnas.evaluation.path_ranking import mean_dice, refuse_without_foreground, score_by_case, windows_for
from c2fnas.execution.job import Job, Outcome
from c2fnas.execution.retry import MICRO_BATCH_DIVISOR
from c2fnas.files import append_json_line, read_json, refusing_damage, write_json
from c2fnas.inference.forward import computing, resolve_device
from c2fnas.networks import SuperNetwork
from c2fnas.runs.driver import drive
from c2fnas.runs.live import progress_to
from c2fnas.runs.records.scored_cases import Row, kept_rows
from c2fnas.runs.run import Run
from c2fnas.search.prefix_saving import RankingMacs
from c2fnas.search.successive_halving import case_order
from c2fnas.space.operation import Operation, OperationPath
from c2fnas.space.topology import Topology
from c2fnas.stages.supernet import trained_supernet
from c2fnas.training.stop import StopRequest

STAGE = "ranking"
JOBS_PER_DEVICE = 4
FEWEST_PATHS = 16
"""Paths of a job: with fewer, starting it takes longer than its work."""
ROWS = "rows.jsonl"
TIMED = 5

Json = dict[str, Any]

_Part = tuple[Job, list[OperationPath], tuple[str, ...]]
"""A job, and the paths and cases that it scores."""


def rank_paths(payload: Json, folder: Path, device: str) -> Json:
    """Score paths on validation cases with the super-network's weights (paper Eq. 7); a row per path and case.

    Each case is kept when it is finished, so an interrupted ranking carries on with the next one, to the same bits.
    """
    run = Run.open(folder / payload["run"])
    cases = run.cases(payload["cases"])
    paths = [tuple(map(Operation, path)) for path in payload["paths"]]
    supernet = trained_supernet(run, payload["code"])

    def batch() -> int:
        return windows_for(supernet, cases, paths, run.window(ranking=True), resolve_device(device))

    divisor = payload.get(MICRO_BATCH_DIVISOR, 1)  # 2 after an out-of-memory
    job = {name: value for name, value in payload.items() if name != MICRO_BATCH_DIVISOR}  # the same job
    at_a_time, kept = kept_rows(folder / ROWS, job, batch)
    window = replace(run.window(ranking=True), batch=max(1, at_a_time // divisor))
    tell, total = progress_to(folder, "ranked", device), len(cases) * len(paths)
    macs = cache(lambda numbers: _macs(run, payload["code"], [paths[number] for number in numbers]))
    results = score_by_case(
        supernet, cases, paths, window, scheme=run.scheme, device=device, finished=kept.rows.keys(), divisor=divisor
    )
    with StopRequest(folder) as stop:
        for result in results:
            line = {
                "case": result.case,
                "paths": result.paths,
                "rows": [None if row is None else list(row.dice.values()) for row in result.rows],
                "macs": [result.windows * count for count in macs(result.paths)],
            }
            append_json_line(folder / ROWS, line)
            kept.add(line)
            tell(len(kept.rows), total)
            if stop and len(kept.rows) < total:
                stop.obeyed()
                raise Interrupted(
                    f"{folder}: stopped after {len(kept.rows)} of {total} rows; the same command carries on."
                )
    rows = [[kept.rows[case, number] for case in payload["cases"]] for number in range(len(paths))]
    return {"rows": rows, "macs_naive": kept.naive, "macs_tree": kept.tree}


def measure_latency(payload: Json, folder: Path, device: str) -> Json:
    """Measure the milliseconds of one window through each path: the median of a few passes after a warm-up."""
    run = Run.open(folder / payload["run"])
    place, window = resolve_device(device), run.window(ranking=True)
    supernet = trained_supernet(run, payload["code"]).to(place).eval()
    image = torch.randn(1, run.in_channels, *window.patch_size, device=place)
    tell = progress_to(folder, "timed", device)
    latencies = []
    with computing(place, window.precision):
        for path in payload["paths"]:
            operations = tuple(map(Operation, path))
            seconds = [_timed(supernet, image, operations) for _ in range(1 + TIMED)]
            latencies.append(1000 * median(seconds[1:]))
            tell(len(latencies), len(payload["paths"]))
    return {"milliseconds": latencies}


def _macs(run: Run, code: Sequence[int], paths: Sequence[OperationPath]) -> tuple[int, int]:
    """Multiply-accumulates of a window through paths, one after the other, and as the tree that they form."""
    macs = RankingMacs(
        Topology(tuple(code)), tuple(paths), run.in_channels, run.classes, run.plan.patch_size, run.width
    )
    return macs.naive, macs.tree


def _timed(supernet: SuperNetwork, image: torch.Tensor, path: OperationPath) -> float:
    start = time.perf_counter()
    supernet(image, path)
    if image.device.type == "cuda":
        torch.cuda.synchronize(image.device)
    return time.perf_counter() - start


class Ranking:
    """The scores of candidates so far: a row of Dice per path and case.

    A job that was finished answers at once, so a ranking that is begun again asks for the same scores and is soon where
    it stopped.

    Args:
        total: pairs of path and case that will be asked for, for the display.
    """

    def __init__(self, run: Run, topology: Topology, total: float) -> None:
        self._run, self._topology = run, topology
        self._jobs = JOBS_PER_DEVICE * _devices(run)
        self._rows: dict[OperationPath, dict[str, Row]] = {}
        self._so_far = ""
        self.macs_naive = self.macs_tree = 0
        """Multiply-accumulates of what was scored: each candidate alone, and as they were walked together."""
        self.scored = 0
        """Pairs of path and case that were scored."""
        self._devices, self._failures = dict[OperationPath, str](), dict[OperationPath, str]()
        run.reporter.start(STAGE, total)

    def score(self, label: str, paths: Iterable[OperationPath], cases: Sequence[str]) -> None:
        """Score ``paths`` on those of ``cases`` that they have no row for; ``label`` names the folder of the jobs."""
        missing: dict[tuple[str, ...], list[OperationPath]] = {}
        for path in sorted(set(paths)):
            lacking = tuple(case for case in cases if case not in self._rows.get(path, {}))
            if lacking:
                missing.setdefault(lacking, []).append(path)
        chunks = [(chunk, lacking) for lacking, group in missing.items() for chunk in self._chunks(group)]
        self._score_all(
            [
                (self._job(f"{label}/{number:04d}", chunk, lacking), chunk, lacking)
                for number, (chunk, lacking) in enumerate(chunks)
            ]
        )

    def dice(self, path: OperationPath, cases: Sequence[str]) -> float | None:
        """Return the mean Dice of a path over cases that it was scored on; None where it has failed."""
        names = self._run.scheme.names
        rows = [self._rows[path][case] for case in cases]
        return mean_dice(
            [
                None if row is None else CaseScores(case, dict(zip(names, row, strict=True)))
                for case, row in zip(cases, rows, strict=True)
            ]
        )

    def device(self, path: OperationPath) -> str:
        """Return the device that scored a path last."""
        return self._devices[path]

    def failure(self, path: OperationPath) -> str:
        """Return the reason for a path's failure."""
        return self._failures.get(path, "With the super-network's weights its logits are not finite.")

    def close(self, note: str) -> None:
        """End the display."""
        self._run.reporter.finish(STAGE, note)

    def _score_all(self, parts: Sequence[_Part]) -> None:
        """Do the jobs; those that fail are done once more at the end, since each holds many candidates."""
        of = {job.id: (job, paths, cases) for job, paths, cases in parts}
        failed = self._drive(parts)
        for outcome in failed:
            said = f"{len(of[outcome.job_id][1])} candidates could not be ranked, and are ranked once more"
            self._run.reporter.say(f"{said}: {outcome.failure}")
        for outcome in self._drive([of[each.job_id] for each in failed]):
            self._leave_out(outcome, *of[outcome.job_id][1:])

    def _drive(self, parts: Sequence[_Part]) -> list[Outcome]:
        """Do the jobs, keep the rows of those that are done, and return the others' outcomes."""
        of, waiting, failed = {part[0].id: part for part in parts}, list(reversed(parts)), list[Outcome]()

        def settle(outcome: Outcome) -> None:
            if outcome.value is None:
                failed.append(outcome)
            else:
                self._keep(outcome, *of[outcome.job_id][1:])

        drive(
            self._run,
            STAGE,
            lambda: waiting.pop()[0] if waiting else None,
            settle,
            finished=lambda: self.scored,
            so_far=lambda: self._so_far,
            units=lambda job: len(of[job.id][1]) * len(of[job.id][2]),
        )
        return failed

    def _keep(self, outcome: Outcome, paths: list[OperationPath], cases: tuple[str, ...]) -> None:
        assert outcome.value is not None
        self.macs_naive += outcome.value.get("macs_naive", 0)
        self.macs_tree += outcome.value.get("macs_tree", 0)
        self._enter(outcome, paths, cases, outcome.value["rows"])

    def _leave_out(self, outcome: Outcome, paths: list[OperationPath], cases: tuple[str, ...]) -> None:
        """Give a job up that has failed twice: all of its paths have."""
        self._run.reporter.say(f"{len(paths)} candidates could not be ranked and are left out: {outcome.failure}")
        self._failures |= dict.fromkeys(paths, outcome.failure or outcome.kind)
        self._enter(outcome, paths, cases, [[None] * len(cases)] * len(paths))

    def _enter(
        self, outcome: Outcome, paths: list[OperationPath], cases: tuple[str, ...], rows: Sequence[Sequence[Row]]
    ) -> None:
        for path, own in zip(paths, rows, strict=True):
            self._rows.setdefault(path, {}).update(zip(cases, own, strict=True))
            self._devices[path] = outcome.device
        self.scored += len(paths) * len(cases)
        self._so_far = self._best_on_most_cases()

    def _best_on_most_cases(self) -> str:
        """The best candidate among those that have seen the most cases: a mean over few is no match for it."""
        most = max(map(len, self._rows.values()))
        scores = [self.dice(path, [*rows]) for path, rows in self._rows.items() if len(rows) == most]
        best = max((score for score in scores if score is not None), default=None)
        return "" if best is None else f"best Dice {best:.4f} on {most} cases"

    def _chunks(self, paths: list[OperationPath]) -> list[list[OperationPath]]:
        """Sorted neighbours stay together, since they share the most; as many chunks as keep all devices busy."""
        size = -(-len(paths) // max(1, min(self._jobs, len(paths) // FEWEST_PATHS)))
        return [paths[start : start + size] for start in range(0, len(paths), size)]

    def _job(self, name: str, paths: Sequence[OperationPath], cases: tuple[str, ...]) -> Job:
        payload = {
            "run": "../../../..",
            "code": list(self._topology.code),
            "cases": list(cases),
            "paths": [list(path) for path in paths],
        }
        folder = self._run.folder.ranking / name
        return Job(name, "c2fnas.stages.ranking:rank_paths", payload, folder)


def _devices(run: Run) -> int:
    """The number of devices on which the ranking began, be they the run's, others that were named, or a cluster's.

    It is written down: cut into other jobs, what has been scored would be asked for again.
    """
    path = run.folder.ranking_devices
    if not path.exists():
        write_json(path, {"devices": max(len(run.config.devices), run.executor.idle)})
    with refusing_damage(path, "the devices of a ranking", "Restore it from a copy, or choose another run folder."):
        return int(read_json(path)["devices"])


def ranking_cases(run: Run) -> list[str]:
    """Return the validation cases that rank candidates, in the order in which successive halving adds them.

    Raises:
        UserError: none of them shows any foreground.
    """
    cases = run.cases(run.search_split.validation)
    refuse_without_foreground(cases)
    shows = [{number for number, voxels in enumerate(case.foreground, start=1) if len(voxels)} for case in cases]
    absent = [name for number, name in enumerate(run.scheme.names, 1) if number not in set().union(*shows)]
    if absent:
        run.reporter.say(
            f"No validation case shows {', '.join(absent)}: in the ranking this counts only where a candidate finds "
            "what isn't there."
        )
    return [cases[number].id for number in case_order(shows)][: run.config.fine.cases]


def refuse_all_failed(run: Run, scores: Sequence[float | None]) -> None:
    """Refuse a ranking in which no candidate has a score."""
    if all(score is None for score in scores):
        raise UserError(
            f"{run.folder.fine}: none of the {len(scores)} candidates could be scored: the super-network's weights "
            "give no finite scores on any path, or every job failed. Look into fine/ranking, and train the "
            "super-network again in another run folder."
        )
