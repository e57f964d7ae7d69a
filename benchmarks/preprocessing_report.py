"""The Markdown of `preprocessing.py`."""

from typing import Any

NAMES = {
    "ours": "c2fnas",
    "nnunet": "nnU-Net",
    "cache": "MONAI CacheDataset",
    "persistent": "MONAI PersistentDataset",
    "cache-cubic": "MONAI CacheDataset, third order",
}
TITLES = {
    "fingerprint": "Fingerprint and plan",
    "prepare": "Preparation: orientation, crop, normalisation, spacing, cache",
    "patches": "Patches, no augmentation",
}


def table(facts: dict[str, Any]) -> str:
    """The results; ratios are to ours, so above one is slower or larger than ours."""
    lines = [
        "# Preprocessing",
        "",
        f"`{facts['command']}`",
        "",
        f"{facts['machine']}; {facts['workers']} workers.",
        "",
        "Medians of alternated runs, each in its own process. Memory is that of a process and its workers together; "
        "ratios are to c2fnas.",
        "",
    ]
    workload = ""
    for row in facts["rows"]:
        if row["workload"] != workload:
            workload = row["workload"]
            lines += [f"## {workload}", ""]
        lines += [f"### {TITLES[row['step']]} ({_times(row['repeats'])})", "", *_rows(row), ""]
    return "\n".join(lines)


def _rows(row: dict[str, Any]) -> list[str]:
    per_second = row["step"] == "patches"
    lines = [
        f"| | wall s | processor s |{' patches per processor s |' if per_second else ''} ratio of processor s | "
        "peak MiB | ratio | added to the start MiB |",
        "|---|---|---|---|---|---|---|" + ("---|" if per_second else ""),
    ]
    ours = row["medians"]["ours"]
    for tool, found in row["medians"].items():
        patches = row["runs"][tool][0]["facts"].get("patches")
        rate = f" {patches / max(found['cpu'], 0.01):.0f} |" if per_second else ""
        lines.append(
            f"| {NAMES[tool]} | {found['wall']:.1f} | {found['cpu']:.1f} |{rate} "
            f"{found['cpu'] / max(ours['cpu'], 0.01):.2f} | {found['peak'] / 2**20:.0f} | "
            f"{found['peak'] / ours['peak']:.2f} | {found['added'] / 2**20:.0f} |"
        )
    return lines


def _times(repeats: int) -> str:
    return "one run" if repeats == 1 else f"{repeats} runs"
