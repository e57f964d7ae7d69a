"""A run read into frozen values: all that its report says, and nothing that has to be computed anew."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from c2fnas.data.plan import Plan, load_plan
from c2fnas.errors import UserError
from c2fnas.files import read_json, sha256
from c2fnas.networks.designs import Design
from c2fnas.report.facts.coarse import CoarseFacts, read_coarse
from c2fnas.report.facts.cost import Costs, read_costs
from c2fnas.report.facts.data import DataFacts, ProblemGroup, read_data, read_problems
from c2fnas.report.facts.final import FinalFacts, read_final
from c2fnas.report.facts.fine import FineFacts, read_fine
from c2fnas.report.facts.jobs import Curve, processes_of, read_curve
from c2fnas.report.facts.scale import read_widths
from c2fnas.report.facts.verdict import read_verdict
from c2fnas.runs.config import RunConfig
from c2fnas.runs.folder import RunFolder
from c2fnas.space.architecture import Architecture
from c2fnas.studies.widths import Scaled


@dataclass(frozen=True)
class RunFacts:
    """A run, finished or not. What has not come about yet is None or empty.

    Attributes:
        folds: (training, validation) cases of each fold.
        folds_checksum: SHA-256 of ``folds.json``; None before it is there.
        supernet: the training of the super-network.
        widths: what the third stage has trained.
        verdict: as ``verdict/verdict.json`` has it.
        workers: devices that worked at the search at a time, its own or a cluster's.
        processes: of those that trained one network together, as torchrun starts them; 1 where none did.
        changed: when anything of the run was last written (UTC).
    """

    folder: RunFolder
    config: RunConfig
    plan: Plan | None
    data: DataFacts | None
    problems: tuple[ProblemGroup, ...]
    folds: tuple[tuple[int, int], ...]
    folds_checksum: str | None
    coarse: CoarseFacts
    coarse_curves: tuple[tuple[int, Curve], ...]
    supernet: Curve
    fine: FineFacts
    widths: tuple[Scaled, ...]
    final: FinalFacts
    costs: Costs
    verdict: dict[str, Any] | None
    workers: int
    processes: int
    changed: datetime

    @property
    def design(self) -> Design | None:
        """The network that was deployed; before that, the one that the fine stage has chosen."""
        return self.final.design or self.fine.chosen

    @property
    def architecture(self) -> Architecture | None:
        """The same where it is an architecture of the search space."""
        return self.design if isinstance(self.design, Architecture) else None


def read_run(root: Path) -> RunFacts:
    """Read a run folder, finished or not; it is only looked at, a driver at work is not disturbed.

    Raises:
        UserError: it is no run folder, or a file of it is damaged.
    """
    folder = RunFolder(root)
    if not folder.config.exists():
        raise UserError(f"{root}: not a run folder, there is no run.yaml in it. Name the --run folder of `c2fnas run`.")
    config = RunConfig.load(folder.config)
    plan = load_plan(folder.plan) if folder.plan.exists() else None
    coarse = read_coarse(folder, config)
    return RunFacts(
        folder=folder,
        config=config,
        plan=plan,
        data=read_data(folder),
        problems=read_problems(folder),
        folds=_folds(folder),
        folds_checksum=sha256(folder.folds) if folder.folds.exists() else None,
        coarse=coarse,
        coarse_curves=tuple((each.number, read_curve(folder.coarse_trial(each.number))) for each in coarse.trials),
        supernet=read_curve(folder.supernet),
        fine=read_fine(folder, config),
        widths=read_widths(folder),
        final=read_final(folder),
        costs=read_costs(folder, config, plan, coarse),
        verdict=read_verdict(folder),
        workers=_workers(folder, config, coarse),
        processes=max(map(processes_of, (folder.supernet, *folder.final.glob("fold-*")))),
        changed=_changed(folder),
    )


def _workers(folder: RunFolder, config: RunConfig, coarse: CoarseFacts) -> int:
    """As many as the run was given, as the candidates were trained on, and as the ranking was cut for."""
    ranking = read_json(folder.ranking_devices)["devices"] if folder.ranking_devices.exists() else 1
    return max(len(config.devices), len({trial.device for trial in coarse.evaluated}), ranking)


def _folds(folder: RunFolder) -> tuple[tuple[int, int], ...]:
    found = read_json(folder.folds) if folder.folds.exists() else []
    return tuple((len(fold["training"]), len(fold["validation"])) for fold in found)


def _changed(folder: RunFolder) -> datetime:
    """By the files that a run writes as it goes; those that a report leaves do not count."""
    moving = [
        folder.study,
        folder.config,
        *folder.root.glob("*/**/metrics.jsonl"),
        *folder.root.glob("*/**/result.json"),
    ]
    newest = max(path.stat().st_mtime for path in moving if path.exists())
    return datetime.fromtimestamp(newest, UTC)
