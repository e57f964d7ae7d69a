"""The command line as a whole: help at once, user errors in one paragraph, exit codes."""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from c2fnas import cli
from c2fnas.api.pipelines import tell_what_is_read
from c2fnas.runs.reporter import Silent


def c2fnas(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "c2fnas", *map(str, arguments)], capture_output=True, text=True)


def test_a_driver_loads_neither_fabric_nor_statistics() -> None:
    """It trains nothing itself; they were a third of what stands before its first line."""
    script = "import sys, c2fnas.stages.pipeline, c2fnas.studies.verdict; print(sorted({heavy} & set(sys.modules)))"
    heavy = {"lightning_fabric", "scipy.stats", "torch._dynamo"}
    shown = subprocess.check_output([sys.executable, "-c", script.format(heavy=heavy)], text=True)
    assert shown.strip() == "[]"


def test_a_run_that_is_there_is_told_of_before_anything_is_loaded(tmp_path: Path) -> None:
    said: list[str] = []
    reporter = Silent()
    reporter.say = said.append  # type: ignore[method-assign]
    tell_what_is_read(tmp_path, reporter)
    assert said == []
    (tmp_path / "run.yaml").touch()
    tell_what_is_read(tmp_path, reporter)
    assert len(said) == 1
    assert str(tmp_path) in said[0]


def test_a_process_of_its_own_shows_help() -> None:
    """All else about help is asked in one process, by test_help."""
    assert "c2fnas predict" in c2fnas("predict", "--help").stdout


def test_a_path_without_a_data_set_is_one_paragraph_and_exit_code_2(tmp_path: Path) -> None:
    done = c2fnas("run", tmp_path / "nowhere", "--run", tmp_path / "run")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_truncated_volume_ends_the_run_before_anything_is_trained(tmp_path: Path) -> None:
    from c2fnas.data.phantoms import write_phantoms

    dataset = write_phantoms(tmp_path / "Task00", cases=5, test_cases=0)
    broken = dataset / "imagesTr" / "phantom_002.nii.gz"
    broken.write_bytes(broken.read_bytes()[:2000])
    done = c2fnas("run", dataset, "--run", tmp_path / "run", "--budget", "demo")
    assert done.returncode == 2
    assert "phantom_002.nii.gz" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run" / "coarse").exists()


def test_a_second_driver_is_refused_and_the_first_is_named(tmp_path: Path) -> None:
    from c2fnas.data.phantoms import write_phantoms
    from c2fnas.runs.lock import RunLock

    dataset = write_phantoms(tmp_path / "Task00", cases=5, test_cases=0)
    with RunLock(tmp_path / "run"):
        done = c2fnas("run", dataset, "--run", tmp_path / "run")
    assert done.returncode == 2
    assert "process" in done.stderr


