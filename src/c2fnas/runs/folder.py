"""A run folder holds everything of a run; here every file of it has its name."""

from dataclasses import dataclass
from pathlib import Path

PACKAGE = "model"
EVALUATION = "evaluation.json"
"""What a network has scored on the validation cases, in the folder of the job that trained it."""


@dataclass(frozen=True)
class RunFolder:
    """The files of one run. Nothing in it holds an absolute path, so it can be copied and resumed elsewhere.

    >>> RunFolder(Path("runs/spleen")).coarse_trial(7).as_posix()
    'runs/spleen/coarse/0007'
    """

    root: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(self.root))

    @property
    def config(self) -> Path:
        """The resolved configuration, seed, versions and data fingerprint."""
        return self.root / "run.yaml"

    @property
    def plan(self) -> Path:
        """How cases are prepared and cut into patches; may be edited by hand before the first preparation."""
        return self.root / "plan.yaml"

    @property
    def fingerprint(self) -> Path:
        """What the dataset looked like when the run began."""
        return self.root / "fingerprint.json"

    @property
    def folds(self) -> Path:
        """Which cases train and which validate, fold by fold, and which of the latter belong together."""
        return self.root / "folds.json"

    @property
    def check(self) -> Path:
        """The warnings of the data set's check and of its folds; a data set with errors has no run."""
        return self.root / "check.json"

    @property
    def study(self) -> Path:
        """The ledger: Optuna studies on SQLite, one per stage."""
        return self.root / "study.db"

    @property
    def timings(self) -> Path:
        """Seconds of training steps and windows, with the machine and the devices that they were measured on."""
        return self.root / "timings.json"

    @property
    def table(self) -> Path:
        """The trainings of a table of topologies."""
        return self.root / "table"

    @property
    def cache(self) -> Path:
        """The prepared cases."""
        return self.root / "cache"

    @property
    def coarse(self) -> Path:
        """The coarse stage."""
        return self.root / "coarse"

    def coarse_trial(self, number: int) -> Path:
        """The folder of one coarse candidate, by its number in the ledger."""
        return self.coarse / f"{number:04d}"

    @property
    def fine(self) -> Path:
        """The fine stage."""
        return self.root / "fine"

    @property
    def supernet(self) -> Path:
        """The training of the super-network."""
        return self.fine / "supernet"

    @property
    def ranking(self) -> Path:
        """The scoring of candidates with the super-network's weights."""
        return self.fine / "ranking"

    @property
    def ranking_devices(self) -> Path:
        """On how many devices the ranking began: its jobs are cut by that."""
        return self.ranking / "devices.json"

    @property
    def ranking_file(self) -> Path:
        """What the ranking came to; it comes last."""
        return self.fine / "ranking.json"

    @property
    def verification(self) -> Path:
        """The retraining of ranked candidates."""
        return self.fine / "verification"

    @property
    def verification_file(self) -> Path:
        """How far retrained candidates agree with the ranking."""
        return self.fine / "verification.json"

    @property
    def scale(self) -> Path:
        """The third stage."""
        return self.root / "scale"

    def scale_trial(self, number: int) -> Path:
        """The folder of one width, by its number in the ledger."""
        return self.scale / f"{number:04d}"

    @property
    def scale_table(self) -> Path:
        """The rows of Table 4."""
        return self.scale / "table.json"

    @property
    def ablation(self) -> Path:
        """What other architectures come to in the run's setting."""
        return self.root / "ablation"

    def ablation_trial(self, number: int) -> Path:
        """The folder of one architecture on one fold, by its number in the ledger."""
        return self.ablation / f"{number:04d}"

    @property
    def final(self) -> Path:
        """The deployed networks."""
        return self.root / "final"

    @property
    def start_model(self) -> Path:
        """A copy of the model package that the deployed networks begin with, where they do not begin from scratch."""
        return self.final / "from"

    def final_fold(self, fold: int) -> Path:
        """The folder of the network deployed for ``fold`` (from 0)."""
        return self.final / f"fold-{fold}"

    def final_model(self, fold: int) -> Path:
        """The model package of that network."""
        return self.final_fold(fold) / PACKAGE

    @property
    def predictions(self) -> Path:
        """Labels of the data set's test images."""
        return self.root / "predictions"

    @property
    def verdict(self) -> Path:
        """What the found network is compared with, and what came of it."""
        return self.root / "verdict"

    @property
    def verdict_file(self) -> Path:
        """The verdict itself."""
        return self.verdict / "verdict.json"

    def reference(self, name: str, fold: int) -> Path:
        """The folder of a network to compare with, on a fold."""
        return self.verdict / name / f"fold-{fold}"

    @property
    def report(self) -> Path:
        """Tables, figures and the page."""
        return self.root / "report"

    @property
    def stop(self) -> Path:
        """A file that a user creates to have the run save and leave."""
        return self.root / "stop"

    @property
    def stop_requested(self) -> bool:
        """Whether the user has asked the run to stop."""
        return self.stop.exists()

    def clear_stop(self) -> None:
        """Forget a request to stop; done when a command begins."""
        self.stop.unlink(missing_ok=True)
