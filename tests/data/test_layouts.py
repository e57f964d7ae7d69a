"""What manifests look like in the wild: the Decathlon's ten tasks, nnU-Net's both versions, tables of all sorts."""

import json
from pathlib import Path
from typing import Any

import pytest
from layout_files import LAYOUTS, truths
from small_cases import write_case
from small_datasets import Answer, checked

from c2fnas.data.dataset import Dataset
from c2fnas.data.fingerprint import channel_kind
from c2fnas.data.layouts import DatasetError, load_dataset, read_dataset
from c2fnas.data.layouts.labels import parse_labels
from c2fnas.data.problem import CaseError
from c2fnas.data.scan import scan_dataset
from c2fnas.data.scheme import LabelScheme

TASKS: dict[str, tuple[dict[str, str], dict[str, str], str, int, int]] = {
    "BRATS": (
        {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"},
        {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"},
        "4D",
        484,
        266,
    ),
    "LeftAtrium": ({"0": "MRI"}, {"0": "background", "1": "left atrium"}, "3D", 20, 10),
    "Liver": ({"0": "CT"}, {"0": "background", "1": "liver", "2": "cancer"}, "3D", 131, 70),
    "Hippocampus": ({"0": "MRI"}, {"0": "background", "1": "Anterior", "2": "Posterior"}, "3D", 260, 130),
    "PROSTATE": ({"0": "T2", "1": "ADC"}, {"0": "background", "1": "PZ", "2": "TZ"}, "4D", 32, 16),
    "Lung": ({"0": "CT"}, {"0": "background", "1": "cancer"}, "3D", 63, 32),
    "Pancreas": ({"0": "CT"}, {"0": "background", "1": "pancreas", "2": "cancer"}, "3D", 281, 139),
    "HepaticVessel": ({"0": "CT"}, {"0": "background", "1": "Vessel", "2": "Tumour"}, "3D", 303, 140),
    "Spleen": ({"0": "CT"}, {"0": "background", "1": "spleen"}, "3D", 41, 20),
    "Colon": ({"0": "CT"}, {"0": "background", "1": "colon cancer primaries"}, "3D", 126, 64),
}


def write_json(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path.parent


def msd(folder: Path, training: list[Any] | None = None, **changes: Any) -> Path:
    """A manifest of the Decathlon; its files needn't be there."""
    default = [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}]
    content = {"name": "Small", "modality": {"0": "CT"}, "labels": {"0": "background", "1": "organ"}}
    return write_json(folder / "dataset.json", content | {"training": training or default} | changes)


def names(dataset: Dataset) -> list[tuple[str, tuple[int, ...]]]:
    return [(each.name, each.values) for each in dataset.classes]


@pytest.mark.parametrize("name", TASKS)
def test_the_decathlons_ten_tasks(name: str, tmp_path: Path) -> None:
    modality, labels, size, training, test = TASKS[name]
    stem = name.lower()
    write_json(
        tmp_path / "dataset.json",
        {
            "name": name,
            "description": "",
            "reference": "",
            "licence": "CC-BY-SA 4.0",
            "release": "1.0",
            "tensorImageSize": size,
            "modality": modality,
            "labels": labels,
            "numTraining": training,
            "numTest": test,
            "training": [
                {"image": f"./imagesTr/{stem}_{i:03d}.nii.gz", "label": f"./labelsTr/{stem}_{i:03d}.nii.gz"}
                for i in range(training)
            ],
            "test": [f"./imagesTs/{stem}_{training + i:03d}.nii.gz" for i in range(test)],
        },
    )
    reading = read_dataset(tmp_path)
    assert reading.problems == ()
    dataset = reading.dataset
    assert (dataset.name, dataset.channels) == (name, tuple(modality.values()))
    assert names(dataset) == [(label, (int(value),)) for value, label in labels.items()]
    assert [case.id for case in dataset.training] == [f"{stem}_{index:03d}" for index in range(training)]
    assert dataset.training[-1].label == tmp_path / "labelsTr" / f"{stem}_{training - 1:03d}.nii.gz"
    assert len(dataset.test) == test
    assert dataset.test[0].images == (tmp_path / "imagesTs" / f"{stem}_{training:03d}.nii.gz",)
    assert {channel_kind(channel) for channel in dataset.channels} == {"ct" if modality["0"] == "CT" else "mr"}


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"0": "background", "1": "pancreas", "2": "pancreas"}, [("background", (0,)), ("pancreas", (1, 2))]),
        ({"0": "background", "2": "b", "1": "a"}, [("background", (0,)), ("a", (1,)), ("b", (2,))]),
        ({0: "background", 1: "a"}, [("background", (0,)), ("a", (1,))]),
        ({"background": 0, "a": 1}, [("background", (0,)), ("a", (1,))]),
        ({"background": "0", "a": "1"}, [("background", (0,)), ("a", (1,))]),
        ({"background": 0, "tumour": [1, 2, 3]}, [("background", (0,)), ("tumour", (1, 2, 3))]),
        (["background", "a"], [("background", (0,)), ("a", (1,))]),
        ({"1": "a"}, [("background", (0,)), ("a", (1,))]),
        ({"0": "background", "1.0": "a"}, [("background", (0,)), ("a", (1,))]),
        ({"0": "air", "7": ""}, [("air", (0,)), ("label 7", (7,))]),
        ({"background": 0, "1": 1}, [("background", (0,)), ("1", (1,))]),
    ],
)
def test_labels_in_every_spelling(labels: Any, expected: list[tuple[str, tuple[int, ...]]]) -> None:
    scheme, findings = parse_labels(labels)
    assert [(each.name, each.values) for each in scheme.classes] == expected
    assert findings == ()


