"""The comparison with peers before a training: folds for all sides, conditions, folders, commands, the code."""

import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from small_cases import write_case
from small_datasets import write_dataset

from c2fnas.data.folds import FoldChoice, make_folds
from c2fnas.data.layouts import load_dataset
from c2fnas.networks.baselines import Baseline
from c2fnas.planning.request import request_for
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.overrides import parse_overrides
from c2fnas.stages.run_folds import divided

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import peers_conditions
import peers_study
from auto3dseg_side import datalist
from peers_command import parsed
from peers_ours import Ours
from peers_study import Study

GROUPED = "(.+)_E[DS]"


def patients(folder: Path, count: int = 6) -> Path:
    """A data set of two cases of each patient."""
    names = [f"p{number}_{time}" for number in range(count) for time in ("ED", "ES")]
    for seed, name in enumerate(names):
        write_case(folder, name, seed=seed)
    cases = [{"image": f"./{name}.nii.gz", "label": f"./{name}_label.nii.gz"} for name in names]
    return write_dataset(folder, training=cases, numTraining=len(cases))


def study(dataset: Path, work: Path, *options: str, tried: bool = True) -> Study:
    """The study of a command line, whose results stay in the work folder."""
    out = ["--try-out"] if tried else []
    return Study(parsed("", [str(dataset), "--work", str(work), *out, *options]))


def keep(made: Study, side: str, seed: int = 0, **facts: Any) -> None:
    """Keep a training that never was."""
    asked = made.conditions.of(side)
    made.place(side, seed).parent.mkdir(parents=True, exist_ok=True)
    made.place(side, seed).write_text(json.dumps({"side": side, "seed": seed, "asked": asked, "facts": facts}))


def test_every_side_is_given_the_same_folds_whatever_its_seed(tmp_path: Path) -> None:
    dataset = patients(tmp_path / "Heart")
    made = study(dataset, tmp_path / "work", "--fold-count", "2", "--draw-folds", "--group-by", GROUPED)
    choice = FoldChoice("random", 2, GROUPED)
    assert made.splits == make_folds(load_dataset(dataset), choice, seed=0)
    assert made.splits != make_folds(load_dataset(dataset), FoldChoice("sequential", 2, GROUPED))
    assert made.splits != make_folds(load_dataset(dataset), choice, seed=3)
    made.folds_file.parent.mkdir(parents=True)
    made.folds_file.write_text(json.dumps(made.rows))
    loop = Ours(dataset, tmp_path, 30.0, 0, "cpu", made.folds_file, GROUPED)
    for seed, name, design in ((3, "run", None), (4, "train", Baseline("unet3d"))):
        call = loop.call(name, seed, [])
        sets = [after for before, after in pairwise(call) if before == "--set"]
        overrides = parse_overrides(sets) | {"seed": seed}
        request = request_for(RunFolder(tmp_path / name), budget="30m", overrides=overrides, design=design)
        assert request.division.group_by == GROUPED
        assert divided(load_dataset(dataset), request) == made.splits
    listed = datalist(json.loads((dataset / "dataset.json").read_text())["training"], made.splits, 1)
    assert {Path(each["image"]).name for each in listed["testing"]} == {
        f"{case}.nii.gz" for case in made.splits[1].validation
    }


def test_folds_in_the_order_of_cases_are_the_default(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "Organs")
    assert study(dataset, tmp_path).splits == make_folds(load_dataset(dataset))
    with pytest.raises(SystemExit, match="--fold 2: there are 2 folds"):
        study(dataset, tmp_path, "--fold", "2", "--fold-count", "2")


def test_a_fold_that_can_give_no_answer_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study(patients(tmp_path / "Heart"), tmp_path, "--group-by", GROUPED, "--sides", "c2fnas").refuse_unready()
    assert "Fold 0 validates 2 cases or groups, and answers need 8: ask for fewer folds" in capsys.readouterr().err


def test_unlike_studies_have_work_folders_of_their_own(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "Organs")
    unlike = [
        (),
        ("--minutes", "2.5"),
        ("--fold", "1"),
        ("--fold-count", "4"),
        ("--draw-folds",),
        ("--device", "cuda"),
        ("--name", "x"),
    ]
    folders = [study(dataset, tmp_path, *options).work for options in unlike]
    folders += [study(dataset, tmp_path, tried=False).work]
    assert len({*folders}) == len(unlike) + 1
    assert folders[0] == tmp_path / "try" / "organs-30m-fold0-of-5-cpu"
    assert folders[4] == tmp_path / "try" / "organs-30m-fold0-of-5-drawn-cpu"
    assert study(dataset, tmp_path).kept == folders[0] / "results" / "peers_organs"
    assert parsed("", [str(dataset)]).work == Path("peers-work")


def test_an_earlier_result_is_not_taken_for_a_training_that_is_made_again(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "Organs")
    left = study(dataset, tmp_path).begin("nnunet", 0) / "results" / "done.json"
    left.parent.mkdir()
    left.touch()
    assert study(dataset, tmp_path).begin("nnunet", 0).is_dir()
    assert left.exists()
    study(dataset, tmp_path, "--remake").begin("nnunet", 0)
    assert not left.exists()


@pytest.mark.parametrize("change", ["cores", "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA"])
def test_work_under_other_conditions_is_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    dataset = write_dataset(tmp_path / "Organs")
    left = study(dataset, tmp_path).begin("nnunet", 0) / "done.json"
    left.touch()
    if change == "cores":
        monkeypatch.setattr(peers_study, "usable_cores", lambda: 77)
    else:
        monkeypatch.setenv(change, "avx2")
    study(dataset, tmp_path).begin("nnunet", 0)
    assert not left.exists()


