"""The software of this machine, as ``c2fnas doctor`` tells of it."""

import platform
import re
import shutil
import subprocess
from contextlib import suppress
from importlib import metadata

from c2fnas.api.doctor import Fact

PACKAGES = ("torch", "monai", "lightning-fabric", "numpy", "scipy", "scikit-learn", "optuna", "nibabel", "pydantic")
REQUIREMENT = re.compile(r"^([\w.-]+).*extra == ['\"](\w+)['\"]")
NOT_FOR_USERS = ("all", "dev", "docs")
"""Extras of developers, and the one that is all others."""


def versions() -> list[Fact]:
    """Return the versions of c2fnas, Python, the system and the packages that compute."""
    import torch

    from c2fnas import __version__

    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "no CUDA"
    if cudnn := torch.backends.cudnn.is_available() and torch.backends.cudnn.version():
        build += f", cuDNN {cudnn}"
    facts = [
        Fact("c2fnas", __version__),
        Fact("Python", f"{platform.python_implementation()} {platform.python_version()}"),
        Fact("system", platform.platform()),
        *(Fact(name, _version(name) or "not installed") for name in PACKAGES),
    ]
    return [Fact(each.name, f"{each.value} ({build})") if each.name == "torch" else each for each in facts]


def extras() -> list[Fact]:
    """Return the packages of every extra, with their versions."""
    found: dict[str, list[str]] = {}
    for line in metadata.requires("c2fnas") or ():
        if (match := REQUIREMENT.match(line)) and match[2] not in NOT_FOR_USERS and match[1] != "c2fnas":
            found.setdefault(match[2], []).append(match[1])
    return [
        Fact(extra, ", ".join(f"{name} {_version(name) or '-'}" for name in names)) for extra, names in found.items()
    ]


def compilers() -> list[Fact]:
    """Return the C++ compiler and Triton, for those who compile a network with torch.compile: c2fnas does not."""
    name = next(filter(shutil.which, ("c++", "g++", "clang++")), None)
    return [Fact("C++", _first_line(name) if name else "none"), Fact("Triton", _version("triton") or "not installed")]


def _version(name: str) -> str | None:
    with suppress(metadata.PackageNotFoundError):
        return metadata.version(name)
    return None


def _first_line(program: str) -> str:
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{program}, which does not start ({type(error).__name__})"
    return (done.stdout or program).splitlines()[0]