REGIONS = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3}


def test_nnunets_regions_keep_their_order_and_all_their_values() -> None:
    scheme, findings = parse_labels({**REGIONS, "ignore": 4}, ["1", 2, 3.0])
    assert findings == ()
    assert [(each.name, each.values) for each in scheme.classes] == [
        ("background", (0,)),
        ("whole", (1, 2, 3)),
        ("core", (2, 3)),
        ("enhancing", (3,)),
    ]
    assert (scheme.order, scheme.ignore) == ((1, 2, 3), 4)


@pytest.mark.parametrize("labels", [{"background": 0, "a": 1, "b": 2}, {"background": 0, "a": [1], "b": [2]}])
def test_an_order_without_a_list_of_several_values_is_no_matter_as_in_nnunet(labels: dict[str, Any]) -> None:
    assert parse_labels(labels, [1, 2]) == parse_labels({"background": 0, "a": 1, "b": 2})


def test_regions_without_an_order_are_told_the_line_that_is_missing() -> None:
    (finding,) = parse_labels(REGIONS)[1]
    assert finding.severity == "error"
    assert '"regions_class_order": [1, 2, 3]' in finding.fix
    assert parse_labels(REGIONS, [1, 2, 3])[1] == ()  # as told


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_has_regions(layout: str, tmp_path: Path) -> None:
    path = LAYOUTS[layout](tmp_path, ".nii.gz", truths(1), split=False)
    manifest = path.with_suffix(".json") if path.is_file() else path / "dataset.json"
    stated = {"labels": {"background": 0, "whole": [1, 2], "core": [2], "ignore": 4}, "regions_class_order": [1, 2]}
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | stated))
    values = [(0,), (1, 2), (2,)]
    dataset = load_dataset(path)
    assert dataset.scheme == LabelScheme.of("background", "whole", "core", values=values, order=(1, 2), ignore=4)
    assert scan_dataset(path).problems == ()


