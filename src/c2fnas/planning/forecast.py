"""What a run will do and how long it will take on this machine, told before it starts."""

from datetime import timedelta

from c2fnas.planning.budget import estimate, workload
from c2fnas.planning.timing import measure
from c2fnas.runs.config import RunConfig
from c2fnas.runs.run import Setting
from c2fnas.space.geometry import by
from c2fnas.training.recipe import Recipe


def forecast(setting: Setting) -> str:
    """The run's stages with what each does and its expected time, from a few timed steps on the first device."""
    config = setting.config
    timings = measure(setting.plan, config.space, config.width, config.coarse.recipe, config.devices[0])
    seconds = estimate(config, timings, workload(setting))
    rows = [(stage, text, _duration(seconds[stage])) for stage, text in _plans(config).items()]
    rows.append(("together", f"on {', '.join(config.devices)}", _duration(sum(seconds.values()))))
    width = max(len(text) for _, text, _ in rows)
    head = (
        f"{config.dataset}, budget {config.budget}, width {config.width:g}, patch {by(setting.plan.patch_size)}, "
        f"{config.coarse.recipe.precision}, seed {config.seed}"
    )
    return "\n".join([head, *(f"  {stage:14} {text:{width}}  {time:>9}" for stage, text, time in rows)])


def _plans(config: RunConfig) -> dict[str, str]:
    """A line on each stage."""
    coarse, fine, deployment = config.coarse, config.fine, config.deployment
    final = f"{len(deployment.folds)} of the folds, {_training(deployment.recipe)} each"
    verdict = {"verdict": f"a U-Net of equal MACs and a random topology, on {final}"}
    return {
        "coarse": f"{coarse.evaluations} topologies of {config.space.topology_count}, {_training(coarse.recipe)} each",
        "super-network": f"{len(config.operations)} operations in {config.cells} cells, {_training(fine.recipe)}",
        "ranking": f"{fine.candidates} paths, the best of them on {fine.cases or 'all'} validation cases",
        "deployment": final,
        **(verdict if config.verdict else {}),
    }


def _training(recipe: Recipe) -> str:
    return f"{recipe.iterations} iterations of {recipe.batch_size} patches"


def _duration(seconds: float) -> str:
    return f"≈ {timedelta(seconds=round(seconds))}"
