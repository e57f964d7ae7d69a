"""Models that come with c2fnas, by name: folders in ``c2fnas/pretrained`` with a card and a package per fold."""

from importlib import resources
from pathlib import Path

PLACE = Path(str(resources.files("c2fnas.pretrained")))


def pretrained_names() -> tuple[str, ...]:
    """The names that there are."""
    return tuple(sorted(path.name for path in PLACE.iterdir() if path.is_dir() and path.name[0] not in "._"))


def pretrained(name: Path) -> Path | None:
    """The folder that ``hippocampus``, say, or ``hippocampus/fold-0`` names; None where no model has this name."""
    return PLACE / name if name.parts and name.parts[0] in pretrained_names() else None


def on_disk_or_pretrained(path: Path) -> Path:
    """``path`` where something is there, else what it names; itself where it is neither."""
    named = pretrained(path)
    return path if named is None or path.exists() else named


def with_design(text: str) -> str:
    """Where the design of the models that ``text`` names lies, the first fold's; ``text`` where it names none."""
    folder = on_disk_or_pretrained(Path(text))
    if folder == Path(text):
        return text
    return str(min(folder.glob("fold-*"), default=folder))