@pytest.mark.parametrize(
    ("labels", "order", "severity", "found"),
    [
        (REGIONS, [1, 2], "error", "[1, 2]"),
        (REGIONS, [1, 2, 2], "error", "[1, 2, 2]"),
        (REGIONS, [2, 1, 3], "error", "1 is not in 'core' [2, 3]"),
        (REGIONS, [1, 2, 4], "error", "4 is not in 'enhancing' [3]"),
        (REGIONS, "1, 2, 3", "error", "regions_class_order '1, 2, 3'"),
        ({"background": 0, "core": [2, 3], "whole": [1, 2, 3]}, [2, 1], "warning", "label 2 is written as 1"),
        ({"background": 0, "whole": [0, 1], "core": [1, 2]}, [1, 2], "error", "the background"),
        ({**REGIONS, "ignore": 2}, [1, 2, 3], "error", "ignore label 2 in 'whole', 'core'"),
        ({"background": 0, "a": 1, "b": 3, "ignore": 2}, None, "error", "ignore label 2 below 3"),
        ({"background": 0, "a": 1, "ignore": 0}, None, "error", "ignore label 0"),
        ({"background": 0, "a": 1, "ignore": [2, 3]}, None, "error", "ignore: [2, 3]"),
    ],
)
def test_regions_and_ignore_labels_that_cannot_be_meant_are_told_in_one_line(
    labels: Any, order: Any, severity: str, found: str
) -> None:
    (finding,) = parse_labels(labels, order)[1]
    assert finding.severity == severity
    assert found in finding.found


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ({"background": 0, "a": -1}, "'a'"),
        ({"background": 0, "a": 0.5}, "'a'"),
        ({"background": 0, "a": None}, "'a'"),
        ({"background": 0, "a": 70_000}, "'a'"),
        ({"background": 0, "a": 1, "b": 1}, "both 'a' and 'b'"),
        ({"background": 0, "a": [1], "b": [1]}, "both 'a' and 'b'"),
        ({"0": "background"}, "no class but the background"),
        ({str(value): f"c{value}" for value in range(300)}, "300 classes"),
        (None, "labels None"),
        ("organ", "labels 'organ'"),
    ],
)
def test_labels_that_cannot_be_meant(labels: Any, found: str) -> None:
    errors = [finding.found for finding in parse_labels(labels)[1] if finding.severity == "error"]
    assert any(found in each for each in errors), errors


@pytest.mark.parametrize(
    ("content", "channels"),
    [
        ({"modality": {"10": "k", "2": "c", "0": "a"}}, ("a", "c", "k")),
        ({"modality": {"T2": 0, "ADC": 1}}, ("T2", "ADC")),
        ({"modality": ["T2", "ADC"]}, ("T2", "ADC")),
        ({"modality": "CT"}, ("CT",)),
        ({"modality": None, "channel_names": {"0": "CT"}}, ("CT",)),
        ({"modality": {}}, ("channel 0",)),
    ],
)
def test_channels_in_every_spelling(content: dict[str, Any], channels: tuple[str, ...], tmp_path: Path) -> None:
    assert load_dataset(msd(tmp_path, **content)).channels == channels


def test_channels_that_nobody_names_are_counted(tmp_path: Path) -> None:
    write_case(tmp_path, "T1")
    write_case(tmp_path, "T2")
    entry = {"image": ["T1.nii.gz", "T2.nii.gz"], "label": "T1_label.nii.gz"}
    assert load_dataset(msd(tmp_path, [entry], modality={})).channels == ("channel 0", "channel 1")


def test_entries_in_every_spelling(tmp_path: Path) -> None:
    folder = msd(
        tmp_path,
        [{"image": "imagesTr\\a.nii.gz", "label": "./labelsTr/../labelsTr/a.nii.gz", "fold": 2}, "./imagesTr/b.nii.gz"],
        validation=[{"image": "c.nii.gz", "label": "cl.nii.gz"}],
        test=["./t.nii.gz", {"image": "u.nii.gz"}, "v.nii.gz"],
    )
    dataset = load_dataset(folder)
    a, b, c = dataset.training
    assert (a.images, a.label, a.fold) == ((tmp_path / "imagesTr/a.nii.gz",), tmp_path / "labelsTr/a.nii.gz", 2)
    assert (b.label, b.fold) == (None, None)
    assert (c.id, c.fold) == ("c", 0)
    assert [case.id for case in dataset.test] == ["t", "u", "v"]


