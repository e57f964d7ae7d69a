"""Overrides: values of `--set` by the dotted names of their fields, put into a configuration and read from it."""

import copy
import re
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from c2fnas.errors import UserError
from c2fnas.planning.presets import draft, load_budget
from c2fnas.runs.config import EarlyStopping, RunConfig
from c2fnas.runs.overrides import (
    DERIVED,
    OPTIONS,
    SECTIONS,
    differences,
    fields,
    parse_overrides,
    refuse_unknown,
    value_at,
    with_overrides,
    with_values,
)

FIELDS = [name for name, _ in fields(RunConfig)]
SETTABLE = [
    name
    for name in FIELDS
    if name.split(".")[0] not in {*DERIVED, *OPTIONS} and name not in SECTIONS and not name.endswith(".recipe")
]
NUMBER = re.compile(r"\s*[-+]?[\d_.]+(e[-+]?[\d_]+)?\s*|.*(nan|inf).*", re.IGNORECASE)
"""Unquoted, such as 2e9, it is a number to a user and a text to YAML 1.1."""
TEXTS = st.text(max_size=8).filter(lambda text: yaml.safe_dump(text)[0] in "'\"" or not NUMBER.fullmatch(text))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)
CONFIG = draft(load_budget("hour"), "hour")


@given(st.dictionaries(st.sampled_from(SETTABLE), VALUES, max_size=4))
def test_values_go_through_yaml_and_back(overrides: dict[str, Any]) -> None:
    texts = [f"{name}={yaml.safe_dump(value, default_flow_style=True)}" for name, value in overrides.items()]
    assert parse_overrides(texts) == overrides


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("coarse.sampler='0'", "0"),
        ("coarse.limits.macs=2e9", 2e9),
        ("coarse.evaluations=20", 20),
        ("width=0.5", 0.5),
        ("width=auto", "auto"),
        ("verdict=false", False),
        ("fine.cases=null", None),
        ("fine.cases=", None),
        ("plan.spacing=[2, 2, 1.5]", [2, 2, 1.5]),
        ("folds.by=/a/b=c.json", "/a/b=c.json"),
        (" seed = 3 ", 3),
    ],
)
def test_a_value_is_read_as_yaml(text: str, value: Any) -> None:
    (found,) = parse_overrides([text]).values()
    assert found == value
    assert type(found) is type(value)


