"""Numbers, and tables of them, as people read them."""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any


def score(dice: float | None) -> str:
    """Return a Dice, or a dash where there is none.

    >>> score(0.81029), score(None)
    ('0.810', '–')
    """
    return "–" if dice is None else f"{dice:.3f}"


def crossed(values: Iterable[float], sign: str = "×") -> str:
    """Return sides or spacings with crosses between.

    >>> crossed((40, 56, 4_000_000)), crossed((1.0, 0.8, 2.5), " × ")
    ('40×56×4000000', '1 × 0.8 × 2.5')
    """
    return sign.join(f"{value:g}" if isinstance(value, float) else str(value) for value in values)


def duration(seconds: float | None) -> str:
    """Return a span of time in its two largest units.

    >>> duration(42.4), duration(3725), duration(200000), duration(None)
    ('42 s', '1 h 2 min', '2 d 7 h', 'not known yet')
    """
    if seconds is None:
        return "not known yet"
    span = timedelta(seconds=round(seconds))
    hours, minutes = divmod(span.seconds // 60, 60)
    if span.days:
        return f"{span.days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {span.seconds % 60} s" if minutes else f"{span.seconds} s"


def device_time(seconds: float) -> str:
    """Return the time that devices have worked: seconds or minutes where it is short, else hours.

    >>> device_time(42), device_time(200), device_time(3600 * 2.346), device_time(3600 * 1204), device_time(0)
    ('42 s', '3 min 20 s', '2.3 h', '1,204 h', '0 s')
    """
    hours = seconds / 3600
    return duration(seconds) if hours < 1 else f"{hours:.1f} h" if hours < 100 else f"{hours:,.0f} h"


def large(number: float) -> str:
    """Return a count with a unit of thousands.

    >>> large(17_602_115), large(149_600_000_000), large(950)
    ('17.6 M', '149.6 G', '950')
    """
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= unit:
            return f"{number / unit:.4g} {name}"
    return f"{number:g}"


def value(number: float) -> str:
    """Return a measured number in four digits, without an exponent.

    >>> value(274130.4), value(0.01234567)
    ('274,130', '0.01235')
    """
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.4g}"


def rough(number: float) -> str:
    """Return a measured number in three digits, without an exponent.

    >>> rough(1523.4), rough(8.783), rough(0.012345), rough(150_000)
    ('1,520', '8.78', '0.0123', '150,000')
    """
    return value(float(f"{number:.3g}"))


def minus(text: str) -> str:
    """Return a text with a real minus sign before negative numbers; hyphens and dates stay.

    >>> minus("Dice -0.0123, interval -0.02 to 1e-3, on 2026-11-28, fold-1")
    'Dice −0.0123, interval −0.02 to 1e-3, on 2026-11-28, fold-1'
    """
    return re.sub(r"(?<![\w\-])-(?=\d)", "−", text)


def sentence(text: str) -> str:
    """Return a text with a full stop, unless it ends with a mark already.

    >>> sentence("No such command 'runn'. Did you mean 'run'?"), sentence("no such file")
    ("No such command 'runn'. Did you mean 'run'?", 'no such file.')
    """
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


def plural(count: int, word: str, several: str | None = None) -> str:
    """Return a count with its noun.

    >>> plural(1, "case"), plural(3000, "case"), plural(2, "patch", "patches")
    ('1 case', '3,000 cases', '2 patches')
    """
    return f"{count:,} {word if count == 1 else several or word + 's'}"


def some(names: Sequence[str], shown: int = 3, separator: str = ", ", kind: str = "") -> str:
    """Return the first names, and the number of the others.

    >>> some(["a", "b", "c", "d", "e"]), some(["a", "b"], 1, kind="cases")
    ('a, b, c and 2 more', 'a and 1 more cases')
    """
    more = f" and {len(names) - shown} more" + (f" {kind}" if kind else "") if len(names) > shown else ""
    return separator.join(names[:shown]) + more


def as_csv(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return rows as CSV with a line of names; a value that a row lacks stays empty.

    >>> as_csv([{"case": "a", "dice": 0.5}, {"case": "b", "dice": None, "fold": 1}])
    'case,dice,fold\\na,0.5,\\nb,,1\\n'
    """
    rows, text = list(rows), io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
