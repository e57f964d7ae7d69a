"""Overrides of a configuration: ``coarse.evaluations=20``, by the dotted name of the field."""

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, get_args

import yaml
from pydantic import BaseModel

from c2fnas.errors import UserError
from c2fnas.runs.config import RunConfig

CHECKSUMS = ("fingerprint_sha256", "plan_sha256", "folds_sha256")
DERIVED = frozenset({"dataset", "dataset_path", "versions", "overrides", "kind", *CHECKSUMS})
"""Fields that a run fills in by itself."""

OPTIONS = {"budget": "--budget", "devices": "--devices"}
"""Fields that have an option of their own, which does more than set them."""

SECTIONS = frozenset({"coarse", "fine", "deployment"})
"""Sections that are set field by field, since each holds a recipe to be completed."""

SHOWN = 3


def parse_overrides(texts: Iterable[str] | Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of ``--set FIELD=VALUE`` by field; a value is read as YAML, those of a mapping are as they are.

    Raises:
        UserError: there is no ``=``, the value is no YAML, or no such field.

    >>> parse_overrides(["coarse.evaluations=20", "plan.spacing=[2,2,1]", "coarse.limits.macs=2e9"])
    {'coarse.evaluations': 20, 'plan.spacing': [2, 2, 1], 'coarse.limits.macs': 2000000000.0}
    """
    overrides = dict(texts) if isinstance(texts, Mapping) else _parsed(texts)
    refuse_unknown(overrides)
    return dict(_leaves(overrides, {name for name, _ in fields(RunConfig)}))


def _parsed(texts: Iterable[str]) -> dict[str, Any]:
    overrides: dict[str, Any] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign:
            raise UserError(f"--set {text}: give FIELD=VALUE, such as coarse.evaluations=20.")
        try:
            quoted = value.lstrip().startswith(("'", '"'))
            overrides[name.strip()] = yaml.safe_load(value) if quoted else _number(yaml.safe_load(value))
        except yaml.YAMLError as error:
            raise UserError(
                f"--set {text}: {value!r} can't be read as a value. Quote a text, list with [ ]."
            ) from error
    return overrides


def _leaves(overrides: Mapping[str, Any], known: Collection[str]) -> Iterator[tuple[str, Any]]:
    """Fields one by one where a whole section is set: ``plan={spacing: [2, 2, 1]}``."""
    for name, value in overrides.items():
        inner = {f"{name}.{key}": each for key, each in value.items()} if isinstance(value, Mapping) else {}
        if inner and all(each in known for each in inner):
            yield from _leaves(inner, known)
        else:
            yield name, value


def _number(value: Any) -> Any:
    """A text such as 2e9, which is no number to YAML 1.1, as the number that it means."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def refuse_unknown(overrides: Mapping[str, Any]) -> None:
    """Refuse an override of a field that a run does not have, and name the fields that are near it.

    Raises:
        UserError: there is no such field, or the run fills it in by itself.
    """
    known = dict(fields(RunConfig))
    for name in overrides:
        if name.partition(".")[0] in DERIVED:
            raise UserError(f"--set {name}: a run fills this field in by itself. Leave it out.")
        if name in OPTIONS:
            raise UserError(f"--set {name}: give {OPTIONS[name]}.")
        if name in SECTIONS or name.endswith(".recipe"):
            raise UserError(f"--set {name}: a section. Set its fields one by one, such as {_first(name, known)}.")
        if name not in known:
            near = _near(name, [*known])
            hint = f"Did you mean {' or '.join(near)}?" if near else "run.yaml in a run folder has all of them."
            raise UserError(f"--set {name}: no such field. {hint}")


def fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted name of every field, those of sections included."""
    for name, field in model.model_fields.items():
        yield f"{prefix}{name}", field.annotation
        options = [field.annotation, *get_args(field.annotation)]
        for section in options:
            if isinstance(section, type) and issubclass(section, BaseModel):
                yield from fields(section, f"{prefix}{name}.")


def with_overrides(part: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of ``part`` (a nested part of a configuration) in which ``overrides`` are set.

    >>> with_overrides({"coarse": {"clusters": 8}}, {"coarse.evaluations": 20, "seed": 1})
    {'coarse': {'clusters': 8, 'evaluations': 20}, 'seed': 1}
    """
    changed: dict[str, Any] = {
        key: with_overrides(value, {}) if isinstance(value, Mapping) else value for key, value in part.items()
    }
    for name, value in overrides.items():
        *sections, last = name.split(".")
        place = changed
        for section in sections:
            inner = place.get(section)
            # A section that was left out, or stood for as a single word: `plan: paper`.
            place[section] = inner if isinstance(inner, dict) else {"style": inner} if isinstance(inner, str) else {}
            place = place[section]
        place[last] = with_overrides(value, {}) if isinstance(value, Mapping) else value
    return changed


def value_at(config: RunConfig, name: str) -> Any:
    """Return the value of a field by its dotted name; None inside of a section that is None."""
    value: Any = config
    for part in name.split("."):
        value = getattr(value, part, None)
    return value


def leaves(values: Mapping[str, Any], whole: Collection[str] = (), prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of nested mappings by their dotted names; those of keys in ``whole`` are not taken apart.

    >>> dict(leaves({"seed": 0, "plan": {"style": "paper"}, "versions": {"torch": "2.10"}}, whole=["versions"]))
    {'seed': 0, 'plan.style': 'paper', 'versions': {'torch': '2.10'}}
    """
    for key, value in values.items():
        if isinstance(value, Mapping) and key not in whole:
            yield from leaves(value, whole, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def differences(config: RunConfig, other: RunConfig) -> dict[str, tuple[Any, Any]]:
    """Return the fields in which two configurations differ, with both values; sections field by field."""
    ours, theirs = (dict(leaves(each.model_dump(), whole=("overrides", "versions"))) for each in (config, other))
    names = [*ours, *(name for name in theirs if name not in ours)]
    pairs = {name: (ours.get(name), theirs.get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def with_values(config: RunConfig, values: Mapping[str, Any]) -> RunConfig:
    """Return the configuration with other values of fields, by their dotted names; sections stay as they are."""
    for name, value in values.items():
        *sections, last = name.split(".")
        places = [config]
        for section in sections:
            places.append(getattr(places[-1], section))
        changed: Any = places.pop().model_copy(update={last: value})
        for section, place in zip(reversed(sections), reversed(places), strict=True):
            changed = place.model_copy(update={section: changed})
        config = changed
    return config


def _first(section: str, known: Iterable[str]) -> str:
    return next(field for field in known if field.startswith(f"{section}."))


def _near(name: str, known: list[str]) -> list[str]:
    """Fields of a like name, or whose last part is the one given."""
    last = name.rpartition(".")[2]
    same = [field for field in known if field.rpartition(".")[2] == last]
    return (same + [field for field in difflib.get_close_matches(name, known, SHOWN) if field not in same])[:SHOWN]
