"""A machine with a GPU needs none of the extras: search, training, ranking and evaluation run without them.

MONAI looks for some of them by itself where they are installed, so they are made absent.
"""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXTRAS = ["SimpleITK", "ray", "pydicom", "highdicom", "onnx", "onnxruntime", "pandas", "itk"]
BENCHMARKS = ("gpu_parts", "ranking_ct", "sliding_window")
USED = """
import sys
sys.modules |= dict.fromkeys({extras!r})  # an import of any raises
sys.path[:0] = [{benchmarks!r}, {support!r}]
import {modules}
import c2fnas.stages.pipeline, c2fnas.stages.ranking, c2fnas.stages.deployment, c2fnas.studies.verdict
import c2fnas.training.loop, c2fnas.inference.predict, c2fnas.evaluation.path_ranking, c2fnas.report.page
from pathlib import Path
import tempfile
from ranked_cases import PATCH, SCHEME, prepared, supernet
from c2fnas.evaluation.path_ranking import score_by_case
from c2fnas.inference.sliding_window import SlidingWindow
from c2fnas.search.paths import random_paths
from c2fnas.space.search_space import SearchSpace
with tempfile.TemporaryDirectory() as folder:
    cases = list(prepared(Path(folder)).cases.values())
    paths = random_paths(SearchSpace(cells=5, downsamplings=1), 2, seed=0)
    list(score_by_case(supernet(), cases[:1], paths, SlidingWindow(PATCH, PATCH), scheme=SCHEME, device="cpu"))
"""


@pytest.mark.long
def test_no_path_of_a_gpu_imports_an_extra() -> None:
    folders = {"benchmarks": str(ROOT / "benchmarks"), "support": str(ROOT / "tests" / "support")}
    code = USED.format(extras=EXTRAS, modules=", ".join(BENCHMARKS), **folders)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_part_of_the_gpu_script_is_known() -> None:
    script = (ROOT / "benchmarks" / "gpu.sh").read_text()
    parts = script.split("parts=", 1)[1].split(" ", 1)[0].split(",")
    limits = {name: int(script.split(f"{name}) echo ", 1)[1].split(" ", 1)[0]) for name in parts}
    assert sum(limits.values()) <= 360
    assert max(limits.values()) <= 120
    done = subprocess.run(["bash", "-n", str(ROOT / "benchmarks" / "gpu.sh")], check=False)
    assert done.returncode == 0
