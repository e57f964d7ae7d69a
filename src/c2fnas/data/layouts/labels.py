"""The classes that a manifest's labels describe, however they are written."""

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

from c2fnas.data.problem import Finding
from c2fnas.data.scheme import FIX, IGNORE, LARGEST_VALUE, MOST_CLASSES, LabelClass, LabelScheme, suggested_order


def parse_labels(labels: Any, order: Any = None) -> tuple[LabelScheme, tuple[Finding, ...]]:
    """The classes or regions of a manifest, the background first, and what is wrong with them.

    Understood are value to name (``{"1": "liver"}``, string or integer keys), name to value (``{"liver": 1}``), name to
    several values (``{"liver": [1, 2]}``) and a list of names. Several values are merged into one class, and so are
    values with the same name; classes come by value. With ``order``, nnU-Net's ``regions_class_order``, names are those
    of regions that may overlap, in the manifest's order; where none has several values they are classes, as in nnU-Net.
    The name ``ignore`` is that of voxels without a label.

    >>> parse_labels({"background": 0, "organ": [1, 2]})[0].classes
    (LabelClass(name='background', values=(0,)), LabelClass(name='organ', values=(1, 2)))
    """
    findings: list[Finding] = []
    merged: dict[str, list[int]] = {}
    for name, values in _entries(labels, findings):
        merged.setdefault(name, []).extend(value for value in values if value not in merged.get(name, ()))
    ignored = next((merged.pop(name) for name in tuple(merged) if name.lower() == IGNORE), [])
    if len(ignored) > 1:
        findings.append(Finding(f"ignore: {ignored}", "one value, the highest", FIX))
    background = next((name for name, values in merged.items() if 0 in values), "background")
    first = LabelClass(background, tuple(sorted(merged.pop(background, [0]))))
    classes = [LabelClass(name, tuple(sorted(values))) for name, values in merged.items()]
    regions = order is not None and any(len(each.values) > 1 for each in classes)
    if not regions:
        classes.sort(key=lambda each: each.values[0])
    scheme = LabelScheme(
        (first, *classes), _order(order, findings) if regions else None, ignored[0] if ignored else None
    )
    findings += _whole(scheme, labels)
    return scheme, tuple(findings or scheme.findings())


def _entries(labels: Any, findings: list[Finding]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and values, entry by entry."""
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
        yield str(name or "").strip() or f"label {known[0]}", known


def whole_number(value: Any) -> int | None:
    """A whole number written as such, as a float or as text; None for anything else.

    >>> whole_number("2"), whole_number(2.0), whole_number("2.0"), whole_number("two"), whole_number(True)
    (2, 2, 2, None, None)
    """
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return int(number) if number.is_integer() and not isinstance(value, bool) else None


def _order(order: Any, findings: list[Finding]) -> tuple[int, ...]:
    values = tuple(map(whole_number, order if isinstance(order, list | tuple) else [None]))
    known = tuple(value for value in values if value is not None)
    if len(known) < len(values):
        findings.append(Finding(f"regions_class_order {order!r:.60}", "a list of label values, one per region", FIX))
    return known


def _whole(scheme: LabelScheme, labels: Any) -> Iterator[Finding]:
    """Yield what is wrong with the classes together."""
    background, *classes = scheme.classes
    if 0 not in background.values:
        found = f"a background {background.name!r} without the value 0"
        yield Finding(found, "0 for the background", "Label it 0, or name the class of its value otherwise.")
    if not classes and isinstance(labels, Mapping | list):
        yield Finding("no class but the background", "at least one class to segment", FIX)
    if len(scheme.parts) > MOST_CLASSES:
        fix = "Merge classes by giving them the same name."
        yield Finding(f"{len(scheme.parts)} classes", f"at most {MOST_CLASSES}", fix)
    if inside := [each.name for each in classes if {*each.values} & {*background.values}]:
        found = f"a label of the background {background.name!r} in {', '.join(map(repr, inside))}"
        yield Finding(found, "a background that no class or region shares", FIX)
    pairs = combinations(classes, 2) if scheme.order is None else ()
    if shared := [
        (one, other, {*one.values} & {*other.values}) for one, other in pairs if {*one.values} & {*other.values}
    ]:
        one, other, values = shared[0]
        found = f"label {', '.join(map(str, sorted(values)))} in both {one.name!r} and {other.name!r}"
        if any(len(each.values) > 1 for each in classes):
            key = f'"regions_class_order": {list(suggested_order(classes))}'
            fix = f"If these are regions that overlap, write {key} beside the labels. Else give every value one class."
            yield Finding(found, "one class for every value, or regions with their order", fix)
        else:
            yield Finding(found, "one class for every value", FIX)
