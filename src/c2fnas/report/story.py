"""What a run did, in sentences: its state, what each stage was asked for, and the verdict."""

import shlex

from c2fnas.networks.baselines import Baseline
from c2fnas.networks.designs import Design
from c2fnas.report.facts.fine import patch_cost
from c2fnas.report.facts.run import RunFacts
from c2fnas.report.words import duration, large, plural, score
from c2fnas.runs.config import RunConfig
from c2fnas.space.geometry import by
from c2fnas.training.recipe import Recipe

NO_VERDICT = (
    "No verdict was made: nothing here says whether the searched network is better than a plain one that was trained "
    "at equal cost."
)


def lead(run: RunFacts) -> str:
    """What kind of run it is."""
    what = "Training of a given network" if _only_trained(run) else "Coarse-to-fine architecture search"
    return f"{what}, budget {run.config.budget}, seed {run.config.seed}."


def verdict_sentence(run: RunFacts) -> str:
    """The verdict; where none was made, that there is none."""
    return NO_VERDICT if run.verdict is None else str(run.verdict["sentence"])


def state(run: RunFacts) -> str:
    """Where the run stands, in a sentence."""
    costs = run.costs
    if costs.finished:
        return "The run is finished."
    done = [each.name for each in costs.stages if each.finished]
    so_far = f"{', '.join(done)} done" if done else "no stage is done yet"
    eta = "how long the rest takes is not known yet" if costs.eta is None else f"about {duration(costs.eta)} left"
    return f"The run is not finished: {so_far}; {eta}. The command that started it carries on."


def deeds(run: RunFacts) -> list[str]:
    """What each stage was asked to do, a sentence each."""
    config = run.config
    said = [] if _only_trained(run) else _search(config)
    if _only_trained(run) and run.design is not None:
        said.append(f"A given network was trained, nothing was searched: {run.design.to_text()}.")
    trained = len(_folds(run))
    folds = f"{trained} of {len(run.folds)} folds" if run.folds else "its folds"
    start = "from another model" if config.deployment.start else "from scratch"
    said.append(f"Deployment: the network trained {start} on {folds}, {_training(config.deployment.recipe)} each.")
    if config.verdict or run.verdict is not None:
        said.append(
            "Verdict: a U-Net of equal multiply-accumulates and the median of the random topologies, trained alike and "
            "compared case by case."
        )
    return said


def tiles(run: RunFacts) -> list[tuple[str, str, str]]:
    """The figures at the top: value, what it is, and a remark."""
    found = []
    evaluation = run.final.evaluation
    if evaluation is not None:
        classes = ", ".join(f"{name} {score(dice)}" for name, dice in evaluation.per_class.items())
        found.append((score(evaluation.mean), "mean Dice", f"{classes}; {plural(len(evaluation.cases), 'case')}"))
    elif run.coarse.best is not None:
        found.append((score(run.coarse.best.score), "best Dice so far", "of a coarse candidate on the validation fold"))
    if run.architecture is not None and run.plan is not None:
        cost = patch_cost(run.architecture, run.plan)
        found.append((large(cost.parameters), "parameters", f"width {run.architecture.width:g}"))
        found.append((large(cost.macs), "multiply-accumulates", f"a patch of {by(run.plan.patch_size)} voxels"))
    return found


def repeatability(run: RunFacts) -> str:
    """What the command of :func:`repeat_command` gives, beside this run's network."""
    same = "The same command on the same data, with the same versions, the same kind of processor and as many cores,"
    reasons = []
    if any(device.startswith("cuda") for device in run.config.devices):
        reasons.append("GPU libraries add in varying order")
    if run.workers > 1 and not _only_trained(run):
        reasons.append("with several devices, the candidate that ends first decides what is tried next")
    if run.processes > 1:
        reasons.append(f"{run.processes} processes trained together, where the command starts one")
    if not reasons:
        return f"{same} gives the same network, bit for bit."
    return f"{same} need not give the same network: {'; '.join(reasons)}."


def repeat_command(run: RunFacts) -> str:
    """The command that starts this run again in another folder."""
    config = run.config
    if _only_trained(run):
        return _train_command(run)
    return shlex.join(
        [
            "c2fnas",
            "run",
            config.dataset_path,
            "--run",
            "NEW",
            "--budget",
            config.budget,
            "--seed",
            str(config.seed),
            "--devices",
            ",".join(config.devices),
        ]
    )


def _train_command(run: RunFacts) -> str:
    """All that decides the weights is said: a time budget would find other iterations elsewhere."""
    config, recipe = run.config, run.config.deployment.recipe
    begun = ["--from", str(run.folder.start_model)] if config.deployment.start else []
    return shlex.join(
        [
            "c2fnas",
            "train",
            config.dataset_path,
            *_design(run.design),
            *begun,
            "--run",
            "NEW",
            "--budget",
            config.budget,
            "--recipe",
            recipe.name,
            "--precision",
            recipe.precision,
            "--iterations",
            str(recipe.iterations),
            "--folds",
            ",".join(map(str, _folds(run))),
            "--seed",
            str(config.seed),
            "--devices",
            ",".join(config.devices),
        ]
    )


def _design(design: Design | None) -> list[str]:
    if isinstance(design, Baseline):
        return ["--network", design.name, "--width", str(design.width)]
    return ["--architecture", design.to_text() if design else "ARCHITECTURE"]


def _folds(run: RunFacts) -> list[int]:
    """Those that the run began with and those that were asked for later."""
    return sorted({*run.config.deployment.folds, *(each.fold for each in run.final.folds)})


def _only_trained(run: RunFacts) -> bool:
    return run.config.kind == "training"


def _search(config: RunConfig) -> list[str]:
    coarse, fine = config.coarse, config.fine
    how = "by Algorithm 1 of the paper" if coarse.sampler == "algorithm1" else f"by the sampler {coarse.sampler}"
    stopping = "" if coarse.early_stopping is None else ", the weaker ones stopped early"
    cases = "all validation cases" if fine.cases is None else plural(fine.cases, "validation case")
    return [
        f"Coarse: {plural(coarse.evaluations, 'topology', 'topologies')} of {config.space.topology_count}, chosen "
        f"{how} among {coarse.clusters} clusters, each trained from scratch for {_training(coarse.recipe)}{stopping}.",
        f"Fine: a super-network of {len(config.operations)} operations in {config.cells} cells trained for "
        f"{_training(fine.recipe)} with {fine.sampling} sampling; then {fine.candidates} paths ranked on {cases}.",
    ]


def _training(recipe: Recipe) -> str:
    return f"{plural(recipe.iterations, 'iteration')} of {plural(recipe.batch_size, 'patch', 'patches')}"
