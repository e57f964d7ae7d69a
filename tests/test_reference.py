"""The reference has every type that the functions of `c2fnas` return, and says what they return."""

import inspect
import re
from importlib import import_module
from pkgutil import iter_modules
from runpy import run_path
from typing import Any

from documents import DOCS

import c2fnas
import c2fnas.api
from c2fnas.api.runs import Run

RESULTS: tuple[str, ...] = run_path(str(DOCS / "generate.py"))["RESULTS"]
FUNCTIONS = [getattr(c2fnas, name) for name in c2fnas.__all__ if inspect.isfunction(getattr(c2fnas, name))]
METHODS = [value for name, value in inspect.getmembers(Run, inspect.isfunction) if name[0] != "_"]


def classes_of_the_front_door() -> set[str]:
    modules = [import_module(f"c2fnas.api.{each.name}") for each in iter_modules(c2fnas.api.__path__)]
    members = [(module, each) for module in modules for each in inspect.getmembers(module, inspect.isclass)]
    return {name for module, (name, value) in members if value.__module__ == module.__name__ and name[0] != "_"}


def test_what_is_listed_is_there() -> None:
    for name in RESULTS:
        module, _, kind = name.rpartition(".")
        assert inspect.isclass(getattr(import_module(f"c2fnas.{module}"), kind))


def test_every_type_that_is_returned_is_in_the_reference() -> None:
    shown = {name.rpartition(".")[2] for name in RESULTS} | {*c2fnas.__all__}
    own = classes_of_the_front_door()
    for function in [*FUNCTIONS, *METHODS]:
        returned: Any = inspect.signature(function).return_annotation
        text = returned if isinstance(returned, str) else getattr(returned, "__name__", str(returned))
        assert {*re.findall(r"[A-Z]\w+", text)} & own <= shown, function


def test_functions_say_what_they_return() -> None:
    for name in ("run", "prepare", "demo", "train", "check", "predict", "evaluate", "watch"):
        assert "\nReturns:\n" in (inspect.getdoc(getattr(c2fnas, name)) or ""), name
    for method in (Run.judge, Run.scale):
        assert "\nReturns:\n" in (inspect.getdoc(method) or ""), method
