"""The model card: what a package was trained on, how good it is and what it is not."""

from c2fnas.evaluation.metrics import ByClass, Evaluation
from c2fnas.networks.designs import Design
from c2fnas.runs.found import was_found
from c2fnas.runs.run import Run
from c2fnas.space.architecture import Architecture
from c2fnas.space.geometry import by
from c2fnas.training.recipe import Recipe


def model_card(run: Run, design: Design, recipe: Recipe, fold: int, evaluation: Evaluation | None) -> str:
    """Return the card of a fold's model, in Markdown; without ``evaluation``, its Dice is not measurable."""
    split, plan = run.folds[fold], run.plan
    grid = f"spacing {by(plan.spacing, ' × ')} mm" if plan.spacing else f"resized to {by(plan.resize or (), ' × ')}"
    channels = ", ".join(channel.name for channel in plan.channels)
    what, seen = _origin(run, design)
    return f"""# {run.config.dataset}, fold {fold}

{what} trained with c2fnas {run.config.versions["c2fnas"]}.

- **Architecture**: `{design.to_text()}`
- **Data**: {len(split.training)} training cases of {run.config.dataset}; channels {channels}
- **Grid**: {grid}, patch {by(plan.patch_size, " × ")}
- **Training**: recipe `{recipe.name}`, {recipe.iterations} iterations of {recipe.batch_size} patches,
  {recipe.precision}, seed {run.config.seed}, {_start(run)}
- **Validation**: {_validation(evaluation, len(split.validation))}

{seen}Not a medical device: a research model that knows images like those it was trained on.

Use: `c2fnas predict FOLDER --input IMAGES --output PREDICTIONS`
"""


def _origin(run: Run, design: Design) -> tuple[str, str]:
    """The network's origin, and a warning if a search may have been led by the validation cases."""
    if not isinstance(design, Architecture):
        return "A network of a fixed form,", ""
    if was_found(run.folder, design):
        what = "A network found by coarse-to-fine architecture search and"
        return what, "The search may have seen the validation cases when it chose the architecture. "
    what = "A network of the C2FNAS search space,"
    return what, "If a search on these data chose the architecture, it may have seen the validation cases. "


def _start(run: Run) -> str:
    start = run.config.deployment.start
    return f"fine-tuned from another model ({start[:12]})" if start else "from scratch"


def _validation(evaluation: Evaluation | None, cases: int) -> str:
    if evaluation is None:
        return f"Dice not measurable on the {cases} cases that were not trained on"
    head = f"mean whole-volume Dice {evaluation.mean:.4f} on {cases} cases that were not trained on"
    return f"{head}\n{_scores(evaluation.per_class)}"


def _scores(per_class: ByClass) -> str:
    return "\n".join(
        f"  - {name}: {'not present' if dice is None else f'{dice:.4f}'}" for name, dice in per_class.items()
    )
