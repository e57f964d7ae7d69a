"""What a verdict judges: the network that the run's search has found, trained as its references will be."""

from c2fnas.errors import UserError
from c2fnas.execution.call import finished
from c2fnas.networks.designs import Design, design_file, read_design
from c2fnas.runs.folder import EVALUATION
from c2fnas.runs.found import was_found
from c2fnas.runs.run import Setting
from c2fnas.space.architecture import Architecture
from c2fnas.stages.deploy import fold_job


def searched_design(setting: Setting) -> Design:
    """The design of the run's final networks, all of which are there.

    Raises:
        UserError: they are not what the run's search has found, or not trained from scratch on one schedule.
    """
    run, deployment = setting.folder.root, setting.config.deployment
    if not (setting.folder.fine / "architecture.json").exists():
        raise UserError(f"{run}: no search has finished here, so there is nothing to judge. Start with `c2fnas run`.")
    if deployment.start:
        raise UserError(
            f"{run}: its final networks began with another model; a verdict compares networks trained from scratch. "
            "Judge the run that the search was made in."
        )
    if deployment.extended:
        raise UserError(
            f"{run}: its final networks were extended, so they had one schedule after another; references would have a "
            f"single one. A verdict comes before `--extend`; after it `c2fnas ablate {run}` trains architectures alike."
        )
    missing = [fold for fold in deployment.folds if not (setting.folder.final_fold(fold) / EVALUATION).exists()]
    if missing:
        raise UserError(_untrained(setting, missing))
    design = read_design(setting.folder.final)
    if not was_found(setting.folder, design):
        found = Architecture.load(setting.folder.fine)
        raise UserError(
            f"{setting.folder.final / design_file(design)}: the final networks are of {design.to_text()}, and the "
            f"search has found {found.to_text()}. A verdict judges what was found: in a copy of the run folder without "
            "`final`, `c2fnas run` trains that."
        )
    behind = [fold for fold in deployment.folds if finished(fold_job(setting, design, fold)) is None]
    if behind:
        raise UserError(_untrained(setting, behind))
    return design


def _untrained(setting: Setting, folds: list[int]) -> str:
    return (
        f"{setting.folder.final}: the found network is not trained yet on fold {', '.join(map(str, folds))}. "
        "`c2fnas run` comes first; a verdict follows."
    )
