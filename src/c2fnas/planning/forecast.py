"""What a run will do and how long it will take on this machine, told before it starts."""

from datetime import timedelta

from c2fnas.planning.budget import estimate, workload
from c2fnas.planning.timing import measure
from c2fnas.runs.run import Setting
from c2fnas.runs.summary import stage_tasks
from c2fnas.space.geometry import by


def forecast(setting: Setting) -> str:
    """The run's stages with what each does and its expected time, from a few timed steps on the first device."""
    config = setting.config
    timings = measure(setting.plan, config.space, config.width, config.coarse.recipe, config.devices[0])
    seconds = estimate(config, timings, workload(setting))
    rows = [(stage, seconds[stage], task) for stage, task in stage_tasks(config, folds=len(setting.folds)).items()]
    rows.append(("together", sum(seconds.values()), f"on {', '.join(config.devices)}"))
    head = (
        f"{config.dataset}, budget {config.budget}, width {config.width:g}, patch {by(setting.plan.patch_size)}, "
        f"{config.coarse.recipe.precision}, seed {config.seed}"
    )
    return "\n".join([head, *(f"  {stage:14} {_duration(time):>10}  {text}" for stage, time, text in rows)])


def _duration(seconds: float) -> str:
    return f"≈ {timedelta(seconds=round(seconds))}"
