"""A model as one zip file, or several that vote: the same bytes for the same models, wherever and whenever."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from c2fnas.export.model_folder import export_folder
from c2fnas.files import refuse_taken, write_atomically
from c2fnas.inference.package import MEMBERS, WEIGHTS

EPOCH = (1980, 1, 1, 0, 0, 0)
REGULAR_FILE = 0o100644 << 16


def pack(models: Path | Sequence[Path], archive: Path, *, half: bool = False) -> None:
    """Write a model package, or those of a run's folds with their card, as the zip file ``archive``.

    Raises:
        UserError: as :func:`c2fnas.export.model_folder.export_folder`, or ``archive`` exists or can't be written.
    """
    refuse_taken(archive)
    with TemporaryDirectory() as place:
        folder = Path(place) / archive.stem
        export_folder([models] if isinstance(models, Path) else models, folder, half=half)
        write_atomically(archive, lambda temporary: _write(folder, temporary))


def _write(folder: Path, path: Path) -> None:
    order = {name: number for number, name in enumerate(MEMBERS)}
    files = (file for file in folder.rglob("*") if file.is_file())
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(files, key=lambda each: (each.parent, order[each.name])):
            info = zipfile.ZipInfo(file.relative_to(folder).as_posix(), EPOCH)
            info.external_attr = REGULAR_FILE
            # Trained weights do not get smaller; text does.
            info.compress_type = zipfile.ZIP_STORED if file.name == WEIGHTS else zipfile.ZIP_DEFLATED
            info.file_size = file.stat().st_size
            with file.open("rb") as source, archive.open(info, "w") as target:
                while block := source.read(1 << 20):
                    target.write(block)
