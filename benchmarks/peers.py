"""c2fnas, nnU-Net, MONAI's SegResNet and others: the same cases, fold and metric, the same minutes of the same cores.

    taskset -c 0 python benchmarks/peers.py DATASET --minutes 30 --sides c2fnas --seeds 3
    taskset -c 0 python benchmarks/peers.py DATASET --minutes 30 --sides nnunet --nnunet-python PYTHON
    taskset -c 0 python benchmarks/peers.py DATASET --minutes 30 --sides auto3dseg --templates CLONE
    taskset -c 0 python benchmarks/peers.py DATASET --minutes 30 --sides dynunet,segresnet,dints
    taskset -c 0 python benchmarks/peers.py DATASET --minutes 30 --sides c2fnas@nnunet,dynunet@nnunet

Sides are

- `c2fnas`: `c2fnas run` with a budget of so many minutes, everything included, as a user calls it;
- `nnunet`: nnU-Net v2 by its own plan and recipe, its schedule ended by the clock (`nnunet_budget.py`);
- `auto3dseg`: MONAI's SegResNet by the template of its Auto3DSeg, from a clone of Project-MONAI/research-contributions,
  its schedule ended by the clock (`auto3dseg_budget.py`);
- `dynunet`, `segresnet`, `dints`: MONAI's networks, as wide as they come, in c2fnas's loop with c2fnas's plan;
- `c2fnas@nnunet`, `dynunet@nnunet`: the network of `c2fnas`, and nnU-Net's, in c2fnas's loop with nnU-Net's spacing and
  patch: with the sides above they tell what of a difference is plan, network or recipe.

The last two kinds need the side that they take the plan from to be done first. A budget of c2fnas pays for its
preparation and for the prediction of the validation cases; for the peers neither counts. Everybody's validation cases
are predicted in their original grid and scored by the same code. Cores are those that the process may use (`taskset`),
and `--precision` is c2fnas's: `fp32` where the peers compute in it.

Each training is a file in `benchmarks/results/peers_NAME`, which a later call leaves as it is; `--remake` makes it
again. The table of all goes to `benchmarks/results/peers_NAME.md`. `--work FOLDER` keeps what was prepared and trained.
`--try-out` puts everything there, to try it with a minute or two.
"""

import argparse
import json
import os
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from auto3dseg_side import Auto3dseg
from c2fnas.data.folds import FoldChoice, Split, make_folds
from c2fnas.data.layouts import load_dataset
from c2fnas.evaluation.label_files import evaluate_files, pair_files
from c2fnas.evaluation.metrics import Evaluation
from nnunet_side import Nnunet, install
from peers_ours import Ours
from peers_report import read, table
from preprocessing import machine

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "results"
OWN_LOOP = ("dynunet", "segresnet", "dints")
ON_NNUNETS_PLAN = ("c2fnas@nnunet", "dynunet@nnunet")
SIDES = ("c2fnas", "nnunet", "auto3dseg", *OWN_LOOP, *ON_NNUNETS_PLAN)


def main() -> None:
    """Train what is asked for and not there yet, and write the table of all."""
    arguments = parsed()
    with tempfile.TemporaryDirectory(prefix="peers-") as temporary:
        work = (arguments.work or Path(temporary)).resolve()
        study = Study(arguments, work)
        for side, seed in study.missing():
            print(f"{side}, seed {seed} ...", file=sys.stderr, flush=True)
            study.train(side, seed)
        text = study.report()
    print(text)


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help="in the Decathlon's layout")
    parser.add_argument("--name", help="of the results; default: the data set's folder, in small letters")
    parser.add_argument("--minutes", type=float, default=30.0, help="of a training")
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--group-by", help="as `c2fnas run` takes it")
    parser.add_argument("--sides", default="", help=f"with commas, of {', '.join(SIDES)}; none: the table alone")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each side, of seeds 0, 1, ...")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--precision", choices=("fp32", "bf16", "fp16"), help="of c2fnas; default: its own choice")
    parser.add_argument("--nnunet-python", help="the Python of an environment with nnunetv2; else one is made")
    parser.add_argument("--templates", type=Path, help="a clone of Project-MONAI/research-contributions")
    parser.add_argument("--work", type=Path, help="a folder to keep")
    parser.add_argument("--remake", action="store_true", help="train again what is there")
    parser.add_argument("--try-out", action="store_true", help="results go into the work folder")
    arguments = parser.parse_args()
    unknown = set(filter(None, arguments.sides.split(","))) - {*SIDES}
    if unknown:
        parser.error(f"--sides {', '.join(sorted(unknown))}: choose from {', '.join(SIDES)}.")
    return arguments


