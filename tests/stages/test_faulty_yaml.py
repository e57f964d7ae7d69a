"""What users may write as YAML (a budget, a plan, a configuration) is refused in one line that names the fault."""

import re
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import pytest
import yaml

from c2fnas.data.plan import load_plan
from c2fnas.errors import UserError
from c2fnas.planning.presets import BUDGETS, draft, load_budget
from c2fnas.runs.config import RunConfig

READERS: list[Callable[[Path], object]] = [load_plan, RunConfig.load, lambda path: load_budget(str(path))]


@pytest.mark.parametrize("read", READERS, ids=["plan", "configuration", "budget"])
@pytest.mark.parametrize(
    ("content", "named"),
    [(b"a: [1\n", "line 1"), (b"text", "dictionary"), (b"mine: 1\n", "mine: no such field"), (b"\xff\xfe", "decode")],
)
def test_one_line_names_the_file_and_the_fault(
    read: Callable[[Path], object], content: bytes, named: str, tmp_path: Path
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        read(path)
    text = str(error.value)
    assert str(path) in text
    assert named in text
    assert "\n" not in text
    assert "pydantic.dev" not in text


@pytest.mark.parametrize(
    ("coarse", "named"),
    [
        ({"clusters": 1000}, "coarse.clusters: 1000 given, expected a whole number from 1 to 924"),
        ({"sampler": "hill"}, "hill is no sampler, choose among algorithm1"),
        ({"early_stopping": {"shares": [0.5, 2]}}, "coarse.early_stopping.shares: 2 given, expected a list of numbers"),
        ({"early_stopping": {"factor": 1}}, "coarse.early_stopping.factor"),
    ],
)
def test_a_search_that_cannot_be_is_refused_before_the_data_are_prepared(
    coarse: dict, named: str, tmp_path: Path
) -> None:
    budget = yaml.safe_load((resources.files("c2fnas.presets") / "demo.yaml").read_text())
    budget["coarse"] |= coarse
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(budget))
    with pytest.raises(UserError, match=re.escape(named)):
        load_budget(str(tmp_path / "mine.yaml"))


@pytest.mark.parametrize("own", [{"budget": "mine"}, {"versions": {"torch": "2"}}, {"overrides": {"seed": 1}}])
def test_what_a_run_fills_in_itself_is_no_part_of_a_budget(own: dict, tmp_path: Path) -> None:
    """Such as the `run.yaml` of another run; it would fail once the data are prepared."""
    budget = yaml.safe_load((resources.files("c2fnas.presets") / "demo.yaml").read_text())
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(budget | own))
    with pytest.raises(UserError, match=f"{next(iter(own))}: filled in by the run itself; --like RUN"):
        load_budget(str(tmp_path / "mine.yaml"))


def test_budgets_of_the_package_are_read() -> None:
    styles = [draft(load_budget(budget), budget).plan.style for budget in BUDGETS]
    assert styles.count("paper") == 1
