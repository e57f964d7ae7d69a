"""Whether a network is what a run's search has found."""

from dataclasses import replace
from pathlib import Path

from c2fnas.files import write_json
from c2fnas.networks.baselines import Baseline
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.found import was_found
from c2fnas.space.architecture import Architecture

FOUND = Architecture.from_text("0:3D 1:P3D 0:2D @0.0625")


def test_found_is_what_the_fine_stage_left_in_any_width(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert not was_found(folder, FOUND), "no search has been here"
    write_json(folder.coarse / "architecture.json", FOUND.to_json())
    assert not was_found(folder, FOUND), "nor its fine stage"
    write_json(folder.fine / "architecture.json", FOUND.to_json())
    assert was_found(folder, FOUND)
    assert was_found(folder, replace(FOUND, width=1.0))
    assert not was_found(folder, Architecture.from_text("0:3D 1:P3D 0:3D @0.0625"))
    assert not was_found(folder, Architecture.from_text("0:3D 0:P3D 0:2D @0.0625"))
    assert not was_found(folder, Baseline("unet3d", 0.0625))
