"""Whether a run searches or trains, in run.yaml as it is and as earlier versions wrote it."""

from pathlib import Path

import pytest
import yaml

from c2fnas.runs.config import CoarseConfig, DeploymentConfig, FineConfig, RunConfig
from c2fnas.space.search_space import SearchSpace
from c2fnas.training.recipe import modern_recipe


def written(path: Path, budget: str, *, kind: str | None) -> Path:
    """A configuration of that budget; without ``kind`` as earlier versions wrote it."""
    recipe, space = modern_recipe(10), SearchSpace()
    RunConfig(
        budget=budget,
        seed=0,
        dataset="a",
        dataset_path="/a",
        fingerprint="f",
        plan="p",
        width=0.25,
        cells=space.cells,
        downsamplings=space.downsamplings,
        operations=space.operations,
        devices=("cpu",),
        versions={},
        coarse=CoarseConfig(clusters=2, per_cluster=1, evaluations=2, random_share=0.2, recipe=recipe),
        fine=FineConfig(candidates=2, cases=None, recipe=recipe),
        deployment=DeploymentConfig(folds=(0,), recipe=recipe),
    ).save(path)
    values = yaml.safe_load(path.read_text())
    del values["kind"]
    path.write_text(yaml.safe_dump(values | ({"kind": kind} if kind else {})))
    return path


@pytest.mark.parametrize(
    ("budget", "kind", "expected"),
    [
        ("train demo", None, ("training", "demo")),
        ("hour", None, ("search", "hour")),
        ("training.yaml", None, ("search", "training.yaml")),
        ("train fast.yaml", "search", ("search", "train fast.yaml")),
        ("train fast.yaml", "training", ("training", "train fast.yaml")),
    ],
)
def test_the_kind_of_a_run(tmp_path: Path, budget: str, kind: str | None, expected: tuple[str, str]) -> None:
    config = RunConfig.load(written(tmp_path / "run.yaml", budget, kind=kind))
    assert (config.kind, config.budget) == expected
    config.save(tmp_path / "again.yaml")
    assert RunConfig.load(tmp_path / "again.yaml") == config
