"""Convert configuration and ledger of a run of version 0.1, so that this version can read it for its report.

    python benchmarks/convert_0_1_run.py docs/results/hippocampus RUN

writes ``RUN/fine/candidates.jsonl``, the ranked paths that 0.1 kept as a study, ``RUN/study.db`` with the other studies
and ``RUN/run.yaml``, of ``study.db`` (or ``study.db.gz``) and ``run.yaml`` in the first folder. The two folders may be
the same. Used once, for the recorded run.
"""

import argparse
import gzip
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import yaml
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from c2fnas.files import write_atomically
from c2fnas.runs.config import RunConfig
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.ranked import RankedPath, write_ranked
from c2fnas.space.architecture import Architecture

RENAMED = {"fingerprint": "fingerprint_sha256", "plan": "plan_sha256"}


def main() -> None:
    """Read the arguments and convert."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="a folder with study.db or study.db.gz, and run.yaml, of version 0.1")
    parser.add_argument("run", type=Path, help="the run folder to write to")
    arguments = parser.parse_args()
    source, folder = arguments.source, RunFolder(arguments.run)
    packed = source / "study.db.gz"
    study = packed if packed.exists() else source / "study.db"
    write_atomically(folder.study, lambda database: convert_study(study, database, folder))
    if (source / "run.yaml").exists():
        convert_config(source / "run.yaml").save(folder.config)


def convert_config(path: Path) -> RunConfig:
    """Return the configuration of version 0.1 as this version has it."""
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    versions = values["versions"]
    if not versions["c2fnas"].startswith("0.1."):
        return RunConfig.load(path)
    values = {RENAMED.get(name, name): value for name, value in values.items()}
    values["versions"] = versions | {"c2fnas": f"converted from {versions['c2fnas']}"}
    return RunConfig.model_validate(values)


def convert_study(study: Path, database: Path, folder: RunFolder) -> None:
    """Write ``database``, the ledger without its ranked paths, and these as rows of ``folder``."""
    with gzip.open(study) if study.suffix == ".gz" else study.open("rb") as source, database.open("wb") as target:
        shutil.copyfileobj(source, target)
    storage = RDBStorage(f"sqlite:///{database}")
    if "fine" in {each.study_name for each in storage.get_all_studies()}:
        identity = storage.get_study_id_from_name("fine")
        write_ranked(folder, map(row, storage.get_all_trials(identity, deepcopy=False)))
        storage.delete_study(identity)
    storage.engine.dispose()
    with closing(sqlite3.connect(database)) as tables, tables:
        rename = "UPDATE trial_user_attributes SET value_json = replace(value_json, ?, ?) WHERE key = 'rungs'"
        tables.execute(rename, ('"continues"', '"promoted"'))
        tables.commit()
        tables.execute("VACUUM")


def row(trial: FrozenTrial) -> RankedPath:
    """Return a trial of the study ``fine`` as a ranked path."""
    kept = trial.user_attrs
    names = ("cases", "macs", "parameters", "front", "first_rung_dice", "first_rung_cases", "latency_ms", "device")
    return RankedPath(
        number=trial.number,
        architecture=Architecture.from_json(kept["architecture"]),
        dice=trial.value if trial.state == TrialState.COMPLETE else None,
        reason=kept.get("reason"),
        **{name: kept[name] for name in names if name in kept},
    )


if __name__ == "__main__":
    main()
