"""Memory of whole-volume work on a 512×512×400 case of 24 classes, against what is predicted before it starts.

    python benchmarks/whole_volume.py --threads 1

Two parts, each in a process of its own: `evaluate_network` with a thin C2FNAS-Panc of random weights (windows, way back
to the case's own grid, Dice), and surface Dice with Hausdorff distances of 23 organs, the prediction moved by two
voxels. Memory is the kernel's peak of the process above what it held just before. Results go to
`benchmarks/results/whole_volume.{json,md}`.
"""

import argparse
import json
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from c2fnas.evaluation.volume_memory import distance_memory, volume_memory
from c2fnas.files import read_json, write_json, write_text
from c2fnas.memory import measured
from c2fnas.space.architecture import Architecture

RECORD = Path(__file__).parent / "results" / "whole_volume.json"
CLASSES, WIDTH = 24, 0.0625
PATCH = (96, 96, 96)
SPACING = (0.9, 0.9, 1.0)
Size = tuple[int, int, int]


def organs(shape: Size, moved: int = 0) -> np.ndarray:
    """Boxes of 23 classes, the last one as large as a liver."""
    label = np.zeros(shape, np.uint8)
    step = [size // 9 for size in shape]
    for index in range(1, CLASSES):
        corner = [(1 + 2 * (index // 3**axis % 4)) * each + moved for axis, each in enumerate(step)]
        size = [2 * each // 3 for each in step]
        label[tuple(slice(at, at + side) for at, side in zip(corner, size, strict=True))] = index
    label[tuple(slice(each + moved, 5 * each + moved) for each in step)] = CLASSES - 1
    return label


def boxes(label: np.ndarray) -> list[Size]:
    """The box of every class."""
    from scipy import ndimage

    return [tuple(side.stop - side.start for side in box) for box in ndimage.find_objects(label) if box]


def evaluation(shape: Size, threads: int) -> dict[str, Any]:
    """Evaluate a network on a case that lies in a cache, measured."""
    import torch

    from c2fnas.data.cache import PreparedCase
    from c2fnas.data.geometry import Geometry
    from c2fnas.data.plan import ChannelPlan
    from c2fnas.data.restoration import Restoration
    from c2fnas.data.scheme import LabelScheme
    from c2fnas.evaluation.evaluate import evaluate_network
    from c2fnas.inference.sliding_window import SlidingWindow
    from c2fnas.networks import build_network

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    panc, scheme = Architecture.named("c2fnas-panc"), LabelScheme.of(*map(str, range(CLASSES)))
    network = build_network(Architecture(panc.topology, panc.operations, WIDTH), in_channels=1, classes=CLASSES)
    way = Restoration.to_axes(Geometry.from_array(shape, np.diag([*SPACING, 1.0])))
    i, j, k = (round(size * side) for size, side in zip(shape, SPACING, strict=True))
    way = way.to_shape((i, j, k))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        image = np.lib.format.open_memmap(folder / "image.npy", "w+", np.float32, (1, *way.shape))
        for plane in image[0]:
            plane[...] = np.random.default_rng(0).standard_normal(plane.shape, dtype=np.float32)
        np.save(folder / "truth.npy", organs(shape))
        write_json(folder / "case.json", {"restoration": way.to_json(), "moments": [[0, 1]], "labelled": True})
        case = PreparedCase("large", folder, (ChannelPlan(name="MRI", kind="mr"),))
        del image
        window = SlidingWindow(PATCH, PATCH, batch=1)
        start = time.process_time()
        _, peak = measured(lambda: evaluate_network(network, [case], window, scheme=scheme, device="cpu"))
    architecture = Architecture(panc.topology, panc.operations, WIDTH)
    expected = volume_memory(
        way.shape, shape, channels=1, outputs=CLASSES, patch=PATCH, filters=architecture.stem_filters[0]
    )
    parts = {name: getattr(expected, name) for name in ("image", "sums", "labels", "work")}
    return {"predicted": expected.total, "measured": peak, "parts": parts, "cpu": time.process_time() - start}


def distances(shape: Size, threads: int) -> dict[str, Any]:
    """Find the distances of all organs, measured."""
    import torch

    from c2fnas.data.scheme import LabelScheme
    from c2fnas.evaluation.metrics import Options, score_case

    torch.set_num_threads(threads)
    scheme = LabelScheme.of(*map(str, range(CLASSES)))
    options = Options(surface_tolerance=1.0, hausdorff=True)
    small = organs((90, 90, 90))
    score_case("small", small, small, scheme, options=options)  # imports
    truth, prediction = organs(shape), organs(shape, moved=2)
    largest = max(boxes(np.maximum(truth, prediction)), key=lambda box: box[0] * box[1] * box[2])
    start = time.process_time()
    _, peak = measured(lambda: score_case("large", prediction, truth, scheme, spacing=SPACING, options=options))
    return {
        "predicted": distance_memory(shape, largest),
        "measured": peak,
        "parts": {"masks": distance_memory(shape, (0, 0, 0)), "largest structure": distance_memory((0, 0, 0), largest)},
        "cpu": time.process_time() - start,
    }


PARTS = {"evaluation": evaluation, "distances": distances}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", type=int, nargs=3, default=[512, 512, 400])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--quick", action="store_true", help="write no results")
    parser.add_argument("--worker", choices=PARTS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        print(json.dumps(PARTS[arguments.worker](tuple(arguments.shape), arguments.threads)))
        return
    own = ["--shape", *map(str, arguments.shape), "--threads", str(arguments.threads)]
    known = read_json(RECORD) if RECORD.exists() and not arguments.quick else {"rows": {}}
    rows = known["rows"] if known.get("shape") == arguments.shape else {}  # parts may be measured one by one
    for part in arguments.parts:
        done = subprocess.run(
            [sys.executable, __file__, "--worker", part, *own], stdout=subprocess.PIPE, text=True, check=True
        )
        command = shlex.join(["python", "benchmarks/whole_volume.py", "--parts", part, *own])
        rows[part] = json.loads(done.stdout.splitlines()[-1]) | {"command": command}
        print(part, rows[part], file=sys.stderr)
    found = {
        "shape": arguments.shape,
        "classes": CLASSES,
        "rows": rows,
        "versions": {"python": platform.python_version(), "torch": metadata.version("torch")},
    }
    print(in_words(found))
    if not arguments.quick:
        write_json(RECORD, found)
        write_text(RECORD.with_suffix(".md"), in_words(found))


def in_words(found: dict[str, Any]) -> str:
    """The figures as Markdown."""
    rows = "\n".join(
        f"| {part} | {row['predicted'] / 2**20:,.0f} | {row['measured'] / 2**20:,.0f} | "
        f"{row['predicted'] / row['measured'] - 1:+.1%} | "
        f"{', '.join(f'{name} {size / 2**20:,.0f}' for name, size in row['parts'].items())} | {row['cpu']:.0f} |"
        for part, row in found["rows"].items()
    )
    commands = "; ".join(f"`{row['command']}`" for row in found["rows"].values())
    return f"""# Memory of whole volumes

{commands}; torch {found["versions"]["torch"]}: a case of
{"×".join(map(str, found["shape"]))} voxels, {found["classes"]} classes; windows of 96×96×96 one at a
time, C2FNAS-Panc at width {WIDTH:g}, fp32 on a CPU.

| | predicted MiB | measured MiB | predicted to measured | parts predicted, MiB | processor s |
|---|--:|--:|--:|---|--:|
{rows}
"""


if __name__ == "__main__":
    main()
