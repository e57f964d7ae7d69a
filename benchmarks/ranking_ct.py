"""Ranking on a CT-sized case: the saving of the tree against its closed form, and the cost of scoring.

    python benchmarks/ranking_ct.py --threads 1

A phantom of 512×512×250 voxels of 0.78×0.78×1 mm, prepared at 1 mm, and a thin super-network that has learnt a little
of it, so that labels are no noise. Neighbours among sorted random candidates, as a job of the ranking has them, are
scored on the whole volume by `score_by_case`: its seconds are the network's, the blending's of windows, or those of
restoring and counting. The network's seconds are set against those of each candidate alone on some of the same windows.
Seconds are the process' own, which other work on the machine disturbs little; on a GPU, those of the wall. A second
call with the same --work finds phantom and super-network there. Results: `benchmarks/results/ranking_ct.{json,md}`.
"""

import argparse
import json
import platform
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from importlib import metadata
from pathlib import Path
from statistics import fmean
from typing import Any

import nibabel
import numpy as np
import torch
from torch.nn.functional import cross_entropy

from c2fnas.data.cache import Cache, PreparedCase, prepare_cases
from c2fnas.data.dataset import Case
from c2fnas.data.plan import ChannelPlan, ClassPlan, Plan
from c2fnas.data.scheme import LabelScheme
from c2fnas.evaluation import path_ranking
from c2fnas.evaluation.confusion import ConfusionSink
from c2fnas.files import read_json, write_json, write_text
from c2fnas.inference.forward import computing
from c2fnas.inference.sliding_window import SlidingWindow
from c2fnas.inference.windows import Blend
from c2fnas.networks import SuperNetwork
from c2fnas.networks.prefix_tree import evaluate_paths
from c2fnas.search.paths import random_paths
from c2fnas.search.prefix_saving import RankingMacs
from c2fnas.space.architecture import Architecture
from c2fnas.space.operation import Operation, OperationPath
from c2fnas.space.search_space import SearchSpace
from c2fnas.space.topology import skip_sources

RESULTS = Path(__file__).parent / "results"
TOPOLOGY = Architecture.named("c2fnas-panc").topology
SCHEME = LabelScheme.of("background", "organ", "lesion")
ORGANS = (
    ((0.3, 0.45, 0.5), (0.16, 0.2, 0.3), 1),
    ((0.68, 0.5, 0.45), (0.09, 0.1, 0.2), 1),
    ((0.3, 0.42, 0.5), 0.05, 2),
)
TEXTURE = 25.0


