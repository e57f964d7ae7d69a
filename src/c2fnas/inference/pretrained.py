"""Places of models: a package's folder, a run, a zip file, or a name of those that come with c2fnas. No torch."""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from c2fnas.errors import UserError
from c2fnas.files import is_there

PLACE = Path(str(resources.files("c2fnas.pretrained")))
"""A folder per name, with a card and a package per fold."""
SUMS, WEIGHTS = "SHA256SUMS", "weights.safetensors"
PACKAGE_PLACES = ("model", "fold-*", "fold-*/model", "final/fold-*/model", "models")
"""Places of packages in the folder of a fold, of models that vote, of a run's final networks, a run, a bundle."""


def pretrained_names() -> tuple[str, ...]:
    """Return the names of the models that come with c2fnas."""
    return tuple(sorted(path.name for path in PLACE.iterdir() if path.is_dir() and path.name[0] not in "._"))


def pretrained(name: Path) -> Path | None:
    """Return the folder that ``hippocampus`` or ``hippocampus/fold-0`` names; None where no model has this name."""
    return PLACE / name if name.parts and name.parts[0] in pretrained_names() else None


def on_disk_or_pretrained(path: Path) -> Path:
    """Return ``path`` where something is there, else the folder that it names; itself where it is neither."""
    named = pretrained(path)
    return path if named is None or is_there(path) else named


def short_name(folder: Path) -> str:
    """Return what a user calls a folder: the name of one that comes with c2fnas, else its path.

    >>> short_name(PLACE / "hippocampus" / "fold-0")
    'hippocampus/fold-0'
    """
    return folder.relative_to(PLACE).as_posix() if folder.is_relative_to(PLACE) else str(folder)


def with_design(text: str) -> str:
    """Return the folder with the design of the models that ``text`` names, of the first fold; else ``text`` itself."""
    folder = on_disk_or_pretrained(Path(text))
    if folder == Path(text):
        return text
    return str(min(folder.glob("fold-*"), default=folder))


def is_package(folder: Path) -> bool:
    """True if ``folder`` looks like a model package."""
    return (folder / SUMS).is_file() and (folder / WEIGHTS).is_file()


def is_archive(path: Path) -> bool:
    """True if ``path`` is a file that may be a model's zip file."""
    return path.is_file() and path.suffix.lower() == ".zip"


def packages_in(folder: Path) -> list[Path]:
    """Return the packages of a folder: itself, a fold's, those that vote, or a run's; none where it has none."""
    places = [place for pattern in PACKAGE_PLACES for place in sorted(folder.glob(pattern))]
    return [place for place in [folder, *places] if is_package(place) or is_archive(place)]


def model_folders(paths: Sequence[Path]) -> list[Path]:
    """Return the model packages that paths stand for: packages themselves, a run's, a fold's, or those of a name.

    A zip file stands for itself.

    Raises:
        UserError: a path holds no model, and is no name of one that comes with c2fnas.
    """
    found: list[Path] = []
    for path in paths:
        folder = on_disk_or_pretrained(path)
        packages = packages_in(folder)
        if not packages:
            raise UserError(f"{path}: no model here. {_where_models_are(path)}")
        found += [package for package in packages if package not in found]
    return found


def _where_models_are(path: Path) -> str:
    if path.exists() and pretrained(path):
        return "It hides the models of this name that come with c2fnas: rename it, or run this in another folder."
    return (
        "Name a model folder, such as runs/liver/final/fold-0/model, the folder of a run that has trained its final "
        f"networks, or a model that comes with c2fnas ({', '.join(pretrained_names()) or 'there is none'})."
    )
