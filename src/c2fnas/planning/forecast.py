"""The forecast of a run, told before it starts: its stages and their expected time. A pure function."""

from datetime import timedelta

from c2fnas.planning.budget import Workload, estimate
from c2fnas.planning.measure import Timings
from c2fnas.runs.config import RunConfig
from c2fnas.runs.summary import stage_tasks
from c2fnas.shapes import Size
from c2fnas.space.geometry import by


def forecast(config: RunConfig, patch: Size, timings: Timings, work: Workload) -> str:
    """Return the run's stages as text, with what each does and its expected time."""
    seconds = estimate(config, timings, work)
    tasks = stage_tasks(config, trained=work.folds)
    rows = [(stage, took, tasks[stage]) for stage, took in seconds.items()]
    rows.append(("together", sum(seconds.values()), f"on {', '.join(config.devices)}"))
    head = (
        f"{config.dataset}, budget {config.budget}, width {config.width:g}, patch {by(patch)}, "
        f"{config.deployment.recipe.precision}, seed {config.seed}"
    )
    return "\n".join([head, *(f"  {stage:14} {_duration(time):>10}  {text}" for stage, time, text in rows)])


def _duration(seconds: float) -> str:
    return f"≈ {timedelta(seconds=round(seconds))}"
