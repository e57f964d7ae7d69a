"""The lists and tables of the written pages that follow from the code and from other files.

    python docs/lists.py

writes them anew between their marks, so that pages read the same in the repository as on the site; a test says when it
is due.
"""

import re
from pathlib import Path
from runpy import run_path

DOCS = Path(__file__).parent
MARKED = re.compile(r"<!-- (decisions|results|freeze table|fields) -->\n.*?<!-- end -->", re.DOTALL)


def filled(page: str) -> str:
    """Return a page's text with every list and table as it is today."""
    return MARKED.sub(lambda found: f"<!-- {found[1]} -->\n\n{_content(found[1])}\n\n<!-- end -->", page)


def _content(name: str) -> str:
    if name == "fields":
        return _fields()
    return _freeze_table() if name == "freeze table" else _listed(DOCS / name)


def _listed(folder: Path) -> str:
    """The titles of a folder's pages by name, each a link."""
    titles = {path: path.read_text(encoding="utf-8").partition("\n")[0] for path in sorted(folder.glob("*.md"))}
    return "\n".join(f"- [{title.removeprefix('# ')}](../{folder.name}/{path.name})" for path, title in titles.items())


def _freeze_table() -> str:
    """The stages that freeze each field of a run's configuration."""
    from c2fnas.runs.freeze import TABLE

    rows = [(", ".join(f"`{field}`" for field in fields if field) or "all others", stages) for fields, stages in TABLE]
    lines = [f"| {fields} | {', '.join(stages) or 'none'} |" for fields, stages in rows]
    return "\n".join(["| fields | frozen by |", "|---|---|", *lines])


def _fields() -> str:
    """The fields of a run's configuration that ``--set`` takes: what each takes, its default and its meaning."""
    return str(run_path(str(DOCS / "fields.py"))["table"]())


def main() -> None:
    """Write them anew."""
    for path in sorted(DOCS.rglob("*.md")):
        text = path.read_text(encoding="utf-8")
        if filled(text) != text:
            path.write_text(filled(text), encoding="utf-8")


if __name__ == "__main__":
    main()