@dataclass
class Shares:
    """Seconds of parts of the ranking."""

    clock: Callable[[], float]
    seconds: dict[str, float] = field(default_factory=dict)

    def timed(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``work``, whose seconds are added up under ``name``."""

        @wraps(work)
        def measured(*arguments: Any) -> Any:
            start = self.clock()
            try:
                return work(*arguments)
            finally:
                self.seconds[name] = self.seconds.get(name, 0.0) + self.clock() - start

        return measured


def phantom(shape: tuple[int, int, int], folder: Path) -> Case:
    """Write ellipsoids of other values than what is around them, in noise, as a CT's image and label."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / "image.nii", folder / "label.nii"
    if not paths[1].exists():
        rng, places = np.random.default_rng(0), np.ogrid[tuple(slice(0, 1, size * 1j) for size in shape)]
        label = np.zeros(shape, np.uint8)
        for centre, radii, value in ORGANS:
            away = sum(
                ((at - middle) / radius) ** 2
                for at, middle, radius in zip(places, centre, np.broadcast_to(radii, 3), strict=True)
            )
            label[away < 1] = value
        image = np.array([-50, 80, 160], np.int16)[label]
        image += rng.integers(-TEXTURE, TEXTURE, shape, dtype=np.int16)
        affine = np.diag([400 / 512, 400 / 512, 1, 1])
        nibabel.save(nibabel.Nifti1Image(image, affine), paths[0])
        nibabel.save(nibabel.Nifti1Image(label, affine), paths[1])
    return Case("ct", (paths[0],), paths[1])


def prepared(arguments: argparse.Namespace, patch: tuple[int, int, int]) -> PreparedCase:
    plan = Plan(
        channels=(ChannelPlan(name="CT", kind="ct", clip=(-200.0, 300.0), mean=0.0, std=100.0),),
        classes=tuple(ClassPlan(name=each.name, values=each.values) for each in SCHEME.classes),
        spacing=(1, 1, 1),
        patch_size=patch,
        stride=patch,
        ranking_stride=patch,
    )
    case = phantom(tuple(arguments.shape), arguments.work / "raw")
    cache: Cache = prepare_cases([case], plan, arguments.work / "cache")
    return cache["ct"]


def trained(arguments: argparse.Namespace, case: PreparedCase) -> SuperNetwork:
    """The super-network after a few steps on patches around the organs, a random path each."""
    torch.manual_seed(0)
    network = SuperNetwork(TOPOLOGY, in_channels=1, classes=SCHEME.outputs, width=arguments.width)
    weights = arguments.work / f"supernet-{arguments.width:g}-{arguments.iterations}.pt"
    if weights.exists():
        network.load_state_dict(torch.load(weights, weights_only=True))
        return network
    network.to(arguments.device)
    optimizer, rng = torch.optim.AdamW(network.parameters(), 3e-3), np.random.default_rng(0)
    paths = random_paths(SearchSpace(), arguments.iterations, seed=1)
    image, label, places = case.image, case.label, np.concatenate(case.foreground)
    assert label is not None
    side = arguments.training_patch
    for path in paths:
        corner = [
            int(np.clip(at - rng.integers(side), 0, size - side))
            for at, size in zip(places[rng.integers(len(places))], label.shape, strict=True)
        ]
        box = tuple(slice(at, at + side) for at in corner)
        logits = network(torch.from_numpy(image[(slice(None), *box)])[None].to(arguments.device), path)
        loss = cross_entropy(logits, torch.from_numpy(np.array(label[box], dtype=np.int64))[None].to(arguments.device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"loss {loss.item():.3f} after {arguments.iterations} steps", file=sys.stderr)
    torch.save(network.state_dict(), weights)
    return network


def clock_of(device: str) -> Callable[[], float]:
    """The processor's seconds of this process, or on a GPU those of the wall, once it has done what it was given."""
    if device == "cpu":
        return time.process_time

    def waiting() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    return waiting


@contextmanager
def watched(clock: Callable[[], float]) -> Iterator[Shares]:
    """Have the parts of a ranking timed."""
    shares, add, close, take = Shares(clock), Blend.add, Blend.close, ConfusionSink.__call__
    Blend.add, Blend.close = shares.timed("blend", add), shares.timed("blend", close)  # type: ignore[method-assign]
    ConfusionSink.__call__ = shares.timed("score", take)  # type: ignore[method-assign]
    try:
        yield shares
    finally:
        Blend.add, Blend.close, ConfusionSink.__call__ = add, close, take  # type: ignore[method-assign]


@contextmanager
def parts_timed(network: SuperNetwork, clock: Callable[[], float]) -> Iterator[dict[tuple[Any, ...], list[float]]]:
    """Have each call of a part of the network timed: of its stems, of a cell with an operation, of a skip's branch."""
    taken: dict[tuple[Any, ...], list[float]] = {}

    def timed(name: str) -> Callable[..., Any]:
        part = getattr(network, name)

        def measured(*arguments: Any) -> Any:
            start, key = clock(), (name, *(each for each in arguments if isinstance(each, int | Operation)))
            try:
                return part(*arguments)
            finally:
                taken.setdefault(key, []).append(clock() - start)

        return measured

    names = ("begin", "step", "second_branch", "finish")
    for name in names:
        setattr(network, name, timed(name))
    try:
        yield taken
    finally:
        for name in names:
            delattr(network, name)


def saving_by_parts(taken: dict[tuple[Any, ...], list[float]], paths: list[OperationPath], windows: int) -> float:
    """The closed form in seconds instead of multiply-accumulates: of a call of each part, as the tree took them."""
    each, sources = {key: fmean(seconds) for key, seconds in taken.items()}, skip_sources(TOPOLOGY)
    alone = len(paths) * (each["begin",] + each["finish",])
    for path in paths:
        for cell, operation in enumerate(path):
            alone += each["step", cell, operation]
            alone += each["second_branch", cell, operation] if cell in sources else 0.0
    return alone * windows / sum(map(sum, taken.values()))


def alone_and_together(
    network: SuperNetwork,
    case: PreparedCase,
    paths: list[OperationPath],
    window: SlidingWindow,
    options: argparse.Namespace,
) -> dict[str, float]:
    """Seconds of a window through the paths, one after the other and as a tree, in turn on some windows."""
    starts, count, clock = window.windows(case.restoration.shape), options.windows, clock_of(options.device)
    some = [starts[place * len(starts) // count] for place in range(count)]
    spent, parts = {"alone": 0.0, "tree": 0.0}, dict[tuple[Any, ...], list[float]]()
    for start in some:
        box = tuple(slice(at, at + side) for at, side in zip(start, window.patch_size, strict=True))
        image = torch.from_numpy(case.image[(slice(None), *box)])[None].to(options.device)
        with computing(torch.device(options.device), window.precision):
            begun = clock()
            for path in paths:
                network(image, path)
            between = clock()
            with parts_timed(network, clock) as taken:
                for _ in evaluate_paths(network, image, paths):
                    pass
            spent["alone"] += between - begun
            spent["tree"] += clock() - between
        for part, seconds in taken.items():
            parts.setdefault(part, []).extend(seconds)
    saving = {"by_parts": saving_by_parts(parts, paths, count)}
    return saving | {name: seconds / count for name, seconds in spent.items()}


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """All figures."""
    torch.set_num_threads(arguments.threads)
    patch = (arguments.patch,) * 3
    case = prepared(arguments, patch)
    network = trained(arguments, case).to(arguments.device).eval()
    window = SlidingWindow(patch, patch, batch=1, precision=arguments.precision)
    paths = sorted(random_paths(SearchSpace(), 2000, seed=0))[1000 : 1000 + arguments.paths]
    each = alone_and_together(network, case, paths, window, arguments)
    room = path_ranking.room_for_sums(torch.device(arguments.device))
    clock = clock_of(arguments.device)
    with watched(clock) as shares:
        start, place = clock(), arguments.device
        results = list(path_ranking.score_by_case(network, [case], paths, window, scheme=SCHEME, device=place))
        total = clock() - start
    groups = [[paths[number] for number in result.paths] for result in results]
    macs = [RankingMacs(TOPOLOGY, tuple(group), 1, SCHEME.outputs, patch, arguments.width) for group in groups]
    windows, score = results[0].windows, shares.seconds["score"]
    network_seconds, blend = total - shares.seconds["blend"], shares.seconds["blend"] - score
    return {
        "prepared": list(case.restoration.shape),
        "original": list(case.restoration.original.shape),
        "patch": list(patch),
        "windows": windows,
        "width": arguments.width,
        "paths": len(paths),
        "groups": [len(group) for group in groups],
        "room_for_sums": room,
        "bytes_per_path": path_ranking._bytes_per_path(case, window, SCHEME.outputs),
        "saving_closed_form": sum(each.naive for each in macs) / sum(each.tree for each in macs),
        "saving_measured": each["alone"] / each["tree"],
        "saving_by_parts": each["by_parts"],
        "saving_of_the_ranking": each["alone"] * windows / network_seconds,
        "seconds_per_path_and_case": {
            "network": network_seconds / len(paths),
            "blending": blend / len(paths),
            "restoring and counting": score / len(paths),
        },
        "scoring_to_network": score / network_seconds,
        "dice": [None if row is None else row.dice for result in results for row in result.rows],
        "command": shlex.join(["python", "benchmarks/ranking_ct.py", *sys.argv[1:]]),
        "machine": processor() if arguments.device == "cpu" else torch.cuda.get_device_name(),
        "precision": arguments.precision,
        "clock": "processor" if arguments.device == "cpu" else "wall",
        "threads": arguments.threads,
        "versions": {"python": platform.python_version(), "torch": metadata.version("torch")},
    }


def with_widths(found: dict[str, Any], arguments: argparse.Namespace) -> dict[str, Any]:
    """The figures, and the saving at other widths on some windows: random weights, no ranking."""
    torch.set_num_threads(arguments.threads)
    patch = (arguments.patch,) * 3
    case, window = prepared(arguments, patch), SlidingWindow(patch, patch, batch=1, precision=arguments.precision)
    paths = sorted(random_paths(SearchSpace(), 2000, seed=0))[1000 : 1000 + arguments.paths]
    rows = found.get("widths", {})
    for width in arguments.add_widths:
        torch.manual_seed(0)
        network = SuperNetwork(TOPOLOGY, in_channels=1, classes=SCHEME.outputs, width=width)
        each = alone_and_together(network.to(arguments.device).eval(), case, paths, window, arguments)
        macs = RankingMacs(TOPOLOGY, tuple(paths), 1, SCHEME.outputs, patch, width)
        rows[f"{width:g}"] = {
            "closed_form": macs.naive / macs.tree,
            "measured": each["alone"] / each["tree"],
            "by_parts": each["by_parts"],
        }
    command = shlex.join(["python", "benchmarks/ranking_ct.py", *sys.argv[1:]])
    return found | {"widths": rows, "widths_command": command}


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def in_words(found: dict[str, Any]) -> str:
    """The figures as Markdown."""
    by = "×".join
    rows = "\n".join(f"| {name} | {seconds:.2f} |" for name, seconds in found["seconds_per_path_and_case"].items())
    dense = len(
        SlidingWindow(tuple(found["patch"]), tuple(side // 2 for side in found["patch"])).windows(
            tuple(found["prepared"])
        )
    )
    network = found["seconds_per_path_and_case"]["network"]
    share = found["seconds_per_path_and_case"]["restoring and counting"] / (network * dense / found["windows"])
    wider = "".join(
        f"; {row['measured']:.3f} at width {width}, {row['closed_form']:.3f} by the closed form "
        f"({row['measured'] / row['closed_form'] - 1:+.1%})"
        + (f" and {row['by_parts']:.3f} by the same form in seconds of each part" if "by_parts" in row else "")
        for width, row in found.get("widths", {}).items()
    )
    also = f" (widths: `{found['widths_command']}`)" if wider else ""
    closed, ratio = found["saving_closed_form"], found["saving_measured"] / found["saving_closed_form"]
    return f"""# Ranking on a CT-sized case

`{found["command"]}`; {found["machine"]}, {found["threads"]} threads, torch {found["versions"]["torch"]}.

{by(map(str, found["original"]))} voxels, prepared {by(map(str, found["prepared"]))}, {found["windows"]} windows of
{by(map(str, found["patch"]))} side by side, 3 classes, C2FNAS-Panc's topology at width {found["width"]:g}, {
        found["precision"]
    },
{found["paths"]} neighbours of 2,000 sorted candidates, walked in groups of {found["groups"]}: {
        found["bytes_per_path"] / 2**20:.0f} MiB of sums a path,
{found["room_for_sums"] / 2**30:.1f} GiB of room.

| {found["clock"]} seconds per path and case | |
|---|--:|
{rows}

- **Saving of the tree**: {closed:.3f} by the closed form of these groups, {found["saving_measured"]:.3f} measured on
  the same windows in turn ({ratio - 1:+.1%}); {found["saving_of_the_ranking"]:.3f} when the whole ranking's network
  time is set against them{wider}{also}.
- **Restoring and counting** takes {found["scoring_to_network"]:.1%} of the network's time with windows side by side.
  Computed from that: {share:.1%} at the ranking's stride of {
        found["patch"][0] // 2
    } voxels, where the same volume has {dense} windows.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("runs/ranking-ct"), help="a folder for phantom and weights")
    parser.add_argument("--shape", type=int, nargs=3, default=[512, 512, 250])
    parser.add_argument("--patch", type=int, default=96)
    parser.add_argument("--training-patch", type=int, default=64)
    parser.add_argument("--width", type=float, default=0.0625)
    parser.add_argument("--paths", type=int, default=12)
    parser.add_argument("--windows", type=int, default=4, help="on which candidates are also computed alone")
    parser.add_argument("--iterations", type=int, default=100, help="of the super-network")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--add-widths", type=float, nargs="+", help="measure the tree's saving alone, and add it")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--output", type=Path, default=RESULTS / "ranking_ct", help="of the results, without suffix")
    parser.add_argument("--quick", action="store_true", help="write no results")
    arguments = parser.parse_args()
    if arguments.add_widths:
        found = with_widths(read_json(arguments.output.with_suffix(".json")), arguments)
    else:
        found = measure(arguments)
    print(json.dumps(found, indent=2))
    print(in_words(found))
    if not arguments.quick:
        write_json(arguments.output.with_suffix(".json"), found)
        write_text(arguments.output.with_suffix(".md"), in_words(found))


if __name__ == "__main__":
    main()
