"""The table of the stages that freeze a field: complete, and what it says is what is refused."""

from pathlib import Path

import pytest

from c2fnas.errors import UserError
from c2fnas.networks.designs import FILES
from c2fnas.runs.config import RunConfig
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.freeze import ALL, OPTIONS, TABLE, begun_stages, frozen_by, refuse_frozen
from c2fnas.runs.overrides import DERIVED, fields

FIELDS = [name for name, _ in fields(RunConfig)]
PLACES = {
    "coarse": "coarse",
    "super-network": "fine/supernet",
    "ranking": "fine/ranking",
    "verification": "fine/verification",
    "final": "final",
    "scale": "scale",
    "ablation": "ablation",
    "verdict": "verdict",
    "table": "table",
}
FREE = {"devices", "deployment.validate_every", "deployment.folds", "references", "overrides", "versions"}
WINDOW = {"deployment.recipe.name", "deployment.recipe.precision"}
"""Of the recipe that decides the windows of every validation."""


def expected(stage: str) -> set[str]:
    """The fields that a stage freezes, by what it computes from."""
    of = {section: {name for name in FIELDS if name.split(".")[0] == section} for section in ("coarse", "fine")}
    deployment = {name for name in FIELDS if name.split(".")[0] == "deployment"} - FREE
    trained = {name for name in of["fine"] if name.startswith("fine.recipe")} | {"fine.sampling"}
    found = {"coarse.evaluations"} | {name for name in of["coarse"] if name.startswith("coarse.limits")}
    own = {
        "coarse": of["coarse"] | {"verdict"},
        "super-network": trained | found,
        "ranking": of["fine"] - trained,
        "final": of["coarse"] | {"verdict"} | deployment,
    } | dict.fromkeys(("verification", "scale", "ablation", "verdict"), deployment)
    rest = {*FIELDS} - FREE - of["coarse"] - of["fine"] - deployment - {"verdict"}
    return own.get(stage, set()) | rest | WINDOW


def begun(root: Path, *stages: str) -> RunFolder:
    for stage in stages:
        (root / PLACES[stage]).mkdir(parents=True)
    return RunFolder(root)


@pytest.mark.parametrize("stage", PLACES)
def test_a_stage_freezes_exactly_its_fields(tmp_path: Path, stage: str) -> None:
    folder = begun(tmp_path, stage)
    assert [*begun_stages(folder)] == [stage]
    assert {name for name in FIELDS if frozen_by(name, folder) == stage} == expected(stage)
    assert {frozen_by(name, folder) for name in FIELDS} == {stage, None}


def test_every_field_is_frozen_by_some_stage_or_free_on_purpose(tmp_path: Path) -> None:
    assert set(PLACES) == set(ALL)
    assert set().union(*map(expected, PLACES)) == {*FIELDS} - FREE
    whole = begun(tmp_path, *PLACES)
    assert {name for name in FIELDS if frozen_by(name, whole) is None} == FREE


@pytest.mark.parametrize("stage", ["coarse", "final"])
@pytest.mark.parametrize("name", [*FILES, "from", ".4711-from"])
def test_a_stage_that_only_names_a_network_has_not_begun(tmp_path: Path, stage: str, name: str) -> None:
    folder = begun(tmp_path, stage)
    for present in ("architecture.json", name):
        (tmp_path / PLACES[stage] / present).touch()
    assert begun_stages(folder) == {}
    (tmp_path / PLACES[stage] / "0001").mkdir()
    assert [*begun_stages(folder)] == [stage]


def test_before_the_first_stage_nothing_is_frozen(tmp_path: Path) -> None:
    assert begun_stages(RunFolder(tmp_path)) == {}
    assert {frozen_by(name, RunFolder(tmp_path)) for name in FIELDS} == {None}
    refuse_frozen(dict.fromkeys(FIELDS, (1, 2)), RunFolder(tmp_path))


def test_the_table_and_the_options_name_fields_that_there_are() -> None:
    known = {*FIELDS, ""}
    assert {name for names, _ in TABLE for name in names} <= known
    assert {stage for _, stages in TABLE for stage in stages} <= set(PLACES)
    assert set(OPTIONS) <= known
    assert not set(OPTIONS) & (DERIVED - {"kind"})


def test_what_is_not_a_field_is_frozen_with_all(tmp_path: Path) -> None:
    """The plan's file, and the folds as they were divided."""
    for stage in PLACES:
        folder = begun(tmp_path / stage, stage)
        assert frozen_by("plan.yaml", folder) == frozen_by("folds", folder) == stage


@pytest.mark.parametrize(
    ("field", "stage", "said"),
    [
        ("seed", "coarse", "another --seed (1, now 2): its coarse stage has begun with it"),
        ("coarse.sampler", "coarse", "another --sampler (1, now 2)"),
        ("coarse.random_share", "coarse", "another --set coarse.random_share (1, now 2)"),
        ("fine.sampling", "super-network", "another --sampling (1, now 2): its super-network stage has begun"),
        ("deployment.recipe.iterations", "verdict", "or choose another run folder."),
        ("deployment.recipe.iterations", "final", "or choose another run folder, or train on with --extend."),
        ("plan.yaml", "table", "another plan.yaml: its table stage has begun with it"),
        ("folds", "ranking", "another --folds (of train: --divide), --fold-count and --group-by: its ranking stage"),
    ],
)
def test_a_refusal_names_the_option_both_values_and_the_stage(
    tmp_path: Path, field: str, stage: str, said: str
) -> None:
    with pytest.raises(UserError) as error:
        refuse_frozen({"devices": (1, 2), field: (1, 2)}, begun(tmp_path, stage))
    assert said in str(error.value)
    assert str(tmp_path / "run.yaml") in str(error.value)