@pytest.mark.parametrize("entry", [3, None, {"label": "a.nii.gz"}, {"image": ""}, {"image": []}, {"image": "a\0b"}])
def test_an_entry_that_is_none_is_listed_and_left_out(entry: Any, tmp_path: Path) -> None:
    good = {"image": "b.nii.gz", "label": "bl.nii.gz"}
    reading = read_dataset(msd(tmp_path, [entry, good]))
    assert [case.id for case in reading.dataset.training] == ["b"]
    assert [problem.case for problem in reading.problems] == ["training[0]"]
    with pytest.raises(DatasetError, match=r"dataset\.json"):
        load_dataset(tmp_path)


def test_columns_and_keys_that_nothing_reads_are_told_of(tmp_path: Path) -> None:
    text = "id,image,seg,label,patient_id,age,\na,i.nii.gz,,l.nii.gz,p1,43,\n"
    reading = read_dataset(table(tmp_path / "table", text, {"labels": {"a": 1}, "chanels": ["CT"]}))
    assert reading.dataset.training[0].group == "p1"
    assert [(each.severity, each.found) for each in reading.problems] == [
        ("warning", "the key 'chanels'"),
        ("warning", "columns seg, age"),
    ]
    (tmp_path / "msd").mkdir()
    reading = read_dataset(msd(tmp_path / "msd", licence="CC", regions_class_ordr=[1]))
    assert [(each.severity, each.found) for each in reading.problems] == [("warning", "the key 'regions_class_ordr'")]
    reading = read_dataset(nnunet(tmp_path / "nnunet", PAIR, region_class_order=[1]))
    assert [each.found for each in reading.problems] == ["the key 'region_class_order'"]


def test_paths_that_no_file_can_have_are_listed(tmp_path: Path) -> None:
    long = {"image": f"{'a' * 300}.nii.gz", "label": "l.nii.gz"}
    good = {"image": "b.nii.gz", "label": "bl.nii.gz"}
    assert [case.id for case in read_dataset(msd(tmp_path, [long, good])).dataset.training] == ["a" * 300, "b"]
    path = table(tmp_path / "table", "image,label\n/x\0.nii.gz,l.nii.gz\n/y.nii.gz,m.nii.gz\n", {"labels": {"a": 1}})
    reading = read_dataset(path)
    assert [case.id for case in reading.dataset.training] == ["y"]
    assert len(reading.problems) == 1


def test_a_manifest_that_nests_without_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text("[" * 100_000)
    with pytest.raises(CaseError, match=r"dataset\.json: found unreadable JSON"):
        load_dataset(tmp_path)


@pytest.mark.parametrize(
    ("fold", "expected"), [(2, 2), ("2", 2), (2.0, 2), ("2.0", 2), (0, 0), (None, None), ("", None)]
)
def test_folds_in_every_spelling(fold: Any, expected: int | None, tmp_path: Path) -> None:
    """pandas writes the whole numbers of a column with gaps as 2.0."""
    folder = msd(tmp_path, [{"image": "a.nii.gz", "label": "l.nii.gz", "fold": fold}])
    assert load_dataset(folder).training[0].fold == expected
    row = f"a.nii.gz,l.nii.gz,{'' if fold is None else fold}"
    path = table(tmp_path / "table", f"image,label,fold\n{row}\n", {"labels": {"a": 1}})
    assert load_dataset(path).training[0].fold == expected


@pytest.mark.parametrize("fold", ["first", 1.5, -1, True, [1]])
def test_a_fold_that_is_no_number_is_listed(fold: Any, tmp_path: Path) -> None:
    reading = read_dataset(msd(tmp_path, [{"image": "a.nii.gz", "label": "l.nii.gz", "fold": fold}]))
    assert [(each.case, each.found) for each in reading.problems] == [("training[0]", f"fold {fold!r}")]


