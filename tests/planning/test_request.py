"""Requests for a run: options left out are as it was started, and what is asked for is planned, amended or refused."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from coarse_run import prepared_run
from hypothesis import given
from hypothesis import strategies as st

from c2fnas.data.fingerprint import CaseFingerprint, ChannelFingerprint, ClassFingerprint, Fingerprint
from c2fnas.data.plan import Plan
from c2fnas.errors import UserError
from c2fnas.files import write_json
from c2fnas.planning.plan import LARGEST_PATCH, make_plan
from c2fnas.planning.presets import draft, load_budget, requested
from c2fnas.planning.request import request_for
from c2fnas.runs.config import EarlyStopping, RunConfig
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.overrides import differences, parse_overrides, with_values
from c2fnas.runs.run import Run
from c2fnas.space.architecture import Architecture
from c2fnas.stages.pipeline import amend
from c2fnas.stages.preparation import prepare
from c2fnas.training.recipe import paper_recipe


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set and a run that is prepared on it."""
    folder = tmp_path_factory.mktemp("request")
    prepared_run(folder)
    return folder


@pytest.fixture
def prepared(kept: Path, tmp_path: Path) -> Run:
    shutil.copytree(kept / "run", tmp_path / "run")
    return Run.open(tmp_path / "run")


@pytest.fixture
def begun(prepared: Run) -> Callable[..., Run]:
    """The same, once stages have begun."""

    def begin(*stages: str) -> Run:
        for stage in stages:
            getattr(prepared.folder, stage).mkdir(parents=True)
        return prepared

    return begin


def asked(run: Run, *texts: str, **options: Any) -> RunConfig | None:
    return request_for(run.folder, overrides=parse_overrides(texts), **options).config


def changes(run: Run, config: RunConfig | None) -> set[str]:
    assert config is not None
    return set(differences(run.config, config)) - {"overrides"}


def test_a_new_run_takes_the_defaults(tmp_path: Path) -> None:
    request = request_for(RunFolder(tmp_path))
    assert (request.budget, request.devices, request.config, request.replan) == ("hour", ("cpu",), None, False)
    assert request.draft == draft(load_budget("hour"), "hour")
    assert [request_for(RunFolder(tmp_path), devices=(device,)).width for device in ("cpu", "cuda:1")] == [0.25, 1.0]
    assert request_for(RunFolder(tmp_path), overrides={"width": 0.5}).width == 0.5
    network = Architecture.from_text("0:3D 1:P3D 0:2D @0.125")
    trained = request_for(RunFolder(tmp_path), design=network)
    assert (trained.width, trained.draft.kind, trained.draft.verdict) == (0.125, "training", False)


@pytest.mark.parametrize("stage", [None, "coarse", "supernet", "ranking", "final", "verdict"])
def test_what_is_left_out_is_as_the_run_was_started(begun: Callable[..., Run], stage: str | None) -> None:
    """Though its budget's file is gone."""
    run = begun(*[stage] if stage else [])
    run.configure(run.config.model_copy(update={"budget": "/gone.yaml"}))
    request = request_for(run.folder)
    assert request.config == run.config
    assert (request.budget, request.devices, request.replan) == (run.config.budget, ("cpu",), False)
    assert not request.folds.given


def test_what_is_given_again_changes_nothing(begun: Callable[..., Run]) -> None:
    run = begun("coarse", "final")
    again = asked(run, "seed=0", "width=0.0625", "coarse.evaluations=8", "coarse.recipe.iterations=8", devices=("cpu",))
    assert changes(run, again) == set()


def test_a_budget_of_ones_own_comes_with_the_run(kept: Path, prepared: Run) -> None:
    budget = Path(prepared.config.budget)
    values = yaml.safe_load(budget.read_text())
    assert yaml.safe_load(prepared.folder.budget.read_text()) == values
    moved = shutil.move(prepared.folder.root, prepared.folder.root.with_name("moved"))
    budget.rename(budget.with_name("gone.yaml"))
    try:
        request = request_for(RunFolder(moved), overrides={"seed": 4})
        assert request.draft.coarse.recipe.iterations == values["coarse"]["recipe"]["iterations"]
        assert prepare(Run(moved), kept / "Task00", request).config.seed == 4
        with pytest.raises(UserError, match="no such budget"):
            request_for(RunFolder(moved), budget=str(budget.with_name("another.yaml")))
    finally:
        budget.with_name("gone.yaml").rename(budget)
    prepare(Run(moved), kept / "Task00", request_for(RunFolder(moved), budget="demo"))
    assert yaml.safe_load(RunFolder(moved).budget.read_text()) == load_budget("demo")


