"""What runs on a device for Table 3: an architecture on a fold, trained as the deployed network is."""

from pathlib import Path

from c2fnas.execution.call import finished
from c2fnas.files import read_json, write_json
from c2fnas.networks.designs import design_from_json
from c2fnas.runs.folder import EVALUATION
from c2fnas.runs.run import Setting
from c2fnas.stages.deploy import fold_job
from c2fnas.stages.jobs import Json, setting_of, train_fold
from c2fnas.training.checkpoint import forget_checkpoints


def train_contender(payload: Json, folder: Path, device: str) -> Json:
    """Train an architecture on a fold from scratch and score it; what deployment has trained so is not trained again.

    Leaves ``evaluation.json``, and of a training of its own a model package too.
    """
    setting = setting_of(payload, folder)
    value = _deployed(setting, payload)
    if value is None:
        value = train_fold(payload, folder, device)
        forget_checkpoints(folder)
        return value
    write_json(folder / EVALUATION, read_json(setting.folder.final_fold(payload["fold"]) / EVALUATION))
    return value


def _deployed(setting: Setting, payload: Json) -> Json | None:
    """What the same training has come to as the deployed network; None where it is another one or there is none."""
    if setting.config.deployment.extended or setting.config.deployment.start:
        return None
    report = finished(fold_job(setting, design_from_json(payload["architecture"]), payload["fold"]))
    return report.value if report is not None else None
