"""What the README shows is so; its commands run in test_commands_of_documents.py."""

import doctest

from documents import README

TEXT = README.read_text(encoding="utf-8")


def test_the_python_examples_are_true() -> None:
    outcome = doctest.testfile(str(README), module_relative=False)
    assert outcome.attempted >= 5
    assert outcome.failed == 0


def test_the_drawing_is_what_the_command_draws() -> None:
    from c2fnas.space.architecture import Architecture
    from c2fnas.space.drawing import draw_text

    assert draw_text(Architecture.named("c2fnas-panc")).rstrip() in TEXT
