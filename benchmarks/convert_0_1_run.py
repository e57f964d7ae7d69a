"""Convert the ledger of a run of version 0.1, so that this version can read it; used once, for the recorded run.

    python benchmarks/convert_0_1_run.py docs/results/hippocampus/study.db.gz RUN

writes ``RUN/fine/candidates.jsonl``, the ranked paths that 0.1 kept as a study, and ``RUN/study.db`` with the other
studies. A ``RUN/run.yaml`` is converted too. ``STUDY`` may be ``RUN/study.db`` itself, which is replaced.
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


def main() -> None:
    """Read the arguments and convert."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, help="study.db of a run of version 0.1, or study.db.gz")
    parser.add_argument("run", type=Path, help="the run folder to write to")
    arguments = parser.parse_args()
    folder = RunFolder(arguments.run)
    write_atomically(folder.study, lambda database: convert(arguments.study, database, folder))
    if folder.config.exists():
        convert_config(folder.config)


def convert_config(path: Path) -> None:
    """Give the fields of a run.yaml of version 0.1 their names of this version."""
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    if values["versions"]["c2fnas"].startswith("0.1."):
        values |= {f"{name}_sha256": values.pop(name) for name in ("fingerprint", "plan")}
        values["versions"]["c2fnas"] = f"0.2.0, converted from {values['versions']['c2fnas']}"
        RunConfig.model_validate(values).save(path)


def convert(study: Path, database: Path, folder: RunFolder) -> None:
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
