"""Time budgets: iteration counts and an ETA, derived from a few timed steps and a count of the work."""

from dataclasses import dataclass
from statistics import mean

from c2fnas.inference.verdict import REFERENCES
from c2fnas.runs.run_config import FineConfig, RunConfig
from c2fnas.search import successive_halving
from c2fnas.stages.presets import FinePreset, Preset, RecipeChoice
from c2fnas.stages.setting import Setting
from c2fnas.stages.timing import Timings
from c2fnas.training.recipe import Recipe

FEWEST_ITERATIONS = 20
START_SECONDS = 8.0  # a worker process imports torch and opens the cache
SHARED = 1.4  # what the tree of a few hundred candidates saves at least, see benchmarks/path_ranking.py
CASE_OVERHEAD = 0.05  # seconds to map a case back to its own geometry and compare it with the truth


@dataclass(frozen=True)
class Workload:
    """What there is to do, counted: validation cases, windows per case at either stride, and devices."""

    validation_cases: int
    windows: float
    ranking_windows: float
    devices: int


def workload(setting: Setting) -> Workload:
    """Count the validation cases and their windows."""
    cases = setting.cases(setting.search_split.validation)
    fine, coarse = setting.window(), setting.window(ranking=True)
    return Workload(
        validation_cases=len(cases),
        windows=mean(len(fine.windows(case.image.shape[1:])) for case in cases),
        ranking_windows=mean(len(coarse.windows(case.image.shape[1:])) for case in cases),
        devices=len(setting.config.devices),
    )


def schedule(preset: Preset, timings: Timings, work: Workload, patches_per_iteration: int, folds: int) -> Preset:
    """``preset`` with iteration counts and ranking cases that fit its hours.

    Each stage's share of the budget, on all devices together, is spent on its networks; what a network costs besides
    its iterations (start, evaluation) is taken off first.
    """
    assert preset.hours is not None
    assert preset.shares is not None
    seconds = preset.hours * 3600

    def fitted(recipe: RecipeChoice, share: float, rounds: float) -> RecipeChoice:
        iterations = affordable_iterations(seconds * share / rounds, timings, work, patches_per_iteration)
        return recipe.model_copy(update={"iterations": iterations})

    coarse, fine, deployment, shares = preset.coarse, preset.fine, preset.deployment, preset.shares
    affordable = seconds * shares.ranking * work.devices / pair_seconds(timings, work)
    counts = range(1, work.validation_cases + 1)
    cases = max((count for count in counts if ranking_pairs(fine, count) <= affordable), default=1)
    recipes = {
        "coarse": fitted(coarse.recipe, shares.coarse, coarse.evaluations / work.devices),
        "fine": fitted(fine.recipe, shares.supernet, 1),
        "deployment": fitted(deployment.recipe, shares.deployment, final_rounds(preset, folds, work.devices)),
    }
    return preset.model_copy(update={
        "coarse": coarse.model_copy(update={"recipe": recipes["coarse"]}),
        "fine": fine.model_copy(update={"recipe": recipes["fine"], "cases": cases}),
        "deployment": deployment.model_copy(update={"recipe": recipes["deployment"]}),
    })  # fmt: skip


def final_rounds(preset: Preset, folds: int, devices: int) -> float:
    """Trainings with the deployment's recipe that follow one another on a device: those of a verdict come last."""
    batches = (folds, REFERENCES * folds) if preset.verdict else (folds,)
    return sum(count / min(devices, count) for count in batches)


def ranking_pairs(fine: FinePreset | FineConfig, cases: int) -> int:
    """Pairs of candidate and case that a ranking on ``cases`` cases scores, its audit included."""
    rungs = successive_halving.plan_rungs(fine.candidates, cases, fine.rungs)
    return successive_halving.work(rungs) + (fine.audit * cases if len(rungs) > 1 else 0)


def pair_seconds(timings: Timings, work: Workload) -> float:
    """What a pair of candidate and case takes, in a tree with others."""
    return work.ranking_windows * timings.window / SHARED + CASE_OVERHEAD


def affordable_iterations(seconds: float, timings: Timings, work: Workload, patches_per_iteration: int) -> int:
    """Iterations of a network that has ``seconds`` on its device, start and evaluation included."""
    evaluation = work.validation_cases * (work.windows * timings.window + CASE_OVERHEAD)
    left = seconds - START_SECONDS - evaluation
    return max(FEWEST_ITERATIONS, int(left / (timings.patch * patches_per_iteration)))


def estimate(config: RunConfig, timings: Timings, work: Workload) -> dict[str, float]:
    """Seconds that each stage of ``config`` will take, by the timings."""
    evaluation = work.validation_cases * (work.windows * timings.window + CASE_OVERHEAD)

    def networks(recipe: Recipe, count: int, devices: int, evaluated: bool = True) -> float:
        rounds = -(-count // devices)
        return rounds * (START_SECONDS + recipe.iterations * recipe.batch_size * timings.patch + evaluated * evaluation)

    pairs = ranking_pairs(config.fine, min(config.fine.cases or work.validation_cases, work.validation_cases))
    ranking = pairs * pair_seconds(timings, work) / work.devices
    folds = len(config.deployment.folds)
    verdict = {"verdict": networks(config.deployment.recipe, REFERENCES * folds, work.devices)}
    return {
        "coarse": networks(config.coarse.recipe, config.coarse.evaluations, work.devices),
        "super-network": networks(config.fine.recipe, 1, 1, evaluated=False),
        "ranking": START_SECONDS + ranking,
        "deployment": networks(config.deployment.recipe, folds, work.devices),
        **(verdict if config.verdict else {}),
    }
