"""Names, dates and identifiers of patients, and paths beyond the run's folder, stand in nothing that is passed on."""

import gzip
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from dicom_files import affine_of, write_series
from PIL import Image

import c2fnas
from c2fnas.data.phantoms import write_phantoms
from c2fnas.inference.model import load_model

pytestmark = pytest.mark.long  # a whole run, looked through for what was planted in its data

PLANTED = re.compile(
    rb"(?i)sampleton|pid-4711|acc-90210|19510203|20230405|study-0815|referrerson|plantedville|secretfolder|1\.2\.826\.0"
)
"""Of the patients in headers, tables and folders, of their studies, and of where the data lie."""

HIDDEN = "SECRETFOLDER_SAMPLETON"
"""The folder that holds the data and, beside them, the run."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, predictions, report and packages of planted data: NIfTI and DICOM, a table with patients."""
    place = tmp_path_factory.mktemp("private")
    source = write_phantoms(place / "phantoms", cases=4, test_cases=0)
    data = place / HIDDEN / "data"
    lines = ["id,image,label,patient"]
    for number, path in enumerate(sorted((source / "imagesTr").glob("*.nii.gz"))):
        label = nibabel.load(source / "labelsTr" / path.name)
        array = np.asarray(nibabel.load(path).dataobj).astype(np.int16)  # type: ignore[attr-defined]
        spacing = (1.0, 1.0, 2.5)
        affine, name = affine_of(spacing, origin=(0, 0, 0)), f"case{number}"
        if number % 2:
            write_series(data / name, array, spacing=spacing, origin=(0, 0, 0))
        else:
            image = nibabel.Nifti1Image(array, affine)
            image.header["descrip"], image.header["aux_file"] = b"Sampleton Ada 19510203", b"PID-4711-77"
            image.header["db_name"] = b"ACC-90210"
            data.mkdir(parents=True, exist_ok=True)
            nibabel.save(image, data / f"{name}.nii.gz")
        nibabel.save(nibabel.Nifti1Image(np.asarray(label.dataobj), affine), data / f"label{number}.nii.gz")  # type: ignore[attr-defined]
        lines.append(f"{name},{name}{'' if number % 2 else '.nii.gz'},label{number}.nii.gz,Sampleton^Ada{number // 2}")
    (data / "cases.csv").write_text("\n".join(lines))
    sides = {f"plan.{name}": [16, 16, 16] for name in ("patch_size", "stride", "ranking_stride")}
    c2fnas.train(
        data / "cases.csv",
        place / HIDDEN / "run",
        architecture="0:3D 1:P3D 0:2D @0.0625",
        iterations=2,
        folds="all",
        set=[f"{name}={value}" for name, value in ({"folds.count": 2} | sides).items()],
    )
    return place / HIDDEN


def texts(folder: Path) -> dict[str, bytes]:
    """Everything that a file holds or names, unpacked: members of archives, gzip streams, words of pictures."""
    found = {}
    for path in [folder] if folder.is_file() else folder.rglob("*"):
        if path.is_dir():
            continue
        content, name = path.read_bytes(), str(path.relative_to(folder.parent))
        found[name] = name.encode() + content
        if content[:2] == b"\x1f\x8b":
            found[name] = gzip.decompress(content)
        elif zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                found |= {f"{name}/{each}": archive.read(each) for each in archive.namelist()}
        elif path.suffix == ".png":
            found[name] = repr(Image.open(path).info).encode()
    return found


def leaks(folder: Path) -> dict[str, list[bytes]]:
    """The planted words that are found, by file."""
    return {name: hits for name, text in texts(folder).items() if (hits := PLANTED.findall(text))}


def test_the_search_finds_what_is_planted(place: Path, tmp_path: Path) -> None:
    assert len(leaks(place / "data")) > 10
    nibabel.save(nibabel.Nifti1Image(np.zeros((2, 2, 2)), np.eye(4)), tmp_path / "a.nii.gz")
    assert leaks(tmp_path) == {}


def test_a_run_its_report_and_its_logs_tell_nothing(place: Path) -> None:
    c2fnas.open_run(place / "run").report(overlays=True, device="cpu")
    assert {Path(name).name for name in leaks(place / "run")} == {"run.yaml"}  # where the data are, to carry on
    c2fnas.open_run(place / "run").report(overlays=False, device="cpu", keep_identifiers=True)
    assert "run/report/index.html" in leaks(place / "run")
    assert (place / "run" / "report" / "index.html").read_text().count("SECRETFOLDER") > 1


def test_predictions_and_their_statistics_tell_nothing_unless_asked(place: Path, tmp_path: Path) -> None:
    data = place / "data"
    asked: dict[str, Any] = {"save_probabilities": "image", "statistics": True, "preview": True, "device": "cpu"}
    result = c2fnas.predict(place / "run", input=data / "cases.csv", output=tmp_path / "out", **asked)
    assert result.status == "fine"
    assert leaks(tmp_path / "out") == {}
    c2fnas.predict(place / "run", input=data / "cases.csv", output=tmp_path / "told", keep_identifiers=True, **asked)
    rows = json.loads((tmp_path / "told" / "statistics.json").read_text())
    assert rows["case1"]["identifiers"]["PatientID"] == "PID-4711-77"
    assert rows["case0"]["identifiers"] == {"files": str(data / "case0.nii.gz")}
    assert set(leaks(tmp_path / "told")) == {"told/statistics.json", "told/statistics.csv"}


@pytest.mark.parametrize("form", ["model", "zip", "onnx", "bundle"])
def test_packages_and_cards_tell_nothing(place: Path, tmp_path: Path, form: Any) -> None:
    source = place / "run" if form in ("model", "zip") else place / "run" / "final" / "fold-0" / "model"
    load_model(source)
    c2fnas.load_model(source).export(form, tmp_path / f"passed.{form}")
    assert leaks(tmp_path / f"passed.{form}") == {}
    assert leaks(place / "run" / "final") == {}
