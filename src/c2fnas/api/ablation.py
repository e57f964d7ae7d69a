"""The worth of each stage and each data set of the search (paper 5.1, 5.2, Table 3)."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from c2fnas.api.jobs import Jobs
from c2fnas.api.options import known_options
from c2fnas.api.runs import open_run
from c2fnas.errors import UserError

if TYPE_CHECKING:
    from c2fnas.runs.reporter import Reporter
    from c2fnas.space.architecture import Architecture


@known_options
def ablate(
    runs: str | Path | Sequence[str | Path],
    *,
    architectures: Sequence[str] = (),
    folds: str = "all",
    reporter: "Reporter | None" = None,
    **jobs: Unpack[Jobs],
) -> dict[str, Any]:
    """Compare coarse winners (3D everywhere), fine winners, and what was found on other data (paper 5.1, 5.2).

    Everything that the runs have found is trained on every run's data set, from scratch, fold by fold, with that run's
    final recipe, plan and width. `C-` is a coarse winner, `F-` a fine one. Resumable; final networks that are the same
    trainings are not trained again. The table goes to ablation/table-3.json in the first run as soon as a data set is
    done, with an answer on each two, whose replicates are the folds; several answers are corrected by Holm.

    Args:
        runs: Run folders: of searches, or prepared for their data alone.
        architectures: A further one to compare: a name, a JSON file, a run folder or text; may be repeated.
        folds: `all`, `last`, or numbers such as `0,2`.
        reporter: Hears of the progress.
        jobs: Where jobs are done: `devices`, `backend`, `address` and `cpus_per_job`, as :class:`c2fnas.api.jobs.Jobs`
            says.

    Returns:
        Table 3: for each data set the rows, and the differences of each two.

    Raises:
        UserError: fewer than two architectures, a folder that is no run, or one that trains otherwise than before.

    Examples:
        c2fnas ablate runs/pancreas
        c2fnas ablate runs/pancreas runs/lung --folds all --devices cuda:0,cuda:1
        c2fnas ablate runs/hippocampus -a c2fnas-panc --folds last --json
    """
    folders = [Path(runs)] if isinstance(runs, str | Path) else [Path(run) for run in runs]
    further = _further(architectures)
    opened = [open_run(folder, reporter=reporter, **jobs) for folder in folders]
    from c2fnas.data.folds import scored_folds
    from c2fnas.planning.run_timings import expected_timings
    from c2fnas.studies.ablation import ablate as train_candidates
    from c2fnas.studies.ablation import contenders, refuse_unfit, write_table_3

    candidates = contenders(folders, further)
    refuse_unfit(folders, folds)
    columns = []
    for each in opened:
        with each.working() as run:
            chosen = scored_folds(folds, len(run.folds))
            run.reporter.say(f"{run.config.dataset}: {len(candidates)} architectures on {len(chosen)} folds")
            expected_timings(run)
            with run.time.stopped():
                columns.append(train_candidates(run, candidates, chosen))
        table = write_table_3(columns, folders[0])  # after each, so that a later one can't lose it
    return table


def _further(given: Sequence[str]) -> "dict[str, Architecture]":
    """Return the architectures that are given: a file by its own name, or as it was given where names are the same.

    Raises:
        UserError: one is none, or is given twice.
    """
    from c2fnas.space.architecture import Architecture

    repeated = [text for text, times in Counter(given).items() if times > 1]
    if repeated:
        raise UserError(f"--architecture {repeated[0]}: given twice. Leave one out.")
    stems = Counter(map(_short, given))
    return {_short(text) if stems[_short(text)] == 1 else text: Architecture.load(text) for text in given}


def _short(text: str) -> str:
    path = Path(text)
    return path.stem if path.suffix == ".json" else text
