"""What README and tutorial show is so; their commands run in test_commands_of_documents.py."""

import doctest

from documents import DOCS, README

TUTORIAL = DOCS / "tutorial.md"
LONGEST = 156


def test_the_python_examples_are_true() -> None:
    outcome = doctest.testfile(str(TUTORIAL), module_relative=False)
    assert outcome.attempted >= 5
    assert outcome.failed == 0


def test_the_drawing_is_what_the_command_draws() -> None:
    from c2fnas.space.architecture import Architecture
    from c2fnas.space.drawing import draw_text

    assert draw_text(Architecture.named("c2fnas-panc")).rstrip() in TUTORIAL.read_text(encoding="utf-8")


def test_the_readme_is_what_a_newcomer_needs() -> None:
    """A picture, and for what and for what not to take it, come before the first command; the rest is elsewhere."""
    text = README.read_text(encoding="utf-8")
    first, _, rest = text.partition("```")
    for said in ("![", "**Take it rather than nnU-Net**", "**Take [nnU-Net]"):
        assert said in first
    assert len(first.splitlines()) <= 40, "a screen"
    headings = ["Two commands", "Your own data", "What was measured", "Non-goals"]
    places = [rest.find(f"## {each}") if f"## {each}" in rest else text.find(f"## {each}") for each in headings]
    assert -1 not in places
    assert len(text.splitlines()) < LONGEST
