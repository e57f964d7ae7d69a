"""A trial as Optuna stores it, and back.

Parameters are there for people: ``optuna-dashboard`` can then plot scores over the levels of the cells. The
architecture's own JSON is what is read back.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as State

from c2fnas.runs.trial import Trial, TrialState
from c2fnas.search.optuna_search import level_parameters
from c2fnas.search.successive_halving import RungResult
from c2fnas.space.architecture import Architecture

_OURS = ("architecture", "after", "order", "reason", "rungs")
_STATES: dict[State, TrialState] = {
    State.RUNNING: "running",
    State.COMPLETE: "succeeded",
    State.FAIL: "failed",
    State.PRUNED: "stopped",
}


def new_record(
    architecture: Architecture, stage: str, *, after: int, extra: Mapping[str, Any], score: float | None = None
) -> FrozenTrial:
    """Return a trial to be added to a study in one transaction: running, or a success where it has a score."""
    parameters, distributions = _searched(architecture, stage)
    own = {"architecture": architecture.to_json(), "after": after} | ({} if score is None else {"order": after})
    return optuna.trial.create_trial(
        state=State.RUNNING if score is None else State.COMPLETE,
        value=score,
        params=parameters,
        distributions=distributions,
        user_attrs={**_as_read(own), **checked(extra)},
    )


def trial_of(record: FrozenTrial) -> Trial:
    """Return the trial that ``record`` stores."""
    attributes, finished = record.user_attrs, record.state.is_finished()
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
        rungs=tuple(RungResult(**result) for result in attributes.get("rungs", ())),
        extra={key: value for key, value in attributes.items() if key not in _OURS},
    )


def checked(extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``extra`` as it is read back, or raise ValueError where it has a name that the ledger keeps itself."""
    taken = sorted(set(extra) & set(_OURS))
    if taken:
        raise ValueError(f"the ledger keeps {', '.join(taken)} itself")
    return _as_read(dict(extra))


def _as_read(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return ``attributes`` as JSON gives them back: without tuples."""
    return json.loads(json.dumps(attributes))


def _searched(architecture: Architecture, stage: str) -> tuple[dict[str, Any], dict[str, BaseDistribution]]:
    """The parameters of ``stage`` with their ranges: the level of every cell (from 1), or the width.

    The ranges are the same for all architectures of a search space. A parameter that never varies shows nothing.
    """
    if stage == "scale":
        return {"width": float(architecture.width)}, {"width": FloatDistribution(0.0, max(4.0, architecture.width))}
    levels = level_parameters(architecture.topology)
    return levels, dict.fromkeys(levels, IntDistribution(0, max(architecture.topology.downsamplings, 1)))


def _utc(moment: datetime | None) -> datetime | None:
    """Optuna stores local time without a zone."""
    return moment.astimezone(UTC) if moment else None
