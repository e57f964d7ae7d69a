"""A run read into frozen values: everything that its report shows."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from c2fnas.data.folds import Fold
from c2fnas.evaluation.verdict import counted
from c2fnas.files import read_json, sha256
from c2fnas.report.coarse import CoarseSummary, summarise_coarse
from c2fnas.report.data import DataSummary, ProblemGroup, read_problems, summarise_data
from c2fnas.report.final import FinalSummary, summarise_final
from c2fnas.report.fine import FineSummary, summarise_fine
from c2fnas.report.repeat import Repeat, read_repeat
from c2fnas.runs.config import RunConfig
from c2fnas.runs.records.job_record import Curve, read_curve, read_job, read_jobs
from c2fnas.runs.records.kept_folds import KeptFolds
from c2fnas.runs.summary import RunSummary, read_summary
from c2fnas.studies.widths import Scaled, read_scaled


@dataclass(frozen=True)
class ReportSummary(RunSummary):
    """A run, finished or not, with the details of its stages. What does not exist yet is None or empty.

    Attributes:
        validation: the validation cases of each fold.
        groups: the group of every case that shares it with another one.
        folds_checksum: SHA-256 of ``folds.json``; None before it is there.
        coarse_curves: the trainings of the coarse candidates, by number.
        supernet: the training of the super-network.
        widths: the rows of Table 4.
        workers: devices that worked at the search at a time, its own or a cluster's.
        processes: the most that trained one network together, as torchrun starts them; 1 where none did.
        hardware: the processors and GPUs that did its jobs.
        repeat: how to repeat it; None before it has a plan.
    """

    data: DataSummary | None
    problems: tuple[ProblemGroup, ...]
    validation: tuple[tuple[str, ...], ...]
    groups: Mapping[str, str]
    folds_checksum: str | None
    coarse: CoarseSummary
    coarse_curves: tuple[tuple[int, Curve], ...]
    supernet: Curve
    fine: FineSummary
    widths: tuple[Scaled, ...]
    final: FinalSummary
    workers: int
    processes: int
    hardware: tuple[str, ...]
    repeat: Repeat | None

    def cases_of(self, folds: Iterable[Fold]) -> str:
        """Return how many cases validate these folds, and of how many groups: "8 cases of 4 groups"."""
        return self.counted(case for fold in folds if isinstance(fold, int) for case in self.validation[fold])

    def counted(self, cases: Iterable[str]) -> str:
        """Return how many cases these are, each once, and of how many groups."""
        known = {*cases}
        return counted(len(known), len({self.groups.get(case, case) for case in known}))


def read_report(run: Path, place: Path | None = None, *, keep_identifiers: bool = False) -> ReportSummary:
    """Read a run folder, finished or not. Nothing is written, and a driver at work is not disturbed.

    ``place`` is where the page goes, if not into the run folder.

    Of paths beyond the run folder the last part stays, unless ``keep_identifiers``: folders are named after people.

    Raises:
        UserError: it is no run folder, or a file of it is damaged.
    """
    known = read_summary(run)
    if not keep_identifiers:
        known = replace(known, config=_without_places(known.config))
    folder, config = known.folder, known.config
    coarse = summarise_coarse(known.trials, config, folder)
    folds = KeptFolds.load(folder.folds) if folder.folds.exists() else KeptFolds()
    ranked_on = read_json(folder.ranking_devices)["devices"] if folder.ranking_devices.exists() else 1
    workers = max(len(config.devices), len({trial.device for trial in coarse.evaluated}), ranked_on)
    processes = max(read_job(place).processes for place in (folder.supernet, *folder.final.glob("fold-*")))
    return ReportSummary(
        **vars(known),
        data=summarise_data(folder),
        problems=read_problems(folder),
        validation=tuple(split.validation for split in folds.splits),
        groups=folds.groups,
        folds_checksum=sha256(folder.folds) if folder.folds.exists() else None,
        coarse=coarse,
        coarse_curves=tuple((each.number, read_curve(folder.coarse_trial(each.number))) for each in known.trials),
        supernet=read_curve(folder.supernet),
        fine=summarise_fine(folder, config),
        widths=read_scaled(folder),
        final=summarise_final(folder, known.evaluations),
        workers=workers,
        processes=processes,
        hardware=tuple(sorted({job.hardware for job in read_jobs(folder.root)} - {""})),
        repeat=read_repeat(folder, config, workers, processes, own=place is None),
    )


def _without_places(config: RunConfig) -> RunConfig:
    """The configuration with the last part alone of each path in it."""

    def last(value: Any) -> Any:
        return Path(value).name if isinstance(value, str) and os.sep in value else value

    places = {name: last(getattr(config, name)) for name in ("dataset_path", "budget")}
    overrides = {name: last(value) for name, value in config.overrides.items()}
    folds = config.folds.model_copy(update={"by": last(config.folds.by)})
    return config.model_copy(update={**places, "folds": folds, "overrides": overrides})
