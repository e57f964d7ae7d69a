"""The classes that a manifest's labels describe, however they are written."""

from collections.abc import Iterator, Mapping
from typing import Any

from c2fnas.data.dataset import LabelClass
from c2fnas.data.problem import Finding

MOST_CLASSES = 256  # class indices are kept as uint8
LARGEST_VALUE = 2**16 - 1  # tables of values stay small
FIX = "Correct the labels in the manifest."


def parse_classes(labels: Any) -> tuple[tuple[LabelClass, ...], tuple[Finding, ...]]:
    """The classes of a manifest, background first, then by value; and what is wrong with them.

    Understood are value to name (``{"1": "liver"}``, string or integer keys), name to value (``{"liver": 1}``), name to
    several values (``{"liver": [1, 2]}``) and a list of names. Several values are merged into one class, and so are
    values with the same name. Where such lists overlap (nnU-Net's regions), a value belongs to the last class that
    lists it, as nnU-Net's later regions overwrite earlier ones.

    >>> parse_classes({"background": 0, "organ": [1, 2]})[0]
    (LabelClass(name='background', values=(0,)), LabelClass(name='organ', values=(1, 2)))
    """
    findings: list[Finding] = []
    owner: dict[int, str] = {}
    for name, values, is_region in _entries(labels, findings):
        for value in values:
            if value in owner and owner[value] != name:
                findings.append(_overlap(value, owner[value], name, is_region))
            owner[value] = name
    owner.setdefault(0, "background")
    merged: dict[str, list[int]] = {}
    for value in sorted(owner):
        merged.setdefault(owner[value], []).append(value)
    classes = tuple(LabelClass(name, tuple(values)) for name, values in merged.items())
    return classes, (*findings, *_whole(classes, labels))


def _entries(labels: Any, findings: list[Finding]) -> Iterator[tuple[str, tuple[int, ...], bool]]:
    """Name, values and whether the values are a list, entry by entry."""
    if isinstance(labels, list):
        labels = dict(enumerate(labels))
    if not isinstance(labels, Mapping):
        findings.append(Finding(f"labels {labels!r:.60}", 'an object such as {"background": 0, "liver": 1}', FIX))
        return
    for key, value in labels.items():
        by_value = (
            whole_number(key) is not None and (isinstance(value, str) or value is None) and whole_number(value) is None
        )
        name, raw = (value, key) if by_value else (key, value)
        values = tuple(whole_number(each) for each in (raw if isinstance(raw, list | tuple) else [raw]))
        if not values or any(each is None or not 0 <= each <= LARGEST_VALUE for each in values):
            expected = f"whole numbers from 0 to {LARGEST_VALUE}"
            findings.append(Finding(f"label {key!r}: {value!r}", expected, FIX))
            continue
        known = tuple(each for each in values if each is not None)
        yield str(name or "").strip() or f"label {known[0]}", known, isinstance(raw, list | tuple)


def whole_number(value: Any) -> int | None:
    """A whole number written as such, as a float or as text; None for anything else.

    >>> whole_number("2"), whole_number(2.0), whole_number("2.0"), whole_number("two"), whole_number(True)
    (2, 2, 2, None, None)
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return int(number) if number.is_integer() and not isinstance(value, bool) else None


def _overlap(value: int, earlier: str, later: str, is_region: bool) -> Finding:
    found = f"label {value} in both {earlier!r} and {later!r}"
    if is_region:
        fix = f"It is taken for {later!r}, the later: classes can't overlap. Rename {earlier!r} to what is left."
        return Finding(found, "classes that don't overlap", fix, "warning")
    return Finding(found, "one class for every value", FIX)


def _whole(classes: tuple[LabelClass, ...], labels: Any) -> Iterator[Finding]:
    left = {each.name for each in classes}
    for name in labels if isinstance(labels, Mapping) else ():
        if isinstance(labels[name], list | tuple) and labels[name] and str(name) not in left:
            yield Finding(f"no value left for {name!r}", "a value of its own for every class", FIX)
    if len(classes) < 2 and isinstance(labels, Mapping | list):
        yield Finding("no class but the background", "at least one class to segment", FIX)
    if len(classes) > MOST_CLASSES:
        yield Finding(
            f"{len(classes)} classes", f"at most {MOST_CLASSES}", "Merge classes by giving them the same name."
        )
    if any(each.name.lower() == "ignore" for each in classes[1:]):
        fix = (
            "nnU-Net's ignore label isn't supported: merge it into a class or the background, or leave out such cases."
        )
        yield Finding("an ignore label", "labels for every voxel", fix)
