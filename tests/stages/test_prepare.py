"""Preparation: each step once, edits of the plan before the start, and no run folder for two different runs."""

import json
import os
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel
import numpy as np
import pytest
import yaml

from c2fnas.data.folds import FoldChoice
from c2fnas.data.phantoms import write_phantoms
from c2fnas.data.plan import Plan
from c2fnas.errors import Interrupted, UserError
from c2fnas.planning import memory_fit
from c2fnas.planning.request import Request, request_for
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.overrides import with_values
from c2fnas.runs.reporter import Silent
from c2fnas.runs.run import Run
from c2fnas.stages import preparation as prepare_module
from c2fnas.stages.preparation import prepare, prepare_plan

pytestmark = pytest.mark.usefixtures("fast_steps")


class Listener(Silent):
    """Keeps what is said, and which stages have begun."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.begun: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def start(self, stage: str, total: float) -> None:
        self.begun.append(stage)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Phantoms, and a run prepared on them."""
    root = tmp_path_factory.mktemp("prepare")
    write_phantoms(root / "data", cases=6, test_cases=1)
    again(root)
    return root


@pytest.fixture
def work(kept: Path, tmp_path: Path) -> Path:
    """A copy of both, to be changed."""
    return shutil.copytree(kept, tmp_path / "work", copy_function=shutil.copy2)


@pytest.fixture
def begun(work: Path) -> Path:
    """The same, once the first stage has begun."""
    RunFolder(work / "run").coarse.mkdir()
    return work


def again(
    work: Path,
    budget: str = "demo",
    seed: int = 3,
    folds: FoldChoice | None = None,
    reporter: Silent | None = None,
    data: str = "data",
) -> Run:
    run, request = asked(work, budget, seed, folds, reporter)
    return prepare(run, work / data, request)


def asked(
    work: Path, budget: str = "demo", seed: int = 3, folds: FoldChoice | None = None, reporter: Silent | None = None
) -> tuple[Run, Request]:
    """The run, and the request for it; folds are those of the options alone, as the command line has them."""
    given = {f"folds.{name}": value for name, value in vars(folds or FoldChoice()).items() if value is not None}
    run = Run(work / "run", reporter=reporter)
    return run, request_for(run.folder, budget=budget, overrides={"seed": seed, **given}, devices=("cpu",))


def plan_alone(work: Path, budget: str = "demo", reporter: Silent | None = None) -> Plan:
    run, request = asked(work, budget, reporter=reporter)
    return prepare_plan(run, work / "data", request)[1]


def start_over(work: Path) -> RunFolder:
    """The run has been prepared but not configured: it hasn't started."""
    folder = RunFolder(work / "run")
    folder.config.unlink()
    return folder


def edit_plan(work: Path, **changes: Any) -> None:
    path = work / "run" / "plan.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes))


def spoil_label(work: Path, name: str, value: int) -> None:
    path = work / "data" / "labelsTr" / f"{name}.nii.gz"
    image = nibabel.load(path)
    array = np.asanyarray(image.dataobj).copy()
    array[array == 2] = value
    path.unlink()
    nibabel.save(nibabel.Nifti1Image(array, image.affine, image.header), path)


def test_everything_a_stage_needs_is_there(kept: Path) -> None:
    run = Run.open(kept / "run")
    assert run.cache.ids == tuple(f"phantom_{number:03d}" for number in range(6))
    assert [len(split.validation) for split in run.folds] == [2, 1, 1, 1, 1]
    assert run.search_split.validation == ("phantom_005",)
    assert json.loads((kept / "run" / "check.json").read_text())["problems"] == []
    assert run.config.seed == 3


