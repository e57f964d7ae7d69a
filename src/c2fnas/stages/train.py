"""Training any architecture on any data set (the paper's transfer), each fold a job of its own."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from c2fnas.data.folds import EVERY_CASE, Fold, chosen_folds
from c2fnas.errors import UserError
from c2fnas.execution.call import RESULT
from c2fnas.files import new_folder
from c2fnas.inference.package import copy_package, load_package
from c2fnas.networks.designs import Design, build_design
from c2fnas.planning.request import request_for
from c2fnas.planning.run_timings import expected_timings
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.overrides import with_values
from c2fnas.runs.records.job_record import read_job
from c2fnas.runs.run import ExecutorFactory, Run
from c2fnas.runs.summary import training_text
from c2fnas.stages.deployment import Deployed, claim, deploy, is_deployed, trained_folds
from c2fnas.stages.preparation import prepare
from c2fnas.text import crossed
from c2fnas.training.checkpoint import FOLDER as CHECKPOINTS
from c2fnas.training.checkpoint import load_newest
from c2fnas.training.weights import compare

SHOWN = 8
"""More tensors than this are told of by the part of the network that they are in."""
TRAINED = "These networks are trained already: nothing is left to compute."


@dataclass(frozen=True)
class TrainOptions:
    """Options of a training; None is as the run has it, or the default.

    Attributes:
        design: what to train, of the search space or a compared network.
        start: a model package to fine-tune; its architecture is the default.
        folds: ``all``, ``last``, numbers such as ``0,2``, or ``every-case``; None: the run's, else the last.
        budget: its plan and recipe are taken, and its time goes to these folds alone.
        overrides: values of the configuration's fields.
        extend: train on, to so many iterations in all.
        forecast: time a few steps, so that it can be said before how long it takes.
    """

    design: Design | None = None
    start: Path | None = None
    folds: str | None = None
    budget: str | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    extend: int | None = None
    forecast: bool = False


def train_architecture(
    run: Run, dataset: Path, options: TrainOptions, executor: ExecutorFactory, devices: tuple[str, ...] | None = None
) -> Deployed:
    """Train an architecture on folds of a data set, in a run folder of its own or in that of a search.

    Interrupted at any point and called again, it carries on; finished, it returns at once.

    Raises:
        UserError: bad input, or the run folder holds what was made with other settings.
        Interrupted: stopped on request.
    """
    with run.locked():
        design = ready(run, dataset, options, devices)
        folds = folds_asked(run, options)
        run.reporter.say(announcement(run, design, folds))
        if set(folds) <= set(trained_folds(run)):
            run.reporter.say(TRAINED)
        if options.forecast and not is_deployed(run):
            expected_timings(run, design)
        with executor(devices or run.config.devices) as workers:
            return deploy(run.using(workers), design, folds)


def ready(run: Run, dataset: Path, options: TrainOptions, devices: tuple[str, ...] | None) -> Design:
    """Prepare the run folder for what is asked, or see that what it holds agrees; returns the network to train."""
    folder, overrides = run.folder, dict(options.overrides)
    begun = folder.config.exists()
    if options.extend:
        folder.refuse_unbegun()
    design = _design(options, folder)
    budget = options.budget
    if not begun:
        if options.folds is not None or "deployment.folds" not in overrides:
            overrides["deployment.folds"] = _folds_field(options.folds or "last")
        budget = budget or ("paper" if overrides.get("deployment.recipe.name") == "paper" else None)
    if options.start is not None:
        overrides["deployment.start"] = load_package(options.start).checksum
    if options.extend:
        overrides.pop("deployment.recipe.iterations", None)
    request = request_for(folder, budget=budget, overrides=overrides, devices=devices, design=design)
    prepare(run, dataset, request)
    claim(folder, design)
    if options.start is not None:
        claim_start(run, options.start)
    if options.extend is not None:
        extend(run, options.extend)
    return design


def folds_asked(run: Run, options: TrainOptions) -> tuple[Fold, ...]:
    """Return the folds that are asked for, else those that the run's configuration has.

    Raises:
        UserError: there is no such fold.
    """
    return run.final_folds if options.folds is None else chosen_folds(options.folds, len(run.folds))


def extend(run: Run, iterations: int) -> None:
    """Let the run's networks train on, to so many iterations in all.

    Raises:
        UserError: they have trained for more already, or their checkpoints are gone.
    """
    recipe = run.config.deployment.recipe
    if iterations == recipe.iterations:
        return
    if iterations < recipe.iterations:
        raise UserError(
            f"--extend {iterations}: the networks of this run train for {recipe.iterations} iterations already. Give "
            "the number of iterations in all, a larger one."
        )
    ended = sorted(run.folder.final.glob(f"fold-*/{RESULT}"))
    for path in (each.parent for each in ended):
        if read_job(path).done and load_newest(path / CHECKPOINTS) is None:
            raise UserError(
                f"{path}: its checkpoint is gone or damaged, so its training can't be extended. Fine-tune its model in "
                f"another run instead: --from {path / 'model'}."
            )
    for each in ended:
        each.unlink()  # before the configuration says so: whoever looks then sees a training that has not ended
    values = {"deployment.recipe": recipe.with_iterations(iterations), "deployment.extended": True}
    run.configure(with_values(run.config, values))


def announcement(run: Run, design: Design, folds: tuple[Fold, ...]) -> str:
    """Return what will be trained, and what of another model comes over."""
    recipe, size = run.config.deployment.recipe, crossed(run.plan.patch_size)
    text = (
        f"{design.to_text()}\n{run.config.dataset}, folds {', '.join(map(str, folds))} of "
        f"{len(run.folds)}: {training_text(recipe)} of {size}, recipe "
        f"{recipe.name}, {recipe.precision}, seed {run.config.seed}"
    )
    return f"{text}\n{transfer_report(run, design)}" if run.config.deployment.start else text


def _design(options: TrainOptions, folder: RunFolder) -> Design:
    """The network asked for, else the one that the run has, else that of the model to start from."""
    if options.design is not None:
        return options.design
    own = folder.design
    if own is not None:
        return own
    if options.start is None:
        folder.refuse_without_design()
    assert options.start is not None
    return load_package(options.start).design


def _folds_field(text: str) -> Any:
    """The folds as the configuration has them; a text that names none is refused once their number is known."""
    parts = [part.strip() for part in text.split(",")]
    readable = all(part.isdecimal() or part in ("all", "last", EVERY_CASE) for part in parts)
    return [int(part) if part.isdecimal() else part for part in parts] if readable else "last"


def claim_start(run: Run, start: Path) -> None:
    """Copy the model package ``start`` into the run folder, which then holds all that the run needs.

    The copy of another one, given before any network was trained, makes way.
    """
    folder = run.folder.start_model
    if folder.exists() and load_package(folder).checksum == run.config.deployment.start:
        return
    with new_folder(folder, replace=True) as unfinished:
        copy_package(start, unfinished)


def transfer_report(run: Run, design: Design) -> str:
    """Return a paragraph on what is taken over and what is not; nothing is computed."""
    model = load_package(run.folder.start_model)
    with torch.device("meta"):
        network = build_design(design, in_channels=run.in_channels, classes=run.classes)
    plan = compare(model.network.state_dict(), network)
    text = f"Fine-tuning: {len(plan.loaded)} of {len(plan.loaded) + len(plan.left)} tensors come over from the model."
    if plan.left:
        text += f" Newly begun: {in_words(plan.left)}."
    if plan.unused:
        text += f" Not used of the model: {in_words(plan.unused)}."
    return text


def in_words(names: Sequence[str]) -> str:
    """Tensors by name; many of them by cell or other part of their network, with how many these are.

    >>> in_words(["stem_out.classify.bias", "stem_out.classify.weight"])
    'stem_out.classify.bias, stem_out.classify.weight'
    >>> in_words([f"cells.{cell}.postprocess.{part}" for cell in (0, 1) for part in range(5)] + ["stem_in.first.0"])
    'cells.0 (5 tensors), cells.1 (5 tensors), stem_in (1 tensors)'
    """
    if len(names) <= SHOWN:
        return ", ".join(names)
    parts = Counter(".".join(name.split(".")[: 2 if name.startswith("cells.") else 1]) for name in names)
    return ", ".join(f"{part} ({count} tensors)" for part, count in parts.items())
