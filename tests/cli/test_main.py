"""The command line as a whole: help at once, user errors in one paragraph, exit codes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from c2fnas.api.pipelines import tell_what_is_read
from c2fnas.runs.reporter import Silent


def c2fnas(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "c2fnas", *map(str, arguments)], capture_output=True, text=True)


@pytest.mark.parametrize("module", ["c2fnas.cli", "c2fnas", "c2fnas.space.architecture", "c2fnas.search.searcher"])
def test_starting_loads_neither_torch_nor_monai(module: str) -> None:
    heavy = f"import sys, {module}; print(sorted({{'torch', 'monai', 'optuna', 'sklearn'}} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", heavy], text=True).strip() == "[]"


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


def test_help_lists_every_command_with_examples_in_each() -> None:
    listed = c2fnas("--help").stdout
    for command in ("demo", "check", "prepare", "run", "predict", "evaluate", "describe"):
        assert command in listed
        assert f"c2fnas {command}" in c2fnas(command, "--help").stdout


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


MISTAKES = [
    "run nowhere runs/a",
    "check nowhere",
    "check {runs}",
    "runn {data} runs/a",
    "search scal runs/a",
    "run {data} runs/a --budgt 3h",
    "run {data} runs/a --budget 2s",
    "run {data} runs/a --budget -1h",
    "run {data} runs/a --set plan.patch_size=64",
    "run {data} runs/a --set coarse.recipe.name=some",
    "search scale {runs}/begun -a c2fnas-panc --patches 0",
    "search scale {runs}/begun -a c2fnas-panc --figure a.doc",
    "export nowhere -f onnx -o model.onnx",
    "export nowhere -f nnunet -o trainer",
    "predict {data} -i {data} -o labels",
    "simulate nowhere",
    "run {data} runs/a --budget fortnight",
    "run {data} runs/a --devices gpu",
    "run {data} runs/a --like nowhere",
    "train {data} runs/a --like {data}",
    "run {data} runs/a --folds weird",
    "run {data} runs/a --fold-count 500",
    "run {data} runs/a --group-by (x",
    "run {data} runs/a --set coarse.evals=3",
    "run {data} runs/a --set seed=-1",
    "run {data} runs/a --backend local --address auto",
    "run {data}",
    "prepare {data} runs/a --folds",
    "train {data} runs/a --architecture nonsense",
    "train {data} runs/a --iterations 0",
    "train {data} runs/a",
    "train {data} runs/a -a c2fnas-panc --extend 5",
    "train {data} runs/a --from nowhere -a c2fnas-panc",
    "train {data} runs/a -a c2fnas-panc --folds some",
    "train {data} runs/a -a c2fnas-panc --folds 70",
    "train {data} runs/a -a c2fnas-panc --recipe some",
    "run {data} {runs}/old",
    "train {data} {runs}/old -a c2fnas-panc",
    "prepare {data} {runs}/old",
    "search fine {runs}/old",
    "report {runs}/old",
    "run {data} {runs}/begun --seed 3",
    "prepare {data} {runs}/begun --fold-count 3 --set width=0.25",
    "search coarse {runs}/begun --evaluations 7",
    "search coarse {runs}/begun --sampler some",
    "search fine {runs}/begun --rungs 0",
    "search fine {runs}/begun --max-latency nan",
    "train {runs} runs/a --like {runs}/begun",
    "search scale {runs}/begun",
    "search scale {runs}/begun -a c2fnas-panc --widths 0.01",
    "search coarse runs/a",
    "search fine runs/a --verify-iterations 3",
    "search fine {runs}/begun --verify 5 --verify-iterations 0",
    "search fine {runs}/begun --verify 2",
    "search scale runs/a --widths 1",
    "verdict runs/a",
    "ablate runs/a",
    "tabulate runs/a --table table.csv",
    "report runs/a",
    "report runs/a runs/b",
    "report {runs}/begun {runs}/begun --case a",
    "watch runs/a",
    "watch {runs}/begun --every 0",
    "watch {runs}/begun --port 8080",
    "doctor nowhere",
    "search coarse {runs}/trained",
    "search fine {runs}/trained --candidates 5",
    "predict nowhere -i {data} -o labels",
    "predict hippocampus -i nowhere -o labels",
    "predict hippocampus -i {data} -o labels --device gpu",
    "predict hippocampus -i {data} -o labels --max-memory much",
    "evaluate nowhere nothing",
    "export nowhere -f zip -o model.zip",
    "export hippocampus -f onnx --half -o model.onnx",
    "import nowhere.zip -o model",
    "describe nonsense",
    "compare --channels 0",
    "demo --cases 2",
    "check {data} --workers 0",
    "nonsense",
    "describe --nonsense",
]

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
    assert "Value error" not in done.stderr  # pydantic's word for a check of our own
    assert "Input should" not in done.stderr
    assert not re.findall(r"[^.][.?!,;:][.,;:?!](?=\s|$)", done.stderr), "doubled punctuation"
    assert list((tmp_path / "here").iterdir()) == []


def test_a_terminal_that_lacks_letters_loses_no_result() -> None:
    """A run of a day would end in a traceback over the drawing of its network."""
    call = [sys.executable, "-m", "c2fnas", "describe", "c2fnas-panc"]
    environment = os.environ | {"PYTHONIOENCODING": "latin-1"}
    done = subprocess.run(call, env=environment, capture_output=True, check=True)
    assert b"17.60 M parameters" in done.stdout
