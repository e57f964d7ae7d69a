"""Volume file formats, chosen by the file's name."""

from pathlib import Path
from types import ModuleType
from typing import cast

from c2fnas.data.formats import dicom, metaimage, nifti, nrrd
from c2fnas.data.formats.header import Format, Header, header_findings
from c2fnas.data.problem import CaseError

FORMATS: dict[str, ModuleType] = {
    ".nii.gz": nifti,
    ".nii": nifti,
    ".nrrd": nrrd,
    ".nhdr": nrrd,
    ".mha": metaimage,
    ".mhd": metaimage,
}

__all__ = ["FORMATS", "Format", "Header", "format_of", "header_findings", "suffix_of", "volume_files", "without_suffix"]


def suffix_of(path: Path) -> str:
    """The suffix of a volume file in lower case, ``.nii.gz`` as one; empty where it is none of ours.

    >>> suffix_of(Path("a.b/scan.NII.gz"))
    '.nii.gz'
    """
    return next((suffix for suffix in FORMATS if path.name.lower().endswith(suffix)), "")


def without_suffix(path: Path) -> str:
    """The name of a volume file without its suffix; the whole name of a folder of slices.

    >>> without_suffix(Path("folder/liver_1.5.nii.gz"))
    'liver_1.5'
    """
    suffix = suffix_of(path)
    return path.name[: -len(suffix)] if suffix else path.name if path.is_dir() else path.stem


def format_of(path: Path) -> Format:
    """The format of a volume file, by its name; DICOM is told by its content, and a folder is one of slices.

    Raises:
        CaseError: it is none that is known.
    """
    suffix = suffix_of(path)
    if not suffix and (path.is_dir() or dicom.is_dicom(path)):
        return cast(Format, dicom)
    if not suffix:
        fix = "Convert it to one of these formats, or name it rightly."
        raise CaseError("", path, f"a file named {path.name}", f"one of {', '.join(FORMATS)}, or DICOM", fix)
    return cast(Format, FORMATS[suffix])


def volume_files(path: Path) -> tuple[Path, ...]:
    """Return the files of a volume: those of a folder or a series of slices, or a header and that of its voxels.

    A file that can't be read stands for itself.
    """
    if path.is_dir():
        return tuple(sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith(".")))
    try:
        kind = format_of(path)
        if kind is dicom:
            return dicom.series_files(path)
        beside = kind.data_file(path)
    except CaseError:
        return (path,)
    return (path, beside) if beside is not None and beside.is_file() else (path,)
