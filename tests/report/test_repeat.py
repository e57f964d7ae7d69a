"""The command under "Repeat it": it repeats a run whose plan, folds and groups were edited, and promises no more."""

import json
import re
import shlex
import shutil
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import yaml
from report_runs import begun_run, finished_run, planned_run, write_result
from typer.testing import CliRunner

from c2fnas.api.jobs import Jobs
from c2fnas.api.pipelines import begun_like
from c2fnas.api.repeating import begun_with, repetition
from c2fnas.cli import app
from c2fnas.data.phantoms import write_phantoms
from c2fnas.errors import UserError
from c2fnas.execution import InlineExecutor
from c2fnas.files import read_json, sha256, write_json
from c2fnas.planning.presets import load_budget
from c2fnas.report import write_report
from c2fnas.report.repeat import _further
from c2fnas.report.summary import read_report
from c2fnas.runs.config import RunConfig
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.overrides import differences, with_values
from c2fnas.runs.repetition import Repetition

SMALL = ("cells=4", "downsamplings=1", "width=0.0625", "coarse.evaluations=2", "coarse.recipe.iterations=2")
TINY = Path(__file__).parents[1] / "support" / "tiny.yaml"


def command(*words: str) -> None:
    result = CliRunner().invoke(app, [*words, "--quiet"], catch_exceptions=False)
    assert result.exit_code == 0, result.output


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_command_repeats_an_edited_run_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("c2fnas.execution.LocalProcessExecutor", lambda devices: InlineExecutor(devices[0]))
    dataset = write_phantoms(tmp_path / "Task00_Phantoms", cases=6, test_cases=0)
    budget = tmp_path / "mine.yaml"
    budget.write_text(TINY.read_text(), encoding="utf-8")
    first = RunFolder(tmp_path / "first")
    asked = ["--budget", str(budget), "--seed", "5", "--devices", "cpu"]
    asked += [word for field in SMALL for word in ("--set", field)]
    divided = ["--folds", "random", "--fold-count", "3"]
    command("prepare", str(dataset), str(first.root), *asked, *divided, "--plan-only")
    plan = yaml.safe_load(first.plan.read_text())
    edited = plan | {"spacing": [2.0, 2.0, 4.0], "patch_size": [16, 16, 8], "stride": [16, 16, 8], "batch_size": 1}
    edited["ranking_stride"] = [16, 16, 8]
    first.plan.write_text("# by hand\n" + yaml.safe_dump(edited), encoding="utf-8")
    folds = read_json(first.folds)
    folds[0], folds[2] = folds[2], folds[0]
    folds[2]["groups"] = dict.fromkeys(folds[2]["validation"], "1")
    write_json(first.folds, folds)
    command("run", str(dataset), str(first.root), *asked, "--set", "fine.candidates=3")

    budget.unlink()
    page = write_report(first.root, overlays=False)
    shown = re.search(r'<pre class="wrap">(.*?)</pre>', page.read_text(encoding="utf-8"), re.DOTALL)
    assert shown
    words = shlex.split(unescape(shown[1]))
    places = {"NEW": str(tmp_path / "again"), "Task00_Phantoms": str(dataset)}
    places["first/report/repeat.json"] = str(page.with_name("repeat.json"))
    command(*(places.get(word, word) for word in words[1:]))

    again = RunFolder(tmp_path / "again")
    assert again.plan.read_bytes() == first.plan.read_bytes()
    assert read_json(again.folds) == folds
    assert sha256(again.final_model(2) / "weights.safetensors") == sha256(first.final_model(2) / "weights.safetensors")
    assert len([*again.final_fold(2).glob("predictions/*.npz")]) == len(folds[2]["validation"])
    changed = differences(RunConfig.load(first.config), RunConfig.load(again.config))
    assert {*changed} <= {"budget", "overrides", "folds.by", "folds.count", "dataset_path"}
    assert "bit for bit" in page.read_text(encoding="utf-8")


