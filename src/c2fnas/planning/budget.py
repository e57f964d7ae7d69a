"""Time budgets: iteration counts and an ETA, derived from a few timed steps and a count of the work."""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from statistics import mean

from c2fnas.evaluation.verdict import REFERENCES
from c2fnas.inference.ensemble import FLIPS
from c2fnas.planning.presets import FinePreset, Preset, RecipeChoice
from c2fnas.planning.timing import Timings
from c2fnas.runs.config import FineConfig, RunConfig
from c2fnas.runs.run import Setting
from c2fnas.search import successive_halving
from c2fnas.training.recipe import PaperStage, Recipe

FEWEST_ITERATIONS, MOST_ITERATIONS = 20, 10_000_000
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


def schedule(
    preset: Preset, timings: Timings, work: Workload, resolve: Callable[[RecipeChoice, PaperStage], Recipe], folds: int
) -> Preset:
    """``preset`` with iteration counts and ranking cases that fit its hours.

    Each stage's share of the budget, on all devices together, is spent on its networks. ``resolve`` gives the recipe of
    a choice, which may augment and mirror from some number of iterations on.
    """
    assert preset.hours is not None
    assert preset.shares is not None
    seconds = preset.hours * 3600

    def fitted(choice: RecipeChoice, stage: PaperStage, share: float, rounds: float) -> RecipeChoice:
        def of_length(iterations: int) -> RecipeChoice:
            return choice.model_copy(update={"iterations": iterations})

        def cost(iterations: int) -> float:
            return network_seconds(resolve(of_length(iterations), stage), timings, work, stage)

        return of_length(affordable_iterations(seconds * share / rounds, cost))

    coarse, fine, deployment, shares = preset.coarse, preset.fine, preset.deployment, preset.shares
    affordable = seconds * shares.ranking * work.devices / pair_seconds(timings, work)
    counts = range(1, work.validation_cases + 1)
    cases = max((count for count in counts if ranking_pairs(fine, count) <= affordable), default=1)
    recipes = {
        "coarse": fitted(coarse.recipe, "coarse", shares.coarse, coarse.evaluations / work.devices),
        "fine": fitted(fine.recipe, "supernet", shares.supernet, 1),
        "deployment": fitted(
            deployment.recipe, "deployment", shares.deployment, final_rounds(preset, folds, work.devices)
        ),
    }
    return preset.model_copy(
        update={
            "coarse": coarse.model_copy(update={"recipe": recipes["coarse"]}),
            "fine": fine.model_copy(update={"recipe": recipes["fine"], "cases": cases}),
            "deployment": deployment.model_copy(update={"recipe": recipes["deployment"]}),
        }
    )


def final_rounds(preset: Preset, folds: int, devices: int) -> float:
    """Trainings with the deployment's recipe that follow one another on a device: those of a verdict come last."""
    batches = (folds, REFERENCES * folds) if preset.verdict else (folds,)
    return sum(count / min(devices, count) for count in batches)


def ranking_pairs(fine: FinePreset | FineConfig, cases: int) -> int:
    """Pairs of candidate and case that a ranking on ``cases`` cases scores, its audit included."""
    return successive_halving.pairs(fine.candidates, cases, fine.rungs, fine.audit)


def pair_seconds(timings: Timings, work: Workload) -> float:
    """What a pair of candidate and case takes, in a tree with others."""
    return work.ranking_windows * timings.window / SHARED + CASE_OVERHEAD


def network_seconds(recipe: Recipe, timings: Timings, work: Workload, stage: PaperStage) -> float:
    """What a network takes on its device: the start, the training, and its validation where the stage has one.

    Deployed networks alone are validated over mirrored views.
    """
    patch = timings.patch + (timings.augmentation if recipe.augmentation == "modern" else 0)
    training = START_SECONDS + recipe.iterations * recipe.batch_size * patch
    if stage == "supernet":
        return training
    views = len(FLIPS) if stage == "deployment" and recipe.mirror else 1
    return training + work.validation_cases * (views * work.windows * timings.window + CASE_OVERHEAD)


def affordable_iterations(seconds: float, cost: Callable[[int], float]) -> int:
    """The most iterations of a network whose ``cost`` in seconds, which rises with them, is within ``seconds``.

    >>> affordable_iterations(100, lambda iterations: 10 + 0.5 * iterations)
    180
    """
    return max(FEWEST_ITERATIONS, bisect_right(range(1, MOST_ITERATIONS), seconds, key=cost))


def estimate(config: RunConfig, timings: Timings, work: Workload) -> dict[str, float]:
    """Seconds that each stage of ``config`` will take, by the timings."""

    def networks(recipe: Recipe, stage: PaperStage, count: int) -> float:
        devices = 1 if stage == "supernet" else work.devices
        return -(-count // devices) * network_seconds(recipe, timings, work, stage)

    pairs = ranking_pairs(config.fine, min(config.fine.cases or work.validation_cases, work.validation_cases))
    ranking = pairs * pair_seconds(timings, work) / work.devices
    folds = len(config.deployment.folds)
    verdict = {"verdict": networks(config.deployment.recipe, "deployment", REFERENCES * folds)}
    return {
        "coarse": networks(config.coarse.recipe, "coarse", config.coarse.evaluations),
        "super-network": networks(config.fine.recipe, "supernet", 1),
        "ranking": START_SECONDS + ranking,
        "deployment": networks(config.deployment.recipe, "deployment", folds),
        **(verdict if config.verdict else {}),
    }
