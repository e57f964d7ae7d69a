"""The notebook of five minutes runs from its first cell to its last, and holds no outputs of another day."""

import ast
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from documents import DOCS

NOTEBOOK = DOCS / "first-search.ipynb"
CELLS = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
CODE = ["".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "code"]


def test_no_output_is_stored() -> None:
    assert len(CODE) >= 6
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in CELLS if "outputs" in cell)


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_every_cell_runs(tmp_path: Path) -> None:
    """As one program: a kernel would run the same statements."""
    environment = os.environ | {"MPLBACKEND": "agg", "PYTHONUTF8": "1"}
    command = [sys.executable, "-c", "\n\n".join(CODE)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "10 cases, 0 errors" in done.stdout
    assert done.stdout.count("G multiply-accumulates") >= 1
    shape, counts = map(ast.literal_eval, re.search(r"(\(.*\)) (\{.*\})$", done.stdout.strip()).groups())
    assert list(counts) == ["background", "organ", "lesion"]
    assert sum(counts.values()) == math.prod(shape)