def test_a_file_holds_plan_folds_counts_and_budget(tmp_path: Path) -> None:
    folder = planned_run(tmp_path / "run")
    known = Repetition.of(folder)
    file = tmp_path / "repeat.json"
    file.write_text(known.text(), encoding="utf-8")
    assert Repetition.load(file) == Repetition.load(folder.root) == known
    assert known.plan == folder.plan.read_text()
    assert known.folds == read_json(folder.folds)
    assert known.overrides["coarse.evaluations"] == 6
    assert known.overrides["deployment.folds"] == [1]
    new = RunFolder(tmp_path / "new")
    known.begin(new, "run")
    assert new.plan.read_bytes() == folder.plan.read_bytes()
    assert read_json(new.folds) == known.folds
    assert not new.config.exists()


def test_a_budget_of_ones_own_is_in_the_file(tmp_path: Path) -> None:
    folder = planned_run(tmp_path / "run", budget="/home/somebody/mine.yaml")
    folder.budget.write_text(TINY.read_text(), encoding="utf-8")
    file = tmp_path / "repeat.json"
    file.write_text(Repetition.of(folder).text(), encoding="utf-8")
    assert "somebody" not in file.read_text()
    budget, _ = begun_with(Repetition.load(file), file, None, {})
    assert load_budget(budget) == yaml.safe_load(TINY.read_text())


def test_what_is_given_comes_on_top(tmp_path: Path) -> None:
    folder = planned_run(tmp_path / "run", overrides={"plan.spacing": [9, 9, 9], "folds.by": "random", "references": 1})
    known = Repetition.of(folder)
    budget, overrides = begun_with(known, folder.root, None, {"seed": 7})
    assert (budget, overrides["seed"], overrides["references"]) == ("demo", 7, 1)
    assert not [name for name in overrides if name.startswith(("plan", "folds."))], "they are in the files"
    _, overrides = begun_with(known, folder.root, "3h", {"plan.batch_size": 4})
    assert overrides["plan.batch_size"] == 4
    assert "coarse.evaluations" not in overrides, "another budget has other counts"
    assert overrides["seed"] == 0
    assert overrides["plan.spacing"] == [2.0, 2.0, 4.0], "of the plan, not of what was first asked for"


def test_views_that_a_time_was_too_short_for_are_repeated_with_the_length_alone(tmp_path: Path) -> None:
    """Another length mirrors by its own rule: views that a network was not trained on would spoil its labels."""
    folder = finished_run(tmp_path / "run")
    config = RunConfig.load(folder.config)
    mirror = "deployment.recipe.mirror"
    assert mirror not in Repetition.of(folder).overrides
    recipe = config.deployment.recipe.model_copy(update={"augmentation": "modern", "mirror": False})
    with_values(config, {"deployment.recipe": recipe}).save(folder.config)
    known = Repetition.of(folder)
    assert known.overrides[mirror] is False
    for given, kept in (({}, True), ({"seed": 1}, True), ({"deployment.recipe.iterations": 300}, False)):
        _, overrides = begun_with(known, folder.root, None, given)
        assert (mirror in overrides) == kept
    assert mirror not in begun_with(known, folder.root, "3h", {})[1]
    assert begun_with(known, folder.root, None, {"deployment.recipe.iterations": 9, mirror: True})[1][mirror] is True


def test_views_that_a_length_would_not_have_are_repeated(tmp_path: Path) -> None:
    """As a run of before has them, or one that asked for them."""
    folder = finished_run(tmp_path / "run")
    config = RunConfig.load(folder.config)
    recipe = config.deployment.recipe.model_copy(update={"augmentation": "none", "mirror": True})
    with_values(config, {"deployment.recipe": recipe}).save(folder.config)
    assert Repetition.of(folder).overrides["deployment.recipe.mirror"] is True


def test_other_data_and_other_plans_are_refused(tmp_path: Path) -> None:
    known = Repetition.of(planned_run(tmp_path / "run"))
    with pytest.raises(UserError, match="its folds have the case phantom_002, which this data set has not"):
        known.refuse_other_data(Path("repeat.json"), {"phantom_000", "phantom_001"})
    new = RunFolder(tmp_path / "new")
    new.root.mkdir()
    new.plan.write_text("classes: []\n")
    with pytest.raises(UserError, match=r"plan.yaml: there is one already"):
        known.begin(new, "run")
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(UserError, match=r"neither a run folder nor the repeat.json"):
        Repetition.load(tmp_path / "other.json")


