"""Lists and tables in the written pages are those of today's code and files."""

from runpy import run_path

from documents import DOCS

WRITTEN = run_path(str(DOCS / "lists.py"))


def test_every_list_is_up_to_date() -> None:
    """Where this fails, `python docs/lists.py` writes them anew."""
    marked = [path for path in DOCS.rglob("*.md") if WRITTEN["MARKED"].search(path.read_text(encoding="utf-8"))]
    assert sorted(path.name for path in marked) == ["configuration.md", "decisions.md", "results.md"]
    for path in marked:
        text = path.read_text(encoding="utf-8")
        assert WRITTEN["filled"](text) == text, path


def test_a_list_is_written_between_its_marks() -> None:
    page = WRITTEN["filled"]("before\n<!-- results -->\nstale\n<!-- end -->\nafter\n")
    assert "stale" not in page
    assert page.startswith("before\n<!-- results -->\n\n- [")
    assert page.endswith(")\n\n<!-- end -->\nafter\n")
    assert WRITTEN["filled"](page) == page
