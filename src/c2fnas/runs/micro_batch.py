"""Micro-batches found where memory ran out, kept in the run folder: later trainings of that cost do not fail first."""

from typing import Any

from c2fnas.devices import hardware_name
from c2fnas.files import append_json_line, read_json_lines
from c2fnas.runs.run import Run
from c2fnas.training.recipe import Recipe


def within_memory(run: Run, recipe: Recipe, macs: int, device: str) -> Recipe:
    """Return the recipe with the smallest micro-batch that a training of this cost, or of less, has found.

    The effective batch stays.

    Args:
        run: with the plan, whose patch decides the memory.
        recipe: of the training to come.
        macs: multiply-accumulates of its network on one patch.
        device: where it trains; what other devices found does not count.
    """
    place, whole = _place(run, recipe, device), _whole(recipe)
    rows = [row for row in read_json_lines(run.folder.micro_batches) if place.items() <= row.items()]
    found = min((row["micro_batch"] for row in rows if row["macs"] <= macs), default=whole)
    return recipe.model_copy(update={"micro_batch": found}) if found < whole else recipe


def keep_micro_batch(run: Run, recipe: Recipe, macs: int, device: str, found: int | None) -> None:
    """Keep the micro-batch that a training by ``recipe`` ended with, where it is a smaller one than it began with.

    One that a retry began with is not kept: what ran out of memory before may have been the scoring.
    """
    if found is not None and found < _whole(recipe):
        row = {**_place(run, recipe, device), "macs": macs, "micro_batch": found}
        append_json_line(run.folder.micro_batches, row)


def _whole(recipe: Recipe) -> int:
    return recipe.micro_batch or recipe.batch_size


def _place(run: Run, recipe: Recipe, device: str) -> dict[str, Any]:
    """Everything besides the network that a patch's memory depends on."""
    return {"device": hardware_name(device), "patch": list(run.plan.patch_size), "precision": recipe.precision}
