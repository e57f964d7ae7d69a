"""`import c2fnas`: complete, instant, and without torch until something computes."""

import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from small_datasets import write_dataset

import c2fnas
import c2fnas.api
from c2fnas.api.exports import Source
from c2fnas.api.options import given
from c2fnas.api.runs import Run
from c2fnas.errors import UserError
from c2fnas.runs.overrides import parse_overrides

LIGHT = [module.name for module in pkgutil.iter_modules(c2fnas.api.__path__)]


def test_everything_listed_is_there_and_the_other_way_round() -> None:
    assert dir(c2fnas) == c2fnas.__all__ == sorted(c2fnas.__all__)
    for name in c2fnas.__all__:
        assert getattr(c2fnas, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        c2fnas.nothing  # noqa: B018


def test_no_name_hides_a_package() -> None:
    packages = {path.name for path in Path(c2fnas.__file__).parent.iterdir() if path.is_dir()}
    assert set(c2fnas.__all__) & packages == {"bench"}


def test_neither_the_package_nor_a_module_of_the_front_door_imports_torch() -> None:
    modules = ", ".join(f"c2fnas.api.{name}" for name in LIGHT)
    script = f"import sys, c2fnas; dir(c2fnas); few = len(sys.modules); import {modules}; print(few, *sys.modules)"
    few, *loaded = subprocess.check_output([sys.executable, "-c", script], text=True).split()
    assert {"torch", "monai", "optuna", "sklearn", "typer"}.isdisjoint(loaded)
    assert int(few) < 100


def test_every_public_function_and_method_tells_what_its_arguments_are() -> None:
    from c2fnas.cli.docstrings import parse

    methods = [each for name, each in inspect.getmembers(Run, inspect.isfunction) if name[0] != "_"]
    functions = [each for name in c2fnas.__all__ if inspect.isfunction(each := getattr(c2fnas, name))]
    for function in [*methods, *functions]:
        if function.__name__ == "build_network":
            continue
        told = parse(inspect.getdoc(function) or "").entries
        assert told.keys() == inspect.signature(function).parameters.keys() - {"self"}, function.__name__


def test_an_opened_folder_is_a_run(tmp_path) -> None:
    with pytest.raises(UserError, match=f"c2fnas prepare DATASET {tmp_path}"):
        c2fnas.open_run(tmp_path)
    with pytest.raises(UserError, match="--devices gpu"):
        c2fnas.open_run(tmp_path, devices="gpu")


def test_a_run_that_has_found_nothing_yet_says_so(tmp_path) -> None:
    run = Run(tmp_path, {})
    assert (run.architecture, run.models, run.evaluation, run.verdict) == (None, {}, {}, None)
    assert len(run.trials()) == 0
    run.trials().to_csv(tmp_path / "trials.csv")
    assert run.to_json()["architecture"] is None
    assert repr(run) == f"Run({str(tmp_path)!r})"


def test_what_is_left_out_is_no_override() -> None:
    assert given(coarse__sampler="tpe", seed=0, verdict=None) == {"coarse.sampler": "tpe", "seed": 0}


def test_a_format_that_there_is_not_is_refused_by_its_name(tmp_path) -> None:
    with pytest.raises(UserError, match="--format tensorrt: no such format"):
        Source(tmp_path).export("tensorrt", tmp_path / "out")  # type: ignore[arg-type]


@pytest.mark.parametrize("start", [c2fnas.run, c2fnas.prepare, c2fnas.train, c2fnas.demo, c2fnas.open_run])
def test_a_misspelt_option_is_refused_before_anything_begins(start: Any, tmp_path: Path) -> None:
    places = {c2fnas.demo: (), c2fnas.open_run: (tmp_path / "run",)}.get(start, (tmp_path / "data", tmp_path / "run"))
    with pytest.raises(TypeError, match=r"'device'. Did you mean 'devices'"):
        start(*places, device="cpu")
    with pytest.raises(TypeError, match=r"'nonsense'. There are .*devices"):
        start(*places, nonsense=3)
    if "budget" in inspect.signature(start).parameters:
        with pytest.raises(TypeError, match=r"'budgte'. Did you mean 'budget'"):
            start(*places, budgte="demo")
    assert not [*tmp_path.iterdir()]


def test_fields_are_set_by_a_mapping_as_by_texts() -> None:
    by_texts = parse_overrides(["plan.spacing=[2,2,1]", "coarse.evaluations=20", "plan={batch_size: 3}"])
    by_mapping = {"plan.spacing": [2, 2, 1], "coarse.evaluations": 20, "plan": {"batch_size": 3}}
    assert parse_overrides(by_mapping) == by_texts
    with pytest.raises(UserError, match=r"coarse\.evaluations"):
        parse_overrides({"coarse.evaluation": 20})


def test_a_check_is_shown_in_a_line_a_problem(tmp_path: Path) -> None:
    """And not with every case and its intensities, by print or in a notebook."""
    found = c2fnas.check(write_dataset(tmp_path))
    assert re.fullmatch(
        r"Small: \d+ training and \d+ test cases, 0 errors, \d+ warnings?\.", str(found).splitlines()[-1]
    )
    assert "fingerprint" not in repr(found)
