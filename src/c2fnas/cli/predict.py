"""`c2fnas predict`: labels for images."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from c2fnas.cli.options import Quiet

SOME_FAILED = 1


def predict(
    models: Annotated[
        list[Path],
        typer.Argument(
            help="Package folders, a run folder, which stands for its folds' models, or the name of models that come "
            "with c2fnas, such as `hippocampus`; a folder of this name on disk goes before."
        ),
    ],
    input: Annotated[Path, typer.Option("--input", "-i", help="An image, or a folder of images.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder that the labels go to.")],
    vote: Annotated[
        Literal["majority", "mean"],
        typer.Option(help="How several models are fused: majority voting (the paper), or the mean probability."),
    ] = "majority",
    mirror: Annotated[
        bool | None, typer.Option("--mirror/--no-mirror", help="Average over mirrored views; by default as trained.")
    ] = None,
    stride: Annotated[
        str | None, typer.Option(help="Voxels between windows, one number or three (`16,16,4`); default: the model's.")
    ] = None,
    device: Annotated[str, typer.Option(help="`auto` (the first GPU, else the CPU), `cpu`, `cuda:1` ...")] = "auto",
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"], typer.Option(help="`auto`: what the device computes fast.")
    ] = "auto",
    max_memory: Annotated[
        str | None,
        typer.Option(
            help="What to compute in, such as `8G`: the GPU's memory, or on the CPU all of this process's, in which "
            "windows and sums are fitted beside the image (whose preparation takes about five times its size)."
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Predict all again, and replace other models' predictions.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Label images with one model, or with several that vote, each in its own geometry and data type.

    Files keep their names. `CASE_0000`, `CASE_0001` ... are one case's channels. Interrupted, the same command carries
    on; a case that fails is passed over and told of, and the exit code is 1 at the end.

    Examples:

    `c2fnas predict hippocampus --input Task04_Hippocampus/imagesTs --output predictions`

    `c2fnas predict runs/hippocampus --input Task04_Hippocampus/imagesTs --output predictions`

    `c2fnas predict runs/hippocampus/final/fold-0/model --input scan.nii.gz --output predictions --mirror`
    """
    from c2fnas.cli.display import Display
    from c2fnas.inference.model import predict_folder

    with Display(quiet=quiet) as display:
        started = False

        def show(done: int, failed: int, total: int) -> None:
            nonlocal started
            if not started:
                display.start("predict", total)
                started = True
            display.update("predict", done, f"{failed} failed" if failed else "")

        predicted = predict_folder(
            models,
            input,
            output,
            overwrite=overwrite,
            on_progress=show,
            vote=vote,
            mirror=mirror,
            stride=stride,
            device=device,
            precision=precision,
            max_memory=max_memory,
        )
        display.finish("predict")
    typer.echo(predicted.text())
    for line in predicted.failure_text().splitlines():
        typer.echo(f"c2fnas: {line}", err=True)
    if predicted.failures:
        raise typer.Exit(SOME_FAILED)
