"""The one configuration: written and read again, and refused where it is of another version or no configuration."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from c2fnas.errors import UserError
from c2fnas.runs.config import CoarseConfig, DeploymentConfig, EarlyStopping, FineConfig, PlanConfig, RunConfig
from c2fnas.training.recipe import modern_recipe

RECIPE = modern_recipe(10)


def config(**values: Any) -> RunConfig:
    own = {
        "budget": "demo",
        "width": 0.25,
        "coarse": CoarseConfig(clusters=2, per_cluster=1, evaluations=2, recipe=RECIPE),
        "fine": FineConfig(candidates=2, recipe=RECIPE),
        "deployment": DeploymentConfig(folds=(0,), recipe=RECIPE),
        "versions": {"c2fnas": "0.2.0"},
    }
    return RunConfig(**own | values)


@given(
    kind=st.sampled_from(["search", "training"]),
    budget=st.text(min_size=1, max_size=20),
    seed=st.integers(0, 2**63),
    width=st.floats(1e-3, 8) | st.just("auto"),
    devices=st.lists(st.sampled_from(["cpu", "cuda:0", "cuda:1"]), min_size=1).map(tuple),
    plan=st.builds(
        PlanConfig,
        style=st.sampled_from(["paper", "planned"]),
        spacing=st.none() | st.tuples(*[st.floats(0.1, 9)] * 3),
        patch_size=st.none() | st.tuples(*[st.integers(8, 256)] * 3),
    ),
    early=st.none() | st.builds(EarlyStopping, shares=st.just((0.25, 0.5)), factor=st.integers(2, 9)),
    overrides=st.dictionaries(st.sampled_from(["seed", "plan.spacing"]), st.integers() | st.lists(st.floats(0, 9))),
)
def test_what_is_written_is_read_again(tmp_path_factory: pytest.TempPathFactory, early: Any, **values: Any) -> None:
    """To the bit: a run that is copied elsewhere is the same run."""
    path = tmp_path_factory.mktemp("written") / "run.yaml"
    written = config(**values, coarse=CoarseConfig(recipe=RECIPE, early_stopping=early))
    written.save(path)
    assert RunConfig.load(path) == written


@pytest.mark.parametrize("version", ["0.1.0", "0.1.7"])
def test_a_run_of_the_last_version_is_refused_in_one_sentence_that_names_it(tmp_path: Path, version: str) -> None:
    """Its own keys are none of today's, of which the refusal says nothing."""
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump({"fingerprint": "f", "plan": "p", "versions": {"c2fnas": version}}))
    with pytest.raises(UserError) as error:
        RunConfig.load(path)
    text = str(error.value)
    assert text.startswith(f"{path}: this run was made by c2fnas {version}, whose run folders this version")
    assert "fingerprint" not in text


@pytest.mark.parametrize("values", [{}, {"versions": {}}, {"versions": 3}, {"versions": {"c2fnas": 0.1}}, [1], None])
def test_what_is_no_configuration_is_not_taken_for_one_of_another_version(tmp_path: Path, values: Any) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(UserError, match="not a run configuration of this version"):
        RunConfig.load(path)


def test_a_time_is_divided_or_there_is_none() -> None:
    with pytest.raises(ValueError, match="both `hours` and `shares`, or neither"):
        config(hours=1.0)
    shares = {"coarse": 0.5, "supernet": 0.2, "ranking": 0.2, "deployment": 0.2}
    with pytest.raises(ValueError, match="add up to more than 1"):
        config(hours=1.0, shares=shares)
    assert config(hours=1.0, shares=shares | {"coarse": 0.4}).shares is not None
