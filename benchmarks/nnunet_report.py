"""The Markdown of `nnunet_beside_us.py`."""

from typing import Any


def table(facts: dict[str, Any]) -> str:
    """The results, Dice in per cent."""
    theirs, ours = facts["nnunet"], facts["c2fnas"]
    minutes, folds = facts["minutes"], ", ".join(map(str, facts["folds"]))
    versions = (
        f"nnunetv2 {theirs['versions']['nnunetv2']} (torch {theirs['versions']['torch']}), "
        f"c2fnas {ours['versions']['c2fnas']} (torch {ours['versions']['torch']})"
    )
    lines = [
        "# nnU-Net beside us",
        "",
        f"`{facts['command']}`",
        "",
        f"{facts['machine']}; trained on: {facts['device']}. {versions}.",
        "",
        f"{facts['data_set']}, fold {folds}, {ours['cases']} validation cases; {minutes:g} minutes to train a fold.",
        "",
        "| class | nnU-Net | c2fnas | difference |",
        "|---|---|---|---|",
        *_scores(theirs, ours),
        "",
        " ".join(facts["c2fnas_less_nnunet"]["sentences"]),
        "",
        "| | patch | patches a step | steps a fold | wall-clock minutes a fold |",
        "|---|---|---|---|---|",
        _training(
            "nnU-Net",
            theirs,
            [each["iterations"] for each in theirs["trainings"].values()],
            [each["whole"]["wall"] for each in theirs["trainings"].values()],
        ),
        _training("c2fnas", ours, [ours["iterations"]], list(ours["seconds"].values())),
        "",
        "Wall-clock minutes are of the training and the prediction of the validation cases together. That prediction "
        "comes out of c2fnas's budget and is added to nnU-Net's. nnU-Net trains by its own recipe, its "
        "schedule ended by the clock. Folds are the replicates; none of this says what a longer training would give.",
        "",
        f"c2fnas trained `{ours['architecture']}` in {ours['precision']}, and predicted "
        f"{'over' if ours['mirror'] else 'without'} mirrored views; nnU-Net predicts over them.",
    ]
    return "\n".join(lines) + "\n"


def _scores(theirs: dict[str, Any], ours: dict[str, Any]) -> list[str]:
    """A line for each class and the mean."""
    rows = [
        (their["name"], their["dice"], our["dice"])
        for their, our in zip(theirs["classes"], ours["classes"], strict=True)
    ]
    rows.append(("mean", theirs["mean"]["dice"], ours["mean"]["dice"]))
    return [f"| {name} | {_percent(a)} | {_percent(b)} | {_less(b, a)} |" for name, a, b in rows]


def _less(ours: float | None, theirs: float | None) -> str:
    return "–" if ours is None or theirs is None else f"{100 * (ours - theirs):+.2f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f}"


def _training(name: str, facts: dict[str, Any], steps: list[int], seconds: list[float]) -> str:
    size = "×".join(map(str, facts["patch"]))
    counts = ", ".join(map(str, steps))
    return f"| {name} | {size} | {facts['batch']} | {counts} | {', '.join(f'{each / 60:.1f}' for each in seconds)} |"
