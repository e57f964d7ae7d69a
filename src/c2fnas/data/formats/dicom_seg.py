"""DICOM Segmentations (SEG): labels written for a series, and segments read as a label volume; both by highdicom."""

from collections.abc import Sequence
from importlib import metadata
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from c2fnas.data.formats import suffix_of
from c2fnas.data.formats.dicom import source_images
from c2fnas.data.formats.header import LPS_TO_RAS
from c2fnas.data.problem import CaseError, Finding
from c2fnas.errors import UserError, refuse_exhaustion
from c2fnas.files import write_atomically

if TYPE_CHECKING:
    from pydicom import Dataset

Code = tuple[str, str, str]
"""A coded concept: value, scheme and meaning."""

CATEGORY: Code = ("91723000", "SCT", "Anatomical Structure")
DEFAULT: Code = ("85756007", "SCT", "Tissue")
"""The type of a class that has no code of its own: any tissue; its name stands in the segment's label."""

SUFFIX = ".seg.dcm"
"""Of label files that are SEG: as predictions are named, and by which evaluation pairs them."""

REFERRED = ("FrameOfReferenceUID", "StudyInstanceUID")
REMOVED = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex"),
    *("StudyDate", "StudyTime", "StudyID", "AccessionNumber"),
)
"""Attributes that a SEG takes over, empty where de-identification has removed them."""

MOST_BYTES = 64 * 2**20
"""Frames of all slices are written where they take no more, so that readers get the whole grid; else no empty ones."""

CONVERT = "Convert it to a volume file: `segimage2itkimage` of dcmqi, or 3D Slicer."


def write_segments(
    path: Path, labels: np.ndarray, classes: Sequence[tuple[str, Code | None]], image: Path, affine: np.ndarray
) -> None:
    """Write labels as a binary SEG of the series ``image``: segment 1 is class 1, and so on.

    As DICOM has it, the SEG belongs to the patient and the study of its series.

    Args:
        path: Of the file.
        labels: Class indices, uint8 ``[columns, rows, slices]``, in the grid of the series; where classes overlap,
            masks ``[columns, rows, slices, classes]``.
        classes: Of the foreground: names, which are the segments' labels, and codes; None for :data:`DEFAULT`.
        image: A series, as :func:`c2fnas.data.formats.dicom.read_header` takes it.
        affine: Of the series, from its header.

    Raises:
        CaseError: the series has no frame of reference or study to refer to.
        UserError: the file can't be written.
    """
    import highdicom as hd
    from highdicom.seg import Segmentation, SegmentDescription
    from pydicom.sr.codedict import codes as known
    from pydicom.uid import UID

    sources, version = _identified(source_images(image), image), metadata.version("c2fnas")
    algorithm = hd.AlgorithmIdentificationSequence("c2fnas", known.DCM.ArtificialIntelligence, version)
    described = [
        SegmentDescription(
            number,
            name[:64],
            hd.sr.CodedConcept(*CATEGORY),
            hd.sr.CodedConcept(*(code or DEFAULT)),
            "AUTOMATIC",
            algorithm,
        )
        for number, (name, code) in enumerate(classes, 1)
    ]
    volume = hd.Volume(
        np.ascontiguousarray(np.swapaxes(labels, 0, 2).astype(np.uint8, copy=False)),
        (LPS_TO_RAS @ affine)[:, [2, 1, 0, 3]],
        coordinate_system="PATIENT",
        frame_of_reference_uid=UID(sources[0].FrameOfReferenceUID),
        channels={"SegmentNumber": range(1, len(classes) + 1)} if labels.ndim == 4 else None,
    )
    segmentation = Segmentation(
        sources,
        volume,
        "BINARY",
        described,
        hd.UID(),
        int(sources[0].get("SeriesNumber") or 0) + 1000,
        hd.UID(),
        1,
        "c2fnas",
        "c2fnas",
        version,
        "0",
        content_label="SEGMENTATION",
        omit_empty_frames=prod(labels.shape[:3]) * len(classes) / 8 > MOST_BYTES,
        series_description="Segmentation by c2fnas",
    )
    write_atomically(path, lambda temporary: segmentation.save_as(temporary))


def _identified(sources: Sequence["Dataset"], image: Path) -> Sequence["Dataset"]:
    """The images of a series with the attributes that a SEG takes over: those that were removed are empty.

    Raises:
        CaseError: there is no frame of reference or study to refer to.
    """
    for each in sources:
        if missing := [name for name in REFERRED if not each.get(name)]:
            fix = "Keep it when the series is de-identified; or write volume files: leave --format dicom-seg out."
            raise CaseError("", image, f"no {missing[0]}", "one, which a SEG refers to", fix)
        for name in REMOVED:
            if name not in each:
                setattr(each, name, "")
    return sources


def is_segmentation(path: Path) -> bool:
    """True if a file is named as a SEG, whatever its content."""
    return path.name.lower().endswith(SUFFIX)


def is_label_file(path: Path) -> bool:
    """True if a file is named as a volume or as a SEG, whatever its content."""
    return bool(suffix_of(path)) or is_segmentation(path)


def read_segments(path: Path) -> tuple[np.ndarray, np.ndarray, tuple[Finding, ...]]:
    """Return the segments' numbers ``[columns, rows, slices]``, the affine, and findings of a SEG.

    Raises:
        CaseError: segments overlap, or it is no SEG that highdicom reads.
        UserError: highdicom is absent.
    """
    try:
        from highdicom.seg import segread
    except ImportError as error:
        raise UserError(f"{path}: to read DICOM takes two more packages: pip install 'c2fnas[dicom]'") from error
    try:
        segmentation = segread(path)
        volume = segmentation.get_volume(combine_segments=True)
    except Exception as error:
        refuse_exhaustion(path, error)
        found = "overlapping segments" if "verlap" in str(error) else f"a SEG that can't be read ({error})"
        raise CaseError("", path, found, "segments that share no voxel, on one grid", CONVERT) from error
    slices = {
        str(item.ReferencedSOPInstanceUID)
        for each in segmentation.get("ReferencedSeriesSequence", [])
        for item in each.get("ReferencedInstanceSequence", [])
    }
    findings: tuple[Finding, ...] = ()
    if 1 < len(slices) != volume.spatial_shape[0]:
        found = f"{volume.spatial_shape[0]} slices of the {len(slices)} of its series"
        findings = (Finding(found, "every slice: empty ones too", CONVERT),)
    if np.linalg.det(volume.affine[:3, [2, 1, 0]]) < 0:
        volume = volume.flip_spatial(0)  # slices in the order of a series: along the normal of rows and columns
    return volume.array.transpose(2, 1, 0), LPS_TO_RAS @ volume.affine[:, [2, 1, 0, 3]], findings