def test_called_again_it_reads_and_writes_nothing_anew(work: Path) -> None:
    def files() -> dict[str, int]:
        return {str(path): path.stat().st_mtime_ns for path in (work / "run").rglob("*") if path.is_file()}

    before, listener = files(), Listener()
    config = Run.open(work / "run").config
    assert again(work, reporter=listener).config == config
    assert listener.begun == ["prepare cases"]
    changed = {name for name, time in files().items() if before.get(name) != time}
    assert {Path(name).name for name in changed} <= {"index.json"}


def test_the_run_moves_and_the_data_are_only_named(work: Path, tmp_path: Path) -> None:
    shutil.move(work / "run", tmp_path / "moved")
    shutil.rmtree(work / "data")
    run = Run.open(tmp_path / "moved")
    assert run.cache["phantom_000"].image.shape[0] == 1


@pytest.mark.parametrize(("options", "name"), [({"budget": "hour"}, "--budget"), ({"seed": 4}, "--seed")])
def test_a_started_run_has_one_budget_and_seed(begun: Path, options: dict[str, Any], name: str) -> None:
    with pytest.raises(UserError, match=name):
        again(begun, **options)


def test_what_is_only_prepared_may_still_change(work: Path) -> None:
    assert again(work, seed=4).config.seed == 4
    edit_plan(work, spacing=[2, 2, 2.5])
    run = again(work, seed=4)
    assert run.plan.spacing == (2, 2, 2.5)
    assert max(run.cache["phantom_000"].image.shape[1:]) < 30
    again(work, seed=4, folds=FoldChoice("random", 2))
    assert len(Run.open(work / "run").folds) == 2


def test_the_plan_is_made_once_and_may_be_edited_until_the_start(work: Path) -> None:
    shutil.rmtree(work / "run")
    plan_alone(work)
    assert sorted(path.name for path in (work / "run").iterdir()) == [
        "asked.json",
        "check.json",
        "fingerprint.json",
        "plan.yaml",
        "planning.json",
        "timings.json",
    ]
    edit_plan(work, spacing=[2, 2, 2.5], patch_size=[24, 24, 16], stride=[12, 12, 8], ranking_stride=[24, 24, 16])
    run = again(work)
    assert run.plan.spacing == (2, 2, 2.5)
    assert run.plan.patch_size == (24, 24, 16)
    assert max(run.cache["phantom_000"].image.shape[1:]) < 30


def test_a_plan_that_does_not_fit_the_data_is_refused_at_once(work: Path) -> None:
    folder = start_over(work)
    edit_plan(work, classes=[{"name": "background", "values": [0]}, {"name": "organ", "values": [1]}])
    with pytest.raises(UserError, match=r"plan\.yaml: classes: none has the label 2"):
        again(work)
    edit_plan(work, classes=[{"name": "background", "values": [0, 2]}, {"name": "organ", "values": [1]}])
    assert set(np.unique(again(work).cache["phantom_000"].label)) == {0, 1}
    assert folder.config.exists()


def test_another_plan_than_the_papers_is_told_where_the_paper_is_asked_for(work: Path) -> None:
    start_over(work)
    edit_plan(work, batch_size=3)
    listener = Listener()
    plan_alone(work, "paper", listener)
    (said,) = listener.said
    assert "spacing, nearest_beyond, patch_size" in said
    (work / "run" / "plan.yaml").unlink()
    for _ in range(2):
        plan_alone(work, "paper", listener)
    assert listener.said == [said]


def test_a_recipe_that_is_not_the_papers_is_told_where_the_paper_is_asked_for(work: Path) -> None:
    start_over(work)
    (work / "run" / "plan.yaml").unlink()
    listener = Listener()
    run = Run(work / "run", reporter=listener)
    overrides = {"seed": 3, "coarse.recipe.precision": "bf16", "plan.spacing": [8, 8, 8]}
    run = prepare(run, work / "data", request_for(run.folder, budget="paper", overrides=overrides, devices=("cpu",)))
    assert listener.said[-1].endswith("not the paper's to the letter: coarse.recipe.precision is bf16, not fp32.")
    assert [run.config.coarse.recipe.precision, run.config.fine.recipe.precision] == ["bf16", "fp32"]


