"""nnU-Net and c2fnas on the same cases, folds and metric, each with the same wall-clock time to train a fold.

    python benchmarks/nnunet_beside_us.py DATASET --minutes 60                              # two cores: a small budget
    python benchmarks/nnunet_beside_us.py DATASET --minutes 120 --device cuda --folds 0,1,2,3,4

DATASET is in the Decathlon's layout. nnU-Net v2 runs in an environment of its own: `--nnunet-python` names one that has
it, else it is installed into the work folder (several gigabytes). It plans and preprocesses as it always does and
trains by its own recipe, but for the schedule, which ends when the time is over (`nnunet_budget.py`): at its default of
1000 epochs a fold takes days on two cores. Then `c2fnas train` gets the same time as a time budget, from which it
derives its iterations; its evaluation and the start of its process come out of that time, while nnU-Net's
validation does not. Preparation is counted for neither. Both predict the validation cases in their original grid,
nnU-Net over mirrored views and c2fnas as its recipe has it, and are scored by the same code. The difference of each
class has a paired bootstrap interval over the cases.

`--architecture` may be a run folder of a search on these data; the time of the search is not counted then.
`--work FOLDER` keeps what is done, so that the same call carries on; a training that was interrupted begins anew, since
its time would not be known. Results go to `benchmarks/results/nnunet_beside_us.{json,md}`.
"""

import argparse
import json
import os
import shlex
import shutil
import sys
import tempfile
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from c2fnas.data.folds import make_folds
from c2fnas.data.layouts import load_dataset
from c2fnas.evaluation.cross_validation import cross_validated
from c2fnas.evaluation.label_files import evaluate_files, pair_files
from c2fnas.evaluation.metrics import Evaluation
from c2fnas.evaluation.pairs import paired
from c2fnas.runs.run import Run
from c2fnas.space.architecture import BUILT_IN, Architecture
from nnunet_report import table
from nnunet_side import Nnunet, install, timed
from preprocessing import machine

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
NARROW = 0.25
"""The width of a built-in architecture on a CPU, as the budgets of `c2fnas run` have it there."""


def main() -> None:
    """Run both and write the results."""
    arguments = parsed()
    with tempfile.TemporaryDirectory(prefix="nnunet-beside-us-") as temporary:
        work = (arguments.work or Path(temporary)).resolve()
        keep_to(work, arguments)
        data = subset(arguments.dataset.resolve(), work / "data", arguments.cases)
        facts = compare(data, work, arguments)
    text = table(facts)
    print(text)
    if not arguments.cases:
        RESULTS.mkdir(parents=True, exist_ok=True)
        (RESULTS / "nnunet_beside_us.json").write_text(json.dumps(facts, indent=2) + "\n")
        (RESULTS / "nnunet_beside_us.md").write_text(text)


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--minutes", type=float, default=60.0, help="to train one fold, for each of the two")
    parser.add_argument("--folds", default="4", help="numbers with commas; the last one validates a search")
    parser.add_argument("--architecture", default="c2fnas-panc", help="a name, text, a JSON file or a run folder")
    parser.add_argument("--width", type=float, help="of the architecture; a built-in one on a CPU: 0.25")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--nnunet-python", help="the Python of an environment with nnunetv2; else one is made")
    parser.add_argument("--workers", type=int, default=min(8, os.cpu_count() or 1), help="that prepare cases")
    parser.add_argument("--work", type=Path, help="a folder to keep: the same call carries on from what is there")
    parser.add_argument("--cases", type=int, help="the first so many cases alone, to try it; no results are written")
    return parser.parse_args()


def keep_to(work: Path, arguments: argparse.Namespace) -> None:
    """See that the work folder is of the same call: trainings of other lengths don't compare."""
    asked = {
        "data_set": str(arguments.dataset.resolve()),
        **{name: getattr(arguments, name) for name in ("minutes", "folds", "architecture", "width", "device", "cases")},
    }
    path = work / "asked.json"
    if path.exists() and (before := json.loads(path.read_text())) != asked:
        changed = ", ".join(f"{name} was {before[name]}" for name in asked if before[name] != asked[name])
        sys.exit(f"{work}: holds trainings of another call ({changed}). Choose another --work folder.")
    work.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asked))


def subset(dataset: Path, folder: Path, cases: int | None) -> Path:
    """The data set, or a copy in links with its first cases."""
    if cases is None:
        return dataset
    manifest = json.loads((dataset / "dataset.json").read_text())
    manifest |= {"training": manifest["training"][:cases], "test": [], "numTraining": cases, "numTest": 0}
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("imagesTr", "labelsTr"):
        if not (folder / name).exists():
            (folder / name).symlink_to(dataset / name)
    (folder / "dataset.json").write_text(json.dumps(manifest))
    return folder


