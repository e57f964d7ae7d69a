"""Memory of whole volumes: its parts by hand, and measured on a small one in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from c2fnas.data.fingerprint import CaseFingerprint
from c2fnas.data.resample import SLAB_VOXELS
from c2fnas.evaluation.volume_memory import COMPONENT_BYTES, DISTANCE_BYTES, distance_memory, volume_memory
from c2fnas.planning.forecast import memory_line

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "whole_volume.py"


def test_parts_are_those_that_are_allocated() -> None:
    memory = volume_memory((50, 40, 30), (100, 40, 30), channels=2, outputs=3, patch=(16, 48, 16), filters=32)
    assert memory.image == 4 * 2 * 50 * 40 * 30
    assert memory.sums == 4 * (3 + 1) * 16 * 48 * 30  # padded to the patch along the second axis
    assert memory.labels == 2 * 100 * 40 * 30
    assert memory.work >= 4 * 3 * (16 * 48 * 16 + SLAB_VOXELS)
    assert memory.total == memory.image + memory.sums + memory.labels + memory.work


def test_components_come_after_the_windows() -> None:
    """What is more counts: on a large volume of few classes the components are."""
    shape, own = (400, 400, 300), {"channels": 1, "outputs": 2, "patch": (32, 32, 32), "filters": 4}
    without, memory = (volume_memory((40, 40, 30), shape, components=each, **own) for each in (False, True))
    assert memory.components == COMPONENT_BYTES * 400 * 400 * 300 > without.sums + without.work
    assert memory.total == memory.image + memory.labels + memory.components > without.total


def test_distances_take_masks_or_the_box_of_a_structure() -> None:
    assert distance_memory((100, 100, 100), (1, 1, 1)) == 3 * 100**3
    assert distance_memory((100, 100, 100), (98, 98, 98)) == DISTANCE_BYTES * 100**3


def test_the_forecast_names_the_most_demanding_case() -> None:
    from ranked_cases import plan

    shapes = {"flat": (600, 500, 20), "cube": (200, 200, 200)}
    cases = [
        CaseFingerprint(
            id=name, shape=shape, nonzero_shape=shape, spacing=(1, 1, 1), voxels=(1, 1), sha256="", files=()
        )
        for name, shape in shapes.items()
    ]
    assert "200×200×200 voxels" in memory_line(cases, plan(), filters=32)


@pytest.mark.long
@pytest.mark.parametrize("part", ["evaluation", "distances"])
def test_what_is_predicted_is_measured(part: str) -> None:
    own = ["--worker", part, "--shape", "320", "320", "200"]
    done = subprocess.run([sys.executable, str(BENCHMARK), *own], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["predicted"] == pytest.approx(found["measured"], rel=0.25)
