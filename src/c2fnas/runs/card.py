"""The model card: what a package was trained on, how good it is and what it is not."""

from c2fnas.data.folds import EVERY_CASE, UNKNOWN, Fold, Split
from c2fnas.data.plan import Plan
from c2fnas.evaluation.metrics import ByClass, Evaluation
from c2fnas.networks.designs import Design
from c2fnas.runs.config import RunConfig
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.run import Run
from c2fnas.space.architecture import Architecture
from c2fnas.text import crossed
from c2fnas.training.recipe import Recipe
from c2fnas.training.shortness import card_line


def model_card(run: Run, design: Design, recipe: Recipe, fold: Fold, evaluation: Evaluation | None) -> str:
    """Return the card of a fold's model, in Markdown; without ``evaluation``, its Dice is unknown."""
    split, plan = run.split(fold), run.plan
    channels = ", ".join(channel.name for channel in plan.channels)
    return f"""# {run.config.dataset}, {"every case" if fold == EVERY_CASE else f"fold {fold}"}

{origin(run.folder, design)} trained with c2fnas {run.config.versions["c2fnas"]}.

{"" if run.config.deployment.start else card_line(recipe, len(split.training))}- **Architecture**: `{design.to_text()}`
- **Data**: {len(split.training)} training cases of {run.config.dataset}; channels {channels}{labels(plan)}
- **Grid**: {grid(plan)}
- **Training**: recipe `{recipe.name}`, {recipe.iterations} iterations of {recipe.batch_size} patches,
  {recipe.precision}, seed {run.config.seed}, {start(run.config)}
- **Validation**: {_validation(evaluation, len(split.validation))}

{_seen(run, design, split)}Not a medical device: a research model that knows images like those it was trained on.

Use: `c2fnas predict FOLDER --input IMAGES --output PREDICTIONS`
"""


def grid(plan: Plan) -> str:
    """Return the grid and the patch that networks of a plan see, as text."""
    space = (
        f"spacing {crossed(plan.spacing, ' × ')} mm"
        if plan.spacing
        else f"resized to {crossed(plan.resize or (), ' × ')}"
    )
    return f"{space}, patch {crossed(plan.patch_size, ' × ')}"


def labels(plan: Plan) -> str:
    """Return the regions of a plan and its ignored label as lines of a list; nothing where there are none."""
    regions = "; ".join(f"{each.name} {list(each.values)}" for each in plan.classes[1:])
    lines = []
    if plan.regions_class_order is not None:
        order = ", ".join(map(str, plan.regions_class_order))
        lines.append(
            f"- **Regions**, which may overlap, with their labels: {regions}; written in this order as {order}"
        )
    if plan.ignore is not None:
        lines.append(f"- **Ignored**: voxels of label {plan.ignore}, in training and in every figure")
    return "".join(f"\n{line}" for line in lines)


def origin(run: RunFolder, design: Design) -> str:
    """Return the network's origin as text; a search's only where it is this run's own."""
    if not isinstance(design, Architecture):
        return "A network of a fixed form,"
    if found_by_search(run, design):
        return "A network found by coarse-to-fine architecture search,"
    return "A network of the C2FNAS search space,"


def found_by_search(run: RunFolder, design: Design) -> bool:
    """Return true if a search of this run has found ``design``; a default one is no search's."""
    return run.has_found(design) and RunConfig.load(run.config).searches


def start(config: RunConfig) -> str:
    """Return the weights that the final networks of a run begin with, as text."""
    model = config.deployment.start
    return f"fine-tuned from another model ({model[:12]})" if model else "from scratch"


def _seen(run: Run, design: Design, split: Split) -> str:
    """The warning that a search may have been led by the validation cases."""
    if not isinstance(design, Architecture) or not split.validation:
        return ""
    if found_by_search(run.folder, design):
        return "The search may have seen the validation cases when it chose the architecture. "
    return "If a search on these data chose the architecture, it may have seen the validation cases. "


def _validation(evaluation: Evaluation | None, cases: int) -> str:
    if not cases:
        return UNKNOWN
    if evaluation is None:
        return f"Dice not measurable on the {cases} cases that were not trained on"
    head = f"mean whole-volume Dice {evaluation.mean:.4f} on {cases} cases that were not trained on"
    return f"{head}\n{_scores(evaluation.per_class)}"


def _scores(per_class: ByClass) -> str:
    return "\n".join(
        f"  - {name}: {'not present' if dice is None else f'{dice:.4f}'}" for name, dice in per_class.items()
    )
