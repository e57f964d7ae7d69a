"""What `preprocessing.py` has measured: one process, one tool, one step. Imports and set-up stay outside the clock.

A step is a function that returns a callable to measure; that one returns facts for the record.
"""

import itertools
import json
import os
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Step = Callable[[], dict[str, Any]]
FOREGROUND = 0.5
WARM_UP = 4
"""Batches that are drawn before the clock starts, so that no worker is starting any more."""


def main() -> None:
    """Run the step that the command line describes in JSON; the last line of the output is the measurement."""
    job = json.loads(sys.argv[1])
    step = STEPS[job["tool"], job["step"]](job)
    begin, cpu = time.monotonic(), processor_seconds()
    facts = step()
    end, cpu = time.monotonic(), processor_seconds() - cpu
    largest = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) * 1024
    print(json.dumps({"begin": begin, "end": end, "cpu": cpu, "largest_process": largest, "facts": facts}), flush=True)
    os._exit(0)  # worker processes of loaders need no farewell


def our_fingerprint(job: dict[str, Any]) -> Step:
    """Fingerprint and plan, which is kept for the other steps and tools."""
    from c2fnas.data.layouts import load_dataset
    from c2fnas.data.plan import Plan
    from c2fnas.data.scan import scan_dataset
    from c2fnas.planning.plan import make_plan

    def step() -> dict[str, Any]:
        fingerprint = scan_dataset(load_dataset(Path(job["data"])), workers=job["workers"]).fingerprint
        plan = make_plan(fingerprint, style="planned").model_dump()
        for channel, own in zip(plan["channels"], fingerprint.channels, strict=True):
            if own.kind == "ct":  # the same numbers for every tool
                channel |= {"clip": (own.low, own.high), "mean": own.mean, "std": own.std}
        # The others crop whatever there is to crop; the target spacing is the workload's.
        plan |= {"crop_nonzero": True, "patch_size": job["patch"], "spacing": job["spacing"]}
        plan |= {"stride": job["patch"], "ranking_stride": job["patch"]}
        Path(job["plan"]).write_text(Plan(**plan).model_dump_json())
        return {}

    return step


def our_prepare(job: dict[str, Any]) -> Step:
    """Every case into memory-mapped arrays."""
    from c2fnas.data.cache import prepare_cases
    from c2fnas.data.layouts import load_dataset

    plan, folder = our_plan(job), Path(job["work"]) / "ours"
    shutil.rmtree(folder, ignore_errors=True)

    def step() -> dict[str, Any]:
        cache = prepare_cases(load_dataset(Path(job["data"])).training, plan, folder, workers=job["workers"])
        case = cache[cache.ids[0]]
        assert case.label is not None
        return first_case(case.image[...], case.label) | {"disk": disk(folder)}

    return step


def our_patches(job: dict[str, Any]) -> Step:
    """Patches from the memory maps, made ahead by threads."""
    from c2fnas.data.cache import Cache
    from c2fnas.data.patches import PatchSampler, prefetched

    cache = Cache.open(Path(job["work"]) / "ours", our_plan(job))
    sampler = PatchSampler(
        [cache[case] for case in cache.ids],
        patch_size=tuple(job["patch"]),
        volumes=job["volumes"],
        patches_per_volume=job["each"],
        seed=0,
        foreground_rate=FOREGROUND,
    )
    batches = prefetched(sampler, 0, job["batches"] + WARM_UP, workers=job["workers"])
    return drawn((batch.image for batch in batches), job)


def monai_prepare(job: dict[str, Any]) -> Step:
    """Every case through MONAI's transforms, kept in memory (CacheDataset) or in files (PersistentDataset)."""
    from monai.data import CacheDataset, DataLoader, PersistentDataset

    items, transform = monai_items(job), monai_transform(job)
    folder = Path(job["work"]) / "monai"
    shutil.rmtree(folder, ignore_errors=True)

    def cached() -> dict[str, Any]:
        dataset = CacheDataset(items, transform, num_workers=job["workers"], progress=False)
        return first_case(dataset[0]["image"].numpy(), dataset[0]["label"].numpy()[0])

    def persistent() -> dict[str, Any]:
        dataset = PersistentDataset(items, transform, cache_dir=folder)
        # A first epoch fills the files; what goes through the workers' pipes is only a number.
        for _ in DataLoader(dataset, batch_size=1, num_workers=job["workers"], collate_fn=len):
            pass
        return first_case(dataset[0]["image"].numpy(), dataset[0]["label"].numpy()[0]) | {"disk": disk(folder)}

    return persistent if job["tool"].startswith("persistent") else cached


