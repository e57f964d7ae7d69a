"""A run folder as it can be looked at: what was found, trained and judged so far."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from c2fnas.runs.folder import RunFolder

if TYPE_CHECKING:
    from c2fnas.data.folds import Fold
    from c2fnas.evaluation.metrics import Evaluation
    from c2fnas.evaluation.verdict import Verdict
    from c2fnas.networks.designs import Design
    from c2fnas.runs.reporter import Reporter
    from c2fnas.studies.tasks import TaskScores


class RunView:
    """The results in a run folder. They are read from its files whenever they are asked for.

    Args:
        folder: the run folder.
        folds: the folds to tell of; all that are trained where empty.
        reporter: hears of the progress.
    """

    def __init__(self, folder: Path, folds: "tuple[Fold, ...]" = (), reporter: "Reporter | None" = None) -> None:
        self.folder = folder
        self._files, self._folds, self._reporter = RunFolder(folder), folds, reporter

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.folder)!r})"

    @property
    def architecture(self) -> "Design | None":
        """The architecture of the final networks, else that of the fine or coarse stage; None before these."""
        from c2fnas.networks.designs import first_design

        return first_design(self._files.final, self._files.fine, self._files.coarse)

    @property
    def models(self) -> "dict[Fold, Path]":
        """The model folder of each fold that is trained, by its number or as `every-case`."""
        from c2fnas.inference.pretrained import is_package

        begun = self._files.begun_folds
        paths = {fold: self._files.final_model(fold) for fold in begun if fold in (self._folds or begun)}
        return {fold: path for fold, path in paths.items() if is_package(path)}

    @property
    def evaluation(self) -> "dict[Fold, Evaluation | None]":
        """Dice on the validation cases of each fold that is trained; None where it is unknown."""
        from c2fnas.runs.records.job_record import evaluation_in

        return {fold: evaluation_in(model.parent) for fold, model in self.models.items()}

    @property
    def verdict(self) -> "Verdict | None":
        """The verdict as it is stored; None before :meth:`judge`."""
        from c2fnas.runs.summary import read_verdict

        return read_verdict(self._files)

    @property
    def scores(self) -> "TaskScores":
        """Dice of every class over the validation cases of all trained folds, and how folds differ."""
        from c2fnas.evaluation.cross_validation import cross_validated
        from c2fnas.runs.config import RunConfig
        from c2fnas.studies.tasks import TaskScores

        config = RunConfig.load(self._files.config) if self._files.config.exists() else None
        place = Path(config.dataset_path).name if config else self.folder.name
        name = config.dataset if config and place in ("", "..") else place  # given as the folder that one was in
        return TaskScores(name, cross_validated(self.evaluation))

    def trials(self) -> Any:
        """Return every candidate that was trained, with its stage, architecture, state, Dice, seconds and device.

        Returns:
            A DataFrame where pandas is installed, else a list of rows with the same ``to_csv(path)``.
        """
        from c2fnas.api.results import trials_table

        return trials_table(self._files)

    def to_json(self) -> dict[str, Any]:
        """The architecture, models, scores and verdict."""
        from c2fnas.studies.tasks import table_1

        architecture, verdict = self.architecture, self.verdict
        return {
            "run": str(self.folder),
            "architecture": None if architecture is None else architecture.to_text(),
            "models": {fold: str(model) for fold, model in self.models.items()},
            **table_1([self.scores]),
            "verdict": None if verdict is None else verdict.to_json(),
        }

    def report(
        self,
        folder: str | Path | None = None,
        *,
        overlays: bool = True,
        case: str | None = None,
        device: str = "auto",
        keep_identifiers: bool = False,
    ) -> Path:
        """Write RUN/report/index.html: what was done and found, how good it is, what it cost and what is left.

        One page that needs no network and no other file; its figures lie beside it as SVG and PNG, with the data behind
        them as CSV. The run is only looked at, so it may be under way.

        Args:
            folder: Where the page goes; by default `report` in the run folder.
            overlays: Show the best, median and worst case, and one slice by slice.
            case: The validation case to show slice by slice; by default the worst.
            device: Where to predict cases that the run has not kept: `auto` (the first GPU, else the CPU), `cpu` ...
            keep_identifiers: Show whole paths of the data set and of the run, not their last part alone.

        Returns:
            The page.

        Examples:
            c2fnas report runs/hippocampus
            c2fnas report runs/hippocampus --no-overlays
        """
        from c2fnas.devices import find_device, refuse_unknown_device

        refuse_unknown_device(device)
        from c2fnas.report import write_report

        return write_report(
            self.folder,
            None if folder is None else Path(folder),
            overlays=overlays,
            case=case,
            device=find_device(device),
            keep_identifiers=keep_identifiers,
            reporter=self._reporter,
        )
