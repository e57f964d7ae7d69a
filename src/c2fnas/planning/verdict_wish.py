"""Whether a run gives a verdict: the budget says it, the user may say otherwise before the search has begun."""

from c2fnas.errors import UserError
from c2fnas.planning.presets import Preset
from c2fnas.runs.config import RunConfig
from c2fnas.runs.folder import RunFolder

HAS_ONE = (
    "this run was started with a verdict at its end. A run is fixed once it has started: leave --no-verdict out, or "
    "choose another --run folder."
)
HAS_NONE = (
    "this run was started without a verdict. A run is fixed once it has started: leave --verdict out; "
    "`c2fnas verdict` gives one afterwards."
)


def with_verdict(preset: Preset, wanted: bool | None) -> Preset:
    """The budget with or without a verdict; None leaves it as it is."""
    return preset if wanted is None else preset.model_copy(update={"verdict": wanted})


def ask_for_verdict(folder: RunFolder, wanted: bool | None) -> None:
    """Write what is wanted into the configuration of a prepared run; its iteration counts stay.

    Raises:
        UserError: the search has begun with something else.
    """
    config = RunConfig.load(folder.config)
    if wanted is None or wanted == config.verdict:
        return
    if folder.coarse.exists():
        raise UserError(f"{folder.config}: {HAS_ONE if config.verdict else HAS_NONE}")
    config.model_copy(update={"verdict": wanted}).save(folder.config)