class Study:
    """The trainings of a data set: those that are kept, and those that are asked for."""

    def __init__(self, arguments: argparse.Namespace, work: Path) -> None:
        self.arguments, self.work = arguments, work
        self.dataset = arguments.dataset.resolve()
        self.name = arguments.name or self.dataset.name.lower()
        results = work / "results" if arguments.try_out else RESULTS
        self.kept = results / f"peers_{self.name}"
        self.kept.mkdir(parents=True, exist_ok=True)
        self.loaded = load_dataset(self.dataset)
        splits = make_folds(self.loaded, FoldChoice(group_by=arguments.group_by))
        if not 0 <= arguments.fold < len(splits):
            sys.exit(f"--fold {arguments.fold}: there are {len(splits)} folds, from 0.")
        self.splits: tuple[Split, ...] = splits
        self.asked = {
            "data_set": self.loaded.name,
            "minutes": arguments.minutes,
            "fold": arguments.fold,
            "group_by": arguments.group_by,
            "device": arguments.device,
        }

    def missing(self) -> Iterator[tuple[str, int]]:
        """Sides and seeds that are asked for and not kept."""
        for side in filter(None, self.arguments.sides.split(",")):
            for seed in range(self.arguments.seeds):
                if self.arguments.remake or not self.place(side, seed).exists():
                    yield side, seed

    def place(self, side: str, seed: int) -> Path:
        """The file of a training."""
        return self.kept / f"{side.replace('@', '-with-plan-of-')}-{seed}.json"

    def train(self, side: str, seed: int) -> None:
        """Train and score one, and keep what is known of it."""
        trained: Callable[[str, int], tuple[Evaluation, dict[str, Any]]] = {
            "nnunet": self.nnunet,
            "auto3dseg": self.auto3dseg,
        }.get(side, self.ours)
        evaluation, facts = trained(side, seed)
        about = {
            "side": side,
            "seed": seed,
            "asked": self.asked,
            "command": self.command(side),
            "machine": machine(),
            "cores": len(os.sched_getaffinity(0)),
            "capability": os.environ.get("ATEN_CPU_CAPABILITY", "all"),
            "facts": facts,
            "evaluation": evaluation.to_json(),
        }
        place = self.place(side, seed)
        partial = place.with_suffix(".partial")
        partial.write_text(json.dumps(about, indent=1) + "\n")
        partial.replace(place)

    def ours(self, side: str, seed: int) -> tuple[Evaluation, dict[str, Any]]:
        """`c2fnas run`, or `c2fnas train` with a network and a plan."""
        arguments = self.arguments
        loop = Ours(self.dataset, self.work / "c2fnas", arguments.minutes, arguments.fold, arguments.device)
        loop.group_by, loop.precision = arguments.group_by, arguments.precision
        if side == "c2fnas":
            return loop.run(seed, self.splits)
        network, _, planner = side.partition("@")
        planned = self.facts_of(planner or "c2fnas")
        architecture = self.facts_of("c2fnas")["network"] if network == "c2fnas" else None
        return loop.train(side, architecture or network, planned, seed, self.splits)

    def facts_of(self, side: str) -> dict[str, Any]:
        """What is known of a side's first training, such as spacing and patch."""
        place = self.place(side, 0)
        if not place.exists():
            sys.exit(f"{place}: the plan is taken from there. Train that side first: --sides {side}.")
        facts: dict[str, Any] = json.loads(place.read_text())["facts"]
        return facts

    def nnunet(self, side: str, seed: int) -> tuple[Evaluation, dict[str, Any]]:
        """nnU-Net, which draws its seed from the system."""
        workers = len(os.sched_getaffinity(0))
        python = self.arguments.nnunet_python or install(self.work / "environment")
        peer = Nnunet(python, self.work / f"nnunet-{seed}", self.arguments.device, workers)
        prepared = peer.prepare(
            self.dataset, [{"train": list(each.training), "val": list(each.validation)} for each in self.splits]
        )
        predictions, facts = peer.train(self.arguments.fold, 60 * self.arguments.minutes)
        return self.scored(predictions), {**peer.facts(prepared), **facts}

    def auto3dseg(self, side: str, seed: int) -> tuple[Evaluation, dict[str, Any]]:
        """MONAI's SegResNet by its template."""
        if self.arguments.templates is None:
            sys.exit("--templates: expected a clone of https://github.com/Project-MONAI/research-contributions.")
        peer = Auto3dseg(self.arguments.templates, self.work / f"auto3dseg-{seed}", self.arguments.device)
        peer.refuse_unready()
        peer.prepare(self.dataset, self.splits, self.arguments.fold)
        predictions, facts = peer.train(self.arguments.fold, 60 * self.arguments.minutes, seed)
        return self.scored(predictions), facts

    def scored(self, predictions: Path) -> Evaluation:
        """Label files by our metric, of exactly the fold's cases."""
        pairs, _ = pair_files(predictions, self.dataset / "labelsTr")
        expected = {*self.splits[self.arguments.fold].validation}
        if {pair.case for pair in pairs} != expected:
            sys.exit(f"{predictions}: expected the {len(expected)} cases of the fold, found {len(pairs)}.")
        return evaluate_files(pairs, self.loaded.scheme)

    def command(self, side: str) -> str:
        """The command line of a training, with neutral names for folders."""
        arguments = self.arguments
        options: list[object] = ["--minutes", f"{arguments.minutes:g}", "--fold", arguments.fold, "--sides", side]
        options += ["--seeds", arguments.seeds] if arguments.seeds > 1 else []
        options += ["--group-by", arguments.group_by] if arguments.group_by else []
        options += ["--device", arguments.device] if arguments.device != "cpu" else []
        options += ["--precision", arguments.precision] if arguments.precision else []
        options += ["--nnunet-python", "PYTHON"] if side == "nnunet" and arguments.nnunet_python else []
        options += ["--templates", "CLONE"] if side == "auto3dseg" else []
        return shlex.join(["python", "benchmarks/peers.py", self.dataset.name, *map(str, options)])

    def report(self) -> str:
        """The table of what is kept; a training of another length, fold or grouping stops it."""
        kept = read(self.kept)
        for each in kept:
            if each["asked"] != self.asked:
                sys.exit(
                    f"{self.kept}: holds trainings of {each['asked']}, asked for {self.asked}. Choose another --name."
                )
        text = table(kept) if kept else "No training is kept yet.\n"
        self.kept.with_suffix(".md").write_text(text)
        return text


if __name__ == "__main__":
    main()