def test_what_is_kept_is_not_trained_again(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "Organs")
    made = study(dataset, tmp_path, "--sides", "c2fnas,auto3dseg", "--seeds", "2")
    assert len([*made.missing()]) == 4
    for side, seed in [*made.missing()][:3]:
        keep(made, side, seed)
    assert [*made.missing()] == [("auto3dseg", 1)]
    made.arguments.remake = True
    assert len([*made.missing()]) == 4


def test_a_table_of_nothing_says_so(tmp_path: Path) -> None:
    made = study(write_dataset(tmp_path / "Organs"), tmp_path)
    assert made.report() == "No training is kept yet."
    assert not made.kept.with_name("peers_organs.md").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--minutes", "120"], "minutes 30.0, not 120.0"),
        (["--fold-count", "2"], "fold_count 5, not 2"),
        (["--draw-folds"], "drawn False, not True"),
        (["--precision", "bf16"], r"precision fp32, not bf16 \(c2fnas\)"),
    ],
)
def test_other_conditions_are_refused_before_any_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], said: str
) -> None:
    monkeypatch.setattr(peers_study, "RESULTS", tmp_path / "results")
    dataset = write_dataset(tmp_path / "Organs")
    for side in ("c2fnas", "nnunet"):
        keep(study(dataset, tmp_path, tried=False), side)
    study(dataset, tmp_path, "--sides", "dints", tried=False)
    study(dataset, tmp_path, *options, tried=False)  # the table alone
    with pytest.raises(SystemExit, match=f"peers_organs: holds trainings of {said}"):
        study(dataset, tmp_path, "--sides", "dints", *options, tried=False)


@pytest.mark.parametrize("variable", ["ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA"])
def test_trainings_on_a_lesser_processor_are_not_mixed_with_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.delenv(variable, raising=False)
    dataset = write_dataset(tmp_path / "Organs")
    keep(study(dataset, tmp_path), "nnunet")
    monkeypatch.setenv(variable, "avx2")
    with pytest.raises(SystemExit, match=f"{variable.lower()} None, not avx2"):
        study(dataset, tmp_path, "--sides", "nnunet")


def test_cores_must_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = write_dataset(tmp_path / "Organs")
    monkeypatch.setattr(peers_study, "usable_cores", lambda: 1)
    keep(study(dataset, tmp_path), "nnunet")
    monkeypatch.setattr(peers_study, "usable_cores", lambda: 2)
    with pytest.raises(SystemExit, match="cores 1, not 2"):
        study(dataset, tmp_path, "--sides", "nnunet")


def test_precision_is_the_peers_on_a_cpu_and_a_condition_of_our_loop_alone(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "Organs")
    made = study(dataset, tmp_path)
    assert made.conditions.of("dints")["precision"] == "fp32"
    assert "precision" not in made.conditions.of("nnunet")
    assert "precision" not in made.conditions.of("auto3dseg-dints")
    assert study(dataset, tmp_path, "--device", "cuda").conditions.precision is None
    assert study(dataset, tmp_path, "--precision", "bf16").conditions.precision == "bf16"


def test_code_that_is_not_committed_is_tried_out_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers_conditions, "changed_files", lambda root: ["src/a.py"])
    monkeypatch.setattr(peers_study, "RESULTS", tmp_path / "results")
    dataset = write_dataset(tmp_path / "Organs")
    study(dataset, tmp_path, "--sides", "c2fnas").refuse_unready()
    study(dataset, tmp_path, tried=False).refuse_unready()  # the table alone
    with pytest.raises(SystemExit, match="differ from the commit"):
        study(dataset, tmp_path, "--sides", "c2fnas", tried=False).refuse_unready()


def test_a_training_keeps_its_commits_and_conditions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from c2fnas.evaluation.metrics import CaseScores, summarise

    commits = iter(("begun", "begun", "ended"))
    monkeypatch.setattr(peers_study, "commit", lambda: next(commits))
    scores = summarise([CaseScores("a", {"organ": 0.5})])
    monkeypatch.setattr(Study, "_ours", lambda self, side, seed, folder: (scores, {"spacing": [1.0]}))
    made = study(write_dataset(tmp_path / "Organs"), tmp_path)
    made.train("c2fnas", 0)
    kept = json.loads(made.place("c2fnas", 0).read_text())
    assert kept["commit"] == {"began": "begun", "ended": "ended"}
    assert kept["asked"] == made.conditions.of("c2fnas")
    assert made.facts_of("c2fnas") == {"spacing": [1.0]}


def test_a_side_on_anothers_plan_waits_for_that_side(tmp_path: Path) -> None:
    made = study(write_dataset(tmp_path / "Organs"), tmp_path)
    with pytest.raises(SystemExit, match="Train that side first: --sides c2fnas"):
        made.train("dints", 0)
    keep(made, "c2fnas")
    with pytest.raises(SystemExit, match="Train that side first: --sides nnunet"):
        made.train("c2fnas@nnunet", 0)


def test_a_side_that_another_needs_is_asked_for_before_any_training(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "Organs")
    study(dataset, tmp_path, "--sides", "c2fnas,dints").refuse_unready()
    with pytest.raises(SystemExit, match="Train that side first: --sides c2fnas"):
        study(dataset, tmp_path, "--sides", "nnunet,dints,c2fnas").refuse_unready()
    with pytest.raises(SystemExit, match="Train that side first: --sides nnunet"):
        study(dataset, tmp_path, "--sides", "c2fnas,c2fnas@nnunet").refuse_unready()
    keep(study(dataset, tmp_path), "nnunet")
    study(dataset, tmp_path, "--sides", "c2fnas,c2fnas@nnunet").refuse_unready()