def compare(data: Path, work: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Both on every fold, nnU-Net first."""
    dataset, folds = load_dataset(data), sorted({int(fold) for fold in arguments.folds.split(",")})
    splits = [{"train": list(s.training), "val": list(s.validation)} for s in make_folds(dataset)]
    if folds[-1] >= len(splits):
        sys.exit(f"--folds {arguments.folds}: there are {len(splits)} folds, from 0.")
    python = arguments.nnunet_python or install(work / "nnunet" / "environment")
    nnunet = Nnunet(python, work / "nnunet", arguments.device, arguments.workers)
    prepared = nnunet.prepare(data, splits)
    theirs, their_facts = {}, {}
    for fold in folds:
        print(f"nnU-Net, fold {fold} ...", file=sys.stderr, flush=True)
        predictions, their_facts[fold] = nnunet.train(fold, 60 * arguments.minutes)
        theirs[fold] = scored(predictions, data, splits[fold]["val"])
    print("c2fnas ...", file=sys.stderr, flush=True)
    ours, our_facts = train_ours(data, work / "c2fnas", splits, folds, arguments)
    both = [
        (name, {(fold, 0): each for fold, each in found.items()})
        for name, found in (("c2fnas", ours), ("nnU-Net", theirs))
    ]
    return {
        "command": command(arguments),
        "machine": machine(),
        "device": device(arguments.device),
        "data_set": dataset.name,
        "minutes": arguments.minutes,
        "folds": folds,
        "cases": {fold: {side: len(names) for side, names in splits[fold].items()} for fold in folds},
        "nnunet": {**nnunet.facts(prepared), "trainings": their_facts, **cross_validated(theirs).to_json()},
        "c2fnas": {**our_facts, **cross_validated(ours).to_json()},
        "c2fnas_less_nnunet": paired(*both).to_json(),
    }


def scored(predictions: Path, data: Path, cases: list[str]) -> Evaluation:
    """nnU-Net's label files by our metric, of exactly the fold's cases."""
    pairs, _ = pair_files(predictions, data / "labelsTr")
    found = {pair.case for pair in pairs}
    if found != set(cases):
        sys.exit(
            f"{predictions}: holds {len(found)} cases, the fold has {len(cases)}. Remove the folder and try again."
        )
    return evaluate_files(pairs, load_dataset(data).scheme)


def train_ours(
    data: Path, folder: Path, splits: list[dict[str, list[str]]], folds: list[int], arguments: argparse.Namespace
) -> tuple[dict[int, Evaluation], dict[str, Any]]:
    """`c2fnas train` with a budget of so many minutes for each fold."""
    width = arguments.width
    if width is None and arguments.device == "cpu" and arguments.architecture in BUILT_IN:
        width = NARROW
    budget = folder.parent / "budget.yaml"
    preset = yaml.safe_load(resources.files("c2fnas.presets").joinpath("hour.yaml").read_text(encoding="utf-8"))
    budget.write_text(yaml.safe_dump(preset | {"hours": arguments.minutes * len(folds) / 60}))
    call = [
        sys.executable,
        "-m",
        "c2fnas",
        "train",
        str(data),
        str(folder),
        "-a",
        arguments.architecture,
        "--folds",
        ",".join(map(str, folds)),
        "--budget",
        str(budget),
        "--devices",
        arguments.device,
        "--quiet",
        *(["--width", f"{width:g}"] if width is not None else []),
    ]
    whole = folder.parent / "c2fnas.json"
    if not whole.exists():
        shutil.rmtree(folder, ignore_errors=True)  # of a call that was interrupted
        spent = timed(call, os.environ | {"PYTHONPATH": str(ROOT / "src")}, folder.parent / "c2fnas.log")
        whole.write_text(json.dumps(spent))
    run = Run.open(folder)
    if [list(split.validation) for split in run.folds] != [split["val"] for split in splits]:
        sys.exit(f"{folder}: was divided into other folds. Choose another --work folder.")
    places = {fold: run.folder.final_fold(fold) for fold in folds}
    evaluations = {
        fold: Evaluation.from_json(json.loads((place / "evaluation.json").read_text()))
        for fold, place in places.items()
    }
    recipe = run.config.deployment.recipe
    facts = {
        "architecture": Architecture.load(folder).to_text(),
        "versions": run.config.versions,
        "patch": list(run.plan.patch_size),
        "batch": recipe.batch_size,
        "precision": recipe.precision,
        "mirror": recipe.mirror,
        "iterations": recipe.iterations,
        "whole": json.loads(whole.read_text()),
        "seconds": {f: json.loads((place / "result.json").read_text())["seconds"] for f, place in places.items()},
    }
    return evaluations, facts


def device(name: str) -> str:
    """The card, or the word for none."""
    if name == "cpu":
        return "cpu"
    import torch

    return str(torch.cuda.get_device_name())


def command(arguments: argparse.Namespace) -> str:
    """The command line, with neutral names for folders."""
    options: list[object] = ["--minutes", f"{arguments.minutes:g}", "--folds", arguments.folds]
    options += ["--architecture", architecture(arguments.architecture), "--device", arguments.device]
    options += ["--width", f"{arguments.width:g}"] if arguments.width is not None else []
    options += ["--cases", arguments.cases] if arguments.cases else []
    options += ["--nnunet-python", "NNUNET_PYTHON"] if arguments.nnunet_python else []
    return shlex.join(["python", "benchmarks/nnunet_beside_us.py", arguments.dataset.name, *map(str, options)])


def architecture(given: str) -> str:
    """The option as anybody can repeat it: a file of the repository by its place there, any other as RUN."""
    place = Path(given).resolve()
    if not place.exists():
        return given
    return str(place.relative_to(ROOT)) if place.is_relative_to(ROOT) else "RUN"


if __name__ == "__main__":
    main()