def test_a_plan_edited_before_the_start_makes_the_old_cache_stale(work: Path) -> None:
    folder = start_over(work)
    before = {path.name for path in folder.cache.iterdir()}
    edit_plan(work, spacing=[2, 2, 2.5])
    again(work)
    assert {path.name for path in folder.cache.iterdir()} & before == {"index.json"}


@pytest.mark.parametrize("change", [{"batch_size": 3}, {"spacing": [2, 2, 2]}])
def test_a_plan_edited_after_the_start_is_refused(begun: Path, change: dict[str, Any]) -> None:
    edit_plan(begun, **change)
    with pytest.raises(UserError, match=r"plan\.yaml"):
        again(begun)


def test_a_plan_deleted_after_the_start_is_not_made_anew(begun: Path) -> None:
    (begun / "run" / "plan.yaml").unlink()
    with pytest.raises(UserError, match=r"plan\.yaml"):
        again(begun)


def test_a_plan_that_makes_no_sense_is_refused_before_anything_is_prepared(work: Path) -> None:
    folder = start_over(work)
    shutil.rmtree(folder.cache)
    edit_plan(work, axes=[0, 0, 1])
    with pytest.raises(UserError, match="axes is an order"):
        again(work)
    assert not folder.cache.exists()


def test_another_data_set_is_refused(work: Path) -> None:
    write_phantoms(work / "other", cases=6, test_cases=0, seed=1)
    with pytest.raises(UserError, match="belongs to another data set"):
        again(work, data="other")


def test_changed_files_are_refused_and_touched_ones_are_not(work: Path) -> None:
    label = work / "data" / "labelsTr" / "phantom_002.nii.gz"
    os.utime(label, (1, 1))
    again(work)
    spoil_label(work, "phantom_002", 1)
    with pytest.raises(UserError, match="have changed since"):
        again(work)


