"""Completion in the shell: runs, models, architectures, budgets and fields that there are. torch is not imported.

Names of options and the values of those that list them are completed by Typer. Where nothing of ours fits, the shell
goes on with its own names of files.
"""

import os
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

DEPTH, LOOKED_AT, OFFERED = 3, 2000, 50
"""Folders in depth below which no run is looked for, entries looked at, and runs offered, at the most."""

Completer = Callable[[str], list[str]]


def completer(name: str) -> Completer | None:
    """Return what completes the parameter of that name, or of one like it; None where the shell's own files do."""
    return COMPLETERS.get(name)


def runs(incomplete: str) -> list[str]:
    """Return the run folders below the folder that is being typed."""
    root = Path(incomplete if incomplete.endswith(os.sep) else os.path.dirname(incomplete))
    here = f".{os.sep}" if incomplete.startswith(f".{os.sep}") else ""  # which a Path leaves out
    found = (f"{here}{path}" for path in islice(_folders(root, DEPTH), LOOKED_AT) if _is_run(path))
    return sorted(islice((path for path in found if path.startswith(incomplete)), OFFERED))


def models(incomplete: str) -> list[str]:
    """Return the models that come with c2fnas, and run folders."""
    from c2fnas.inference.pretrained import pretrained_names

    return [*_beginning(pretrained_names(), incomplete), *runs(incomplete)]


def architectures(incomplete: str) -> list[str]:
    """Return the built-in architectures, and run folders."""
    from c2fnas.space.architecture import BUILT_IN

    return [*_beginning(BUILT_IN, incomplete), *runs(incomplete)]


def sources(incomplete: str) -> list[str]:
    """Return what can be exported: models, runs, built-in architectures."""
    return list(dict.fromkeys([*models(incomplete), *architectures(incomplete)]))


def budgets(incomplete: str) -> list[str]:
    """Return the budgets that have a name."""
    from c2fnas.planning.presets import BUDGETS

    return _beginning(BUDGETS, incomplete)


def networks(incomplete: str) -> list[str]:
    """Return the networks to compare with."""
    from c2fnas.networks.baselines.baseline import BASELINES

    return _beginning(BASELINES, incomplete)


def samplers(incomplete: str) -> list[str]:
    """Return the searchers; in a list, of its last entry."""
    from c2fnas.search.choice import SEARCHERS

    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in _beginning(SEARCHERS, last)]


def fields(incomplete: str) -> list[str]:
    """Return the fields of a run's configuration, up to the value."""
    from c2fnas.runs.config import RunConfig
    from c2fnas.runs.overrides import fields as all_fields

    return _beginning((f"{name}=" for name, _ in all_fields(RunConfig)), incomplete)


def devices(incomplete: str) -> list[str]:
    """Return `auto`, the CPU, and NVIDIA's GPUs by the files of their driver."""
    gpus = sorted(f"cuda:{path.name[6:]}" for path in Path("/dev").glob("nvidia[0-9]*"))
    return _beginning(["auto", "cpu", *gpus], incomplete)


COMPLETERS: dict[str, Completer] = {
    "run": runs,
    "runs": runs,
    "models": models,
    "start": models,
    "model": sources,
    "architecture": architectures,
    "architectures": architectures,
    "topology": architectures,
    "budget": budgets,
    "network": networks,
    "sampler": samplers,
    "samplers": samplers,
    "set": fields,
    "device": devices,
    "devices": devices,
}
"""By the name of a parameter."""


def _beginning(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _folders(root: Path, depth: int) -> Iterable[Path]:
    """Yield the folders below one; what is hidden, and what lies in a run, is not looked into."""
    try:
        found = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:
        return
    yield from found
    if depth > 1:
        for folder in found:
            if not _is_run(folder):
                yield from _folders(folder, depth - 1)


def _is_run(folder: Path) -> bool:
    return (folder / "run.yaml").is_file()
