"""What is said of a value that a field can't take: in plain words, with an example that the field does take."""

import re
from pathlib import Path

import pytest
from small_models import PLAN

from c2fnas.data.plan import load_plan, save_plan
from c2fnas.errors import UserError
from c2fnas.planning.presets import BUDGETS, requested
from c2fnas.runs.config import RunConfig
from c2fnas.runs.overrides import DERIVED, OPTIONS, SECTIONS, fields, parse_overrides

FIELDS = [
    name
    for name, _ in fields(RunConfig)
    if name.partition(".")[0] not in {*DERIVED, *OPTIONS} and name not in SECTIONS and not name.endswith(".recipe")
]
LIBRARY = re.compile(r"Input should|valid (tuple|integer|number|boolean|string|list)|pydantic|Field required|unable to")


def refusal(text: str, budget: str = "demo") -> str:
    """Return what is said of ``--set text``."""
    with pytest.raises(UserError) as error:
        requested(budget, parse_overrides([text]))
    return str(error.value)


def takes(text: str, budget: str) -> bool:
    """Return true if a field takes a value; it may ask for other fields beside it."""
    try:
        requested(budget, parse_overrides([text]))
    except UserError as error:
        return "missing" in str(error) or "expected" not in str(error)
    return True


@pytest.mark.parametrize("budget", ["demo", "paper"])
@pytest.mark.parametrize("wrong", ["{x: 1}", "[[x]]"])
def test_every_field_says_what_it_takes_and_takes_its_example(wrong: str, budget: str) -> None:
    shown = 0
    for name in FIELDS:
        said = refusal(f"{name}={wrong}", budget)
        assert said.startswith(f"--set {name}=")
        assert not LIBRARY.search(said), said
        assert "\n" not in said
        example = re.search(r"such as ([\w.]+)=(.*)\.$", said)
        if example is None:
            continue
        field, value = example.groups()
        assert field == name or field.startswith(f"{name}.")
        shown += 1
        assert takes(f"{field}={value}", budget), said
    assert shown > 0.8 * len(FIELDS)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("plan.patch_size=64", "expected 3 whole numbers above 0 or null, such as plan.patch_size=[64,64,64]"),
        ("plan.patch_size=[64,64]", "expected 3 whole numbers above 0 or null, such as plan.patch_size=[64,64,64]"),
        ("references=9", "expected a whole number from 1 to 4, such as references=2"),
        ("margin=2", "expected a number above 0 and below 1, such as margin=0.01"),
        ("verdict=maybe", "expected true or false, such as verdict=true"),
        ("fine.sampling=some", "expected uniform or strict, such as fine.sampling=uniform"),
        ("operations=[4D]", 'expected a list of 3D, P3D or 2D, such as operations=["3D","P3D","2D"]'),
        ("coarse.evaluations=2.5", "expected a whole number of 0 or more, such as coarse.evaluations="),
        ("deployment.folds=some", "expected last, all, every-case or a list of whole numbers of 0 or more, last"),
        ("coarse.early_stopping=5", "its fields one by one, such as coarse.early_stopping.shares=[0.33,0.66]"),
        ("coarse.recipe.name=some", "expected paper or modern, such as coarse.recipe.name=modern"),
        ("coarse.sampler=some", "some is no sampler, choose among"),
    ],
)
def test_it_is_said_in_plain_words(text: str, said: str) -> None:
    assert said in refusal(text)


def test_each_value_at_fault_is_named_and_no_other() -> None:
    with pytest.raises(UserError) as error:
        requested("demo", parse_overrides(["seed=-1", "verdict=true", "margin=7"]))
    assert re.findall(r"--set (\w+)", str(error.value)) == ["seed", "margin"]


def test_budgets_are_sound_as_they_are() -> None:
    for budget in BUDGETS:
        requested(budget, {})


def test_a_plan_edited_by_hand_is_answered_alike(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    save_plan(PLAN, path)
    text = path.read_text(encoding="utf-8")
    path.write_text(re.sub(r"^patch_size: .*$", "patch_size: 64", text, flags=re.MULTILINE), encoding="utf-8")
    with pytest.raises(UserError, match=r"plan.yaml: patch_size: 64 given, expected 3 whole numbers.*\[64,64,64\]"):
        load_plan(path)
    path.write_text(text.replace("patch_size:", "patchsize:"), encoding="utf-8")
    with pytest.raises(UserError, match=r"patch_size: missing.*patchsize: no such field \(near it: patch_size\)"):
        load_plan(path)
    path.write_text(re.sub(r"kind: \w+", "kind: pet", text), encoding="utf-8")
    with pytest.raises(UserError, match=r"channels.0.kind: pet given, expected (ct or mr|mr or ct)"):
        load_plan(path)
