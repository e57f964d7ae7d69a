"""Whether a network is what a run's search has found."""

from dataclasses import replace
from pathlib import Path

from c2fnas.files import write_json
from c2fnas.networks.baselines import Baseline
from c2fnas.runs.folder import RunFolder
from c2fnas.space.architecture import Architecture

FOUND = Architecture.from_text("0:3D 1:P3D 0:2D @0.0625")


def test_found_is_what_the_fine_stage_left_in_any_width(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert not folder.has_found(FOUND), "no search has been here"
    write_json(folder.coarse / "architecture.json", FOUND.to_json())
    assert not folder.has_found(FOUND), "nor its fine stage"
    write_json(folder.fine / "architecture.json", FOUND.to_json())
    assert folder.has_found(FOUND)
    assert folder.has_found(replace(FOUND, width=1.0))
    assert not folder.has_found(Architecture.from_text("0:3D 1:P3D 0:3D @0.0625"))
    assert not folder.has_found(Architecture.from_text("0:3D 0:P3D 0:2D @0.0625"))
    assert not folder.has_found(Baseline("unet3d", 0.0625))
