"""Predictions of validation cases, kept compressed beside their scores, so that the report need not compute them."""

import logging
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from c2fnas.data.cache import PreparedCase
from c2fnas.data.parallel import read_array
from c2fnas.errors import UserError
from c2fnas.files import write_atomically

PREDICTIONS = "predictions"
log = logging.getLogger(__name__)


def keep_prediction(folder: Path, case: PreparedCase, labels: np.ndarray) -> None:
    """Keep the prediction of a case in the folder of the job that has made it; a failure to is a warning.

    Args:
        folder: Of the job.
        case: That was predicted.
        labels: Indices of parts ``[i, j, k]`` in its original grid.
    """
    try:
        write_atomically(_place(folder, case), lambda path: np.savez_compressed(path, labels=labels))
    except UserError as error:  # a report predicts it anew; its score must not be lost
        log.warning("The prediction of %s is not kept: %s", case.id, error)


def kept_prediction(folder: Path, case: PreparedCase) -> np.ndarray | None:
    """Return what :func:`keep_prediction` has kept; None where there is none that can be read."""
    path = _place(folder, case)
    try:
        with np.load(path, allow_pickle=False) as content:
            return read_array(lambda: np.asarray(content["labels"]))
    except (OSError, ValueError, KeyError, BadZipFile):
        return None


def _place(folder: Path, case: PreparedCase) -> Path:
    return folder / PREDICTIONS / f"{case.folder.name}.npz"
