"""Faults of values, in words: the field of a model, what was given for it, what it takes, and an example."""

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import BaseModel, ValidationError

from c2fnas.errors import in_a_line

Node = Mapping[str, Any]
"""A part of a JSON schema."""

SHOWN, CLOSE = 40, 0.7
"""Letters of a value that are shown, and how alike a name is that may have been meant."""
SIDE, SPACING = 64, (1, 1, 2)
"""Examples of three whole numbers, and of three numbers."""


@dataclass(frozen=True)
class Fault:
    """A value that a field can't take.

    Attributes:
        field: its dotted name; empty for the model as a whole.
        given: the value, as text; empty where it is missing, or tells nothing.
        problem: what is wrong or what the field takes, without a full stop.
    """

    field: str
    given: str
    problem: str

    @property
    def text(self) -> str:
        """The fault in a line, without a full stop."""
        given = f"{self.given} given" if self.given else ""
        return ": ".join(filter(None, [self.field, ", ".join(filter(None, [given, self.problem]))]))


def faults(error: ValidationError, model: type[BaseModel], known: Mapping[str, Any] | None = None) -> tuple[Fault, ...]:
    """Return the faults of values for ``model``, one for each field.

    ``known`` are sound values of the model, which give the examples before the fields' defaults.

    >>> class Patch(BaseModel):
    ...     size: tuple[int, int, int] | None = None
    >>> try:
    ...     Patch(size=64)
    ... except ValidationError as error:
    ...     print(*(each.text for each in faults(error, Patch)))
    size: 64 given, expected 3 whole numbers or null, such as size=[64,64,64]
    """
    schema, known = _schema(model), known or {}
    found: dict[str, Fault] = {}
    for each in error.errors():
        field, node, rest = _place(each["loc"], schema)
        own = each["type"] in ("value_error", "assertion_error")
        if field in found and not own:
            continue
        if own:
            problem = each["msg"].removeprefix("Value error, ").rstrip(".")
            found[field] = Fault(field, "", problem)
        elif node is None:
            found[field] = Fault(field, "", f"no such field{_near(rest, field, schema)}")
        else:
            missing = each["type"] == "missing" and not rest
            problem = f"{'missing, ' if missing else ''}expected {_expected(field, node, schema, known)}"
            found[field] = Fault(field, "" if each["type"] == "missing" else shown(each["input"]), problem)
    return tuple(found.values())


def faults_in_a_line(error: Exception, model: type[BaseModel]) -> str:
    """Return the faults of values for ``model`` in one line, without a full stop; of another error its message."""
    if isinstance(error, ValidationError):
        return "; ".join(each.text for each in faults(error, model))
    return in_a_line(error)


def _expected(field: str, node: Node, schema: Node, known: Mapping[str, Any]) -> str:
    """The values that a field takes, with an example where there is one."""
    inner = _section(node, schema)
    if not field:
        return "a dictionary of keys and values"
    if inner is not None:
        first = next(iter(inner["properties"]))
        words, field, node = "its fields one by one", f"{field}.{first}", inner["properties"][first]
    else:
        words = _either(_alternatives(node, schema))
    value: Any = known
    for step in field.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    example = _example(node, schema) if value in (None, [], ()) else value
    return words + ("" if example is None else f", such as {field}={shown(example)}")


@cache
def _schema(model: type[BaseModel]) -> Node:
    return model.model_json_schema()


def _place(location: Sequence[str | int], schema: Node) -> tuple[str, Node | None, str]:
    """The field that an error is at, its part of the schema (None: there is no such field), and what goes beyond it."""
    node: Node | None = schema
    names: list[str] = []
    for step in location:
        inner = _section(node or {}, schema)
        if inner is not None and isinstance(step, str):
            node = inner["properties"].get(step)
            names.append(step)
            if node is None:
                return ".".join(names), None, step
        elif isinstance(step, int) and _section((node or {}).get("items", {}), schema) is not None:
            node = (node or {})["items"]
            names.append(str(step))
        else:
            return ".".join(names), node, str(step)
    return ".".join(names), node, ""


def _resolved(node: Node, schema: Node) -> Node:
    while "$ref" in node:
        node = schema["$defs"][node["$ref"].rpartition("/")[2]]
    return node