def test_an_edited_budget_counts_where_it_is_given_again_before_the_start(kept: Path, prepared: Run) -> None:
    """Left out, or once a stage has begun, the run has the values that it was prepared with."""
    budget = prepared.folder.root.parent / "mine.yaml"
    values = load_budget(str(prepared.folder.budget))
    budget.write_text(yaml.safe_dump(values))
    prepare(prepared, kept / "Task00", request_for(prepared.folder, budget=str(budget)))
    assert request_for(prepared.folder, budget=str(budget)).config == prepared.config
    budget.write_text(yaml.safe_dump(values | {"coarse": values["coarse"] | {"finalists": 3}}))
    assert request_for(prepared.folder).config == prepared.config
    request = request_for(prepared.folder, budget=str(budget))
    assert request.config is None
    assert prepare(prepared, kept / "Task00", request).config.coarse.finalists == 3
    prepared.folder.coarse.mkdir()
    budget.write_text(yaml.safe_dump(values))
    assert request_for(prepared.folder, budget=str(budget)).config == prepared.config


def test_before_a_stage_begins_a_run_is_made_again_from_all_that_was_asked_for(kept: Path, prepared: Run) -> None:
    for texts, expected in [
        (["coarse.evaluations=5"], (5, 0, None)),
        (["seed=7"], (5, 7, None)),
        (["coarse.early_stopping.factor=3"], (5, 7, EarlyStopping(factor=3))),
        (["coarse.early_stopping=false"], (5, 7, None)),
        (["coarse.early_stopping.factor=4"], (5, 7, EarlyStopping(factor=4))),
        (["coarse.evaluations=6", "coarse.early_stopping=true"], (6, 7, EarlyStopping())),
    ]:
        request = request_for(prepared.folder, overrides=parse_overrides(texts))
        assert request.config is None
        config = prepare(prepared, kept / "Task00", request).config
        assert (config.coarse.evaluations, config.seed, config.coarse.early_stopping) == expected
    assert Run.open(prepared.folder.root).config == config


@pytest.mark.parametrize(
    ("stages", "text"),
    [
        (["coarse"], "fine.candidates=3"),
        (["coarse"], "fine.recipe.learning_rate=0.5"),
        (["coarse"], "deployment.recipe.learning_rate=0.5"),
        (["coarse", "supernet"], "fine.rungs=2"),
        (["coarse", "supernet"], "fine.cases=1"),
        (["coarse", "supernet", "ranking"], "deployment.recipe.iterations=3"),
        (["coarse", "supernet", "ranking"], "deployment.folds=[0, 2]"),
        (["final"], "deployment.folds=[0, 2]"),
        (["final"], "deployment.validate_every=1"),
        (["ranking", "verdict"], "coarse.evaluations=9"),
        (["supernet"], "coarse.early_stopping.factor=3"),
        (["supernet"], "verdict=false"),
    ],
)
def test_what_no_stage_has_begun_with_is_amended_and_nothing_else(
    begun: Callable[..., Run], stages: list[str], text: str
) -> None:
    run, (name, value) = begun(*stages), next(iter(parse_overrides([text]).items()))
    config = asked(run, text)
    changed = changes(run, config)
    assert changed
    assert all(each.startswith((name, name.rpartition(".")[0])) for each in changed)
    if not name.startswith(("coarse.early", "fine.recipe", "deployment.recipe")):
        assert changed == {name}
    found = differences(run.config, config)
    if name in found:
        assert found[name][1] == (tuple(value) if isinstance(value, list) else value)
    run.configure(config)
    assert changes(run, asked(run, text)) == set()
    assert changes(run, request_for(run.folder).config) == set()


def test_devices_may_change_at_any_time(begun: Callable[..., Run]) -> None:
    run = begun("coarse", "supernet", "ranking", "final", "verdict")
    config = asked(run, devices=("cpu:0", "cpu:1"))
    assert changes(run, config) == {"devices"}
    assert config.devices == ("cpu:0", "cpu:1")


