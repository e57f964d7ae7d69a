"""A run folder holds everything of a run; here every file of it has its name."""

from dataclasses import dataclass
from pathlib import Path

from c2fnas.data.folds import EVERY_CASE, Fold, fold_order
from c2fnas.errors import UserError
from c2fnas.networks.designs import Design, first_design
from c2fnas.space.architecture import Architecture

PACKAGE = "model"
EVALUATION = "evaluation.json"
"""The scores of a network on the validation cases, in the folder of the job that trained it."""


class _Place:
    """A path below the root of a run folder."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, folder: "RunFolder", owner: type | None = None) -> Path:
        return folder.root / self._name if folder is not None else Path(self._name)


@dataclass(frozen=True)
class RunFolder:
    """The files of one run. Nothing in it holds an absolute path, so it can be copied and resumed elsewhere.

    >>> RunFolder(Path("runs/spleen")).coarse_trial(7).as_posix()
    'runs/spleen/coarse/0007'
    """

    root: Path

    config = _Place("run.yaml")
    """The configuration, with seed, versions and checksums of fingerprint, plan and folds."""
    budget = _Place("budget.yaml")
    """A copy of the budget: the part of the configuration that it was when the run was prepared."""
    plan = _Place("plan.yaml")
    """The plan: how cases are prepared and cut into patches. It may be edited until a stage begins."""
    fingerprint = _Place("fingerprint.json")
    """The data set as it was when the run began."""
    folds = _Place("folds.json")
    """Training and validation cases, fold by fold, with the groups of the latter. Edited like the plan."""
    like = _Place("like.json")
    """Of a run that begins like another: that run as it was found at the first start."""
    taken = _Place("cases.json")
    """The cases that a time budget takes, drawn once for its hours; null where it takes all."""
    check = _Place("check.json")
    """The warnings of the data set's check and of its folds; a data set with errors has no run."""
    timings = _Place("timings.json")
    """Seconds of training steps and windows, with the machine and the devices that they were measured on."""
    micro_batches = _Place("micro_batches.jsonl")
    """The micro-batches that trainings short of memory have found, by device, patch, precision and cost."""
    spent = _Place("spent.json")
    """Seconds in which a driver was at work on the run: the time that counts against a budget."""
    slots = _Place("slots.json")
    """The number of jobs that run at a time, written by the driver whenever it changes, as where a node joins."""
    schedule = _Place("schedule.jsonl")
    """The counts of every stage of a time budget, a row each, written before the stage starts and fixed for it."""
    choice = _Place("planning.json")
    """The plans among which one was chosen, with what each was expected to reach, and the race between the nearest."""
    asked = _Place("asked.json")
    """The budget and values that the plan was made for, until ``run.yaml`` has them."""
    race = _Place("race")
    """Short trainings on plans that were close, and the measured steps of the network that is deployed."""
    race_chosen = _Place("race/chosen")
    """The training of a race on the plan that was chosen."""
    measured = _Place("race/measured")
    """The first steps of the network that is deployed, where no training of the run has told its pace."""
    study = _Place("study.db")
    """The ledger: Optuna studies on SQLite, one per stage that trains candidates."""
    cache = _Place("cache")
    """The prepared cases."""
    coarse = _Place("coarse")
    """The coarse stage."""
    coarse_architecture = _Place("coarse/architecture.json")
    """The best topology, with the 3D operation in every cell; it comes last."""
    finalists = _Place("coarse/finalists")
    """The best candidates scored again at the plan's stride, by their number in the ledger."""
    posterior = _Place("coarse/posterior.json")
    """The coarse stage as its posterior sees it, where that chooses: the answer, and what is left to win."""
    fine = _Place("fine")
    """The fine stage."""
    fine_architecture = _Place("fine/architecture.json")
    """The best architecture; it comes last."""
    topology = _Place("fine/topology.json")
    """The topology whose operations are searched: claimed when the stage begins."""
    limits = _Place("fine/choice.json")
    """The most that the architecture may cost, as it was said last."""
    supernet = _Place("fine/supernet")
    """The training of the super-network."""
    ranking = _Place("fine/ranking")
    """The scoring of candidates with the super-network's weights."""
    latency = _Place("fine/latency")
    """The measured latency of the candidates that were scored on all cases."""
    ranking_devices = _Place("fine/ranking/devices.json")
    """The number of devices on which the ranking began: its jobs are cut by that."""
    candidates = _Place("fine/candidates.jsonl")
    """The ranked candidates of the fine stage, a row of JSON each."""
    ranking_file = _Place("fine/ranking.json")
    """The summary of the ranking; it comes last."""
    verification = _Place("fine/verification")
    """The retraining of ranked candidates."""
    verification_file = _Place("fine/verification.json")
    """The agreement of retrained candidates with the ranking."""
    scale = _Place("scale")
    """The third stage."""
    scale_table = _Place("scale/table.json")
    """The rows of Table 4."""
    ablation = _Place("ablation")
    """Other architectures trained on the run's data: Table 3."""
    table = _Place("table")
    """The trainings of a table of topologies."""
    final = _Place("final")
    """The deployed networks."""
    start_model = _Place("final/from")
    """A copy of the model package that the deployed networks begin with, where they do not begin from scratch."""
    predictions = _Place("predictions")
    """Labels of the data set's test images."""
    verdict = _Place("verdict")
    """The networks that the found one is compared with."""
    verdict_file = _Place("verdict/verdict.json")
    """The verdict itself."""
    report = _Place("report")
    """Tables, figures and the page."""
    stop = _Place("stop")
    """A file that a user creates to have the run save and leave."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(self.root))

    def coarse_trial(self, number: int) -> Path:
        """Return the folder of one coarse candidate, by its number in the ledger."""
        return self.coarse / f"{number:04d}"

    @property
    def begun_folds(self) -> tuple[Fold, ...]:
        """The folds (from 0) whose final network has begun to train."""
        names = [path.name.removeprefix("fold-") for path in self.final.glob("fold-*")]
        return tuple(sorted((EVERY_CASE if name == EVERY_CASE else int(name) for name in names), key=fold_order))

    def final_fold(self, fold: Fold) -> Path:
        """Return the folder of the network deployed for ``fold`` (from 0)."""
        return self.final / f"fold-{fold}"

    def final_model(self, fold: Fold) -> Path:
        """Return the model package of that network."""
        return self.final_fold(fold) / PACKAGE

    def reference(self, name: str, fold: Fold, further: int = 0) -> Path:
        """Return the folder of a verdict's network on a fold; ``further`` counts seeds beyond the run's own."""
        return self.verdict / name / (f"fold-{fold}-seed-{further}" if further else f"fold-{fold}")

    def refuse_unprepared(self) -> None:
        """Refuse a folder without a configuration: it is no run, or was not prepared to the end."""
        if not self.config.exists():
            raise UserError(
                f"{self.root}: not a prepared run. `c2fnas prepare DATASET {self.root}` makes one, `c2fnas run` goes "
                "through all stages."
            )

    def refuse_unbegun(self) -> None:
        """Refuse to extend a training that has not begun."""
        if not self.config.exists():
            raise UserError(f"{self.root}: nothing to extend, this run has not begun. Leave --extend out.")

    @property
    def design(self) -> Design | None:
        """The design of the final networks, else the one that the fine stage has found; None before these.

        Raises:
            UserError: its file has a fault.
        """
        return first_design(self.final, self.fine)

    def refuse_without_design(self) -> None:
        """Refuse to train where neither final networks nor a finished search say which network."""
        if self.design is None:
            raise UserError(f"{self.root}: no architecture to train. Give one, such as `--architecture c2fnas-panc`.")

    def found_architecture(self) -> Architecture:
        """Return the architecture that the fine stage found.

        Raises:
            UserError: it has not finished.
        """
        if not self.fine_architecture.exists():
            raise UserError(
                f"{self.root}: the fine stage has not finished. `c2fnas search fine` comes first, or name an "
                "--architecture."
            )
        return Architecture.load(self.fine_architecture)

    def has_found(self, design: Design) -> bool:
        """Return true if the fine stage has found ``design``, in this width or another one (paper 5.3).

        Raises:
            UserError: the fine stage's file can't be read.
        """
        if not isinstance(design, Architecture) or not self.fine_architecture.exists():
            return False
        found = Architecture.load(self.fine_architecture)
        return (found.topology, found.operations) == (design.topology, design.operations)

    @property
    def stop_requested(self) -> bool:
        """True if the user has asked the run to stop."""
        return self.stop.exists()

    def clear_stop(self) -> None:
        """Forget a request to stop; done when a command begins."""
        self.stop.unlink(missing_ok=True)
