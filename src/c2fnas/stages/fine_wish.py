"""What a user asks of the fine stage on a run that is prepared: fixed, like everything of a run, once it has begun."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from c2fnas.errors import UserError
from c2fnas.runs.run import Setting


@dataclass(frozen=True)
class FineWish:
    """Settings to have instead of the budget's, see :class:`c2fnas.runs.config.FineConfig`; None: as they are."""

    sampling: Literal["uniform", "strict"] | None = None
    choose: Literal["random", "evolution"] | None = None
    candidates: int | None = None
    rungs: int | None = None


def with_wish(setting: Setting, wish: FineWish) -> Setting:
    """The run with what is wished for, which is written to ``run.yaml``.

    Raises:
        UserError: what it concerns has begun with another value.
    """
    fine = setting.config.fine
    changed = {name: value for name, value in vars(wish).items() if value not in (None, getattr(fine, name))}
    for name, value in changed.items():
        if _begun(setting, name).exists():
            raise UserError(
                f"{setting.folder.config}: the fine stage of this run has begun with --{name} {getattr(fine, name)}, "
                f"not {value}. A run is fixed once it has started: leave it out, or choose another --run folder."
            )
    if not changed:
        return setting
    config = setting.config.model_copy(update={"fine": fine.model_copy(update=changed)})
    config.save(setting.folder.config)
    return replace(setting, config=config)


def _begun(setting: Setting, name: str) -> Path:
    return setting.folder.supernet if name == "sampling" else setting.folder.ranking