def test_the_last_word_counts() -> None:
    assert parse_overrides(["seed=1", "width=2", "seed=3"]) == {"seed": 3, "width": 2}
    assert parse_overrides([]) == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed", "--set seed: give FIELD=VALUE, such as coarse.evaluations=20."),
        ("plan.spacing=[1, 2", "--set plan.spacing=[1, 2: '[1, 2' can't be read as a value."),
        ("=3", "--set : no such field"),
        ("coarse.evaluation=3", "no such field. Did you mean coarse.evaluations"),
        ("evaluations=3", "no such field. Did you mean coarse.evaluations or operations?"),
        ("iterations=3", "Did you mean coarse.recipe.iterations or fine.recipe.iterations or deployment.recipe.iter"),
        ("coarse.recipe.iteration=3", "Did you mean coarse.recipe.iterations"),
        ("zzzzz=3", "no such field."),
        ("versions={}", "a run fills this field in by itself"),
        ("versions.c2fnas=1", "a run fills this field in by itself"),
        ("dataset=a", "a run fills this field in by itself"),
        ("devices=[cpu:0]", "give --devices"),
        ("budget=day", "give --budget"),
        ("coarse={}", "a section. Set its fields one by one, such as coarse.clusters."),
        ("fine.recipe={name: paper}", "a section. Set its fields one by one, such as fine.recipe.name."),
    ],
)
def test_what_cannot_be_set_is_refused_with_what_can(text: str, said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        parse_overrides([text])


@pytest.mark.parametrize("name", SETTABLE)
def test_a_letter_too_many_is_answered_with_the_field(name: str) -> None:
    refuse_unknown({name: 1})
    with pytest.raises(UserError, match="Did you mean") as error:
        refuse_unknown({f"{name}s": 1})
    assert name in str(error.value) or f"{name}s" in FIELDS


def settable_values() -> st.SearchStrategy[dict[str, Any]]:
    """Fields with values that are in their range."""
    return st.fixed_dictionaries(
        {},
        optional={
            "seed": st.integers(0, 9),
            "width": st.floats(0.01, 2),
            "verdict": st.booleans(),
            "plan.style": st.sampled_from(["paper", "planned"]),
            "plan.spacing": st.none() | st.lists(st.floats(0.1, 5), min_size=3, max_size=3),
            "folds.count": st.none() | st.integers(2, 9),
            "coarse.evaluations": st.integers(1, 99),
            "coarse.limits.macs": st.none() | st.integers(1, 10**12),
            "coarse.limits.memory": st.none() | st.integers(1, 10**12),
            "coarse.early_stopping.factor": st.integers(2, 5),
            "coarse.recipe.iterations": st.integers(1, 999),
            "fine.recipe.momentum": st.floats(0, 0.99),
            "fine.cases": st.none() | st.integers(1, 99),
            "deployment.validate_every": st.none() | st.integers(1, 99),
        },
    )


@given(settable_values(), settable_values())
def test_what_is_set_is_there_and_nothing_else_changes(first: dict[str, Any], second: dict[str, Any]) -> None:
    """In the budget's part and in what is made of it; and set one after the other is set at once."""
    part = load_budget("hour")
    untouched, before = copy.deepcopy(part), dict(first)
    config = draft(with_overrides(part, first), "hour")
    assert (part, first) == (untouched, before)
    for name, value in first.items():
        found = value_at(config, name)
        assert (list(found) if isinstance(found, tuple) else found) == value
    changed = {name for name in differences(CONFIG, config) if not name.startswith("coarse.early_stopping")}
    assert changed <= {*first} | _follows(first)
    after = with_overrides(with_overrides(part, first), second)
    assert draft(after, "hour") == draft(with_overrides(part, _both(first, second)), "hour")


def _both(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in first.items() if name not in second} | second


def _follows(overrides: dict[str, Any]) -> set[str]:
    """Of a recipe's length follows the rest of it."""
    length = "coarse.recipe.iterations" in overrides
    return {name for name in FIELDS if length and name.startswith("coarse.recipe.")}


def test_overrides_of_the_same_place_do_not_spoil_each_other() -> None:
    overrides: dict[str, Any] = {"coarse.limits": {"macs": 5}, "coarse.limits.memory": 7}
    assert with_overrides({}, overrides) == {"coarse": {"limits": {"macs": 5, "memory": 7}}}
    assert overrides["coarse.limits"] == {"macs": 5}


@pytest.mark.parametrize("before", [None, False, True, {"shares": [0.33, 0.66]}])
def test_a_section_that_is_off_or_a_word_takes_fields(before: Any) -> None:
    part = load_budget("demo")
    part["coarse"]["early_stopping"] = before
    stopping = draft(with_overrides(part, {"coarse.early_stopping.factor": 3}), "demo").coarse.early_stopping
    assert stopping == EarlyStopping(factor=3)
    off = draft(with_overrides(part, {"coarse.early_stopping": False}), "demo")
    assert off.coarse.early_stopping is None
    assert value_at(off, "coarse.early_stopping.factor") is None
    plan = draft(with_overrides({**part, "plan": "paper"}, {"plan.batch_size": 3}), "demo").plan
    assert (plan.style, plan.batch_size) == ("paper", 3)


@given(settable_values())
def test_differences_are_the_values_that_put_them_right(values: dict[str, Any]) -> None:
    other = draft(with_overrides(load_budget("hour"), values), "hour")
    found = differences(CONFIG, other)
    assert (found == {}) == (other == CONFIG)
    assert all(ours != theirs for ours, theirs in found.values())
    if not any(name.startswith("coarse.early_stopping") for name in found):
        assert with_values(CONFIG, {name: theirs for name, (_, theirs) in found.items()}) == other


def test_a_section_that_is_set_whole_is_set_field_by_field() -> None:
    """What a plan or folds follow from is looked for by the names of fields."""
    found = parse_overrides(
        ["plan={spacing: [3, 3, 3], crop_nonzero: true}", "folds={by: random}", "coarse.limits={macs: 7}"]
    )
    assert found == {
        "plan.spacing": [3, 3, 3],
        "plan.crop_nonzero": True,
        "folds.by": "random",
        "coarse.limits.macs": 7,
    }
