"""Results of the stages of a run, as values with a JSON form."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from c2fnas.files import read_json, write_text
from c2fnas.space.architecture import Architecture
from c2fnas.text import as_csv

if TYPE_CHECKING:
    from c2fnas.evaluation.pairs import Pair
    from c2fnas.runs.folder import RunFolder
    from c2fnas.runs.run import Run
    from c2fnas.studies.verification import Verification
    from c2fnas.studies.widths import Scaled

TRAINED_STAGES = ("coarse", "scale", "ablation")


@dataclass(frozen=True)
class Ranking:
    """The result of the fine stage.

    Attributes:
        architecture: the best candidate within the limits.
        summary: its Dice and costs, the Pareto front that it was picked from, how candidates were ranked, and what
            retraining says where it was asked for.
    """

    architecture: Architecture
    summary: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The summary."""
        return self.summary


@dataclass(frozen=True)
class Scaling:
    """Table 4: a row for each width and patch that a run has trained, and each width against the next narrower one."""

    rows: "tuple[Scaled, ...]"
    pairs: "tuple[Pair, ...]" = ()

    def to_json(self) -> dict[str, Any]:
        """The rows and the pairs."""
        return {"rows": [row.to_json() for row in self.rows], "pairs": [pair.to_json() for pair in self.pairs]}


@dataclass(frozen=True)
class Tabulation:
    """A table of topologies on disk: how many trainings it holds, of how many topologies, and how many are missing."""

    table: Path
    trainings: int
    topologies: int
    missing: int

    def to_json(self) -> dict[str, Any]:
        """The path and the numbers."""
        return asdict(self) | {"table": str(self.table)}


class Trials(list[dict[str, Any]]):
    """Rows of trials, where pandas is not installed."""

    def to_csv(self, path: str | Path) -> None:
        """Write the rows as CSV."""
        write_text(Path(path), as_csv(self))


def trials_table(folder: "RunFolder") -> Any:
    """Return the trials of every stage as a DataFrame, or as :class:`Trials` without pandas."""
    from c2fnas.runs.ledger import trials_of

    rows = Trials(
        {
            "stage": stage,
            "number": trial.number,
            "state": trial.state,
            "architecture": trial.architecture.to_text(),
            "dice": trial.score,
            "seconds": trial.seconds,
            "device": trial.device,
            "reason": trial.reason,
        }
        for stage in TRAINED_STAGES
        for trial in trials_of(folder, stage)
    )
    try:
        from pandas import DataFrame
    except ImportError:
        return rows
    return DataFrame(rows)


def ranking(run: "Run", found: Architecture, verification: "Verification | None") -> Ranking:
    """Return the result of the fine stage of a run; where it ranks nothing, the operations that it takes."""
    from c2fnas.runs.records.ranked import read_ranked

    if not run.folder.ranking_file.exists():
        return Ranking(found, {"architecture": found.to_text(), "front": [], "ranking": None})
    candidates = read_ranked(run.folder)
    rows = {
        each.architecture: {
            "architecture": each.architecture.to_text(),
            **{name: getattr(each, name) for name in ("dice", "cases", "macs", "parameters", "memory", "latency_ms")},
        }
        for each in candidates
    }
    front = [rows[each.architecture] for each in candidates if each.front]
    summary = rows[found] | {
        "front": sorted(front, key=lambda row: row["macs"]),
        "ranking": read_json(run.folder.ranking_file),
    }
    return Ranking(found, summary if verification is None else summary | verification.to_json())


def tabulated(run: "Run", table: Path, plan: tuple[int, int, int], most: int | None, iterations: int) -> Tabulation:
    """Train what is missing of a table, ``most`` trainings at a time."""
    from c2fnas.bench import planned_trainings, read_table
    from c2fnas.studies.tabulate import TableConfig, tabulate

    per_cluster, repeated, seeds = plan
    trainings = planned_trainings(run.config.space, per_cluster=per_cluster, repeated=repeated, seeds=seeds)
    known = {row.key for row in (read_table(table) if table.exists() else ())}
    missing = [training for training in trainings if training[1:] not in known]
    rows = tabulate(run, table, missing[:most], TableConfig.of(iterations))
    entered = {row.key for row in rows}
    left = sum(training[1:] not in entered for training in trainings)
    return Tabulation(table, len(rows), len({row.topology for row in rows}), left)
