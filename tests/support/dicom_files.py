"""Series of DICOM slices written from arrays, with the identifiers that a hospital's have."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedMRImageStorage, ExplicitVRLittleEndian, generate_uid

SPACING = (0.8, 0.9, 2.5)
ORIGIN = (-20.0, -30.0, 40.0)
AXIAL = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
OBLIQUE = ((0.6, 0.8, 0.0), (0.0, 0.0, -1.0))

Change = Callable[[Dataset, int], None]


def affine_of(spacing: Any = SPACING, turn: Any = AXIAL, origin: Any = ORIGIN) -> np.ndarray:
    """The affine (right, anterior, superior) of a series, from its definition in the standard (PS3.3, C.7.6.2.1.1)."""
    affine = np.eye(4)
    axes = [*map(np.array, turn), np.cross(*turn)]
    affine[:3, :3] = np.stack([axis * mm for axis, mm in zip(axes, spacing, strict=True)], axis=1)
    affine[:3, 3] = origin
    return np.diag([-1, -1, 1, 1]) @ affine


def write_series(
    folder: Path,
    array: np.ndarray,
    *,
    spacing: Any = SPACING,
    turn: Any = AXIAL,
    origin: Any = ORIGIN,
    number: int = 3,
    change: Change = lambda dataset, index: None,
) -> list[Path]:
    """Write ``[columns, rows, slices]`` int16 as a CT series, in an order of names that is not that of the slices."""
    folder.mkdir(parents=True, exist_ok=True)
    series, frame, study = generate_uid(), generate_uid(), generate_uid()
    order = np.random.default_rng(0).permutation(array.shape[2])
    paths = []
    for index in range(array.shape[2]):
        dataset = _base(series, frame, study, number)
        dataset.SOPInstanceUID = generate_uid()
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.InstanceNumber = index + 1
        position = np.array(origin) + np.cross(*turn) * spacing[2] * index
        dataset.ImagePositionPatient = [f"{value:.6f}" for value in position]
        dataset.ImageOrientationPatient = [*turn[0], *turn[1]]
        dataset.PixelSpacing = [spacing[1], spacing[0]]
        dataset.SliceThickness = spacing[2]
        dataset.Columns, dataset.Rows = array.shape[:2]
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
        dataset.PixelData = np.ascontiguousarray(array[:, :, index].T.astype("<i2")).tobytes()
        change(dataset, index)
        path = folder / f"IM{order[index]:04}"
        if dataset:
            dataset.save_as(path, enforce_file_format=True)
            paths.append(path)
    return paths


def write_multiframe(path: Path, array: np.ndarray, *, spacing: Any = SPACING, turn: Any = AXIAL) -> None:
    """Write ``[columns, rows, slices]`` as an enhanced MR image of frames in reverse order, each with its own slope."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset = _base(generate_uid(), generate_uid(), generate_uid(), 9)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
    dataset.Modality = "MR"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    shared, orientation, measures = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = [*turn[0], *turn[1]]
    measures.PixelSpacing, measures.SliceThickness = [spacing[1], spacing[0]], spacing[2]
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    dataset.SharedFunctionalGroupsSequence = [shared]
    frames, pixels = [], []
    for index in reversed(range(array.shape[2])):
        frame, place, values = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = [*(np.array(ORIGIN) + np.cross(*turn) * spacing[2] * index)]
        values.RescaleSlope, values.RescaleIntercept, values.RescaleType = index + 1, 5, "US"
        frame.PlanePositionSequence, frame.PixelValueTransformationSequence = [place], [values]
        frames.append(frame)
        pixels.append(array[:, :, index].T.astype("<i2"))
    dataset.PerFrameFunctionalGroupsSequence = frames
    dataset.NumberOfFrames = len(frames)
    dataset.Columns, dataset.Rows = array.shape[:2]
    dataset.PixelData = np.stack(pixels).tobytes()
    dataset.save_as(path, enforce_file_format=True)


def _base(series: str, frame: str, study: str, number: int) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
    dataset.PatientName, dataset.PatientID = "Sampleton^Ada", "PID-4711-77"
    dataset.PatientBirthDate, dataset.PatientSex = "19510203", "F"
    dataset.StudyDate, dataset.StudyTime, dataset.StudyID = "20230405", "101112", "STUDY-0815"
    dataset.AccessionNumber, dataset.ReferringPhysicianName = "ACC-90210", "Referrerson^Bo"
    dataset.InstitutionName = "Plantedville Clinic"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = study, series, frame
    dataset.Modality, dataset.SeriesNumber, dataset.Manufacturer = "CT", number, "Test"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 1
    return dataset
