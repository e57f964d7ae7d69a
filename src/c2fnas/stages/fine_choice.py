"""Which of the ranked candidates is the one: the best within what it may cost."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from c2fnas.errors import UserError
from c2fnas.files import read_json, write_json
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.ranked import RankedPath

CHOICE = "choice.json"


@dataclass(frozen=True)
class Limits:
    """What the architecture may cost at most: multiply-accumulates of one window, milliseconds of one on the device."""

    max_macs: float | None = None
    max_latency: float | None = None


def choose(folder: RunFolder, candidates: Sequence[RankedPath], limits: Limits | None) -> RankedPath:
    """The best within ``limits``, which are kept with the run; where none are given, within those that were kept last.

    Limits that nothing meets are not kept.

    Raises:
        UserError: see :func:`pick`.
    """
    path = folder.fine / CHOICE
    if limits is None:
        return pick(candidates, Limits(**read_json(path)) if path.exists() else Limits())
    chosen = pick(candidates, limits)
    write_json(path, asdict(limits))
    return chosen


def pick(candidates: Sequence[RankedPath], limits: Limits) -> RankedPath:
    """The best of the finalists, those that were scored on the most cases, within ``limits``.

    Where the latency could not be measured, a limit to it leaves all out.

    Raises:
        UserError: none is within the limits, or none has a score.
    """
    scored = [each for each in candidates if each.dice is not None]
    if not scored:
        raise UserError("No candidate of the fine stage has a score. Search anew in another --run folder.")
    most = max(each.cases for each in scored)
    finalists = [each for each in scored if each.cases == most]
    admitted = [each for each in finalists if _within(each, limits)]
    if not admitted:
        raise UserError(_refusal(finalists, limits))
    return max(admitted, key=lambda each: (each.dice, -each.number))


def _within(candidate: RankedPath, limits: Limits) -> bool:
    if limits.max_macs is not None and candidate.macs > limits.max_macs:
        return False
    latency = candidate.latency_ms
    return limits.max_latency is None or (latency is not None and latency <= limits.max_latency)


def _refusal(finalists: Sequence[RankedPath], limits: Limits) -> str:
    cheapest = min(each.macs for each in finalists)
    latencies = [latency for each in finalists if (latency := each.latency_ms) is not None]
    fastest = f"{min(latencies):.0f} ms" if latencies else "not measured"
    asked = [f"--max-macs {limits.max_macs:g}"] if limits.max_macs is not None else []
    asked += [f"--max-latency {limits.max_latency:g}"] if limits.max_latency is not None else []
    return (
        f"No candidate is within {' and '.join(asked)}: the cheapest takes {cheapest:.4g} multiply-accumulates, the "
        f"fastest {fastest}. Raise the limit, or search with a smaller width."
    )