@pytest.mark.parametrize(
    ("stage", "texts", "said"),
    [
        ("coarse", ["seed=1"], r"another --seed \(0, now 1\)"),
        ("supernet", ["width=1.0"], r"another --set width \(0.0625, now 1.0\)"),
        ("verdict", ["plan.spacing=[2, 2, 2]"], r"another --set plan.spacing \(\(2.0, 2.0, 2.5\), now"),
        ("table", ["plan.style=paper"], r"another --set plan.style \(planned, now paper\)"),
        ("coarse", ["coarse.limits.macs=7"], r"another --max-macs \(none, now 7\)"),
        ("coarse", ["coarse.early_stopping=true"], r"another --early-stopping"),
        ("ranking", ["fine.candidates=9"], r"another --candidates \(2, now 9\)"),
        ("supernet", ["fine.recipe.learning_rate=9"], r"another --set fine.recipe.learning_rate"),
        ("coarse", ["deployment.recipe.name=paper"], r"another --recipe \(modern, now paper\)"),
        ("final", ["deployment.recipe.iterations=9"], r"another --iterations \(2, now 9\).*--extend"),
    ],
)
def test_what_a_stage_has_begun_with_is_refused(
    begun: Callable[..., Run], stage: str, texts: list[str], said: str
) -> None:
    run = begun(stage)
    with pytest.raises(UserError, match=said):
        asked(run, *texts)
    with pytest.raises(UserError, match=r"another --budget \(.*, now demo\)"):
        asked(run, budget="demo")


@pytest.mark.parametrize("budget", ["2s", "0h", "-1h", "0.5m", "1e3h", "3w", "3 hours", "1,5h", "90"])
def test_a_time_that_is_none_is_answered_with_the_forms_of_one(budget: str) -> None:
    with pytest.raises(UserError) as error:
        load_budget(budget)
    assert str(error.value).startswith(f"--budget {budget}: ")
    said = re.findall(r"\d[\d.]*[mhd]\b", str(error.value).partition("such as")[2])
    assert len(said) == 4
    assert all(load_budget(each)["hours"] for each in said)
    assert ("too short" in str(error.value)) == (budget in ("2s", "0h", "-1h", "0.5m"))


