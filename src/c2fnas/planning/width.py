"""The width that the time trains: on a CPU a quarter of the paper's filters, or half of them (docs/decisions/0179).

It is chosen with the plan and kept beside it: a race between plans, another fold and a resumed run have the same.
"""

from collections.abc import Callable, Sequence

from c2fnas.data.plan import Plan
from c2fnas.errors import UserError
from c2fnas.networks.designs import Design
from c2fnas.planning.budget import TO_WIDEN
from c2fnas.planning.memory_fit import fit_for
from c2fnas.planning.middle import middle_network
from c2fnas.planning.request import Request
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.records.plan_choice import PlanChoice, WeighedPlan
from c2fnas.runs.run import Run

SLOWER = 2.0
"""A network of twice the width takes so many times as long at least: 2.1 and 2.8 times where it was measured."""


def affordable_width(
    run: Run,
    request: Request,
    close: Sequence[WeighedPlan],
    seconds: float,
    training_cases: int,
    patch_seconds: Callable[[Design, Plan], float],
) -> float:
    """Return the width of a run's networks: the wider one where the time trains it well and it fits the memory.

    Args:
        run: hears what was tried.
        request: of the run.
        close: the plan that was chosen, and those that it may be raced with.
        seconds: of the final network's training, if nothing is searched.
        training_cases: of a fold.
        patch_seconds: returns the seconds of a training step by patch, of a network on a plan; it may raise UserError.
    """
    wider, chosen = request.wider, close[0]
    enough = max(TO_WIDEN.views, TO_WIDEN.passes * training_cases)
    if wider is None or seconds < SLOWER * enough * chosen.view_seconds:
        return request.width
    fits = fit_for(run, request, wider)
    if not all(fits(each.plan.patch_size) for each in close):
        return request.width
    try:
        patch = patch_seconds(middle_network(request.draft.space, wider), chosen.plan)
    except UserError as error:
        run.reporter.say(f"Width {request.width:g}, since a wider network was tried in vain: {error}")
        return request.width
    view = chosen.view_seconds * patch / chosen.patch_seconds
    return wider if seconds >= enough * view else request.width


def planned_width(folder: RunFolder, request: Request) -> float:
    """Return the width that was chosen with the plan; the request's where it is given, or none was chosen."""
    chosen = PlanChoice.load(folder.choice).width if request.leaves_width else None
    return request.width if chosen is None else chosen
