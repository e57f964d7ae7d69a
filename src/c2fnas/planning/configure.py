"""Resolving a budget into a configuration: width, precision and iteration counts on this data and this machine."""

import platform
from importlib import metadata

from c2fnas.data.dataset import Dataset
from c2fnas.data.folds import Split
from c2fnas.data.plan import Plan
from c2fnas.files import sha256
from c2fnas.planning.budget import schedule, workload
from c2fnas.planning.presets import Preset, RecipeChoice
from c2fnas.planning.timing import measure
from c2fnas.planning.validation_stride import with_stride
from c2fnas.runs.config import CoarseConfig, DeploymentConfig, FineConfig, RunConfig
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.reporter import Reporter
from c2fnas.runs.run import Setting
from c2fnas.space.search_space import SearchSpace
from c2fnas.training.precision import resolve_precision
from c2fnas.training.recipe import PaperStage, Recipe, modern_recipe, paper_recipe


def configure(
    dataset: Dataset,
    plan: Plan,
    folds: tuple[Split, ...],
    preset: Preset,
    folder: RunFolder,
    budget: str,
    seed: int,
    devices: tuple[str, ...],
    reporter: Reporter,
) -> RunConfig:
    """Resolve the preset on this machine: width, precision, validation stride and, for a time budget, iterations."""
    draft = first_draft(dataset, plan, folds, preset, folder, budget, seed, devices)
    if preset.hours is None:
        return with_stride(Setting(folder, draft, plan, folds), preset.coarse.validation_share)
    reporter.say("Timing a few steps to derive iteration counts ...")
    timings = measure(plan, draft.space, draft.width, draft.coarse.recipe, devices[0])
    work = workload(Setting(folder, draft, plan, folds))
    precision = draft.deployment.recipe.precision

    def resolve(choice: RecipeChoice, stage: PaperStage) -> Recipe:
        return resolved_recipe(choice, stage, plan, precision)

    derived = schedule(preset, timings, work, resolve, len(draft.deployment.folds))
    fitted = first_draft(dataset, plan, folds, derived, folder, budget, seed, devices)
    return with_stride(Setting(folder, fitted, plan, folds), preset.coarse.validation_share)


def first_draft(
    dataset: Dataset,
    plan: Plan,
    folds: tuple[Split, ...],
    preset: Preset,
    folder: RunFolder,
    budget: str,
    seed: int,
    devices: tuple[str, ...],
) -> RunConfig:
    """The preset as a configuration; iteration counts that it leaves open are the recipe's own."""
    precision = resolve_precision("auto", devices[0])

    def recipe(choice: RecipeChoice, stage: PaperStage) -> Recipe:
        return resolved_recipe(choice, stage, plan, precision)

    space = SearchSpace()
    coarse, fine, deployment = preset.coarse, preset.fine, preset.deployment
    return RunConfig(
        budget=budget,
        seed=seed,
        dataset=dataset.name,
        dataset_path=str(dataset.root),
        fingerprint=sha256(folder.fingerprint),
        plan=sha256(folder.plan),
        width=preset.width_on(devices[0]),
        cells=space.cells,
        downsamplings=space.downsamplings,
        operations=space.operations,
        devices=devices,
        coarse=CoarseConfig(
            **coarse.model_dump(exclude={"recipe", "validation_share"}), recipe=recipe(coarse.recipe, "coarse")
        ),
        fine=FineConfig(
            candidates=fine.candidates,
            cases=fine.cases,
            recipe=recipe(fine.recipe, "supernet"),
            sampling=fine.sampling,
            choose=fine.choose,
            rungs=fine.rungs,
            audit=fine.audit,
        ),
        deployment=DeploymentConfig(
            folds=tuple(range(len(folds))) if deployment.folds == "all" else (len(folds) - 1,),
            recipe=recipe(deployment.recipe, "deployment"),
        ),
        verdict=preset.verdict,
        versions=versions(),
    )


def resolved_recipe(choice: RecipeChoice, stage: PaperStage, plan: Plan, precision: str) -> Recipe:
    """The recipe of a stage: the paper's as it is, the modern one with the plan's batch and foreground sampling."""
    if choice.name == "paper":
        paper = paper_recipe(stage).model_copy(update={"precision": precision})
        return paper.with_iterations(choice.iterations) if choice.iterations else paper
    recipe = modern_recipe(choice.iterations or 1000)
    return recipe.model_copy(
        update={
            "precision": precision,
            "volumes": plan.batch_size,
            "patches_per_volume": 1,
            "foreground_rate": plan.foreground_rate,
        }
    )


def versions() -> dict[str, str]:
    """The versions a result may depend on."""
    packages = ("c2fnas", "torch", "monai", "numpy", "scipy", "nibabel", "scikit-learn", "optuna", "lightning-fabric")
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in packages}
