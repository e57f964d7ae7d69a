"""What a user asks of the coarse stage on a prepared run: fixed, like everything of a run, once it has begun."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from c2fnas.errors import UserError
from c2fnas.runs.config import EarlyStopping
from c2fnas.runs.run import Setting
from c2fnas.search.choice import check_sampler_name
from c2fnas.stages.coarse import new_searcher


@dataclass(frozen=True)
class CoarseWish:
    """Settings to have instead of the budget's, see :class:`c2fnas.runs.config.CoarseConfig`; None: as they are.

    A limit of infinity lifts the one that the run has.
    """

    sampler: str | None = None
    max_parameters: float | None = None
    max_macs: float | None = None
    max_memory: float | None = None
    early_stopping: bool | None = None
    evaluations: int | None = None


def with_coarse_wish(setting: Setting, wish: CoarseWish) -> Setting:
    """The run with what is wished for, which is written to ``run.yaml`` where it can be searched.

    Raises:
        UserError: an unknown sampler, no topology is within the limits, or the stage has begun with something else.
    """
    coarse = setting.config.coarse
    changed = coarse.model_copy(update=_changes(setting, wish))
    if changed == coarse:
        return setting
    if setting.folder.coarse.exists():
        differences = ", ".join(_differences(coarse.model_dump(), changed.model_dump()))
        raise UserError(
            f"{setting.folder.config}: the coarse stage of this run has begun with other settings ({differences}). A "
            "run is fixed once it has started: leave them out, or choose another --run folder."
        )
    config = setting.config.model_copy(update={"coarse": changed})
    wished = replace(setting, config=config)
    new_searcher(wished)  # refuses what would fix the run to a search that can't be
    config.save(setting.folder.config)
    return wished


def _changes(setting: Setting, wish: CoarseWish) -> dict[str, object]:
    coarse = setting.config.coarse
    changes: dict[str, object] = {}
    if wish.sampler is not None:
        try:
            check_sampler_name(wish.sampler)
        except ValueError as error:
            raise UserError(f"--sampler {error}.") from error
        changes["sampler"] = wish.sampler
    limits = {"parameters": wish.max_parameters, "macs": wish.max_macs, "memory": wish.max_memory}
    given = {name: _whole(limit) for name, limit in limits.items() if limit is not None}
    changes["limits"] = coarse.limits.model_copy(update=given)
    if wish.early_stopping is not None:
        changes["early_stopping"] = (coarse.early_stopping or EarlyStopping()) if wish.early_stopping else None
    if wish.evaluations is not None:
        changes["evaluations"] = wish.evaluations
    return changes


def _whole(limit: float) -> int | None:
    return None if limit == math.inf else round(limit)


def _differences(found: dict[str, object], wanted: dict[str, object], within: str = "") -> Iterator[str]:
    for name, value in found.items():
        other = wanted[name]
        if isinstance(value, dict) and isinstance(other, dict):
            yield from _differences(value, other, f"{within}{name} ")
        elif value != other:
            yield f"{within}{name} {value}, now {other}"
