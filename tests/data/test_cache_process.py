"""The cache in a process of its own: killed in the middle, and its memory measured."""

import gzip
import signal
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
from small_cases import contents, plan_of, write_case

from c2fnas.data.cache import prepare_cases
from c2fnas.data.plan import ChannelPlan
from c2fnas.files import write_json

CT = ChannelPlan(name="CT", kind="ct")


@pytest.mark.long
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_killed_in_the_middle_the_same_call_carries_on(tmp_path: Path) -> None:
    cases = [write_case(tmp_path / "raw", f"case{n}", seed=n) for n in range(12)]
    whole = contents(prepare_cases(cases, plan_of(), tmp_path / "whole"))
    (tmp_path / "plan.json").write_text(plan_of().model_dump_json())
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    finished = [path for path in (tmp_path / "cut").iterdir() if not path.name.startswith(".")]
    assert 5 <= len(finished) < 12
    assert contents(prepare_cases(cases, plan_of(), tmp_path / "cut", workers=2)) == whole


KILLED = """
import os, signal, sys
from pathlib import Path
from c2fnas.data import cache
from c2fnas.data.dataset import Case
from c2fnas.data.plan import Plan

root, real, begun = Path(sys.argv[1]), cache.prepare_case, []

def dies_while_writing(case, plan, allocate):
    begun.append(case.id)
    if len(begun) == 8:
        allocate("image", (1, 5, 5, 5), "float32")[...] = 1
        os.kill(os.getpid(), signal.SIGKILL)
    return real(case, plan, allocate)

cache.prepare_case = dies_while_writing
cases = [Case(f"case{n}", (root / f"raw/case{n}.nii.gz",), root / f"raw/case{n}_label.nii.gz") for n in range(12)]
cache.prepare_cases(cases, Plan.model_validate_json((root / "plan.json").read_text()), root / "cut", workers=2)
"""


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="no limit of open files on this system")
def test_two_thousand_cases_need_no_more_files_than_a_few(tmp_path: Path) -> None:
    """The cases share one folder, yet each opens maps of its own; Linux has no more than 1,024 files by default."""
    cache = prepare_cases([write_case(tmp_path / "raw", seed=0)], plan_of(channels=(CT,)), tmp_path / "cache")
    names = {f"case{n}": cache["a"].folder.name for n in range(2000)}
    write_json(tmp_path / "cache" / "index.json", {"plan": cache.plan_key, "cases": names})
    done = subprocess.run([sys.executable, "-c", MANY, str(tmp_path / "cache")], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "2000\n"), done.stderr


MANY = """
import resource, sys
from dataclasses import replace
from pathlib import Path
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
from c2fnas.data.cache import Cache
from c2fnas.data.patches import PatchSampler, prefetched
from c2fnas.data.plan import ChannelPlan

cache = Cache.open(Path(sys.argv[1]))
channels = cache.fold_channels((ChannelPlan(name="CT", kind="ct"),), cache.ids)
cases = [replace(cache[case], channels=channels) for case in cache.ids]
for case in cases:
    assert case.truth.shape == case.image.shape[1:]
for device in (None, "cpu"):
    sampler = PatchSampler(cases, patch_size=(4, 4, 4), volumes=100, patches_per_volume=1, seed=0, foreground_rate=0.5,
                           device=device)
    seen = sum(len(batch.image) for batch in prefetched(sampler, 0, 20, workers=2))
print(seen)
"""


@pytest.mark.long
def test_memory_stays_below_three_volumes(tmp_path: Path) -> None:
    """In a process of its own, a case of many classes that is resampled: what its arrays take, and the process at most.

    The process also has what the allocator and BLAS keep, which differs between machines: it is given a volume more.
    """
    shape = (256, 240, 224)
    labels = np.arange(256 * 240 * 224, dtype=np.uint32).reshape(shape) // 200_000 % 12
    for name, values in (("i", np.random.default_rng(0).integers(-900, 900, shape, np.int16)), ("l", labels)):
        nibabel.save(
            nibabel.Nifti1Image(values.astype(np.int16), np.diag([-0.7, 0.8, 1.3, 1])), tmp_path / f"{name}.nii"
        )
    command = [sys.executable, "-c", PEAK, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    arrays, process = map(int, done.stdout.split())
    volume = 4 * np.prod(shape)
    assert 2 * volume < arrays < 3 * volume
    assert process < 4 * volume


@pytest.mark.long
def test_memory_is_flat_over_a_thousand_cases(tmp_path: Path) -> None:
    """Headers of 512×512×300 voxels, whose cases lie in the cache already, and three real arrays among them.

    The files end after their headers, so that a look at more than these fails.
    """
    random = np.random.default_rng(0)
    header = nibabel.Nifti1Header(endianness="<")
    header.set_data_dtype(np.int16)
    header.set_data_shape((512, 512, 300))
    header.set_zooms((0.8, 0.8, 1.25))
    header.set_sform(np.diag([-0.8, 0.8, 1.25, 1]), 1)
    header["magic"], header["vox_offset"] = b"n+1", 352
    for number in range(1000):
        header["descrip"] = f"case {number}".encode()
        packed = gzip.compress(header.binaryblock + bytes(4) + random.bytes(160_000), 1)
        (tmp_path / f"header{number}.nii.gz").write_bytes(packed)
    for number in range(3):
        array = random.integers(-900, 900, (512, 512, 40), np.int16)
        nibabel.save(nibabel.Nifti1Image(array, np.diag([-0.8, 0.8, 1.25, 1])), tmp_path / f"real{number}.nii")
    few, many = (
        int(
            subprocess.run(
                [sys.executable, "-c", FLAT, str(tmp_path), str(count)], capture_output=True, text=True, check=True
            ).stdout
        )
        for count in (0, 1000)
    )
    assert many - few < 16 * 2**20
    assert few > 40 * 512 * 512 * 4  # the arrays are of a size to be seen


WATCHED = """
import sys, threading, time
from pathlib import Path
from c2fnas.data.cache import _name, prepare_cases
from c2fnas.data.dataset import Case
from c2fnas.data.fingerprint import content_hash
from c2fnas.data.plan import Plan

def private():
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("RssAnon"))

def watch():
    while True:
        peaks.append(private())
        time.sleep(0.005)

folder, start, peaks = Path(sys.argv[1]), private(), []
plan = Plan(channels=[{"name": "MRI", "kind": "mr"}], classes=[{"name": str(n), "values": [n]} for n in range(12)],
            spacing=(1, 1, 1), patch_size=(96,) * 3, stride=(48,) * 3, ranking_stride=(48,) * 3)
threading.Thread(target=watch, daemon=True).start()
"""

PEAK = (
    WATCHED
    + """
import tracemalloc
tracemalloc.start()
prepare_cases([Case("a", (folder / "i.nii",), folder / "l.nii")], plan, folder / "cache")
print(tracemalloc.get_traced_memory()[1], max(peaks) - start)
"""
)

FLAT = (
    WATCHED
    + """
cases = [Case(f"header{n}", (folder / f"header{n}.nii.gz",), None) for n in range(int(sys.argv[2]))]
for case in cases:
    (folder / "cache" / _name(plan, content_hash(case), None)).mkdir(parents=True)
(real, *others) = [Case(f"real{n}", (folder / f"real{n}.nii",), None) for n in range(3)]
cache = prepare_cases([real, *cases, *others], plan, folder / "cache")
assert len(cache.ids) == len(cases) + 3
assert all((cache[case.id].folder / "image.npy").exists() for case in (real, *others))
print(max(peaks) - start)
"""
)