MISTAKES = {
    "run nowhere runs/a": "nowhere: found no such file or folder, expected a data set",
    "check nowhere": "nowhere: found no such file or folder, expected a data set",
    "check {runs}": "found no data set of a known layout",
    "runn {data} runs/a": "Did you mean 'run'?",
    "search scal runs/a": "Did you mean 'scale'?",
    "run {data} runs/a --budgt 3h": "No such option: --budgt (Possible options: --budget)",
    "run {data} runs/a --budget 2s": "--budget 2s: too short",
    "run {data} runs/a --budget -1h": "--budget -1h: too short",
    "run {data} runs/a --set plan.patch_size=64": "--set plan.patch_size=64: expected 3 whole numbers",
    "run {data} runs/a --set coarse.recipe.name=some": "--set coarse.recipe.name=some: expected paper or modern",
    "search scale {runs}/begun -a c2fnas-panc --patches 0": "--patches: give at least one factor",
    "search scale {runs}/begun -a c2fnas-panc --figure a.doc": "--figure a.doc: no kind of picture",
    "export nowhere -f onnx -o model.onnx": "nowhere: no model here",
    "export nowhere -f nnunet -o trainer": "nowhere: not an architecture",
    "predict {data} -i {data} -o labels": "Task00: no model here",
    "simulate nowhere": "nowhere: cannot be read (No such file or directory). `c2fnas tabulate`",
    "run {data} runs/a --budget fortnight": "--budget fortnight: no such budget",
    "run {data} runs/a --devices gpu": "--devices gpu: unknown device",
    "run {data} runs/a --like nowhere": "nowhere: cannot be read as JSON",
    "train {data} runs/a --like {data}": "Task00: not a prepared run",
    "run {data} runs/a --folds weird": "weird: neither sequential, random, column",
    "run {data} runs/a --fold-count 500": "5 cases can't be divided into 500 folds",
    "run {data} runs/a --group-by (x": "--group-by (x: not a regular expression",
    "run {data} runs/a --set coarse.evals=3": "--set coarse.evals: no such field",
    "run {data} runs/a --set seed=-1": "--set seed=-1: expected a whole number of 0 or more",
    "run {data} runs/a --backend local --address auto": "--address names a Ray cluster",
    "run {data}": "run: missing argument RUN",
    "prepare {data} runs/a --folds": "Option '--folds' requires an argument",
    "train {data} runs/a --architecture nonsense": "nonsense: not an architecture",
    "train {data} runs/a --iterations 0": "--iterations 0: give 1 or more",
    "train {data} runs/a": "runs/a: no architecture to train",
    "train {data} runs/a -a c2fnas-panc --extend 5": "runs/a: nothing to extend",
    "train {data} runs/a --from nowhere -a c2fnas-panc": "nowhere: no model here",
    "train {data} runs/a -a c2fnas-panc --folds some": "--folds some: give all, last, numbers such as 0,2",
    "train {data} runs/a -a c2fnas-panc --folds 70": "--folds 70: give all, last, numbers from 0 to 4",
    "train {data} runs/a -a c2fnas-panc --recipe some": "'some' is not one of 'paper', 'modern'",
    "run {data} {runs}/old": "this run was made by c2fnas 0.1.0",
    "train {data} {runs}/old -a c2fnas-panc": "this run was made by c2fnas 0.1.0",
    "prepare {data} {runs}/old": "this run was made by c2fnas 0.1.0",
    "search fine {runs}/old": "this run was made by c2fnas 0.1.0",
    "report {runs}/old": "this run was made by c2fnas 0.1.0",
    "run {data} {runs}/begun --seed 3": "has another --seed (0, now 3)",
    "prepare {data} {runs}/begun --fold-count 3 --set width=0.25": "has another --set width (auto, now 0.25)",
    "search coarse {runs}/begun --evaluations 7": "has another --evaluations (10, now 7)",
    "search coarse {runs}/begun --sampler some": "some is no sampler",
    "search fine {runs}/begun --rungs 0": "--set fine.rungs=0: expected a whole number above 0",
    "search fine {runs}/begun --max-latency nan": "A limit of nan: give a number",
    "train {runs} runs/a --like {runs}/begun": "several data sets, and --like repeats a run on its own",
    "search scale {runs}/begun": "begun: the fine stage has not finished",
    "search scale {runs}/begun -a c2fnas-panc --widths 0.01": "--widths: width 0.01: 32 × width",
    "search coarse runs/a": "runs/a: not a prepared run",
    "search fine {runs}/begun --verify-iterations 3": "--verify-iterations says how long --verify N retrains",
    "search fine {runs}/begun --verify 5 --verify-iterations 0": "--verify-iterations 0: give 1 or more",
    "search fine {runs}/begun --verify 2": "--verify 2: give 3 or more",
    "search scale runs/a": "runs/a: not a prepared run",
    "verdict runs/a": "runs/a: not a prepared run",
    "ablate runs/a": "runs/a: not a prepared run",
    "tabulate runs/a --table table.csv": "runs/a: not a prepared run",
    "tabulate {runs}/begun --table table.csv --iterations 2": "--iterations 2: give 3 or more",
    "tabulate {runs}/begun --table table.csv --most 0": "--most 0: give 1 or more",
    "report runs/a": "runs/a: not a prepared run",
    "report runs/a runs/b": "runs/a: not a prepared run",
    "report {runs}/begun {runs}/begun --case a": "--case belongs to the report of one run",
    "watch runs/a": "runs/a: not a run folder",
    "watch {runs}/begun --every 0": "--every 0: give seconds from 0.1 to 3600",
    "watch {runs}/begun --port 8080": "--port is that of the page: give --serve as well",
    "doctor nowhere": "nowhere: no folder",
    "search coarse {runs}/trained": "trained: this run only trains a network that it was given",
    "search fine {runs}/trained --candidates 5": "trained: this run only trains a network that it was given",
    "predict nowhere -i {data} -o labels": "nowhere: no model here",
    "predict hippocampus -i nowhere -o labels": "nowhere: no such file or folder. Name an image",
    "predict hippocampus -i {data} -o labels --device gpu": "--device gpu: unknown device",
    "predict hippocampus -i {data} -o labels --max-memory much": "--max-memory much: give a number with a unit",
    "evaluate nowhere nothing": "nowhere: no volumes here",
    "export nowhere -f zip -o model.zip": "nowhere: no model here",
    "export hippocampus -f onnx --half -o model.onnx": "--half --format onnx: half precision is for `model` and `zip`",
    "import nowhere.zip -o model": "nowhere.zip: cannot be read (no such file)",
    "describe nonsense": "nonsense: not an architecture",
    "compare --channels 0": "--channels 0: give 1 or more",
    "demo --cases 2": "--cases 2: give 5 or more",
    "check {data} --workers 0": "--workers 0: give 1 or more",
    "nonsense": "No such command 'nonsense'",
    "describe --nonsense": "No such option: --nonsense",
}
"""Each with a part of the answer: it is refused for its own reason."""