def test_a_budget_replaces_the_hours_that_were_set_before(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    write_json(folder.asked, {"budget": "hour", "hours": 2.0, "overrides": {"hours": 2.0}, "plan_sha256": ""})
    assert request_for(folder).draft.hours == 2
    assert request_for(folder, budget="6h").draft.hours == 6
    assert request_for(folder, budget="6h", overrides={"hours": 3}).draft.hours == 3


def test_no_fold_is_no_list_of_folds(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"deployment\.folds"):
        request_for(RunFolder(tmp_path), budget="hour", overrides={"deployment.folds": []})


@pytest.mark.parametrize(
    ("budget", "hours"), [("3 h", 3), ("3H", 3), ("90m", 1.5), ("1.5h", 1.5), ("1d", 24), ("90s", 0.025)]
)
def test_a_time_has_one_spelling_in_a_run(tmp_path: Path, budget: str, hours: float) -> None:
    request = request_for(RunFolder(tmp_path), budget=budget)
    assert request.budget == budget.replace(" ", "").lower()
    assert request.draft.hours == pytest.approx(hours)


@pytest.mark.parametrize("text", ["coarse.evaluations=-1", "seed=-1", "coarse.sampler=hill", "plan.spacing=[1, 2]"])
def test_a_value_out_of_range_is_refused_in_a_line_that_names_it(prepared: Run, text: str) -> None:
    with pytest.raises(UserError) as error:
        asked(prepared, text)
    assert str(error.value).startswith(f"--set {text.split('=')[0]}=")
    assert "\n" not in str(error.value)


def test_a_recipe_is_completed_again(begun: Callable[..., Run]) -> None:
    """From the plan's batch, the length that the run has, and what was asked for before."""
    run = begun("coarse")
    before = run.config.fine.recipe
    longer = asked(run, "fine.recipe.iterations=5000").fine.recipe
    assert (longer.iterations, longer.augmentation, longer.mirror) == (5000, "strong", True)
    assert (longer.volumes, longer.precision) == (run.plan.batch_size, before.precision)
    run.configure(asked(run, "fine.recipe.iterations=5000"))
    steeper = asked(run, "fine.recipe.learning_rate=0.5").fine.recipe
    assert steeper == longer.model_copy(update={"learning_rate": 0.5})
    run.configure(asked(run, "fine.recipe.learning_rate=0.5"))
    paper = asked(run, "fine.recipe.name=paper").fine.recipe
    expected = paper_recipe("supernet").with_iterations(5000).model_copy(update={"learning_rate": 0.5})
    assert paper == expected
    assert paper.precision == "fp32"


def test_a_length_that_time_gave_stays_where_the_recipe_is_amended(begun: Callable[..., Run]) -> None:
    """And one that an extension has changed."""
    run = begun("coarse")
    part = load_budget("hour")
    run.folder.budget.write_text(yaml.safe_dump(part))
    run.configure(with_values(run.config, {"budget": "hour", "fine.recipe.iterations": 77}))
    assert asked(run, "fine.recipe.power=0.5").fine.recipe.iterations == 77


def test_a_search_may_be_amended_while_it_is_only_prepared(prepared: Run) -> None:
    """What was derived for the run stays: its configuration isn't made again."""
    prepared.configure(with_values(prepared.config, {"coarse.recipe.iterations": 77}))
    before = prepared.config
    amend(prepared, {"coarse.evaluations": 5, "coarse.limits.macs": 10**12, "fine.sampling": "strict"})
    changed = set(differences(before, prepared.config)) - {"overrides"}
    assert changed == {"coarse.evaluations", "coarse.limits.macs", "fine.sampling"}
    assert Run.open(prepared.folder.root).config == prepared.config
    with pytest.raises(UserError, match=r"seed decides how the run is prepared. Give it to `c2fnas prepare`"):
        amend(prepared, {"seed": 3})
    with pytest.raises(UserError, match="decides how the run is prepared"):
        amend(prepared, {"plan.batch_size": 3})
    amend(prepared, {})
    assert set(differences(before, prepared.config)) - {"overrides"} == changed
    prepared.folder.folds.write_text(prepared.folder.folds.read_text() + "\n")
    with pytest.raises(UserError, match=r"an edit of plan\.yaml or folds\.json decides how the run is prepared"):
        amend(prepared, {})


@pytest.mark.parametrize(
    ("options", "edited", "replan"),
    [
        ({}, False, False),
        ({}, True, False),
        ({"overrides": {"plan.batch_size": 3}}, False, True),
        ({"overrides": {"plan.batch_size": 3}}, True, True),
        ({"overrides": {"seed": 3}}, False, False),
        ({"budget": "demo"}, False, True),
        ({"budget": "demo"}, True, False),
        ({"budget": "paper"}, False, True),
        ({"budget": "paper"}, True, False),
        ({"overrides": {"plan.style": "paper"}}, False, True),
        ({"overrides": {"plan.style": "planned"}}, True, False),
    ],
)
def test_the_plan_is_made_again_where_it_is_asked_for(
    prepared: Run, options: dict[str, Any], edited: bool, replan: bool
) -> None:
    """Edits by hand go only where values of the plan are asked for."""
    if edited:
        values = yaml.safe_load(prepared.folder.plan.read_text())
        prepared.folder.plan.write_text(yaml.safe_dump(values | {"batch_size": 9}))
    request = request_for(prepared.folder, **options)
    assert request.replan == replan
    assert (request.config is None) == (edited or "budget" in options or replan or "seed" in str(options))


def test_values_of_the_plan_are_planned_with(kept: Path, prepared: Run) -> None:
    def again(*texts: str) -> Plan:
        request = request_for(prepared.folder, overrides=parse_overrides(texts))
        return prepare(Run(prepared.folder.root), kept / "Task00", request).plan

    before = prepared.plan
    coarser = again("plan.spacing=[4, 4, 2.5]")
    assert coarser.spacing == (4, 4, 2.5)
    assert coarser.patch_size == (16, 16, 24) < before.patch_size == (24, 24, 24)
    batch = again("plan.batch_size=3")
    assert batch == coarser.model_copy(update={"batch_size": 3})
    assert Run.open(prepared.folder.root).config.coarse.recipe.volumes == 3
    assert again() == batch
    with pytest.raises(UserError, match=r"--set plan: .*"):
        again("plan.resize=[24, 24, 24]")
    assert Run.open(prepared.folder.root).plan == batch


def data(*cases: tuple[tuple[int, int, int], tuple[float, float, float]], name: str = "Liver") -> Fingerprint:
    about = {"voxels": (1, 1), "sha256": "", "files": ()}
    return Fingerprint(
        name=name,
        folder="Task99",
        classes=(
            ClassFingerprint(name="background", values=(0,), cases=1),
            ClassFingerprint(name="organ", values=(1,), cases=1),
        ),
        channels=(ChannelFingerprint(name="mr", kind="mr", low=0, high=1, mean=0, std=1),),
        cases=tuple(
            CaseFingerprint(id=str(number), shape=shape, nonzero_shape=shape, spacing=spacing, **about)
            for number, (shape, spacing) in enumerate(cases)
        ),
    )


SMALL = data(((35, 51, 35), (1, 1, 1)), ((36, 50, 35), (1, 1, 1)), ((38, 49, 40), (1, 1, 1)))
THICK = data(((20, 200, 160), (3.0, 0.5, 0.5)))


def planned(fingerprint: Fingerprint, budget: str, *texts: str) -> Plan:
    config = draft(requested(budget, parse_overrides(texts)), budget)
    return make_plan(fingerprint, style=config.plan.style, given=config.plan.given)


@pytest.mark.parametrize(
    ("fingerprint", "texts", "expected"),
    [
        (SMALL, [], {"spacing": (1, 1, 1), "patch_size": (40, 56, 40), "stride": (20, 28, 20)}),
        (
            SMALL,
            ["plan.spacing=[2, 2, 2]"],
            {"spacing": (2, 2, 2), "patch_size": (24, 32, 24), "stride": (12, 16, 12), "ranking_stride": (18, 24, 18)},
        ),
        (
            SMALL,
            ["plan.patch_size=[32, 32, 32]"],
            {"spacing": (1, 1, 1), "patch_size": (32,) * 3, "stride": (16,) * 3, "ranking_stride": (24,) * 3},
        ),
        (
            SMALL,
            ["plan.patch_size=[32, 32, 32]", "plan.stride=[8, 8, 8]"],
            {"patch_size": (32,) * 3, "stride": (8,) * 3, "ranking_stride": (24,) * 3},
        ),
        (SMALL, ["plan.resize=[64, 64, 64]"], {"spacing": None, "resize": (64,) * 3, "patch_size": (64,) * 3}),
        (SMALL, ["plan.batch_size=7", "plan.foreground_rate=1"], {"batch_size": 7, "foreground_rate": 1}),
        (SMALL, ["plan.crop_nonzero=true"], {"crop_nonzero": True, "patch_size": (40, 56, 40)}),
        (THICK, [], {"axes": (1, 2, 0), "spacing": (0.5, 0.5, 3.0), "patch_size": (200, 160, 24)}),
        (THICK, ["plan.spacing=[1, 1, 3]"], {"axes": (1, 2, 0), "spacing": (1, 1, 3), "patch_size": (104, 80, 24)}),
        (SMALL, ["plan.style=paper"], {"spacing": (1, 1, 1), "patch_size": (96,) * 3, "batch_size": 16}),
        (
            SMALL,
            ["plan.style=paper", "plan.spacing=[2, 2, 2]", "plan.batch_size=4"],
            {"spacing": (2, 2, 2), "patch_size": (96,) * 3, "stride": (16,) * 3, "batch_size": 4},
        ),
    ],
)
def test_what_follows_from_a_value_of_the_plan(
    fingerprint: Fingerprint, texts: list[str], expected: dict[str, Any]
) -> None:
    plan = planned(fingerprint, "demo", *texts)
    assert {name: getattr(plan, name) for name in expected} == expected
    follow = {"stride", "ranking_stride"} if "patch_size" in expected else set()
    if "plan.style=paper" not in texts:
        assert differences_of(plan, planned(fingerprint, "demo")) <= {*expected} | follow


def differences_of(plan: Plan, other: Plan) -> set[str]:
    return {name for name in type(plan).model_fields if getattr(plan, name) != getattr(other, name)}


SPACING = st.tuples(*[st.floats(0.4, 6).map(lambda value: round(value, 2))] * 3)


@given(
    cases=st.lists(st.tuples(st.tuples(*[st.integers(8, 160)] * 3), SPACING), min_size=1, max_size=5), spacing=SPACING
)
def test_a_patch_holds_the_median_case_at_the_spacing_that_is_given(cases: list, spacing: tuple) -> None:
    """Or as much of it as a patch may have voxels, the sides in multiples of 8."""
    plan = planned(data(*cases), "demo", f"plan.spacing={list(spacing)}")
    assert plan.spacing == spacing
    sides = []
    for axis, step in zip(plan.axes, spacing, strict=True):
        lengths = sorted(shape[axis] * mm[axis] / step for shape, mm in cases)
        middle = (lengths[(len(lengths) - 1) // 2] + lengths[len(lengths) // 2]) / 2
        sides.append(max(8, -(-round(middle) // 8) * 8))
    if sides[0] * sides[1] * sides[2] <= LARGEST_PATCH:
        assert all(abs(ours - theirs) in (0, 8) for ours, theirs in zip(plan.patch_size, sides, strict=True))
        assert sum(ours != theirs for ours, theirs in zip(plan.patch_size, sides, strict=True)) <= 1
    assert all(side % 8 == 0 for side in plan.patch_size)
    assert plan.patch_size[0] * plan.patch_size[1] * plan.patch_size[2] <= LARGEST_PATCH


def test_a_space_of_too_few_cells_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="4 cells cannot hold"):
        request_for(RunFolder(tmp_path), budget="hour", overrides={"cells": 4})


def test_a_space_smaller_than_its_clusters_has_one_of_each_topology() -> None:
    config = draft(requested("hour", {"cells": 7}), "hour")
    assert config.coarse.clusters > len(config.space.topologies()) == len(config.topology_clusters)
