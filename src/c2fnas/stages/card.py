"""The model card: what a package was trained on, how good it is and what it is not."""

from c2fnas.evaluation.metrics import ByClass, Evaluation
from c2fnas.networks.designs import Design
from c2fnas.runs.found import was_found
from c2fnas.runs.run import Setting
from c2fnas.space.architecture import Architecture
from c2fnas.space.geometry import by
from c2fnas.training.recipe import Recipe


def model_card(setting: Setting, design: Design, recipe: Recipe, fold: int, evaluation: Evaluation) -> str:
    """The card of a fold's model, in Markdown."""
    split, plan = setting.folds[fold], setting.plan
    grid = f"spacing {by(plan.spacing, ' × ')} mm" if plan.spacing else f"resized to {by(plan.resize or (), ' × ')}"
    channels = ", ".join(channel.name for channel in plan.channels)
    what, seen = _origin(setting, design)
    return f"""# {setting.config.dataset}, fold {fold}

{what} trained with c2fnas {setting.config.versions["c2fnas"]}.

- **Architecture**: `{design.to_text()}`
- **Data**: {len(split.training)} training cases of {setting.config.dataset}; channels {channels}
- **Grid**: {grid}, patch {by(plan.patch_size, " × ")}
- **Training**: recipe `{recipe.name}`, {recipe.iterations} iterations of {recipe.batch_size} patches,
  {recipe.precision}, seed {setting.config.seed}, {_start(setting)}
- **Validation**: mean whole-volume Dice {evaluation.mean:.4f} on {len(split.validation)} cases that were not trained on
{_scores(evaluation.per_class)}

{seen}Not a medical device: a research model that knows images like those it was trained on.

Use: `c2fnas predict FOLDER --input IMAGES --output PREDICTIONS`
"""


def _origin(setting: Setting, design: Design) -> tuple[str, str]:
    """What it is, and whether a search was led by its validation cases; of a network that was given nobody knows."""
    if not isinstance(design, Architecture):
        return "A network of a fixed form,", ""
    if was_found(setting.folder, design):
        what = "A network found by coarse-to-fine architecture search and"
        return what, "The search may have seen the validation cases when it chose the architecture. "
    what = "A network of the C2FNAS search space,"
    return what, "If a search on these data chose the architecture, it may have seen the validation cases. "


def _start(setting: Setting) -> str:
    start = setting.config.deployment.start
    return f"fine-tuned from another model ({start[:12]})" if start else "from scratch"


def _scores(per_class: ByClass) -> str:
    return "\n".join(
        f"  - {name}: {'not present' if dice is None else f'{dice:.4f}'}" for name, dice in per_class.items()
    )