def _section(node: Node, schema: Node) -> Node | None:
    """The part of the schema with a section's fields; None of a field without fields of its own."""
    options = [_resolved(each, schema) for each in node.get("anyOf", [node])]
    return next((each for each in options if "properties" in each), None)


def _alternatives(node: Node, schema: Node, several: bool = False) -> list[str]:
    """The kinds of values that a part takes; ``several`` of them in a list."""
    node = _resolved(node, schema)
    if "anyOf" in node:
        found = [word for each in node["anyOf"] for word in _alternatives(each, schema, several)]
        return sorted(dict.fromkeys(found), key=lambda word: word.startswith("a list"))
    if "enum" in node or "const" in node:
        return [str(each) for each in node.get("enum", [node.get("const")])]
    kind = node.get("type")
    if kind == "array":
        return [_listed(node, schema)]
    if kind in ("integer", "number"):
        noun = "whole number" if kind == "integer" else "number"
        return [" ".join(filter(None, [f"{noun}s" if several else f"a {noun}", _range(node)]))]
    return {"boolean": ["true", "false"], "null": ["null"], "string": ["text"]}.get(str(kind), ["keys with values"])


def _listed(node: Node, schema: Node) -> str:
    parts = node.get("prefixItems")
    if parts:
        return f"{len(parts)} {_either(_alternatives(parts[0], schema, several=True))}"
    return f"a list of {_either(_alternatives(node.get('items', {}), schema, several=True))}"


def _range(node: Node) -> str:
    """
    >>> _range({"minimum": 1, "maximum": 4}), _range({"exclusiveMinimum": 0}), _range({"minimum": 0})
    ('from 1 to 4', 'above 0', 'of 0 or more')
    """
    least, most = node.get("minimum"), node.get("maximum")
    if least is not None and most is not None:
        return f"from {least:g} to {most:g}"
    told = [
        *([f"of {least:g} or more"] if least is not None else []),
        *([f"above {node['exclusiveMinimum']:g}"] if "exclusiveMinimum" in node else []),
        *([f"of {most:g} at most"] if most is not None else []),
        *([f"below {node['exclusiveMaximum']:g}"] if "exclusiveMaximum" in node else []),
    ]
    return " and ".join(told)


def _either(texts: Sequence[str]) -> str:
    """
    >>> _either(["a", "b", "c"]), _either(["a"])
    ('a, b or c', 'a')
    """
    return " or ".join(filter(None, [", ".join(texts[:-1]), texts[-1]]))


def _example(node: Node, schema: Node) -> Any:
    """A value that the field takes: its default, or one that is made up; None where that can't be done."""
    if node.get("default") not in (None, []):
        return node["default"]
    if "examples" in node:
        return node["examples"][0]
    node = _resolved(node, schema)
    if "anyOf" in node:
        return next(_examples(node["anyOf"], schema), None)
    if "enum" in node:
        return node["enum"][0]
    kind = node.get("type")
    if kind == "array":
        parts = node.get("prefixItems", [])
        whole = all(each.get("type") == "integer" for each in parts)
        return ([SIDE] * 3 if whole else [*SPACING])[: len(parts)] if parts else [*_examples([node["items"]], schema)]
    if kind == "integer":
        return max(2, node.get("minimum", 0))
    if kind == "number" and node.get("maximum", node.get("exclusiveMaximum", 2)) <= 1:
        return 0.5
    return True if kind == "boolean" else None


def _examples(nodes: Sequence[Node], schema: Node) -> Iterator[Any]:
    yield from (found for each in nodes if (found := _example(each, schema)) is not None)


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def shown(value: Any) -> str:
    """Return a value as it is written in an option, cut where it is long."""
    try:
        text = _written(value)
    except (TypeError, ValueError):
        text = str(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def _near(name: str, field: str, schema: Node) -> str:
    """A question after the field that was meant, where one is near."""
    node: Node = schema
    for step in field.split(".")[:-1]:
        inner = _section(node, schema)
        node = node.get("items", {}) if inner is None else inner["properties"][step]
    known = list((_section(node, schema) or {"properties": {}})["properties"])
    near = difflib.get_close_matches(name, known, 1, CLOSE)
    return f" (near it: {near[0]})" if near else ""
