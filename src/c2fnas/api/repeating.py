"""The option ``like``: a run that begins with the plan, folds, counts and values of another one."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from c2fnas.errors import UserError
from c2fnas.files import read_json
from c2fnas.runs.folder import RunFolder

if TYPE_CHECKING:
    from c2fnas.networks.designs import Design
    from c2fnas.runs.repetition import Repetition


LENGTHS = tuple(f"deployment.recipe.{field}" for field in ("name", "iterations", "volumes", "patches_per_volume"))
"""Fields by which the length of a final training is another one."""


def repetition(like: str | Path | None, run: str | Path) -> "Repetition | None":
    """Return the run that ``like`` names: its folder, or the repeat.json of its report; None where there is none.

    A run folder that began like another keeps what it found there, and nothing else is read.

    Raises:
        UserError: it is neither, or ``run`` began like another one.
    """
    if like is None:
        return None
    from c2fnas.runs.repetition import Repetition

    kept = RunFolder(Path(run)).like
    if not kept.exists():
        return Repetition.load(Path(like))
    found = Repetition.load(kept)
    first = read_json(kept)["like"]
    if str(like) != first and Repetition.load(Path(like)) != found:
        raise UserError(
            f"--like {like}: {run} began like {first}. Leave the option out to carry on, or choose another run folder."
        )
    return found


def begun_with(
    known: "Repetition", place: Path, budget: str | None, overrides: Mapping[str, Any]
) -> tuple[str, dict[str, Any]]:
    """Return budget and overrides of a run that is begun like ``known``, read from ``place``; those given come before.

    Where a value of the plan is given, the others stay as they are in the known plan. Another budget derives its own
    counts.
    """
    from c2fnas.planning.presets import BUDGETS, hours_of, load_budget

    named = known.budget in BUDGETS or hours_of(known.budget) is not None
    if named and known.base:
        named = known.base == load_budget(known.budget)  # a budget of that name may have had other values then
    file = RunFolder(place).budget if place.is_dir() else place
    planned = known.planned if _plans(overrides) else {}
    otherwise = any(name.startswith("plan") or name in LENGTHS for name in overrides)
    own = known.without_counts if budget else known.with_views if otherwise else known.overrides
    return budget or (known.budget if named else str(file)), own | planned | dict(overrides)


def begin_like(known: "Repetition", like: str | Path, dataset: Path, run: Path, overrides: Mapping[str, Any]) -> None:
    """Leave the plan and the folds of ``known`` in a new run folder, but for those that are asked for otherwise.

    Raises:
        UserError: the data set is another one, or the folder has others.
    """
    from c2fnas.data.layouts import read_dataset

    cases = {case.id for case in read_dataset(dataset).sound(dataset).training}
    known.refuse_other_data(Path(like), cases)
    folds = any(name.startswith("folds.") for name in overrides)
    known.begin(RunFolder(run), str(like), plan=not _plans(overrides), folds=not folds)


def like_training(
    known: "Repetition", like: str, run: Path, folds: str | None, start: str | Path | None
) -> "tuple[Design | None, str | None, str | Path | None]":
    """Return the network of the run ``known``, the folds of a new run, and the model it began with.

    Raises:
        UserError: it began with a model that is not at hand.
    """
    from c2fnas.networks.designs import design_from_json

    design = design_from_json(known.design) if known.design else None
    places = (RunFolder(run).start_model, RunFolder(Path(like)).start_model)
    if known.start and start is None:
        kept = next((place for place in places if place.exists()), None)
        if kept is None:
            raise UserError(
                f"--like {like}: its networks began with another model ({known.start[:12]}). Name it by --from; a run "
                "folder has a copy in final/from."
            )
        start = kept
    if folds is None and not RunFolder(run).config.exists():
        folds = ",".join(map(str, known.overrides["deployment.folds"]))
    return design, folds, start


def _plans(overrides: Mapping[str, Any]) -> bool:
    return any(name.startswith("plan") for name in overrides)
