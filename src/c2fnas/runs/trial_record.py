"""A trial as Optuna stores it, and back.

Parameters are there for people: ``optuna-dashboard`` can then plot scores over the levels and operations of the cells.
The architecture's own JSON is what is read back.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as State

from c2fnas.runs.trial import Trial, TrialState
from c2fnas.search.early_stopping import Standing
from c2fnas.space.architecture import Architecture
from c2fnas.space.operation import Operation

_OURS = ("architecture", "after", "order", "reason", "rungs")
_STATES: dict[State, TrialState] = {
    State.RUNNING: "running",
    State.COMPLETE: "succeeded",
    State.FAIL: "failed",
    State.PRUNED: "stopped",
}


def new_record(
    architecture: Architecture,
    stage: str,
    *,
    after: int,
    extra: Mapping[str, Any],
    state: State = State.RUNNING,
    score: float | None = None,
) -> FrozenTrial:
    """A trial to be added to a study in one transaction."""
    own = {"architecture": architecture.to_json(), "after": after}
    return optuna.trial.create_trial(
        state=state,
        value=score,
        params=parameters(architecture, stage),
        distributions=distributions(architecture, stage),
        user_attrs={**_as_read(own), **checked(extra, ("reason", "order"))},
    )


def result_attributes(order: int, reason: str | None, extra: Mapping[str, Any]) -> dict[str, Any]:
    """What is added to a trial when it ends."""
    return {"order": order, **({"reason": reason} if reason else {}), **checked(extra)}


def trial_of(record: FrozenTrial) -> Trial:
    """The value that ``record`` stores."""
    attributes = record.user_attrs
    finished = record.state.is_finished()
    return Trial(
        number=record.number,
        architecture=Architecture.from_json(attributes["architecture"]),
        state=_STATES[record.state],
        score=record.value if record.state == State.COMPLETE else None,
        reason=attributes.get("reason") if record.state == State.FAIL else None,
        after=attributes["after"],
        order=attributes["order"] if finished else None,
        started=_utc(record.datetime_start) or datetime.now(UTC),
        ended=_utc(record.datetime_complete),
        rungs=tuple(Standing(**standing) for standing in attributes.get("rungs", ())),
        extra={key: value for key, value in attributes.items() if key not in _OURS},
    )


def parameters(architecture: Architecture, stage: str) -> dict[str, Any]:
    """What ``stage`` searches: the level of every cell, its operation (cells numbered from 1), or the width.

    Each parameter costs a millisecond a trial, and one that never varies shows nothing.
    """
    if stage == "scale":
        return {"width": float(architecture.width)}
    if stage == "fine":
        return {f"operation_{cell:02d}": str(chosen) for cell, chosen in enumerate(architecture.operations, start=1)}
    return {f"level_{cell:02d}": level for cell, level in enumerate(architecture.topology.code, start=1)}


def distributions(architecture: Architecture, stage: str) -> dict[str, BaseDistribution]:
    """The range of every parameter, the same for all architectures of a search space."""
    cells = range(1, len(architecture.operations) + 1)
    if stage == "scale":
        return {"width": FloatDistribution(0.0, max(4.0, architecture.width))}
    if stage == "fine":
        operation = CategoricalDistribution([str(choice) for choice in Operation])
        return {f"operation_{cell:02d}": operation for cell in cells}
    level = IntDistribution(0, max(architecture.topology.downsamplings, 1))
    return {f"level_{cell:02d}": level for cell in cells}


def checked(extra: Mapping[str, Any], allowed: tuple[str, ...] = ()) -> dict[str, Any]:
    """``extra`` as it is read back, refused where it takes a name of the ledger's own."""
    taken = sorted(set(extra) & (set(_OURS) - set(allowed)))
    if taken:
        raise ValueError(f"the ledger keeps {', '.join(taken)} itself")
    return _as_read(dict(extra))


def _as_read(attributes: dict[str, Any]) -> dict[str, Any]:
    """JSON knows no tuples, so that what is returned now equals what is read later."""
    return json.loads(json.dumps(attributes))


def _utc(moment: datetime | None) -> datetime | None:
    """Optuna stores local time without a zone."""
    return moment.astimezone(UTC) if moment else None