def test_what_was_found_at_the_first_start_is_kept(tmp_path: Path) -> None:
    """The other run may be changed or gone when a run that began like it is called again."""
    dataset = write_phantoms(tmp_path / "Task00", cases=3, test_cases=0)
    other, new = planned_run(tmp_path / "other"), RunFolder(tmp_path / "new")
    like = str(other.root)
    first = repetition(like, new.root)
    assert first is not None
    jobs: Jobs = {}
    begun = begun_like(first, like, dataset, new.root, None, {"seed": 7}, jobs)
    assert jobs == {"devices": "cpu"}
    planned_run(other.root, seed=99, devices=("cpu:0", "cpu:1"))
    assert repetition(like, tmp_path / "third") != first
    assert repetition(like, new.root) == first
    with pytest.raises(UserError, match=r"began like .*other. Leave the option out"):
        repetition(str(planned_run(tmp_path / "another", seed=3).root), new.root)
    shutil.rmtree(other.root)
    assert repetition(like, new.root) == first
    again = begun_like(first, like, dataset, new.root, None, {"seed": 7}, {})
    assert again == begun, "killed before it was configured"
    begun_run(new.root)
    assert begun_like(first, like, dataset, new.root, None, {"seed": 7}, {}) == (None, {"seed": 7}), "as it was started"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "the same network, bit for bit."),
        ({"devices": ("cpu:0", "cpu:1")}, "the candidate that ends first decides what is tried next"),
        ({"devices": ("cpu:0", "cpu:1"), "kind": "training"}, "the same network, bit for bit."),
        ({"devices": ("cuda:0",)}, "need not give the same network: GPU libraries add in varying order."),
    ],
)
def test_what_repeats_is_said(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    assert expected in promise(planned_run(tmp_path, **changes))


def promise(folder: RunFolder) -> str:
    repeat = read_report(folder.root).repeat
    assert repeat is not None
    return repeat.promise


def test_bit_for_bit_is_said_only_where_it_is_true(tmp_path: Path) -> None:
    folder = finished_run(tmp_path)
    assert "bit for bit" in promise(folder)
    write_result(folder.coarse_trial(4), None, seconds=1.0)
    assert "bit for bit" in promise(folder), "a loss that is not finite is so again"
    lost = folder.coarse_trial(4) / "result.json"
    write_json(lost, read_json(lost) | {"kind": "killed"})
    assert "a candidate was lost to the machine" in promise(folder)
    lost.unlink()
    write_json(folder.ranking_devices, {"devices": 3})
    assert "ends first" in promise(folder)
    write_json(folder.ranking_devices, {"devices": 1})
    result = folder.supernet / "result.json"
    content = read_json(result)
    write_json(result, content | {"processes": 2})
    assert "2 processes trained together" in promise(folder)
    write_json(result, content)
    write_json(folder.limits, {"max_macs": 2e9, "max_latency": None})
    assert "limits that were given to `search fine` (--max-macs 2e+09)" in promise(folder)
    folder.limits.unlink()
    write_json(folder.topology, {"code": [0, 0, 0, 0]})
    assert "a topology that was given by hand" in promise(folder)
    folder.topology.unlink()
    folder.micro_batches.write_text("{}\n")
    assert "smaller parts of a batch" in promise(folder)


def test_before_there_is_a_plan_nothing_repeats(tmp_path: Path) -> None:
    assert read_report(begun_run(tmp_path).root).repeat is None


def test_what_was_asked_for_beside_it_is_named(tmp_path: Path) -> None:
    folder = finished_run(tmp_path)
    row = {"patch": [16, 16, 8], "parameters": 10, "macs": 99, "dice": 0.5, "per_class": {"organ": 0.5}, "reason": None}
    write_json(folder.scale / "table.json", [{"width": 0.5, "trainings": 3, **row}, {"width": 0.25, **row}])
    write_json(folder.verification_file, {"candidates": [{}] * 12, "iterations": 300})
    assert [*_further(folder)] == [
        "`c2fnas search fine NEW --verify 12 --verify-iterations 300` repeats what stands under verification.",
        "`c2fnas search scale NEW --widths 0.25,0.5 --replicates 3` repeats what stands under scale.",
    ]
    folder.verification_file.unlink()
    write_json(folder.scale / "table.json", [])
    repeat = read_report(folder.root).repeat
    assert repeat is not None
    assert json.loads(repeat.content)["repeats"]["dataset"] == "Phantoms & <others>"
