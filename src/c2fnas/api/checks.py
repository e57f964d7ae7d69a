"""Every problem of a data set, and a corrected copy."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from c2fnas.api.options import refuse_below, stated
from c2fnas.errors import UserError
from c2fnas.text import plural

if TYPE_CHECKING:
    from c2fnas.data.fixing import Fixed
    from c2fnas.data.problem import Problem
    from c2fnas.data.scan import Scan
    from c2fnas.runs.reporter import Reporter

LARGEST_FLOAT32 = 3.4028235e38


@dataclass(frozen=True)
class Check:
    """The result of a check.

    Attributes:
        problems: errors and warnings, of the data set as a whole first, then case by case.
        scan: the data set that was read; None where there is none, or its manifest can't be read.
        folder: the corrected copy, where one was asked for.
        fixed: the files that are corrected in it.
    """

    problems: tuple["Problem", ...]
    scan: "Scan | None" = field(default=None, repr=False)
    folder: Path | None = None
    fixed: tuple["Fixed", ...] = ()

    @property
    def errors(self) -> int:
        """The number of problems that keep the data set from being used."""
        return sum(problem.severity == "error" for problem in self.problems)

    @property
    def status(self) -> Literal["fine", "partial", "wrong"]:
        """``wrong`` with an error, ``partial`` with warnings alone, else ``fine``."""
        return "wrong" if self.errors else "partial" if self.problems else "fine"

    @property
    def warnings(self) -> tuple[str, ...]:
        """The reason where nothing could be checked."""
        return () if self.scan else tuple(f"c2fnas: {each.text}" for each in self.problems)

    def __str__(self) -> str:
        """The problems, those that many cases share once with the files' names, and the counts."""
        from c2fnas.data.problem import lines

        told = lines(self.problems)
        if self.scan is not None:
            data, warnings = self.scan.dataset, len(self.problems) - self.errors
            cases = f"{len(data.training)} training and {len(data.test)} test cases"
            told.append(f"{data.name}: {cases}, {plural(self.errors, 'error')}, {plural(warnings, 'warning')}.")
        return "\n".join(told)

    def to_json(self) -> dict[str, Any]:
        """The problems, the files that were fixed, and the data set in numbers."""
        content: dict[str, Any] = {"problems": [problem.to_json() for problem in self.problems]}
        if self.folder is not None:
            content["fixed"] = [asdict(each) for each in self.fixed]
        return content if self.scan is None else content | {"dataset": _numbers(self.scan)}


def check(
    dataset: str | Path,
    *,
    fix: str | Path | None = None,
    fill: float | None = None,
    spacing: str | None = None,
    workers: int | None = None,
    reporter: "Reporter | None" = None,
) -> Check:
    """Read every file of a data set once and list every problem: what was found, what was expected, and the fix.

    A copy with `--fix DIR` has a label turned onto its image's axes where that is exact, its affine corrected where it
    is within tolerance, its fourth axis of one voxel removed, and labels that are stored as real numbers or behind a
    slope stored as whole ones. Everything else is copied as it is. Originals are never touched.

    What would spoil a run is told with the option that fixes it: a spacing that looks lost, names that look like one
    patient's, a class of a few voxels at the planned spacing.

    Classes that a fold lacks are listed for the folds that `c2fnas run` makes by default.

    Exit code 0: no problem; 1: warnings only; 2: errors.

    Args:
        dataset: The data set's folder or file: MSD, nnU-Net raw, or a CSV.
        fix: Copy the data set to this folder, with what is safe to correct corrected.
        fill: With --fix: the value for NaN and infinite voxels of images.
        spacing: State the true spacing, `1.25,1.25,8`, in mm along the images' own axes, where the headers have lost
            it.
        workers: Cases read at the same time; by default one per core.
        reporter: Hears of the progress.

    Returns:
        The problems, whose text is what the command prints, and the copy where one was asked for.

    Raises:
        UserError: --fill without --fix, or a folder that the copy can't go to.

    Examples:
        c2fnas check Task04_Hippocampus
        c2fnas check Task04_Hippocampus --json > problems.json
        c2fnas check Task04_Hippocampus --fix Task04_corrected
    """
    if fill is not None and fix is None:
        raise UserError("--fill is for corrected copies: say with --fix DIR where they go.")
    if fill is not None and not abs(fill) <= LARGEST_FLOAT32:
        raise UserError(f"--fill {fill:g}: give a number that float32 holds.")
    refuse_below(1, workers=workers)
    true_spacing = stated(spacing)
    from c2fnas.cores import usable_cores
    from c2fnas.data.layouts import read_dataset
    from c2fnas.data.problem import CaseError

    try:
        reading = read_dataset(Path(dataset))
    except CaseError as error:  # there is no data set, or its manifest can't be read
        return Check((error.problem,))
    from c2fnas.data.fixing import fix_dataset
    from c2fnas.data.fold_problems import fold_problems
    from c2fnas.data.scan import scan_dataset
    from c2fnas.planning.plan import small_classes

    with _stage(reporter, "check") as progress:
        found = scan_dataset(reading, spacing=true_spacing, workers=workers or usable_cores(), progress=progress)
    root = found.dataset.root
    problems = (*found.problems, *fold_problems(found.dataset, found.present, root))
    faulty = any(each.severity == "error" for each in found.manifest)
    if found.dataset.training and not faulty and all(each.fingerprint for each in found.training):
        problems += small_classes(found.fingerprint, root)
    if fix is None:
        return Check(problems, found)
    with _stage(reporter, "copy") as progress:
        fixed = fix_dataset(found, Path(fix), fill=fill, progress=progress)
    return Check(problems, found, Path(fix), fixed)


@contextmanager
def _stage(reporter: "Reporter | None", name: str) -> Iterator[Any]:
    """A stage of a reporter, as a function of the cases done and those there are."""
    from c2fnas.runs.reporter import listening

    listener = listening(reporter)
    listener.start(name, 1)
    yield lambda done, total: listener.update(name, done / total)
    listener.finish(name)


def _numbers(scan: "Scan") -> dict[str, Any]:
    dataset = scan.dataset
    return {
        "name": dataset.name,
        "training": len(dataset.training),
        "test": len(dataset.test),
        "channels": dataset.channels,
        "classes": [
            {"name": each.name, "values": each.values, "cases": cases}
            for each, cases in zip(dataset.classes, scan.class_cases, strict=True)
        ],
        "regions_class_order": dataset.regions_class_order,
        "ignore": dataset.ignore,
    }
