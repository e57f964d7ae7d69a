"""`c2fnas demo`: the whole pipeline on phantoms."""

from pathlib import Path
from typing import Annotated

import typer

from c2fnas.cli.options import Devices, Quiet, Verdict, device_names


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the phantoms and the run go.")] = Path(
        "c2fnas-demo"
    ),
    cases: Annotated[int, typer.Option(min=5, help="Labelled phantoms to generate.")] = 20,
    seed: Annotated[int, typer.Option(help="Seed of the phantoms and of the run.")] = 0,
    devices: Devices = "auto",
    verdict: Verdict = None,
    quiet: Quiet = False,
) -> None:
    """The whole pipeline on generated phantoms: minutes on two CPU cores, no download.

    Phantoms are anatomy-like shapes of two foreground classes with anisotropic voxels, noise, a bias field, varying
    sizes and orientations. The search, the training and the evaluation are the real ones at small numbers.
    Interrupted, the same command carries on.

    Example: `c2fnas demo --output /tmp/c2fnas-demo`
    """
    from c2fnas.cli.run import finish_line, run_with_progress
    from c2fnas.data.phantoms import write_phantoms

    dataset = output / "Task00_Phantoms"
    if not (dataset / "dataset.json").exists():
        write_phantoms(dataset, cases=cases, seed=seed)
    result = run_with_progress(
        dataset, output / "run", "demo", seed=seed, devices=_side_by_side(devices), quiet=quiet, verdict=verdict
    )
    finish_line(result, output / "run", dataset, example_input=dataset / "imagesTs")


def _side_by_side(devices: str) -> tuple[str, ...]:
    """By itself, two jobs at a time on the CPU: with such small patches a second thread is of more use to another."""
    from c2fnas.cores import usable_cores

    names = device_names(devices)
    return ("cpu:0", "cpu:1") if (devices, names) == ("auto", ("cpu",)) and usable_cores() > 1 else names
