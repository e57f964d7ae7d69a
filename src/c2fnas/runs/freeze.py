"""The table of the stages that freeze a configuration's fields, and the one refusal of a change that comes too late."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from c2fnas.errors import UserError
from c2fnas.networks.designs import FILES
from c2fnas.runs.folder import RunFolder

ALL = ("coarse", "super-network", "ranking", "verification", "final", "scale", "ablation", "verdict", "table")

TABLE: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("devices", "deployment.validate_every", "deployment.folds", "references", "overrides", "versions"), ()),
    # By these the topology is found that the super-network is of.
    (("coarse.evaluations", "coarse.limits"), ("coarse", "super-network", "final")),
    (("coarse", "verdict"), ("coarse", "final")),
    (("fine.recipe", "fine.sampling"), ("super-network",)),
    (("fine",), ("ranking",)),
    (("deployment.recipe.name", "deployment.recipe.precision"), ALL),  # of every validation's window
    (("deployment",), ("verification", "final", "scale", "ablation", "verdict")),
    (("",), ALL),
)
"""Fields (a section stands for all of its fields) and the stages that freeze them; the first row that fits counts."""

OPTIONS = {
    "budget": "--budget",
    "seed": "--seed",
    "verdict": "--verdict or --no-verdict",
    "coarse.sampler": "--sampler",
    "coarse.evaluations": "--evaluations",
    "coarse.early_stopping": "--early-stopping",
    "fine.rungs": "--rungs",
    "coarse.limits.parameters": "--max-parameters",
    "coarse.limits.macs": "--max-macs",
    "fine.choose": "--choose",
    "coarse.limits.memory": "--max-memory",
    "fine.candidates": "--candidates",
    "fine.sampling": "--sampling",
    "deployment.recipe.name": "--recipe",
    "deployment.recipe.iterations": "--iterations",
    "stated_spacing": "--spacing",
    "folds": "--folds (of train: --divide), --fold-count and --group-by",
    "deployment.recipe.precision": "--precision",
    "deployment.start": "--from",
}
"""The options that set a field; any other is set by ``--set``."""


FILES_OF_A_RUN = ("plan.yaml", "folds.json")
"""Files that may be edited until a stage has begun."""


def begun_stages(folder: RunFolder) -> dict[str, Path]:
    """Return the folders of the stages that have begun, by stage.

    Where a folder only says which network it is about, nothing has been trained: a coarse stage that was left out says
    the default topology, and `c2fnas train` the network that it was given, and the model to start from.
    """
    places = {
        "coarse": folder.coarse,
        "super-network": folder.supernet,
        "ranking": folder.ranking,
        "verification": folder.verification,
        "final": folder.final,
        "scale": folder.scale,
        "ablation": folder.ablation,
        "verdict": folder.verdict,
        "table": folder.table,
    }
    networks = {*FILES, folder.start_model.name}
    return {stage: place for stage, place in places.items() if place.exists() and not _holds_only(networks, place)}


def _holds_only(names: set[str], place: Path) -> bool:
    """True if a folder holds some of ``names`` and nothing else; what is being written, or was, has a hidden name."""
    found = {each.name for each in place.iterdir() if not each.name.startswith(".")}
    return bool(found) and found <= names


def frozen_by(field: str, folder: RunFolder) -> str | None:
    """Return the stage that has begun with ``field``, so that it can't change any more; None while it can."""
    stages = next(stages for sections, stages in TABLE if any(_within(field, section) for section in sections))
    return next((stage for stage in begun_stages(folder) if stage in stages), None)


def refuse_frozen(changes: Mapping[str, tuple[Any, Any]], folder: RunFolder) -> None:
    """Refuse changes (the value now, the value asked for, by field) of what a stage has begun with.

    Raises:
        UserError: a field is frozen; the message names it, both values, the stage and what to do.
    """
    for field, (now, asked) in changes.items():
        stage = frozen_by(field, folder)
        if stage is not None:
            edited = field in FILES_OF_A_RUN
            option = OPTIONS.get(field, field if edited else f"--set {field}")
            values = "" if edited or field == "folds" else f" ({_shown(now)}, now {_shown(asked)})"
            undo = "Undo the edit" if edited else "Leave the option out or give the first value again"
            more = ", or train on with --extend" if field == "deployment.recipe.iterations" and stage == "final" else ""
            raise UserError(
                f"{folder.config}: this run has another {option}{values}: its {stage} stage has begun with it. {undo}, "
                f"or choose another run folder{more}."
            )


def _within(field: str, section: str) -> bool:
    return not section or field == section or field.startswith(f"{section}.")


def _shown(value: Any) -> str:
    return "none" if value is None else str(value)
