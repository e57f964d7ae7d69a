"""What the site has beyond the written pages: the command line and the reference.

A hook of MkDocs (`mkdocs.yml`). All of it is made from the code and the files as they are when the site is built.
"""

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

SOURCE = Path(__file__).parents[1] / "src" / "c2fnas"
ROOMS = {
    "space": "What may be searched. Needs no torch.",
    "networks": "How a candidate computes.",
    "search": "Which candidate next. Needs no torch.",
    "bench": "Tables of trained topologies, and searches replayed on them.",
    "data": "From files to patches.",
    "training": "The one training loop.",
    "inference": "From a network to labels.",
    "evaluation": "From labels to Dice, and the comparison of trainings.",
    "execution": "Where a job runs.",
    "planning": "From a data set, a machine and a budget to a plan.",
    "runs": "The run folder, its configuration and its ledger.",
    "stages": "The paper: prepare, coarse, fine, deploy, and the pipeline that chains them.",
    "studies": "Verdict, ablation, widths, verification, tables.",
    "report": "From a run to tables, figures and a page.",
    "export": "Models for other tools.",
}
RESULTS = (
    "api.checks.Check",
    "api.evaluations.Evaluated",
    "api.predictions.Prediction",
    "api.exports.Exported",
    "api.results.Ranking",
    "api.results.Scaling",
    "api.results.Tabulation",
    "api.results.Trials",
    "api.trainings.TaskTable",
    "api.costs.Description",
    "api.costs.Comparison",
    "api.costs.Compared",
    "api.watching.Watch",
    "runs.state.RunState",
    "api.doctor.Diagnosis",
    "api.doctor.Fact",
    "api.pipelines.RunOptions",
    "api.jobs.Jobs",
)
"""Types that functions and methods of c2fnas return or take, and that nobody imports by name."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    pages = {f"reference/{room}.md": _room(room, about) for room, about in ROOMS.items()}
    pages["reference/c2fnas.md"] = _room(
        "", "The whole package by one import. Everything else is loaded when it is used."
    )
    about = "Types that functions of c2fnas return, and the options that several of them share."
    entries = (f"::: c2fnas.{name}" for name in RESULTS)
    pages["reference/results.md"] = "\n\n".join(["# Results and options", about, *entries])
    pages["reference/command-line.md"] = _command_line()
    for name, content in pages.items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links that leave the documents to the repository."""
    return re.sub(r"\]\((?:\.\./)+((?:src|tests|benchmarks)/[^)]+)\)", rf"]({config.repo_url}/blob/main/\1)", markdown)


def _room(room: str, about: str) -> str:
    """One page for a package: a section for each of its public names, or for each module where it lists none."""
    package = f"c2fnas.{room}".rstrip(".")
    entries = public_names(package) or sorted(
        _module(path) for path in (SOURCE / room).rglob("*.py") if path.stat().st_size
    )
    return "\n\n".join([f"# {room or package}", about, *(f"::: {entry}" for entry in entries)])


def public_names(package: str) -> list[str]:
    """Where each name in a package's ``__all__`` is defined; those of c2fnas itself are called by it.

    A module in ``__all__`` stands for itself; a package has a page of its own.
    """
    module = import_module(package)
    names = [name for name in getattr(module, "__all__", ()) if name[:2] != "__" and name not in ROOMS]
    return [f"{package}.{name}" if package == "c2fnas" else _defined(module, name) for name in names]


def _defined(package: ModuleType, name: str) -> str:
    """The full name of a class or function by what it says itself, of a value by the line that assigns it."""
    value = getattr(package, name, None)
    if getattr(value, "__qualname__", None) == name:
        return f"{value.__module__}.{name}"
    paths = sorted((SOURCE / package.__name__.partition(".")[2]).rglob("*.py"))
    assigned = re.compile(rf"^{name}(: .*)? = ", re.MULTILINE)
    homes = [_module(path) for path in paths if assigned.search(path.read_text(encoding="utf-8"))]
    return f"{homes[0] if homes else package.__name__}.{name}"


def _module(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _command_line() -> str:
    """What Typer says of every command, in Markdown."""
    command = [sys.executable, "-m", "typer", "c2fnas.cli", "utils", "docs", "--name", "c2fnas"]
    text = subprocess.run(command, check=True, capture_output=True, text=True, encoding="utf-8").stdout
    text = re.sub(r"\x08\nExamples:\n((?:  .*\n)+)", lambda found: f"Examples:\n\n```sh\n{found[1]}```\n", text)
    return text.replace("# `c2fnas`", "# The command line", 1)
