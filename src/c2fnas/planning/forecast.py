"""The forecast of a run, told before it starts: its stages and their expected time. A pure function."""

from datetime import timedelta

from c2fnas.planning.budget import Workload, estimate
from c2fnas.planning.measure import Timings
from c2fnas.runs.config import RunConfig
from c2fnas.shapes import Size
from c2fnas.space.geometry import by
from c2fnas.training.recipe import Recipe


def forecast(config: RunConfig, patch: Size, timings: Timings, work: Workload) -> str:
    """Return the run's stages as text, with what each does and its expected time."""
    seconds = estimate(config, timings, work)
    plans = _plans(config, work)
    rows = [(stage, plans[stage], _duration(took)) for stage, took in seconds.items()]
    rows.append(("together", f"on {', '.join(config.devices)}", _duration(sum(seconds.values()))))
    width = max(len(text) for _, text, _ in rows)
    head = (
        f"{config.dataset}, budget {config.budget}, width {config.width:g}, patch {by(patch)}, "
        f"{config.deployment.recipe.precision}, seed {config.seed}"
    )
    return "\n".join([head, *(f"  {stage:14} {text:{width}}  {time:>9}" for stage, text, time in rows)])


def _plans(config: RunConfig, work: Workload) -> dict[str, str]:
    """A line on each stage."""
    coarse, fine, deployment = config.coarse, config.fine, config.deployment
    final = f"{work.folds} of the folds, {_training(deployment.recipe)} each"
    return {
        "coarse": f"{coarse.evaluations} topologies of {config.space.topology_count}, {_training(coarse.recipe)} each",
        "super-network": f"{len(config.operations)} operations in {config.cells} cells, {_training(fine.recipe)}",
        "ranking": f"{fine.candidates} paths, the best of them on {fine.cases or 'all'} validation cases",
        "deployment": final,
        "verdict": f"a U-Net of equal MACs and a random topology, on {final}",
    }


def _training(recipe: Recipe) -> str:
    return f"{recipe.iterations} iterations of {recipe.batch_size} patches"


def _duration(seconds: float) -> str:
    return f"≈ {timedelta(seconds=round(seconds))}"
