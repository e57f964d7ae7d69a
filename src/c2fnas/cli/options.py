"""Options that several commands share."""

from typing import TYPE_CHECKING, Annotated

import typer

from c2fnas.errors import UserError

if TYPE_CHECKING:
    from c2fnas.data.folds import FoldChoice

Devices = Annotated[
    str,
    typer.Option(
        "--devices",
        help="`auto` (every GPU, else the CPU), or a list such as `cuda:0,cuda:1`. `cpu:0,cpu:1` shares the cores "
        "among two jobs at a time, which small patches gain by; which ends first may then decide what is tried next.",
    ),
]
Budget = Annotated[
    str,
    typer.Option(
        help="demo: minutes. hour, day: what they say, on this machine. paper: its recipe to the letter. "
        "Or a YAML file of your own."
    ),
]
Verdict = Annotated[
    bool | None,
    typer.Option(
        "--verdict/--no-verdict",
        help="Whether to train references too and say if the search was worth it; by default as the budget has it.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the result alone.")]
Folds = Annotated[
    str | None,
    typer.Option(
        "--folds",
        metavar="sequential|random|column|PATH",
        help="How cases are divided: in their order (as the paper has it), at random by the seed, by the data set's "
        "own column `fold`, or as nnU-Net's splits_final.json says. By default the column where there is one, else "
        "the order.",
    ),
]
FoldCount = Annotated[
    int | None, typer.Option("--fold-count", min=2, help="Sequential or random folds; by default five.")
]
GroupBy = Annotated[
    str | None,
    typer.Option(
        "--group-by",
        help="Keep cases of a group (a patient, say) in one fold, and count them as one in intervals: `(.+)_E[DS]` "
        "names it in the case's id.",
    ),
]


def fold_choice(folds: str | None, count: int | None, group_by: str | None) -> "FoldChoice":
    """What ``--folds``, ``--fold-count`` and ``--group-by`` ask for."""
    from c2fnas.data.folds import FoldChoice

    return FoldChoice(folds, count, group_by)


def device_names(devices: str) -> tuple[str, ...]:
    """The devices that ``--devices`` names.

    Raises:
        UserError: a device is unknown or not there.
    """
    import torch

    if devices == "auto":
        return tuple(f"cuda:{index}" for index in range(torch.cuda.device_count())) or ("cpu",)
    names = tuple(name.strip() for name in devices.split(",") if name.strip())
    for name in names:
        _refuse_absent(name, torch.cuda.device_count())
    return names or ("cpu",)


def _refuse_absent(name: str, gpus: int) -> None:
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda") or not (index.isdigit() or not index):
        raise UserError(f"--devices {name}: unknown device. Use cpu, cuda, or cuda:0, cuda:1, ...")
    if kind == "cuda" and int(index or 0) >= gpus:
        raise UserError(
            f"--devices {name}: this machine shows {gpus} GPUs to PyTorch. Leave --devices out to use what is there."
        )