def test_a_case_listed_twice_is_an_error(tmp_path: Path) -> None:
    entry = {"image": "a.nii.gz", "label": "l.nii.gz"}
    reading = read_dataset(msd(tmp_path, [entry, entry]))
    assert [problem.found for problem in reading.problems] == ["the case a twice"]


def test_a_folder_per_patient_tells_files_of_one_name_apart(tmp_path: Path) -> None:
    entries = [{"image": f"{p}/image.nii.gz", "label": f"{p}/label.nii.gz"} for p in ("p1", "p2")]
    assert [case.id for case in load_dataset(msd(tmp_path, entries)).training] == ["p1_image", "p2_image"]


def test_as_many_folders_as_it_takes_tell_files_of_one_name_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As BIDS has them; the same file twice stays an error, and so do two of one name in one folder."""
    names = ["p1/anat/t1.nii.gz", "p2/anat/t1.nii.gz", "p3/anat/t1.nii.gz", "p3/anat/t1.nrrd"]
    entries = [{"image": name, "label": name.replace("t1", "label")} for name in names]
    assert [case.id for case in load_dataset(msd(tmp_path, entries[:3])).training] == [
        "p1_anat_t1",
        "p2_anat_t1",
        "p3_anat_t1",
    ]
    monkeypatch.chdir(tmp_path)  # a relative path has no root above it that could tell
    assert [case.id for case in load_dataset(Path()).training] == ["p1_anat_t1", "p2_anat_t1", "p3_anat_t1"]
    twice = read_dataset(msd(tmp_path, [*entries[:2], entries[1]]))
    assert [problem.found for problem in twice.problems] == ["the case p2_anat_t1 twice"]
    (problem,) = read_dataset(msd(tmp_path, entries[2:])).problems
    assert problem.found == "the case anat_t1 twice"


def test_a_wrong_count_is_a_warning(tmp_path: Path) -> None:
    assert [each.severity for each in read_dataset(msd(tmp_path, numTraining=2)).problems] == ["warning"]


@pytest.mark.parametrize("changes", [{"training": []}, {"training": [], "test": {}}])
def test_no_cases_is_an_error(changes: dict[str, Any], tmp_path: Path) -> None:
    write_json(tmp_path / "dataset.json", {"labels": ["background", "a"], **changes})
    assert "no cases" in [each.found for each in read_dataset(tmp_path).problems]


def test_nnunets_first_version_means_numbered_files(tmp_path: Path) -> None:
    for name in ("a_0000", "a_0001"):
        write_case(tmp_path / "imagesTr", name)
    folder = msd(tmp_path, modality={"0": "T2", "1": "ADC"})
    assert [path.name for path in load_dataset(folder).training[0].images] == ["a_0000.nii.gz", "a_0001.nii.gz"]


def nnunet(folder: Path, files: list[str], **changes: Any) -> Path:
    """nnU-Net's raw layout with empty files."""
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    content = {"channel_names": {"0": "T2", "1": "ADC"}, "labels": {"background": 0, "a": 1}, "file_ending": ".nii.gz"}
    return write_json(folder / "dataset.json", content | changes)


PAIR = ["imagesTr/a_0000.nii.gz", "imagesTr/a_0001.nii.gz", "labelsTr/a.nii.gz"]


def test_nnunets_folders(tmp_path: Path) -> None:
    files = [*PAIR, "imagesTr/._a_0000.nii.gz", "imagesTs/t_0000.nii.gz", "imagesTs/t_0001.nii.gz", "labelsTs/t.nii.gz"]
    reading = read_dataset(nnunet(tmp_path / "Dataset001_Small", files, numTraining=1))
    assert reading.problems == ()
    assert reading.dataset.name == "Dataset001_Small"
    assert [case.id for case in reading.dataset.training] == ["a"]
    assert reading.dataset.test[0].label == tmp_path / "Dataset001_Small/labelsTs/t.nii.gz"


