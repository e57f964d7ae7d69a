"""The card of a run's folds together: their training, their Dice and their limits."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from c2fnas.data.fingerprint import Fingerprint
from c2fnas.data.folds import EVERY_CASE, UNKNOWN, Fold
from c2fnas.data.plan import Plan
from c2fnas.errors import UserError
from c2fnas.evaluation.cross_validation import CrossValidation, cross_validated, largest_gains
from c2fnas.evaluation.metrics import Evaluation
from c2fnas.inference.package import PLAN, WEIGHTS, read_plan
from c2fnas.networks.designs import Design, build_design, read_design
from c2fnas.runs.card import found_by_search, grid, labels, origin, start
from c2fnas.runs.config import RunConfig
from c2fnas.runs.folder import EVALUATION, RunFolder
from c2fnas.runs.records.job_record import evaluation_in, read_job
from c2fnas.text import plural
from c2fnas.training.shortness import card_line
from c2fnas.training.weights import read_tensors


def ensemble_card(run: RunFolder, models: Mapping[Fold, Path], name: str, written: Path) -> str:
    """Return the card, in Markdown; every figure is read from a file.

    Args:
        run: What the models were trained in.
        models: Their packages, by fold.
        name: What the card calls them in its example.
        written: The folder with the packages as they are passed on, for their size and precision.

    Raises:
        UserError: a fold was not evaluated, or a file of the run can't be read.
    """
    scored = {fold: model for fold, model in models.items() if isinstance(fold, int)}
    found = {fold: _evaluation(model.parent) for fold, model in scored.items()}
    evaluations = {fold: each for fold, each in found.items() if each is not None}
    on_every_case = len(models) > len(scored)
    also = " and on every case" if on_every_case else ""
    unknown = f"\n\n{EVERY_CASE}: {UNKNOWN}." if on_every_case else ""
    for fold in sorted({*found} - {*evaluations}):
        ended = read_job(scored[fold].parent).trained
        reason = ended.unscored if ended and ended.unscored else UNKNOWN
        unknown += f"\n\nFold {fold}: {reason}"
    config = RunConfig.load(run.config)
    first = scored[min(scored)]
    design, plan = read_design(first), read_plan(first / PLAN)
    data = Fingerprint.load(run.fingerprint)
    return f"""# {config.dataset}: {len(models)} models that vote

{origin(run, design)} trained with c2fnas {config.versions["c2fnas"]}
once for each of {plural(len(scored), "fold")}{also}.
Together the models vote on every voxel:

```
c2fnas predict {name} --input IMAGES --output LABELS
```

{_shortness(config, data, evaluations)}{_data_and_training(config, data, design, plan)}
{_weights(written)}

## Dice

Of whole volumes in their own geometry. Every row is of cases that its network was not trained on.

{_dice(evaluations)}{unknown}

{_seen(run, design)}

## Limits

- Not a medical device: a research model. Look at what it labels.
- It knows images like those that it was trained on: {_images(data)}.
- Its classes are {", ".join(each.name for each in data.classes[1:])}; anything else in an image is background to it.
"""


def _evaluation(folder: Path) -> Evaluation | None:
    """The evaluation of a fold; None where it was trained to its end and its cases have nothing to measure by."""
    found = evaluation_in(folder)
    if found is None and not read_job(folder).done:
        raise UserError(
            f"{folder / EVALUATION}: missing, so nothing says how good this fold is. Train the run to its end first."
        )
    return found


def _shortness(config: RunConfig, data: Fingerprint, evaluations: Mapping[int, Evaluation]) -> str:
    """The warning of networks that were hardly trained, as a paragraph."""
    if config.deployment.start:
        return ""
    held_out = max((len(each.cases) for each in evaluations.values()), default=0)
    return card_line(config.deployment.recipe, len(data.cases) - held_out)


def _data_and_training(config: RunConfig, data: Fingerprint, design: Design, plan: Plan) -> str:
    recipe = config.deployment.recipe
    with torch.device("meta"):
        network = build_design(design, in_channels=len(plan.channels), classes=plan.outputs)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    channels = ", ".join(f"{channel.name} ({channel.kind.upper()})" for channel in data.channels)
    return f"""- **Architecture**: `{design.to_text()}`, {parameters / 1e6:.2f} M parameters
- **Data**: {len(data.cases)} labelled cases of {config.dataset}; channels {channels}; classes
  {", ".join(each.name for each in data.classes[1:])}{labels(plan)}
- **Grid**: {grid(plan)}
- **Training**: recipe `{recipe.name}`, {recipe.optimiser},
  {recipe.iterations} iterations of {recipe.batch_size} patches, {recipe.precision}, seed {config.seed},
  {start(config)}"""


def _weights(written: Path) -> str:
    files = sorted(written.glob(f"*/{WEIGHTS}"))
    types = {str(tensor.dtype) for file in files for tensor in read_tensors(file, None).values()}
    half = "torch.float16" in types
    size = sum(file.stat().st_size for file in files) / 1e6
    precision = "half precision (float16); Dice is that before rounding" if half else "single precision"
    return f"- **Weights**: {len(files)} files of together {size:.1f} MB, in {precision}"


def _dice(evaluations: Mapping[int, Evaluation]) -> str:
    """The table of the folds that were measured, and what the largest components gain; nothing where none was."""
    scores = cross_validated(evaluations)
    return "No fold was measured." if scores is None else f"{_table(scores, evaluations)}{_gains(scores)}"


def _table(scores: CrossValidation, evaluations: Mapping[int, Evaluation]) -> str:
    names = list(scores.per_class)
    head = [_row(["fold", "cases", *names, "mean"]), _row(["---"] * (len(names) + 3))]
    folds = [
        _row([fold, len(each.cases), *(each.per_class[name] for name in names), each.mean])
        for fold, each in sorted(evaluations.items())
    ]
    together = [scores.per_class[name].dice for name in names]
    return "\n".join([*head, *folds, _row(["together", scores.cases, *together, scores.mean.dice])])


def _gains(scores: CrossValidation) -> str:
    gains = largest_gains(scores)
    return f"\n\nIn prediction {gains}; no row has it." if gains else ""


def _row(cells: Sequence[str | int | float | None]) -> str:
    shown = ("-" if cell is None else f"{cell:.4f}" if isinstance(cell, float) else str(cell) for cell in cells)
    return f"| {' | '.join(shown)} |"


def _seen(run: RunFolder, design: Design) -> str:
    text = "The models voting together have no Dice here: of any case, all of them but one at most have seen the label."
    if found_by_search(run, design):
        text += "\nThe search has chosen the architecture by the cases of the last fold: its Dice flatters a little."
    return text


def _images(data: Fingerprint) -> str:
    sizes = [_range([case.shape[axis] for case in data.cases]) for axis in range(3)]
    spacings = [_range([round(case.spacing[axis], 3) for case in data.cases]) for axis in range(3)]
    channels = ", ".join(channel.name for channel in data.channels)
    return f"{channels} of {' × '.join(sizes)} voxels of {' × '.join(spacings)} mm"


def _range(numbers: Sequence[float]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low:g}" if low == high else f"{low:g}–{high:g}"
