"""A model package as one zip file: the same bytes for the same model, wherever and whenever it is written."""

import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

from c2fnas.export.model_folder import save_half
from c2fnas.files import refuse_taken, write_atomically
from c2fnas.inference.package import MEMBERS, WEIGHTS, load_package

EPOCH = (1980, 1, 1, 0, 0, 0)
REGULAR_FILE = 0o100644 << 16


def pack(model: Path, archive: Path, *, half: bool = False) -> None:
    """Write the model package ``model`` as the zip file ``archive``, on request with weights in half precision.

    Raises:
        UserError: ``model`` is damaged or half precision can't hold it, or ``archive`` exists or can't be written.
    """
    refuse_taken(archive)
    if half:
        with TemporaryDirectory() as place:
            save_half(model, Path(place) / "model")
            return pack(Path(place) / "model", archive)
    load_package(model)
    names = [name for name in MEMBERS if (model / name).is_file()]
    write_atomically(archive, lambda temporary: _write(model, names, temporary))


def _write(model: Path, names: list[str], path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            info = zipfile.ZipInfo(name, EPOCH)
            info.external_attr = REGULAR_FILE
            # Trained weights do not get smaller; text does.
            info.compress_type = zipfile.ZIP_STORED if name == WEIGHTS else zipfile.ZIP_DEFLATED
            info.file_size = (model / name).stat().st_size
            with (model / name).open("rb") as source, file.open(info, "w") as target:
                while block := source.read(1 << 20):
                    target.write(block)