def monai_transform(job: dict[str, Any]) -> Any:
    """The plan's preparation in MONAI's transforms, the resampling linear or of the third order."""
    import torch
    from monai import transforms as mt

    channel, keys, cubic = our_plan(job).channels[0], ["image", "label"], job["tool"].endswith("cubic")
    if channel.clip is None:
        normalise = mt.NormalizeIntensityd("image")
    else:
        ends = [(value - channel.mean) / channel.std for value in channel.clip]
        normalise = mt.ScaleIntensityRanged("image", *channel.clip, *ends, clip=True)
    return mt.Compose(
        [
            mt.LoadImaged(keys, ensure_channel_first=True),
            mt.Orientationd(keys, axcodes="RAS"),
            mt.CropForegroundd(keys, "image", select_fn=nonzero, allow_smaller=True),
            normalise,
            mt.Spacingd(
                keys,
                job["spacing"],
                mode=(3 if cubic else "bilinear", "nearest"),
                padding_mode=("nearest" if cubic else "border", "border"),
                scale_extent=True,
            ),
            mt.EnsureTyped(keys, dtype=[torch.float32, torch.uint8]),
        ]
    )


def monai_patches(job: dict[str, Any]) -> Step:
    """Patches of the same prepared volumes, read from our arrays once; their indices lie in the cache too."""
    from monai import transforms as mt
    from monai.data import CacheDataset, DataLoader, PersistentDataset, list_data_collate
    from torch.utils.data import RandomSampler

    keys = ["image", "label"]
    folders = sorted((Path(job["work"]) / "ours").glob("*/case.json"))
    items = [{key: str(path.parent / f"{key}.npy") for key in keys} for path in folders]
    transform = mt.Compose(
        [
            mt.LoadImaged(keys, reader="NumpyReader"),
            mt.EnsureChannelFirstd("image", channel_dim=0),
            mt.EnsureChannelFirstd("label", channel_dim="no_channel"),
            mt.SpatialPadd(keys, job["patch"]),
            mt.FgBgToIndicesd("label"),
            mt.RandCropByPosNegLabeld(
                keys,
                "label",
                job["patch"],
                pos=FOREGROUND,
                neg=1 - FOREGROUND,
                num_samples=job["each"],
                fg_indices_key="label_fg_indices",
                bg_indices_key="label_bg_indices",
            ),
            mt.SelectItemsd(keys),
        ]
    )
    if job["tool"] == "persistent":
        folder = Path(job["work"]) / "monai-patches"
        shutil.rmtree(folder, ignore_errors=True)
        dataset = PersistentDataset(items, transform, cache_dir=folder)
        for index in range(len(items)):
            dataset[index]
    else:
        dataset = CacheDataset(items, transform, num_workers=job["workers"], progress=False)
    order = RandomSampler(items, replacement=True, num_samples=job["volumes"] * (job["batches"] + WARM_UP))
    loader = DataLoader(
        dataset,
        batch_size=job["volumes"],
        sampler=order,
        num_workers=job["workers"],
        collate_fn=list_data_collate,
        persistent_workers=True,
    )
    return drawn((batch["image"].as_tensor() for batch in loader), job)


def nnunet_fingerprint(job: dict[str, Any]) -> Step:
    """Fingerprint and plan."""
    from nnunetv2.experiment_planning.plan_and_preprocess_api import (
        extract_fingerprint_dataset,
        plan_experiment_dataset,
    )

    def step() -> dict[str, Any]:
        extract_fingerprint_dataset(
            job["identifier"], num_processes=job["workers"], verbose=False, show_progress_bar=False
        )
        i, j, k = job["spacing"]
        plan_experiment_dataset(job["identifier"], overwrite_target_spacing=(k, j, i))
        return {}

    return step


def nnunet_prepare(job: dict[str, Any]) -> Step:
    """Every case of the 3d_fullres configuration."""
    from nnunetv2.experiment_planning.plan_and_preprocess_api import preprocess_dataset

    folder = Path(job["work"]) / "preprocessed" / job["name"] / "nnUNetPlans_3d_fullres"
    shutil.rmtree(folder, ignore_errors=True)

    def step() -> dict[str, Any]:
        preprocess_dataset(
            job["identifier"], configurations=["3d_fullres"], num_processes=[job["workers"]], show_progress_bar=False
        )
        case = sorted(folder.glob("*_seg.b2nd"))[0].name.removesuffix("_seg.b2nd")
        image, label, *_ = nnunet_dataset(folder).load_case(case)
        return first_case(image[:].transpose(0, 3, 2, 1), label[0].transpose(2, 1, 0)) | {"disk": disk(folder)}

    return step