def test_a_case_more_is_another_data_set(work: Path) -> None:
    manifest = json.loads((work / "data" / "dataset.json").read_text())
    manifest["training"].pop()
    manifest["numTraining"] -= 1
    (work / "data" / "dataset.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="6 training cases"):
        again(work)


def test_errors_in_the_data_are_refused_with_the_command_that_lists_them(work: Path) -> None:
    shutil.rmtree(work / "run")
    spoil_label(work, "phantom_002", 9)
    with pytest.raises(UserError, match=r"1 error.*phantom_002.*found label 9.*c2fnas check"):
        again(work)
    assert not (work / "run" / "fingerprint.json").exists()


def test_errors_in_test_cases_are_told_and_let_pass(work: Path) -> None:
    """The manifest lists images that many have never downloaded, and no stage reads them."""
    shutil.rmtree(work / "run")
    shutil.rmtree(work / "data" / "imagesTs")
    listener = Listener()
    plan_alone(work, reporter=listener)
    assert any("all in test cases" in text and "c2fnas check" in text for text in listener.said)
    kept = json.loads((work / "run" / "check.json").read_text())["problems"]
    assert [(each["case"], each["severity"]) for each in kept] == [("phantom_006", "error")]


def test_warnings_are_kept_and_those_about_cases_are_told_of(work: Path) -> None:
    shutil.rmtree(work / "run")
    path = work / "data" / "labelsTr" / "phantom_001.nii.gz"
    image = nibabel.load(path)
    array = np.asanyarray(image.dataobj).astype(np.float32)
    path.unlink()
    nibabel.save(nibabel.Nifti1Image(array, image.affine), path)
    manifest = json.loads((work / "data" / "dataset.json").read_text())
    (work / "data" / "dataset.json").write_text(json.dumps(manifest | {"numTraining": 9}))
    listener = Listener()
    again(work, reporter=listener)
    problems = json.loads((work / "run" / "check.json").read_text())["problems"]
    assert [(each["case"], each["severity"]) for each in problems] == [("", "warning"), ("phantom_001", "warning")]
    assert [
        text for text in listener.said if text.startswith("1 warning about single cases.") and "c2fnas check" in text
    ]


def validation(work: Path) -> list[tuple[str, ...]]:
    return [split.validation for split in Run(work / "run").folds]


def test_folds_may_change_until_the_start(work: Path) -> None:
    before = validation(work)
    start_over(work)
    again(work, folds=FoldChoice("random", 3))
    assert len(validation(work)) == 3
    assert validation(work) != before
    again(work)  # what was chosen holds without being said again
    again(work, folds=FoldChoice("random", 3))
    assert len(Run.open(work / "run").folds) == 3


@pytest.mark.parametrize(
    "choice", [FoldChoice("random"), FoldChoice(count=3), FoldChoice(group_by="phantom_00(.)")], ids=str
)
def test_a_started_run_has_one_division(begun: Path, choice: FoldChoice) -> None:
    before = validation(begun)
    if choice.group_by:  # each case its own group: the same
        assert again(begun, folds=choice).folds == Run.open(begun / "run").folds
        return
    with pytest.raises(UserError, match="--fold-count and --group-by: its coarse stage has begun with it"):
        again(begun, folds=choice)
    assert validation(begun) == before


def test_a_tables_groups_stay_together(work: Path) -> None:
    shutil.rmtree(work / "run")
    manifest = json.loads((work / "data" / "dataset.json").read_text())
    rows = [f"{each['image']},{each['label']},p{number // 2}" for number, each in enumerate(manifest["training"])]
    (work / "data" / "cases.csv").write_text("\n".join(["image,label,patient", *rows]))
    (work / "data" / "dataset.json").unlink()
    again(work)
    names = [f"phantom_{number:03d}" for number in range(6)]
    assert validation(work) == [tuple(names[:2]), tuple(names[2:4]), tuple(names[4:])]
    assert Run.open(work / "run").groups == {name: f"group {1 + number // 2}" for number, name in enumerate(names)}
    start_over(work)
    with pytest.raises(UserError, match="1 group can't be divided"):
        again(work, folds=FoldChoice(group_by="(phantom)"))


def test_scans_of_one_patient_on_both_sides_of_a_fold_are_told_until_they_are_together(work: Path) -> None:
    shutil.rmtree(work / "run")
    manifest = json.loads((work / "data" / "dataset.json").read_text())
    ids = [f"{patient}_{phase}" for patient in "abc" for phase in ("ED", "ES")]
    rows = [f"{name},{each['image']},{each['label']}" for name, each in zip(ids, manifest["training"], strict=True)]
    (work / "data" / "cases.csv").write_text("\n".join(["id,image,label", *rows]))
    (work / "data" / "dataset.json").unlink()
    apart, together = Listener(), Listener()
    again(work, reporter=apart)
    assert any("groups of like names, such as a_ED, a_ES" in said and "--group-by" in said for said in apart.said)
    assert "like names" in (work / "run" / "check.json").read_text()
    again(work, folds=FoldChoice(group_by="(.)_E[DS]"), reporter=together)
    assert not any("like names" in said for said in together.said)
    assert "like names" not in (work / "run" / "check.json").read_text()


def test_folds_of_the_data_set_are_not_the_papers_to_the_letter(work: Path) -> None:
    shutil.rmtree(work / "run")
    manifest = json.loads((work / "data" / "dataset.json").read_text())
    for number, each in enumerate(manifest["training"]):
        each["fold"] = number % 3
    (work / "data" / "dataset.json").write_text(json.dumps(manifest))
    named, sequential = Listener(), Listener()
    again(work, budget="paper", reporter=named)
    assert any("folds are those that the data set names, not sequential" in said for said in named.said)
    again(work, budget="paper", folds=FoldChoice("sequential", 3), reporter=sequential)
    assert not any("that the data set names" in said for said in sequential.said)


def test_a_request_to_stop_is_heard_while_cases_are_read(work: Path) -> None:
    shutil.rmtree(work / "run")

    class Asks(Listener):
        def update(self, stage: str, done: float, note: str = "") -> None:
            (work / "run").mkdir(exist_ok=True)
            (work / "run" / "stop").touch()

    with pytest.raises(Interrupted, match="carry on"):
        again(work, reporter=Asks())
    (work / "run" / "stop").unlink()
    assert Run.open(again(work).folder.root).config.dataset


FOUR_AND_TWO = FoldChoice("random", 2, group_by="phantom_(00[45]?)")


def test_groups_are_kept_with_the_folds(work: Path) -> None:
    assert again(work).groups == {}
    start_over(work)
    four = {f"phantom_00{number}": "group 1" for number in range(4)}
    assert again(work, folds=FOUR_AND_TWO).groups == four
    before = (work / "run" / "folds.json").read_bytes()
    RunFolder(work / "run").coarse.mkdir()
    assert again(work).groups == four
    assert again(work, folds=FOUR_AND_TWO).groups == four
    assert (work / "run" / "folds.json").read_bytes() == before
    three = FoldChoice("random", 2, group_by="phantom_(00[345]?)")
    with pytest.raises(UserError, match=r"another --folds \(of train: --divide\), --fold-count and --group-by"):
        again(work, folds=three)


def test_a_run_that_has_begun_without_groups_takes_none(work: Path) -> None:
    start_over(work)
    again(work, folds=FOUR_AND_TWO)
    RunFolder(work / "run").coarse.mkdir()
    path = work / "run" / "folds.json"
    kept = json.loads(path.read_text())
    path.write_text(json.dumps([{side: fold[side] for side in ("training", "validation")} for fold in kept]))
    run = Run(work / "run")
    run.configure(with_values(run.config, {"folds_sha256": ""}))  # as the version had it that knew no groups
    assert again(work).groups == {}
    with pytest.raises(UserError, match=r"another --folds \(of train: --divide\), --fold-count and --group-by"):
        again(work, folds=FOUR_AND_TWO)
    assert again(work).groups == {}
    (work / "run" / "coarse").rmdir()
    assert len(again(work, folds=FOUR_AND_TWO).groups) == 4
    assert json.loads(path.read_text()) == kept


def test_folds_that_are_edited_count_until_the_start(work: Path) -> None:
    """After it, cases that have scored candidates would train the networks that are compared with them."""
    start_over(work)
    path = again(work).folder.folds
    first, *others = json.loads(path.read_text())
    moved = {"training": first["training"] + first["validation"][:1], "validation": first["validation"][1:]}
    path.write_text(json.dumps([moved, *others]))
    assert again(work).folds[0].training[-1] == first["validation"][0]
    RunFolder(work / "run").coarse.mkdir()
    again(work)
    path.write_text(json.dumps([first, *others]))
    with pytest.raises(UserError, match=r"another folds\.json: its coarse stage has begun with it\. Undo the edit, or"):
        again(work)


def test_folds_of_cases_that_are_not_there_are_named(work: Path) -> None:
    start_over(work)
    path = again(work).folder.folds
    path.write_text(path.read_text().replace("phantom_000", "phantom_900"))
    with pytest.raises(UserError, match=r"folds\.json: names the case 'phantom_900', which .* has not"):
        again(work)


def test_nnunets_splits(work: Path) -> None:
    start_over(work)
    names = [f"phantom_{number:03d}" for number in range(6)]
    splits = [{"train": names[2:], "val": names[:2]}, {"train": names[:2], "val": names[2:]}]
    (work / "splits_final.json").write_text(json.dumps(splits))
    again(work, folds=FoldChoice(str(work / "splits_final.json")))
    assert validation(work) == [tuple(names[:2]), tuple(names[2:])]


def test_classes_that_folds_lack_are_told_and_kept_once(work: Path) -> None:
    shutil.rmtree(work / "run")
    for number in range(4):
        spoil_label(work, f"phantom_{number:03d}", 1)
    listener = Listener()
    again(work, reporter=listener, folds=FoldChoice(count=3))
    told = [line for line in listener.said if line.startswith("Warning")]
    assert len(told) == 1
    assert "no 'lesion' in training of fold 2 and validation of fold 0, 1 (in 2 cases)" in told[0]
    content = json.loads((work / "run" / "check.json").read_text())
    assert [problem["severity"] for problem in content["problems"]] == ["warning"]
    assert content["cases_per_class"][2]["training"] == {"background": 4, "organ": 4, "lesion": 0}
    start_over(work)
    again(work, folds=FoldChoice(count=2))
    content = json.loads((work / "run" / "check.json").read_text())
    assert len(content["problems"]) == 1  # of the new folds alone
    listener = Listener()
    again(work, reporter=listener)
    assert listener.said == []


def test_a_single_case_cannot_be_divided_and_is_refused_before_it_is_read(work: Path) -> None:
    shutil.rmtree(work / "run")
    manifest = json.loads((work / "data" / "dataset.json").read_text())
    manifest |= {"training": manifest["training"][:1], "numTraining": 1}
    (work / "data" / "dataset.json").write_text(json.dumps(manifest))
    for make in (plan_alone, again):
        with pytest.raises(UserError, match="1 case can't be divided"):
            make(work)
        assert not (work / "run" / "fingerprint.json").exists()


def test_a_patch_shrinks_until_it_fits_the_memory(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(work / "run")
    tried: list[tuple[int, int, int]] = []

    class Small:
        available = 0

        def __call__(self, patch: tuple[int, int, int]) -> bool:
            tried.append(patch)
            return np.prod(patch) <= 30 * 30 * 24

    monkeypatch.setattr(prepare_module, "fit_for", lambda *facts: Small())
    plan = plan_alone(work)
    assert tried[0] == (48, 48, 24)
    assert plan.patch_size in tried
    assert np.prod(plan.patch_size) <= 30 * 30 * 24


def test_where_nothing_fits_the_error_says_so(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(work / "run")
    monkeypatch.setattr(memory_fit, "available_memory", lambda devices: 1000)
    with pytest.raises(UserError, match=r"cpu: not even a patch of 8×8×8 voxels fits into 0\.0 GB"):
        plan_alone(work)


def test_the_papers_plan_does_not_depend_on_the_machine(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(work / "run")
    monkeypatch.setattr(memory_fit, "available_memory", lambda devices: 1000)
    plan = plan_alone(work, "paper")
    assert plan.patch_size == (96, 96, 96)


def test_a_fingerprint_of_another_version_is_told(work: Path) -> None:
    (work / "run" / "fingerprint.json").write_text("{}")
    with pytest.raises(UserError, match=r"fingerprint\.json: not a fingerprint"):
        again(work)


def test_what_cases_take_of_the_disk_is_told_before_they_are_prepared(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(work / "run/cache")
    listener, free = Listener(), 10**12
    monkeypatch.setattr(prepare_module.shutil, "disk_usage", lambda path: SimpleNamespace(free=free))

    def stopped(*_: object, **__: object) -> None:
        raise InterruptedError

    with monkeypatch.context() as patched:
        patched.setattr(prepare_module, "prepare_cases", stopped)
        with pytest.raises(InterruptedError):
            again(work, reporter=listener)
    (said,) = listener.said
    assert re.fullmatch(r"6 prepared cases will take [0-9.]+ [kM]B of 1000 GB that are free\.", said)
    free = 1000
    with pytest.raises(
        UserError, match=r"cache: 6 prepared cases would take .* of 1 kB that are free\. Free some space"
    ):
        again(work)
    assert not (work / "run/cache").exists()
