"""The configuration of a run that trains an architecture: made for a new run, prolonged for one that has begun."""

from c2fnas.data.dataset import Dataset
from c2fnas.data.folds import Split
from c2fnas.data.plan import Plan
from c2fnas.errors import UserError
from c2fnas.inference.package import load_package
from c2fnas.networks.designs import Design
from c2fnas.planning.budget import affordable_iterations, network_seconds, workload
from c2fnas.planning.configure import first_draft, resolved_recipe
from c2fnas.planning.presets import DeploymentPreset, Preset, RecipeChoice, load_preset
from c2fnas.planning.timing import measure_network
from c2fnas.planning.train_wish import Wish, chosen_folds
from c2fnas.runs.config import RunConfig
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.reporter import Reporter
from c2fnas.runs.run import Setting
from c2fnas.training.checkpoint import has_checkpoint

TIME_FOR_FOLDS = 0.95
"""The share of a time budget for training and evaluation; the rest is for preparation."""


def new_config(
    dataset: Dataset,
    plan: Plan,
    splits: tuple[Split, ...],
    folder: RunFolder,
    wish: Wish,
    architecture: Design,
    devices: tuple[str, ...],
    reporter: Reporter,
) -> RunConfig:
    """The configuration of a new run: all of the budget's time goes to the folds."""
    start = load_package(wish.start).checksum if wish.start else None
    folds = chosen_folds(wish.folds, len(splits))

    def resolved(preset: Preset) -> RunConfig:
        draft = first_draft(dataset, plan, splits, preset, folder, wish.base, wish.seed or 0, devices)
        draft = draft.model_copy(update={"kind": "training"})
        recipe = draft.deployment.recipe.model_copy(update={"precision": wish.precision} if wish.precision else {})
        return _with_deployment(draft, folds=folds, start=start, validate_every=wish.validate_every, recipe=recipe)

    preset = _preset(wish, architecture)
    if preset.hours is None or wish.iterations is not None:
        return resolved(preset)
    reporter.say("Timing a few steps to derive the number of iterations ...")
    draft = resolved(preset)
    timed = draft.deployment.recipe
    timings = measure_network(plan, architecture, timed, devices[0])
    work, rounds = workload(Setting(folder, draft, plan, splits)), -(-len(folds) // len(devices))

    def cost(iterations: int) -> float:
        choice = _of_length(preset, iterations).deployment.recipe
        recipe = resolved_recipe(choice, "deployment", plan, timed.precision)
        return network_seconds(recipe, timings, work, "deployment")

    affordable = affordable_iterations(preset.hours * 3600 * TIME_FOR_FOLDS / rounds, cost)
    return resolved(_of_length(preset, affordable))


def adapted(config: RunConfig, wish: Wish, folder: RunFolder) -> RunConfig:
    """The run's configuration with what may change: a longer training, and validations.

    Raises:
        UserError: it can't be extended, or not to so few iterations.
    """
    if wish.validate_every is not None:
        config = _with_deployment(config, validate_every=wish.validate_every)
    known = config.deployment.recipe.iterations
    if wish.extend is None or wish.extend == known:
        return config
    if wish.extend < known:
        raise UserError(
            f"--extend {wish.extend}: the networks of this run train for {known} iterations already. Give the number "
            "of iterations in all, a larger one."
        )
    _refuse_without_checkpoint(folder)
    return _with_deployment(config, recipe=config.deployment.recipe.with_iterations(wish.extend), extended=True)


def _preset(wish: Wish, architecture: Design) -> Preset:
    """The base budget, with the recipe asked for in its deployment and the architecture's width."""
    preset = load_preset(wish.base)
    own = preset.deployment.recipe
    recipe = own if wish.recipe in (None, own.name) else RecipeChoice(name=wish.recipe)
    changes = {"width": architecture.width, "deployment": DeploymentPreset(recipe=recipe), "verdict": False}
    preset = preset.model_copy(update=changes)
    return preset if wish.iterations is None else _of_length(preset, wish.iterations)


def _of_length(preset: Preset, iterations: int) -> Preset:
    recipe = preset.deployment.recipe.model_copy(update={"iterations": iterations})
    return preset.model_copy(update={"deployment": DeploymentPreset(recipe=recipe)})


def _refuse_without_checkpoint(folder: RunFolder) -> None:
    for path in sorted(folder.final.glob("fold-*")):
        if (path / "result.json").exists() and not has_checkpoint(path):
            raise UserError(
                f"{path}: its checkpoint is gone, so its training can't be extended. Fine-tune its model in another "
                f"run instead: --from {path / 'model'}."
            )


def _with_deployment(config: RunConfig, **update: object) -> RunConfig:
    return config.model_copy(update={"deployment": config.deployment.model_copy(update=update)})