SCRIPT = """
import sys
from c2fnas.cli import main
for line in sys.stdin.read().splitlines():
    sys.argv = ["c2fnas", *line.split()]
    try:
        main()
    except SystemExit as end:
        print(end.code)
print("torch" in sys.modules)
"""


def test_a_mistake_is_answered_without_torch_and_leaves_nothing_behind(tmp_path: Path) -> None:
    from c2fnas.data.phantoms import write_phantoms
    from c2fnas.planning.presets import draft, load_budget

    data = write_phantoms(tmp_path / "Task00", cases=5, test_cases=0)
    for folder in ("here", "old", "begun/coarse", "trained/final"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "old/run.yaml").write_text("versions: {c2fnas: 0.1.0}\n")
    draft(load_budget("demo"), "demo").save(tmp_path / "begun/run.yaml")
    draft(load_budget("demo") | {"kind": "training"}, "demo").save(tmp_path / "trained/run.yaml")
    lines = [line.format(data=data, runs=tmp_path) for line in MISTAKES]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], input="\n".join(lines), capture_output=True, text=True, cwd=tmp_path / "here"
    )
    assert done.stdout.split() == ["2"] * len(lines) + ["False"], done.stderr
    said = done.stderr.splitlines()
    assert len(said) == len(lines), done.stderr
    assert all(line.startswith("c2fnas") for line in said)
    assert [line for line, answer in zip(MISTAKES, said, strict=True) if MISTAKES[line] not in answer] == [], (
        done.stderr
    )
    assert "Value error" not in done.stderr  # pydantic's word for a check of our own
    assert "Input should" not in done.stderr
    assert not re.findall(r"[^.][.?!,;:][.,;:?!](?=\s|$)", done.stderr), "doubled punctuation"
    assert list((tmp_path / "here").iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_full_disk_is_no_traceback(
    number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(**_: object) -> None:
        raise OSError(number, os.strerror(number), "run/final/fold-0/job.json")

    monkeypatch.setattr(cli, "app", full)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith(
        f"c2fnas: run/final/fold-0/job.json: {os.strerror(number)}. Free some space"
    )


def test_a_terminal_that_lacks_letters_loses_no_result() -> None:
    """A run of a day would end in a traceback over the drawing of its network."""
    call = [sys.executable, "-m", "c2fnas", "describe", "c2fnas-panc"]
    environment = os.environ | {"PYTHONIOENCODING": "latin-1"}
    done = subprocess.run(call, env=environment, capture_output=True, check=True)
    assert b"17.60 M parameters" in done.stdout
