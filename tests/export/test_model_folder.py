"""Models as folders to pass on, and the card of a run's folds."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from report_runs import begun_run, evaluation
from small_models import ARCHITECTURE, save_small_model

from c2fnas.data.fingerprint import CaseFingerprint, ChannelFingerprint, ClassFingerprint, Fingerprint
from c2fnas.errors import UserError
from c2fnas.export.model_folder import export_folder
from c2fnas.files import write_json
from c2fnas.inference.package import CARD, WEIGHTS, load_package
from c2fnas.inference.pretrained import model_folders
from c2fnas.space.architecture import Architecture
from c2fnas.training.weights import read_tensors

DICE = {0: [0.5, 0.7], 1: [0.9]}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with the models of two folds, one validated on two cases, the other on one."""
    folder = begun_run(tmp_path / "run")
    for fold, dice in DICE.items():
        save_small_model(folder.final_model(fold), seed=fold)
        write_json(folder.final_fold(fold) / "evaluation.json", evaluation(dice))
    sizes = ((30, 40, 20), (31, 40, 25), (36, 40, 22))
    cases = tuple(
        CaseFingerprint(
            id=str(n), shape=size, nonzero_shape=size, spacing=(1.0, 1.0, 0.5 + n), voxels=(), sha256="", files=()
        )
        for n, size in enumerate(sizes)
    )
    data = Fingerprint(
        name="Phantoms",
        folder="Task00",
        cases=cases,
        channels=(ChannelFingerprint(name="T1", kind="mr", low=0, high=1, mean=0, std=1),),
        classes=tuple(ClassFingerprint(name=n, values=(v,), cases=3) for v, n in enumerate(("background", "a", "b"))),
    )
    write_json(folder.fingerprint, data.model_dump(mode="json"))
    return folder.root


def test_one_model_is_copied_as_it_is(run: Path, tmp_path: Path) -> None:
    (model,) = model_folders([run / "final" / "fold-1"])
    export_folder([model], tmp_path / "out")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == {
        path.name: path.read_bytes() for path in model.iterdir()
    }


def test_the_folds_of_a_run_lie_side_by_side(run: Path, tmp_path: Path) -> None:
    models = model_folders([run])
    export_folder(models, tmp_path / "out")
    copies = model_folders([tmp_path / "out"])
    assert [path.name for path in copies] == ["fold-0", "fold-1"]
    assert [load_package(path).checksum for path in copies] == [load_package(path).checksum for path in models]


def test_the_card_says_what_the_files_of_the_run_say(run: Path, tmp_path: Path) -> None:
    export_folder(model_folders([run]), tmp_path / "out", about="From a scanner.", licence="CC0.")
    card = (tmp_path / "out" / CARD).read_text()
    rows = [line.strip("| ").split(" | ") for line in card.splitlines() if re.match(r"\| [01t]", line)]
    assert rows == [
        ["0", "2", "0.6000", "-", "0.6000"],
        ["1", "1", "0.9000", "-", "0.9000"],
        ["together", "3", "0.7000", "-", "0.7000"],
    ]
    parameters = sum(tensor.numel() for tensor in read_tensors(run / "final/fold-0/model" / WEIGHTS, None).values())
    for said in (
        f"`{ARCHITECTURE.to_text()}`, {parameters / 1e6:.2f} M parameters",
        "3 labelled cases of Phantoms & <others>",
        "T1 (MR)",
        "40 iterations of 2 patches",
        "30–36 × 40 × 20–25 voxels of 1 × 1 × 0.5–2.5 mm",
        "single precision",
        "c2fnas predict out --input",
        "## Data\n\nFrom a scanner.",
        "## Licence\n\nCC0.",
        "Not a medical device",
    ):
        assert said in card, said
    assert "A network of the C2FNAS search space, trained" in card  # an architecture that was given
    assert "The search has chosen" not in card
    assert "## Licence\n\nCC0." in (tmp_path / "out" / "fold-1" / CARD).read_text()  # a fold may go on alone


def test_a_fold_without_a_dice_is_exported_with_the_reason(run: Path, tmp_path: Path) -> None:
    (run / "final/fold-1/evaluation.json").unlink()
    with pytest.raises(UserError, match=r"fold-1.evaluation.json: missing"):
        export_folder(model_folders([run]), tmp_path / "out")
    value = {"dice": None, "per_class": {}, "unscored": "Dice not measurable: no organ."}
    write_json(run / "final/fold-1/result.json", {"kind": "done", "value": value})
    export_folder(model_folders([run]), tmp_path / "out")
    card = (tmp_path / "out" / CARD).read_text()
    assert "Fold 1: Dice not measurable: no organ." in card
    assert re.findall(r"\| together \| (\d+)", card) == ["2"]
    (run / "final/fold-0/evaluation.json").unlink()
    write_json(run / "final/fold-0/result.json", {"kind": "done", "value": value})
    export_folder(model_folders([run]), tmp_path / "none")
    assert "No fold was measured." in (tmp_path / "none" / CARD).read_text()


def test_the_card_says_what_a_search_has_found(run: Path, tmp_path: Path) -> None:
    write_json(run / "fine/architecture.json", replace(ARCHITECTURE, width=2 * ARCHITECTURE.width).to_json())
    export_folder(model_folders([run]), tmp_path / "found")
    card = (tmp_path / "found" / CARD).read_text()
    assert "A network found by coarse-to-fine architecture search, trained" in card
    assert "The search has chosen" in card
    other = Architecture(ARCHITECTURE.topology, ARCHITECTURE.operations[::-1], ARCHITECTURE.width)
    write_json(run / "fine/architecture.json", other.to_json())
    export_folder(model_folders([run]), tmp_path / "given")
    card = (tmp_path / "given" / CARD).read_text()
    assert "found by" not in card
    assert "The search has chosen" not in card


def test_half_precision_is_said_and_done(run: Path, tmp_path: Path) -> None:
    export_folder(model_folders([run]), tmp_path / "out", half=True)
    for fold in DICE:
        tensors = read_tensors(tmp_path / "out" / f"fold-{fold}" / WEIGHTS, None)
        assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    assert "half precision" in (tmp_path / "out" / CARD).read_text()


def test_what_was_exported_can_be_exported_again(run: Path, tmp_path: Path) -> None:
    export_folder(model_folders([run]), tmp_path / "out", half=True)
    export_folder(model_folders([tmp_path / "out"]), tmp_path / "again")
    files = {path.relative_to(tmp_path / "out"): path.read_bytes() for path in (tmp_path / "out").rglob("*.*")}
    assert files == {
        path.relative_to(tmp_path / "again"): path.read_bytes() for path in (tmp_path / "again").rglob("*.*")
    }


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("final/fold-1/evaluation.json", "Train the run to its end"),
        ("run.yaml", "not a fold of a run"),
        ("final/fold-0/model/plan.json", "plan.json"),
        ("fingerprint.json", "fingerprint.json"),
    ],
)
def test_what_a_run_lacks_is_said_and_nothing_is_left(run: Path, tmp_path: Path, missing: str, said: str) -> None:
    models = model_folders([run])
    (run / missing).unlink()
    with pytest.raises(UserError, match=said):
        export_folder(models, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_nothing_is_replaced(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "out")
    with pytest.raises(UserError, match="something already"):
        export_folder(model_folders([run]), tmp_path / "out")
