"""Bundles of Auto3DSeg, as `auto3dseg_side.py` asks for them: the data analysed, the templates filled.

    python benchmarks/auto3dseg_bundles.py TEMPLATES WORK cpu|cuda FOLDS ALGORITHM

WORK holds `input.json` and the list of cases that it names; the bundle of fold 2 becomes `WORK/ALGORITHM_2`.
"""

import json
import os
import sys
from pathlib import Path


def prepare(templates: str, work: str, device: str, folds: str, algorithm: str) -> None:
    """Analyse the cases and make the bundles of all folds in ``work``."""
    from monai.apps.auto3dseg import BundleGen, DataAnalyzer

    folder = Path(work)
    source = json.loads((folder / "input.json").read_text())
    statistics = str(folder / "datastats.yaml")
    DataAnalyzer(
        source["datalist"], source["dataroot"], output_path=statistics, device=device, worker=0
    ).get_all_case_stats()
    made = BundleGen(
        algo_path=work,
        algos=algorithm,
        templates_path_or_url=templates,
        data_stats_filename=statistics,
        data_src_cfg_name=str(folder / "input.json"),
    )
    made.generate(work, num_fold=int(folds))


def versions() -> dict[str, str]:
    """Return the versions of Python, PyTorch and MONAI."""
    from importlib.metadata import version

    return {"python": sys.version.split()[0], **{name: version(name) for name in ("torch", "monai")}}


if __name__ == "__main__":
    os.chdir(sys.argv[2])  # where the template leaves a runner.log
    prepare(*sys.argv[1:])