def test_nnunets_endings_in_capitals(tmp_path: Path) -> None:
    files = ["imagesTr/a_0000.NII.GZ", "imagesTr/a_0001.nii.gz", "labelsTr/a.Nii.gz"]
    (case,) = load_dataset(nnunet(tmp_path, files)).training
    assert [*case.images, case.label] == [tmp_path / file for file in files]


def test_nnunets_missing_files_are_problems_of_their_case(tmp_path: Path) -> None:
    files = ["imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz", "labelsTr/b.nii.gz", "imagesTr/c_0000.nii.gz"]
    folder = nnunet(tmp_path, files)
    absent = [
        (each.case, Path(each.file).name) for each in scan_dataset(folder).problems if each.found == "no such file"
    ]
    assert absent == [
        ("a", "a_0001.nii.gz"),
        ("b", "b_0000.nii.gz"),
        ("b", "b_0001.nii.gz"),
        ("c", "c_0001.nii.gz"),
        ("c", "c.nii.gz"),
    ]


def test_nnunets_surplus_files_are_told(tmp_path: Path) -> None:
    reading = read_dataset(nnunet(tmp_path, [*PAIR, "imagesTr/a_0002.nii.gz", "imagesTr/readme.nii.gz"]))
    assert sorted((each.case, each.severity) for each in reading.problems) == [("a", "error"), ("readme", "warning")]


def test_nnunets_own_list_of_files(tmp_path: Path) -> None:
    listed = {
        "a": {"images": ["x/1.nii.gz", "x/2.nii.gz"], "label": "x/l.nii.gz"},
        "b": {"images": ["../1.nii.gz"]},
        "c": {"images": 3},
        "d": None,
    }
    reading = read_dataset(nnunet(tmp_path, [], dataset=listed))
    assert [case.id for case in reading.dataset.training] == ["a"]
    assert reading.dataset.training[0].images == (tmp_path / "x/1.nii.gz", tmp_path / "x/2.nii.gz")
    assert [(each.case, "leads out" in each.found) for each in reading.problems] == [
        ("b", True),
        ("c", False),
        ("d", False),
    ]


def test_an_ending_that_is_not_read(tmp_path: Path) -> None:
    reading = read_dataset(nnunet(tmp_path, [], file_ending=".png"))
    assert "file_ending '.png'" in [each.found for each in reading.problems]


def table(folder: Path, text: str, about: Any = None) -> Path:
    folder.mkdir(exist_ok=True)
    if about is not None:
        write_json(folder / "cases.json", about)
    (folder / "cases.csv").write_text(text, encoding="utf-8-sig")
    return folder / "cases.csv"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_with_all_its_columns(separator: str, tmp_path: Path) -> None:
    rows = [
        ["ID", "image_T2", "Image_ADC", "label", "patient", "fold", "split"],
        ["a", "x/1.nii.gz", "x/2.nii.gz", "x/l.nii.gz", "p1", "3", "train"],
        ["b", "x/3.nii.gz", "x/4.nii.gz", "x/m.nii.gz", "", "", "val"],
        ["c", "x/5.nii.gz", "x/6.nii.gz", "", "p2", "", "test"],
    ]
    text = "\r\n".join(separator.join(row) for row in rows)
    dataset = load_dataset(table(tmp_path, text, {"name": "Mine", "labels": {"a": 1}}))
    assert (dataset.name, dataset.channels) == ("Mine", ("T2", "ADC"))
    a, b = dataset.training
    assert (a.id, a.group, a.fold, b.group, b.fold) == ("a", "p1", 3, None, 0)
    assert a.images == (tmp_path / "x/1.nii.gz", tmp_path / "x/2.nii.gz")
    assert [(case.id, case.label) for case in dataset.test] == [("c", None)]


def only_folds_are_missing(answer: Answer) -> bool:
    """Whether nothing is wrong but that a single case makes no folds."""
    return answer.code == 1 and [each["severity"] for each in answer.content["problems"]] == ["warning"]


