"""Training any architecture on any data set (the paper's transfer), each fold a job of its own."""

from pathlib import Path

from c2fnas.errors import UserError
from c2fnas.evaluation.metrics import Evaluation
from c2fnas.files import read_json
from c2fnas.inference.package import load_package
from c2fnas.networks.designs import Design, has_design, read_design
from c2fnas.planning.train_config import adapted, new_config
from c2fnas.planning.train_wish import Wish, chosen_folds, refuse_conflicts
from c2fnas.runs.config import RunConfig
from c2fnas.runs.folder import EVALUATION, RunFolder
from c2fnas.runs.lock import RunLock
from c2fnas.runs.reporter import Reporter
from c2fnas.runs.run import Setting
from c2fnas.space.architecture import Architecture
from c2fnas.stages.deploy import claim, train_final
from c2fnas.stages.pipeline import ExecutorFactory, Result
from c2fnas.stages.prepare import prepare_data
from c2fnas.stages.start_model import claim_start, transfer_report


def train_architecture(
    dataset: Path, run: Path, wish: Wish, *, devices: tuple[str, ...], executor: ExecutorFactory, reporter: Reporter
) -> Result:
    """Train an architecture on folds of a data set, in a run folder of its own or in that of a search.

    Interrupted at any point and called again, it carries on; finished, it returns at once.

    Raises:
        UserError: bad input, or the run folder holds what was made with other settings.
        Interrupted: stopped on request.
    """
    with RunLock(run):
        RunFolder(run).clear_stop()
        setting, architecture = ready(dataset, run, wish, devices, reporter)
        folds = chosen_folds(wish.folds, len(setting.folds))
        reporter.say(announcement(setting, architecture, folds))
        with executor(devices) as workers:
            train_final(setting, architecture, folds, workers, reporter)
    return result(setting, architecture, folds)


def ready(dataset: Path, run: Path, wish: Wish, devices: tuple[str, ...], reporter: Reporter) -> tuple[Setting, Design]:
    """Prepare the run folder for what is asked, or see that what it holds agrees; with the architecture to train."""
    folder = RunFolder(run)
    known = RunConfig.load(folder.config) if folder.config.exists() else None
    if known is None and wish.extend:
        raise UserError(f"{run}: nothing to extend, this run has not begun. Leave --extend out.")
    architecture = _architecture(wish, folder)
    base = known.budget if known else wish.base
    data = prepare_data(dataset, run, base, devices=devices, reporter=reporter)
    if known is None:
        config = new_config(*data, folder, wish, architecture, devices, reporter)
    else:
        refuse_conflicts(known, wish, folder)
        config = adapted(known, wish, folder)
    claim(folder, architecture)
    if wish.start is not None:
        claim_start(wish.start, config, folder)
    if config != known:
        config.save(folder.config)
    return Setting.load(run), architecture


def announcement(setting: Setting, architecture: Design, folds: tuple[int, ...]) -> str:
    """What will be trained, and what of another model comes over."""
    recipe, size = setting.config.deployment.recipe, "×".join(map(str, setting.plan.patch_size))
    text = (
        f"{architecture.to_text()}\n{setting.config.dataset}, folds {', '.join(map(str, folds))} of "
        f"{len(setting.folds)}: {recipe.iterations} iterations of {recipe.batch_size} patches of {size}, recipe "
        f"{recipe.name}, {recipe.precision}, seed {setting.config.seed}"
    )
    return f"{text}\n{transfer_report(setting, architecture)}" if setting.config.deployment.start else text


def result(setting: Setting, architecture: Design, folds: tuple[int, ...]) -> Result:
    """The models of trained folds with their evaluations."""
    models = tuple(setting.folder.final_model(fold) for fold in folds)
    evaluations = tuple(Evaluation.from_json(read_json(model.parent / EVALUATION)) for model in models)
    return Result(architecture, folds, models, evaluations)


def _architecture(wish: Wish, folder: RunFolder) -> Design:
    """What to train: what is asked for, else what the run has, else that of the model to start from."""
    if wish.architecture is not None:
        return wish.architecture
    if has_design(folder.final):
        return read_design(folder.final)
    if has_design(folder.fine):
        return Architecture.load(folder.root)
    if wish.start is None:
        raise UserError(f"{folder.root}: no architecture to train. Give one, such as `--architecture c2fnas-panc`.")
    return load_package(wish.start).design
