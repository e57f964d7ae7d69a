"""The network that a verdict judges: what the run has found, trained from scratch; all else is refused."""

from c2fnas.data.folds import Fold
from c2fnas.errors import UserError
from c2fnas.execution.call import finished
from c2fnas.networks.designs import design_file, read_design
from c2fnas.runs.run import Run
from c2fnas.space.architecture import Architecture
from c2fnas.stages.deployment import fold_job


def searched_design(run: Run) -> Architecture:
    """Return the design of the run's final networks, all of which are there.

    Raises:
        UserError: they are not what the run's search has found, or not trained from scratch on one schedule.
    """
    root, deployment = run.folder.root, run.config.deployment
    if not run.folder.fine_architecture.exists():
        raise UserError(f"{root}: no search has finished here, so there is nothing to judge. Start with `c2fnas run`.")
    if deployment.start:
        raise UserError(
            f"{root}: its final networks began with another model; a verdict compares networks trained from scratch. "
            "Judge the run that the search was made in."
        )
    if deployment.extended:
        raise UserError(
            f"{root}: its final networks were extended, so they had one schedule after another; references would have "
            f"a single one. A verdict comes before `--extend`; after it `c2fnas ablate {root}` trains architectures "
            "alike."
        )
    if not judged_folds(run):
        raise UserError(
            f"{root}: its only network was trained on every case, which leaves none to compare networks on."
        )
    missing = [fold for fold in run.final_folds if not run.folder.final_model(fold).exists()]
    if missing:
        raise UserError(_untrained(run, missing))
    design = read_design(run.folder.final)
    if not run.folder.has_found(design):
        found = Architecture.load(run.folder.fine)
        raise UserError(
            f"{run.folder.final / design_file(design)}: the final networks are of {design.to_text()}, and the search "
            f"has found {found.to_text()}. A verdict judges what was found: in a copy of the run folder without "
            "`final`, `c2fnas run` trains that."
        )
    assert isinstance(design, Architecture)
    behind = [fold for fold in run.final_folds if finished(fold_job(run, design, fold)) is None]
    if behind:
        raise UserError(_untrained(run, behind))
    return design


def _untrained(run: Run, folds: list[Fold]) -> str:
    return (
        f"{run.folder.final}: the found network is not trained yet on fold {', '.join(map(str, folds))}. "
        "`c2fnas run` comes first; a verdict follows."
    )


def judged_folds(run: Run) -> tuple[int, ...]:
    """Return the folds of the final networks that can be scored."""
    return tuple(fold for fold in run.final_folds if isinstance(fold, int))
