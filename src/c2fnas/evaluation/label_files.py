"""Evaluation of label files on disk: predictions against labels, paired by name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from c2fnas.data.fingerprint import alike
from c2fnas.data.formats import without_suffix
from c2fnas.data.formats.dicom import segment_names
from c2fnas.data.formats.dicom_seg import SUFFIX, is_label_file, is_segmentation
from c2fnas.data.problem import CaseError
from c2fnas.data.scheme import LARGEST_VALUE, MOST_CLASSES, LabelClass, LabelScheme
from c2fnas.data.volume import read_geometry, read_label, read_stored
from c2fnas.data.voxels import fraction_finding, label_values
from c2fnas.errors import UserError
from c2fnas.evaluation.metrics import CaseScores, Evaluation, Options, score_case, summarise
from c2fnas.shapes import Spacing

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Pair:
    """A case's two files."""

    case: str
    prediction: Path
    label: Path


def pair_files(predictions: Path, labels: Path) -> tuple[tuple[Pair, ...], tuple[str, ...]]:
    """Return every prediction with its label, by name without suffix, and the labels' cases without a prediction.

    Two single files are a pair whatever their names.

    Raises:
        UserError: a prediction has no label, or there is nothing to pair.
    """
    if predictions.is_file() and labels.is_file():
        return (Pair(_case(labels), predictions, labels),), ()
    ours, theirs = _volumes(predictions), _volumes(labels)
    alone = sorted(ours.keys() - theirs.keys())
    if alone:
        raise UserError(
            f"{predictions}: {len(alone)} of {len(ours)} predictions have no label of the same name in {labels}, such "
            f"as {ours[alone[0]].name}. Name the folder with their labels, or move such predictions elsewhere."
        )
    pairs = tuple(Pair(case, ours[case], theirs[case]) for case in sorted(ours))
    return pairs, tuple(sorted(theirs.keys() - ours.keys()))


def evaluate_files(
    pairs: Sequence[Pair],
    scheme: LabelScheme,
    *,
    options: Options = Options(),
    spacing: Spacing | None = None,
    on_progress: Progress = lambda done, total: None,
) -> Evaluation:
    """Score predictions against labels, both with the label values of ``scheme``; only labels have ignored voxels.

    Segments of a DICOM SEG are the classes whose names they have, see :func:`values_in`. A ``spacing`` that is stated
    counts in place of the labels' headers'.

    Raises:
        CaseError: a file is unsound, holds a value that no class has, or the two lie on different grids.
        UserError: no case shows any foreground.
    """
    rows = []
    for pair in pairs:
        rows.append(_score(pair, scheme, options, spacing))
        on_progress(len(rows), len(pairs))
    return summarise(rows)


def unstated(pairs: Sequence[Pair], headers: Sequence[Spacing]) -> tuple[Path, ...]:
    """Return the labels whose header is one of those for which a model had another spacing stated."""
    known = {alike(header) for header in headers}
    return tuple(pair.label for pair in pairs if known and alike(read_geometry(pair.label, pair.case).spacing) in known)


def found_classes(pairs: Sequence[Pair]) -> LabelScheme:
    """Return a class for every value that occurs in any of the files, named by it; 0 is the background.

    Raises:
        CaseError: a file is unsound, or holds what is no label: fractions, NaN, negative or very large values.
        UserError: one is a DICOM SEG whose segments have names, since their numbers need not be values of labels; or
            there are more values than a label has classes.
    """
    values = {0}
    for pair in pairs:
        for path in (pair.prediction, pair.label):
            if is_segmentation(path) and (names := segment_names(path)):
                raise UserError(
                    f"{path}: its segments are {', '.join(names.values())}, and their numbers need not be the values "
                    "of labels. Name the classes with --classes, a dataset.json or a model."
                )
            values |= _values_of(path, pair.case)
    if len(values) > MOST_CLASSES:
        raise UserError(
            f"{pairs[0].label.parent}: {len(values)} different values, which are no classes. Name label files, and the "
            "classes with --classes."
        )
    classes = (LabelClass("background" if value == 0 else str(value), (value,)) for value in sorted(values))
    return LabelScheme(tuple(classes))


def _values_of(path: Path, case: str) -> set[int]:
    """The values in a label file."""
    stored, header = read_stored(path, case)
    if finding := fraction_finding(stored, header.scaling):
        raise CaseError.of(finding, case, path)
    found = label_values(stored)
    if found and not 0 <= found[0] <= found[-1] <= LARGEST_VALUE:
        value = found[0] if found[0] < 0 else found[-1]
        fix = "Name a label file; or correct its values."
        raise CaseError(case, path, f"label {value}", f"values from 0 to {LARGEST_VALUE}", fix)
    return set(found)


def values_in(path: Path, scheme: LabelScheme) -> tuple[LabelClass, ...]:
    """Return the parts of a scheme with the values that they have in a file.

    Those of a DICOM SEG are its segments' numbers, which are found by name: predictions number the classes one after
    the other, whatever values they have in labels. A segment of a region is the part that is in no other region.
    Where no segment has the name of a class, the numbers are the values themselves.
    """
    names = segment_names(path) if is_segmentation(path) else {}
    if not {*names.values()} & {*scheme.names}:
        return scheme.parts
    known = list(scheme.parts[:1])
    for index, part in enumerate(scheme.parts[1:], 1):
        held = [name for name, own in zip(scheme.names, scheme.regions, strict=True) if index in own] or [part.name]
        values = tuple(number for number, name in names.items() if [name] == held)
        known.append(LabelClass(part.name, values))
    return tuple(known)


def _score(pair: Pair, scheme: LabelScheme, options: Options, stated: Spacing | None) -> CaseScores:
    truth, geometry = read_label(pair.label, values_in(pair.label, scheme), pair.case)
    classes = values_in(pair.prediction, scheme)[: scheme.ignored]
    prediction, _ = read_label(pair.prediction, classes, pair.case, pair.label)
    spacing = geometry.with_spacing(stated).spacing
    return score_case(pair.case, prediction, truth, scheme, spacing=spacing, options=options)


def _volumes(path: Path) -> dict[str, Path]:
    """The volume files of a folder, or the one file, by name without suffix."""
    files = [path] if path.is_file() else sorted(path.iterdir()) if path.is_dir() else []
    found: dict[str, Path] = {}
    for file in files:
        if not is_label_file(file) or file.name.startswith("."):
            continue
        if (other := found.setdefault(_case(file), file)) != file:
            raise UserError(f"{file} and {other.name} are the same case by name. Rename one, or move it elsewhere.")
    if not found:
        raise UserError(f"{path}: no volumes here. Name a folder of label files, or one such file.")
    return found


def _case(file: Path) -> str:
    return file.name[: -len(SUFFIX)] if is_segmentation(file) else without_suffix(file)
