"""The forecast: what a run will do and how long each stage takes, as text."""

from collections.abc import Iterable, Mapping
from datetime import timedelta

from c2fnas.data.fingerprint import CaseFingerprint
from c2fnas.data.plan import Plan
from c2fnas.data.preprocess import prepared_shape
from c2fnas.evaluation.volume_memory import volume_memory
from c2fnas.planning.budget import Workload
from c2fnas.runs.config import RunConfig
from c2fnas.runs.summary import stage_tasks
from c2fnas.runs.timing.slots import Slots
from c2fnas.shapes import Size
from c2fnas.space.geometry import by


def forecast(
    config: RunConfig, patch: Size, work: Workload, seconds: Mapping[str, float], slots: Slots, spent: float = 0.0
) -> str:
    """Return the run's stages as text, with what each does and its expected time.

    Args:
        config: of the run.
        patch: of the plan.
        work: whose networks are deployed.
        seconds: that each stage takes, by its name.
        slots: the room for jobs that they were counted for.
        spent: seconds that the run has taken already, preparation included.
    """
    tasks = stage_tasks(config, trained=work.folds, every_case=work.every_case, cases=work.validation_cases)
    tasks["race"] = "plans that are close, one topology trained on each"
    rows = [("until now", spent, "preparation and what was measured")] if spent else []
    rows += [(stage, took, tasks[stage]) for stage, took in seconds.items()]
    rows.append(("together", spent + sum(seconds.values()), f"on {slots.text(config.devices)}"))
    head = (
        f"{config.dataset}, budget {config.budget}, width {config.width:g}, patch {by(patch)}, "
        f"{config.deployment.recipe.precision}, seed {config.seed}"
    )
    return "\n".join([head, *(line(*row) for row in rows)])


def memory_line(cases: Iterable[CaseFingerprint], plan: Plan, filters: int) -> str:
    """Return the row on the memory that the most demanding case takes when it is labelled and scored as a whole.

    Args:
        cases: of the data set.
        plan: of the run.
        filters: of a network at full resolution.
    """
    needs = []
    for case in cases:
        own, (i, j, k) = case.nonzero_shape if plan.crop_nonzero else case.shape, plan.axes
        prepared = prepared_shape((own[i], own[j], own[k]), [case.spacing[axis] for axis in plan.axes], plan)
        memory = volume_memory(
            prepared,
            case.shape,
            channels=len(plan.channels),
            outputs=plan.outputs,
            patch=plan.patch_size,
            filters=filters,
        )
        needs.append((memory.total, case.shape))
    most, shape = max(needs)
    return f"  {'memory':14} {f'≈ {most / 1e9:.2g} GB':>10}  {by(shape)} voxels, the largest case, scored as a whole"


def line(stage: str, seconds: float, task: str) -> str:
    """Return a row of a forecast.

    >>> line("deployment", 90.4, "the network trained on 1 fold")
    '  deployment      ≈ 0:01:30  the network trained on 1 fold'
    """
    return f"  {stage:14} {f'≈ {timedelta(seconds=round(seconds))}':>10}  {task}"