def test_a_table_finds_its_labels_and_channels(tmp_path: Path) -> None:
    write_case(tmp_path, "a")
    dataset = load_dataset(table(tmp_path, "image,label\na.nii.gz,a_label.nii.gz\n"))
    assert dataset.channels == ("channel 0",)
    assert names(dataset) == [("background", (0,)), ("label 1", (1,)), ("label 2", (2,))]
    assert load_dataset(tmp_path) == dataset
    assert only_folds_are_missing(checked(tmp_path))


def test_a_tables_absolute_paths_are_taken_as_they_are(tmp_path: Path) -> None:
    case = write_case(tmp_path / "elsewhere", "a")
    path = table(tmp_path / "data", f"image,label\n{case.images[0]},{case.label}\n")
    assert load_dataset(path).training[0].images == case.images
    assert only_folds_are_missing(checked(path))


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ("../a.nii.gz,l.nii.gz,,", "leads out of the data set"),
        (",l.nii.gz,,", "in place of a path"),
        ("a.nii.gz,l.nii.gz,first,", "fold 'first'"),
        ("a.nii.gz,l.nii.gz,,later", "split 'later'"),
    ],
)
def test_a_row_that_cannot_be_meant(row: str, found: str, tmp_path: Path) -> None:
    text = f"image,label,fold,split\n\n,,,\n{row}\nb.nii.gz,m.nii.gz,,\n"
    reading = read_dataset(table(tmp_path, text, {"labels": {"a": 1}}))
    assert [case.id for case in reading.dataset.training] == ["b"]
    assert [(problem.case, found in problem.found) for problem in reading.problems] == [("line 4", True)]


def test_rows_that_lead_out_are_enough_to_say(tmp_path: Path) -> None:
    """What follows from them (no cases, no classes) isn't said besides; a file elsewhere has an absolute path."""
    reading = read_dataset(table(tmp_path / "data", "image,label\n../a.nii.gz,../l.nii.gz\n"))
    assert [(each.case, "leads out" in each.found) for each in reading.problems] == [("line 2", True)]
    assert "absolute path" in reading.problems[0].fix
    with pytest.raises(DatasetError, match=r"cases\.csv \(line 2\): found the path '\.\./a\.nii\.gz'"):
        reading.sound(tmp_path)


def test_tables_whose_labels_cannot_be_read_have_no_problem_but_the_files(tmp_path: Path) -> None:
    path = table(tmp_path, "image,label\na.nii.gz,l.nii.gz\nb.nii.gz,m.nii.gz\n")
    assert read_dataset(path).problems == ()
    assert {each.found for each in scan_dataset(path).problems} == {"no such file"}


def test_a_table_of_other_columns_names_them(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match="found the columns picture, label"):
        load_dataset(table(tmp_path, "picture,label\na.nii.gz,l.nii.gz\n"))


@pytest.mark.parametrize("text", ["", "label\nl.nii.gz\n", "image,label\n"])
def test_a_table_without_images(text: str, tmp_path: Path) -> None:
    with pytest.raises(CaseError, match="image"):
        load_dataset(table(tmp_path, text))


def test_ids_that_no_file_can_have(tmp_path: Path) -> None:
    path = table(tmp_path, "id,image,label\n../x,a.nii.gz,l.nii.gz\nb,b.nii.gz,m.nii.gz\n", {"labels": {"a": 1}})
    assert [problem.case for problem in read_dataset(path).problems] == ["../x"]


def test_what_macos_leaves_beside_a_table_is_none(tmp_path: Path) -> None:
    path = table(tmp_path, "image,label\na.nii.gz,l.nii.gz\n", {"labels": {"a": 1}})
    (tmp_path / f"._{path.name}").write_bytes(b"\0\5\x16\7")
    assert load_dataset(tmp_path) == load_dataset(path)


def test_two_tables_in_a_folder_are_not_guessed_between(tmp_path: Path) -> None:
    table(tmp_path, "image,label\n")
    (tmp_path / "more.csv").touch()
    with pytest.raises(CaseError, match="no data set of a known layout"):
        load_dataset(tmp_path)
