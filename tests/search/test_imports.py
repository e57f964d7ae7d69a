"""Asking which candidate is next must not cost the seconds that torch, MONAI or Optuna take to import."""

import subprocess
import sys

HEAVY = (
    "torch",
    "monai",
    "sklearn",
    "optuna",
    "scipy",
    "pydantic",
    "lightning_fabric",
    "pydicom",
    "highdicom",
    "SimpleITK",
)
SCRIPT = """
import importlib, pkgutil, sys
import c2fnas, c2fnas.search, c2fnas.space
for package in (c2fnas.search, c2fnas.space):
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        if module.name not in sys.argv[1:]:
            importlib.import_module(module.name)
print(*sys.modules)
"""


def modules_after_import(*left_out: str) -> set[str]:
    ran = subprocess.run([sys.executable, "-c", SCRIPT, *left_out], capture_output=True, text=True, check=True)
    return {module.partition(".")[0] for module in ran.stdout.split()}


def test_space_and_search_import_nothing_heavy():
    assert modules_after_import("c2fnas.search.cluster_sampler").isdisjoint(HEAVY)


def test_optuna_is_imported_with_the_one_module_that_is_a_sampler():
    assert "optuna" in (found := modules_after_import())
    assert found.isdisjoint({"torch", "monai"})


def test_neither_the_package_nor_its_command_line_imports_anything_heavy():
    script = "import sys, c2fnas, c2fnas.cli; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert {module.partition(".")[0] for module in ran.stdout.split()}.isdisjoint(HEAVY)


def test_the_public_names_of_search_are_there_and_optuna_comes_with_its_sampler_alone():
    script = """
import sys, c2fnas.search as search
assert dir(search) == sorted(search.__all__)
others = set(search.__all__) - {"ClusterEvolutionSampler", "suggest_topology"}
assert all(getattr(search, name).__doc__ for name in others)
assert "optuna" not in sys.modules
assert search.ClusterEvolutionSampler.__name__ == "ClusterEvolutionSampler" and "optuna" in sys.modules
try:
    search.Nothing
except AttributeError as error:
    print(error)
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "module 'c2fnas.search' has no attribute 'Nothing'"
