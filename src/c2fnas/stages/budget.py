"""Time budgets: iteration counts and an ETA, derived from a few timed steps and a count of the work."""

from dataclasses import dataclass
from statistics import mean

from c2fnas.runs.run_config import RunConfig
from c2fnas.stages.presets import Preset
from c2fnas.stages.setting import Setting
from c2fnas.stages.timing import Timings
from c2fnas.training.recipe import Recipe

FEWEST_ITERATIONS = 20
START_SECONDS = 8.0  # a worker process imports torch and opens the cache
CASE_OVERHEAD = 0.05  # seconds to map a case back to its own geometry and compare it with the truth


@dataclass(frozen=True)
class Workload:
    """What there is to do, counted: validation cases, windows per case at either stride, and devices."""

    validation_cases: int
    windows: float
    ranking_windows: float
    devices: int


@dataclass(frozen=True)
class Schedule:
    """What a time budget decides: iterations per network and the validation cases that rank candidates."""

    coarse: int
    supernet: int
    deployment: int
    ranking_cases: int | None


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


def schedule(preset: Preset, timings: Timings, work: Workload, patches_per_iteration: int, folds: int) -> Schedule:
    """Divide the hours of ``preset`` among the stages.

    Each stage's share of the budget, on all devices together, is spent on its networks; what a network costs besides
    its iterations (start, evaluation) is taken off first.
    """
    assert preset.hours is not None
    assert preset.shares is not None
    seconds = preset.hours * 3600

    def iterations(share: float, networks: int, devices: int) -> int:
        return affordable_iterations(seconds * share * devices / networks, timings, work, patches_per_iteration)

    case_seconds = preset.fine.candidates * (work.ranking_windows * timings.window + CASE_OVERHEAD)
    cases = int(seconds * preset.shares.ranking * work.devices / case_seconds)
    return Schedule(
        coarse=iterations(preset.shares.coarse, preset.coarse.evaluations, work.devices),
        supernet=iterations(preset.shares.supernet, 1, 1),
        deployment=iterations(preset.shares.deployment, folds, min(work.devices, folds)),
        ranking_cases=min(max(1, cases), work.validation_cases),
    )


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

    cases = config.fine.cases or work.validation_cases
    ranking = config.fine.candidates * cases * (work.ranking_windows * timings.window + CASE_OVERHEAD) / work.devices
    return {
        "coarse": networks(config.coarse.recipe, config.coarse.evaluations, work.devices),
        "super-network": networks(config.fine.recipe, 1, 1, evaluated=False),
        "ranking": START_SECONDS + ranking,
        "deployment": networks(config.deployment.recipe, len(config.deployment.folds), work.devices),
    }