def nnunet_patches(job: dict[str, Any]) -> Step:
    """Patches by nnU-Net's loader in its own worker processes, without augmentation."""
    from batchgenerators.dataloading.nondet_multi_threaded_augmenter import NonDetMultiThreadedAugmenter
    from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    folder = Path(job["work"]) / "preprocessed" / job["name"]
    manifest = json.loads((folder / "dataset.json").read_text())
    labels = PlansManager(str(folder / "nnUNetPlans.json")).get_label_manager(manifest)
    patch = job["patch"][::-1]
    loader = nnUNetDataLoader(
        nnunet_dataset(folder / "nnUNetPlans_3d_fullres"),
        job["volumes"] * job["each"],
        patch,
        patch,
        labels,
        oversample_foreground_percent=FOREGROUND,
    )
    batches = NonDetMultiThreadedAugmenter(loader, None, job["workers"], num_cached=6, wait_time=0.002)
    return drawn((batch["data"] for batch in batches), job)


def nnunet_dataset(folder: Path) -> Any:
    """nnU-Net's prepared cases."""
    from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2

    return nnUNetDatasetBlosc2(str(folder))


def drawn(images: Iterator[Any], job: dict[str, Any]) -> Step:
    """To draw the job's batches, the loader being warm."""
    for image in itertools.islice(images, WARM_UP):
        assert tuple(image.shape[2:]) in (tuple(job["patch"]), tuple(job["patch"][::-1])), image.shape

    def step() -> dict[str, Any]:
        return {"patches": sum(len(image) for image in itertools.islice(images, job["batches"]))}

    return step


def our_plan(job: dict[str, Any]) -> Any:
    """The plan that the fingerprint step left."""
    from c2fnas.data.plan import Plan

    return Plan.model_validate_json(Path(job["plan"]).read_text())


def monai_items(job: dict[str, Any]) -> list[dict[str, str]]:
    """The training cases of the manifest."""
    root = Path(job["data"])
    manifest = json.loads((root / "dataset.json").read_text())
    return [{key: str(root / case[key]) for key in ("image", "label")} for case in manifest["training"]]


def nonzero(image: Any) -> Any:
    """Which voxels a crop keeps."""
    return image != 0


def first_case(image: Any, label: Any) -> dict[str, Any]:
    """Size, moments and class volumes of a prepared case, to show that all tools did the same."""
    voxels = [int((label == index).sum()) for index in (1, 2)]
    return {"shape": list(image.shape), "mean": float(image.mean()), "std": float(image.std()), "voxels": voxels}


def disk(folder: Path) -> int:
    """Bytes of the files of a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def processor_seconds() -> float:
    """User and system seconds of this process, of its living descendants and of those that were waited for."""
    stats = process_stats()
    return sum(sum(map(int, stats[pid][11:15])) for pid in descendants(os.getpid(), stats)) / os.sysconf("SC_CLK_TCK")


def process_stats() -> dict[int, list[str]]:
    """Every process's fields of `/proc/PID/stat` from the state on: 1 is the parent, 11 to 14 are times."""
    stats = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            stats[int(path.parent.name)] = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
    return stats


def descendants(pid: int, stats: dict[int, list[str]]) -> list[int]:
    """A process, its children and theirs."""
    children = [child for child, fields in stats.items() if int(fields[1]) == pid]
    return [pid, *(each for child in children for each in descendants(child, stats))]


STEPS: dict[tuple[str, str], Callable[[dict[str, Any]], Step]] = {
    ("ours", "fingerprint"): our_fingerprint,
    ("nnunet", "fingerprint"): nnunet_fingerprint,
    ("ours", "prepare"): our_prepare,
    ("nnunet", "prepare"): nnunet_prepare,
    ("cache", "prepare"): monai_prepare,
    ("persistent", "prepare"): monai_prepare,
    ("cache-cubic", "prepare"): monai_prepare,
    ("ours", "patches"): our_patches,
    ("nnunet", "patches"): nnunet_patches,
    ("cache", "patches"): monai_patches,
    ("persistent", "patches"): monai_patches,
}

if __name__ == "__main__":
    main()
