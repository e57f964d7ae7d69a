"""The command line of `peers.py`: read, and written again so that it repeats a training."""

import argparse
import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from peers_conditions import VARIABLES, usable_cores
from peers_sides import BY_AUTO3DSEG, SIDES, in_our_loop

WORK = Path("peers-work")


def parsed(description: str | None, arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the options of a command line; by default those of this process."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help="in the Decathlon's layout")
    parser.add_argument("--name", help="of the results; default: the data set's folder, in small letters")
    parser.add_argument("--minutes", type=float, default=30.0, help="of a training")
    parser.add_argument("--fold", type=int, default=0, help="that validates; c2fnas's search looks at the last one")
    parser.add_argument("--fold-count", type=int, default=5, help="folds that the cases, or groups, are divided into")
    parser.add_argument("--draw-folds", action="store_true", help="at random, with seed 0; default: in their order")
    parser.add_argument("--group-by", help="as `c2fnas run` takes it")
    parser.add_argument("--sides", default="", help=f"with commas, of {', '.join(SIDES)}; none: the table alone")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each side, of seeds 0, 1, ...")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    precision = "in c2fnas's loop; default: fp32 on a CPU, as peers compute there, on a GPU c2fnas's own choice"
    parser.add_argument("--precision", choices=("fp32", "bf16", "fp16"), help=precision)
    parser.add_argument("--nnunet-python", help="the Python of an environment with nnunetv2; else one is made")
    parser.add_argument("--templates", type=Path, help="a clone of Project-MONAI/research-contributions")
    parser.add_argument("--work", type=Path, default=WORK, help=f"the folder of all that is trained; default: {WORK}")
    parser.add_argument("--remake", action="store_true", help="train again what is there")
    parser.add_argument("--try-out", action="store_true", help="results go into the work folder")
    found = parser.parse_args(arguments)
    unknown = set(filter(None, found.sides.split(","))) - {*SIDES}
    if unknown:
        parser.error(f"--sides {', '.join(sorted(unknown))}: choose from {', '.join(SIDES)}.")
    if found.precision is None and found.device == "cpu":
        found.precision = "fp32"
    return found


def command(arguments: argparse.Namespace, side: str, environment: Mapping[str, str] = os.environ) -> str:
    """Return the command line that repeats a training of a side, with neutral names for folders."""
    name = arguments.name or arguments.dataset.resolve().name.lower()
    options: list[object] = ["--name", name, "--minutes", f"{arguments.minutes:g}", "--fold", arguments.fold]
    options += ["--fold-count", arguments.fold_count]
    options += ["--draw-folds"] if arguments.draw_folds else []
    options += ["--group-by", arguments.group_by] if arguments.group_by else []
    options += ["--sides", side]
    options += ["--seeds", arguments.seeds] if arguments.seeds > 1 else []
    options += ["--device", arguments.device] if arguments.device != "cpu" else []
    options += ["--precision", arguments.precision] if arguments.precision and in_our_loop(side) else []
    options += ["--nnunet-python", "PYTHON"] if side == "nnunet" and arguments.nnunet_python else []
    options += ["--templates", "CLONE"] if side in BY_AUTO3DSEG else []
    variables = [f"{each}={environment[each]}" for each in VARIABLES if environment.get(each)]
    cores = usable_cores()
    mask = ["taskset", "-c", "0" if cores == 1 else f"0-{cores - 1}"] if hasattr(os, "sched_getaffinity") else []
    script = ["python", "benchmarks/peers.py", arguments.dataset.resolve().name, *map(str, options)]
    return shlex.join([*variables, *mask, *script])
