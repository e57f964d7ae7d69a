"""Reports: of one run, or of several side by side."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from c2fnas.api.run_view import RunView
from c2fnas.api.runs import open_run
from c2fnas.devices import refuse_unknown_device
from c2fnas.errors import UserError

if TYPE_CHECKING:
    from c2fnas.runs.reporter import Reporter


def report(
    run: str | Path | Sequence[str | Path],
    *,
    folder: str | Path | None = None,
    overlays: bool = True,
    case: str | None = None,
    device: str = "auto",
    keep_identifiers: bool = False,
    reporter: "Reporter | None" = None,
) -> Path:
    """Write RUN/report/index.html: what was done and found, how good it is, what it cost and what is left.

    One page that needs no network and no other file; its figures lie beside it as SVG and PNG, with the data behind
    them as CSV. A run is only looked at, so it may be under way.

    Of several runs, a page compares them: what differs, Dice with intervals, cost, and their fronts in one plot.

    Args:
        run: The run folder, or several to compare.
        folder: Where the page goes; by default RUN/report, of several runs comparison/ beside them.
        overlays: Of one run, show the best, median and worst case, and one slice by slice.
        case: Of one run, the validation case to show slice by slice; by default the worst.
        device: Where to predict cases that the run has not kept: `auto` (the first GPU, else the CPU), `cpu`, `cuda:1`.
        keep_identifiers: Show whole paths of the data set and of the run, not their last part alone.
        reporter: Hears of the progress.

    Returns:
        The page.

    Raises:
        UserError: a folder is no run, or an option belongs to another number of runs.

    Examples:
        c2fnas report runs/hippocampus
        c2fnas report runs/hippocampus --case hippocampus_101
        c2fnas report runs/hour runs/day runs/unet
        c2fnas report /mnt/archive/hippocampus --folder hippocampus-report
    """
    refuse_unknown_device(device)
    places = [Path(each) for each in ([run] if isinstance(run, str | Path) else run)]
    if len(places) > 1 and case is not None:
        raise UserError("--case belongs to the report of one run. Name one.")
    for each in places:
        open_run(each)
    if len(places) == 1:
        return RunView(places[0], reporter=reporter).report(
            folder, overlays=overlays, case=case, device=device, keep_identifiers=keep_identifiers
        )
    from c2fnas.report import write_comparison

    place = None if folder is None else Path(folder)
    return write_comparison(places, place, keep_identifiers=keep_identifiers, reporter=reporter)
