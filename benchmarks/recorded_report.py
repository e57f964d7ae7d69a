"""The report of the run that is recorded under docs/results/hippocampus, drawn again by the code at hand.

    git worktree add ../before 895ca1e
    python benchmarks/recorded_report.py Task04_Hippocampus --models ../before/src/c2fnas/pretrained/hippocampus

What was kept of the run is put back into a run folder: its ledger, plan, folds, ranked paths and verdict, and what its
stages took. Its five networks came with c2fnas until December 2026, in half precision; they label their validation
cases again, which the figures of Dice are of. The curves of its trainings were not kept.
"""

import argparse
import gzip
import os
import shutil
import tempfile
from datetime import datetime
from pathlib import Path

from c2fnas.cores import usable_cores
from c2fnas.data.cache import Cache, prepare_cases
from c2fnas.data.layouts import load_dataset
from c2fnas.data.plan import load_plan
from c2fnas.data.scan import scan_dataset
from c2fnas.evaluation.evaluate import evaluate_network
from c2fnas.files import read_json, write_json
from c2fnas.inference.package import load_package
from c2fnas.inference.pretrained import model_folders
from c2fnas.report import write_report
from c2fnas.runs.folder import EVALUATION, RunFolder
from c2fnas.runs.records.kept_folds import KeptFolds

RECORDED = Path(__file__).parents[1] / "docs" / "results" / "hippocampus"
FILES = {
    "run.yaml": "run.yaml",
    "budget.yaml": "budget.yaml",
    "study.db": "study.db.gz",
    "fine/candidates.jsonl": "candidates.jsonl.gz",
    "plan.yaml": "plan.yaml",
    "folds.json": "folds.json",
    "fine/ranking.json": "ranking.json",
    "fine/verification.json": "verify.json",
    "verdict/verdict.json": "verdict.json",
    **{f"{stage}/architecture.json": "architecture.json" for stage in ("coarse", "fine", "final")},
}


def restore(root: Path) -> RunFolder:
    """Put what was recorded of the run into the folder ``root``."""
    for place, name in FILES.items():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        with (gzip.open if name.endswith(".gz") else open)(RECORDED / name, "rb") as source:
            (root / place).write_bytes(source.read())
    for stage, took in read_json(RECORDED / "stages.json")["device_hours"].items():
        seconds = 3600 * took["hours"] / len(took["jobs"])
        for job in took["jobs"]:
            (root / stage / job).mkdir(parents=True, exist_ok=True)
            write_json(root / stage / job / "result.json", {"kind": "done", "value": {}, "seconds": seconds})
    return RunFolder(root)


def evaluate(folder: RunFolder, dataset: Path, models: Path) -> None:
    """Let the five networks label their validation cases, and keep the scores and what the page shows of the data."""
    data, plan = load_dataset(dataset), load_plan(folder.plan)
    write_json(folder.fingerprint, scan_dataset(data, workers=usable_cores()).fingerprint.model_dump(mode="json"))
    cache: Cache = prepare_cases(data.training, plan, folder.cache, workers=usable_cores())
    for number, (fold, package) in enumerate(
        zip(KeptFolds.load(folder.folds).splits, model_folders([models]), strict=True)
    ):
        place = folder.final_model(number)
        shutil.copytree(package, place)
        model = load_package(place)
        cases = [cache[case] for case in fold.validation]
        found = evaluate_network(model.network, cases, model.window(), scheme=plan.scheme, device="cpu")
        write_json(place.parent / EVALUATION, found.to_json())
        print(f"fold {number}: mean Dice {found.mean:.4f}")


def main() -> None:
    """Draw the page."""
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("dataset", type=Path)
    arguments.add_argument("--models", type=Path, required=True, help="the five networks of the run")
    arguments.add_argument("--output", type=Path, default=RECORDED / "report")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = restore(Path(scratch) / "hippocampus")
        evaluate(folder, given.dataset, given.models)
        written = datetime.fromisoformat(read_json(RECORDED / "stages.json")["changed"]).timestamp()
        for path in (folder.config, folder.study, *folder.root.glob("*/**/result.json")):
            os.utime(path, (written, written))
        page = write_report(folder.root)
        shutil.rmtree(given.output, ignore_errors=True)
        shutil.copytree(page.parent, given.output, ignore=shutil.ignore_patterns("predictions"))


if __name__ == "__main__":
    main()
