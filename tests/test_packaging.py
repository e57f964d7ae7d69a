"""What a stranger installs: the image, the wheel, the workflows that run the README's commands, links that hold."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import torch
import yaml
from dockerfile import DOCKERFILE, execute, instructions
from documents import README, ROOT, blocks

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FOUND = instructions(DOCKERFILE.read_text(encoding="utf-8"))
OURS = re.compile(
    r"https://(?:github\.com/c2fnas/c2fnas/(?:blob|tree)|raw\.githubusercontent\.com/c2fnas/c2fnas)/main/([^)#\s]+)"
)


def values(name: str) -> list[str]:
    return [each.rest for each in FOUND if each.name == name]


def test_instructions_are_taken_apart() -> None:
    text = "# about\nFROM a AS b\nRUN one && \\\n    two\n# between\nENV A=1\n"
    assert instructions(text) == [("FROM", "a AS b"), ("RUN", "one && two"), ("ENV", "A=1")]


def test_the_image_keeps_to_the_rules_of_hadolint() -> None:
    """Those that matter here, by hand; the linter itself where it is installed."""
    for base in values("FROM"):
        assert re.match(r"\S+:\S*\d", base), "a base image with its version"
        assert ":latest" not in base
    assert int(values("USER")[-1].partition(":")[0]) > 0, "not root at the end"
    assert FOUND.index(("USER", values("USER")[-1])) > max(i for i, each in enumerate(FOUND) if each.name == "RUN")
    assert all(place.startswith("/") for place in values("WORKDIR"))
    assert isinstance(json.loads(values("ENTRYPOINT")[0]), list)
    assert isinstance(json.loads(values("CMD")[0]), list)
    assert not {each.name for each in FOUND} & {"ADD", "MAINTAINER", "SHELL"}
    for line in values("RUN"):
        assert "sudo" not in line
        assert "|" not in line.replace("||", ""), "a pipe hides what fails"
        for install in re.findall(r"pip install [^;&]*", line):
            assert "--constraint constraints.txt" in install, "every version is pinned"
    assert any("PIP_NO_CACHE_DIR=1" in each for each in values("ENV"))
    if hadolint := shutil.which("hadolint"):
        subprocess.run([hadolint, str(DOCKERFILE)], check=True)


def test_what_the_image_copies_is_there_and_sent_to_docker() -> None:
    sent = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert sent[0] == "*"
    for copied in (each for each in values("COPY") if not each.startswith("--from")):
        for source in copied.split()[:-1]:
            assert (ROOT / source).exists()
            assert f"!{source}" in sent
    extras = re.search(r"\[([\w,]+)\$\{EXTRAS:\+,\$EXTRAS\}\]", values("RUN")[-2])
    assert extras is not None
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(extras[1].split(",")) <= project["optional-dependencies"].keys()


@pytest.mark.long
@pytest.mark.timeout(3000)
def test_the_lines_of_the_image_run_in_a_fresh_environment(tmp_path: Path) -> None:
    """Without Docker: with the interpreter of this machine, the CPU's PyTorch from the index that pip has here."""
    base = f"{sys.base_prefix}/bin/python3"
    arguments = {"DEVICE": "cpu", "CPU_INDEX": "https://pypi.org/simple"}
    printed = dict(execute(tmp_path / "root", base, arguments))
    assert len(printed) == len(values("RUN")) >= 4
    *_, last = printed.values()
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert last.startswith(f"{version}\n")
    program = tmp_path / "root" / "opt" / "c2fnas" / "bin" / "c2fnas"
    done = subprocess.run([program, "doctor", tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(rf"c2fnas +{version}", done.stdout)


def test_workflows_run_the_two_commands_of_the_readme_on_the_pythons_that_there_are() -> None:
    jobs = {name: job for each in WORKFLOWS for name, job in yaml.safe_load(each.read_text())["jobs"].items()}
    runs = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    readme = " ".join(block.text for block in blocks(README))
    for command in ("make demo", "make test"):
        assert command in runs
        assert command in readme
        assert re.search(rf"^{command.split()[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    devices = {
        device for job in jobs.values() for device in job.get("strategy", {}).get("matrix", {}).get("device", [])
    }
    assert devices == {"cpu", "cuda"} <= set(re.findall(r"cpu|cuda", DOCKERFILE.read_text()))
    for job in jobs.values():
        assert job["timeout-minutes"] > 0
        assert all(re.search(r"@v\d+$", step["uses"]) for step in job["steps"] if "uses" in step)


def test_no_workflow_passes_over_the_tests_on_a_stand_in_for_a_gpu() -> None:
    """GitHub's machines have none, and a PyTorch with kernels for GPUs leaves no place for the stand-in."""
    (tested,) = (
        step
        for each in WORKFLOWS
        for job in yaml.safe_load(each.read_text())["jobs"].values()
        for step in job["steps"]
        if step.get("run") == "make test"
    )
    assert tested["env"]["PIP_EXTRA_INDEX_URL"] in DOCKERFILE.read_text()
    assert "GITHUB_ACTIONS" not in os.environ or torch.version.cuda is None or torch.cuda.is_available()


def test_links_of_the_readme_hold_on_the_package_index() -> None:
    """It shows the page without the repository around it: every link has a host, and ours lead to files."""
    text = README.read_text(encoding="utf-8")
    named = dict(re.findall(r"^\[([^]]+)\]: (\S+)$", text, re.MULTILINE))
    pictures = re.findall(r"!\[[^]]*\]\[([^]]+)\]", text)
    used = re.findall(r"[^!]\[[^]]*\]\[([^]]+)\]", text)
    assert {*used, *pictures} == set(named)
    assert len(pictures) >= 1
    assert all(named[each].startswith("https://raw.githubusercontent.com/") for each in pictures), "not a page about it"
    assert all(link.startswith("https://") for link in re.findall(r"\]\(([^)\s]+)\)", text))
    assert len(named) >= 15
    for label, link in named.items():
        assert OURS.fullmatch(link), link
        assert OURS.findall(link) == [label]
        assert (ROOT / label).exists(), label


@pytest.mark.long
def test_the_wheel_has_every_file_of_the_package_and_no_other(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    source = ROOT / "src"
    files = (path.relative_to(source) for path in source.rglob("*") if path.is_file())
    assert packed == {path.as_posix() for path in files if "__pycache__" not in path.parts}
    assert wheel.stat().st_size < 100e6, "the largest file that the package index takes"
