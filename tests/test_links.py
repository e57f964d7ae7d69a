"""Local links of every written page lead somewhere."""

import re
from pathlib import Path

import pytest
from documents import DOCS, ROOT

WRITTEN = [*sorted(ROOT.glob("*.md")), ROOT / "benchmarks" / "README.md", *sorted(DOCS.rglob("*.md"))]
GENERATED = DOCS / "reference"
"""Pages that are made with the site; its strict build looks after links to them."""


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: str(page.relative_to(ROOT)))
def test_local_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text(encoding="utf-8")):
        target = page.parent / link
        assert target.exists() or GENERATED in target.resolve().parents, link


@pytest.mark.parametrize("page", sorted(DOCS.glob("decisions/*.md")), ids=lambda page: page.stem)
def test_code_that_a_decision_names_is_there(page: Path) -> None:
    for name in re.findall(r"`([\w/]+/\w+\.py)`", page.read_text(encoding="utf-8")):
        assert any((root / name).exists() for root in (ROOT, ROOT / "src" / "c2fnas", ROOT / "tests")), name


def test_messages_that_are_explained_are_those_that_are_said() -> None:
    """A remedy for a message that no code says any more would help nobody."""
    pages = [DOCS / "how-to" / f"{name}.md" for name in ("troubleshooting", "bring-your-data")]
    found = [re.findall(r'\*\*"([^"]+)"\*\*', page.read_text(encoding="utf-8")) for page in pages]
    assert [len(each) >= least for each, least in zip(found, (20, 8), strict=True)] == [True, True]
    messages = [message for each in found for message in each]
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    said = re.sub(r'"\s*f?"', "", source)  # a text that goes on in the next line
    for message in messages:
        assert message in said, message
