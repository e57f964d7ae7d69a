"""The one training job: a network trained by a recipe on a fold and scored on the cases that it leaves out.

It resumes from its own folder when it is called again, and is a pure function of the run's configuration and its spec,
so it does not matter where or how often it was interrupted.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from c2fnas.data.augment import augmentation
from c2fnas.data.dataset import evenly_spread
from c2fnas.data.folds import UNKNOWN
from c2fnas.data.patches import PatchSampler, prefetched
from c2fnas.errors import Interrupted, UserError
from c2fnas.evaluation.evaluate import evaluate_network
from c2fnas.evaluation.metrics import Evaluation, Options
from c2fnas.execution.retry import MICRO_BATCH_DIVISOR
from c2fnas.files import write_json
from c2fnas.inference.ensemble import Mirrored
from c2fnas.inference.package import load_package, save_package
from c2fnas.inference.quality import Seen
from c2fnas.inference.sliding_window import SlidingWindow
from c2fnas.memory import is_out_of_memory
from c2fnas.planning.plan import scaled_plan
from c2fnas.runs.card import model_card
from c2fnas.runs.folder import EVALUATION, PACKAGE
from c2fnas.runs.live import progress_to
from c2fnas.runs.micro_batch import keep_micro_batch, within_memory
from c2fnas.runs.records.predictions import keep_prediction
from c2fnas.runs.records.scored_cases import ScoredCases
from c2fnas.runs.records.trained import Trained
from c2fnas.runs.run import Run
from c2fnas.stages.training_jobs import TrainingSpec
from c2fnas.training.checkpoint import forget_checkpoints
from c2fnas.training.device import ranks
from c2fnas.training.loop import train
from c2fnas.training.recipe import Recipe
from c2fnas.training.step import Forward, plain_forward
from c2fnas.training.weights import save_weights, transfer

Json = dict[str, Any]

PREFETCH_WORKERS = 1
WEIGHTS = "weights.safetensors"
log = logging.getLogger(__name__)


def run_spec(payload: Json, folder: Path, device: str) -> Json:
    """Train and score the spec of a job; the target of :func:`training_job`."""
    run, divisor = Run.open(folder / payload["run"]), payload.get(MICRO_BATCH_DIVISOR, 1)
    spec = TrainingSpec.from_json({key: payload[key] for key in TrainingSpec.__dataclass_fields__})
    return train_and_score(run, spec, folder, device, divisor=divisor).to_json()


def train_and_score(run: Run, spec: TrainingSpec, folder: Path, device: str, *, divisor: int = 1) -> Trained:
    """Train a network and score it (paper Eq. 2 and 3; 4.1); leaves ``evaluation.json`` and what the spec keeps.

    A trained network is packaged before it is scored, so that no failure afterwards costs it: where scoring fails,
    it has no Dice, and says why.

    Args:
        run: the data, the plan and the folder of the model to start from.
        spec: what is trained.
        folder: of the job; a training that was cut short carries on from its checkpoint there.
        device: "cpu", "cuda:0" ...
        divisor: of the micro-batch, after an out-of-memory; the effective batch stays.

    """
    began = time.process_time()
    run = run.varied(seed=spec.seed, plan=scaled_plan(run.fold_plan(spec.fold), spec.patch_factor))
    if spec.score_at:
        forget_checkpoints(folder)  # a training of seconds begins again where it was cut short
    network, rungs = train_network(run, spec, folder, device, divisor)
    end = spec.until or spec.recipe.iterations
    packaged = spec.keep in ("package", "model")
    if packaged:
        _save_model(run, spec, network, folder, None)
    elif spec.keep == "weights" and end == spec.recipe.iterations:
        save_weights(folder / WEIGHTS, network)
    evaluation, reason = _scored(run, spec, network, folder, device, last_try=divisor > 1 or ranks()[1] > 1)
    if evaluation is not None and packaged:
        _save_model(run, spec, network, folder, evaluation)
    dice, per_class = (None, {}) if evaluation is None else (evaluation.mean, dict(evaluation.per_class))
    return Trained(dice, per_class, rungs, time.process_time() - began, reason)


def train_network(
    run: Run, spec: TrainingSpec, folder: Path, device: str, divisor: int = 1
) -> tuple[torch.nn.Module, dict[str, float | None]]:
    """Return the trained network and Dice by iteration of ``score_at``, None where nothing could be scored."""
    network, macs = run.build(spec.design), run.cost(spec.design).macs
    if spec.start:
        transfer(load_package(run.folder.start_model).network.state_dict(), network)
    split, rungs = run.split(spec.fold), {}

    def validate(trained: torch.nn.Module) -> float | None:
        return _or_none(lambda: _evaluate(run, spec, trained, device).mean)

    for end in (*spec.score_at, spec.until or spec.recipe.iterations):
        train_on(
            run,
            network,
            split.training,
            spec.recipe,
            folder,
            device,
            macs=macs,
            divisor=divisor,
            extend=spec.extend,
            validate=validate,
            validate_every=run.config.deployment.validate_every if spec.keep == "model" and split.validation else None,
            until=end,
        )
        if end in spec.score_at:
            rungs[str(end)] = _or_none(lambda: _evaluate(run, spec, network, device).mean)
    return network, rungs


def train_on(
    run: Run,
    network: torch.nn.Module,
    ids: tuple[str, ...],
    recipe: Recipe,
    folder: Path,
    device: str,
    *,
    macs: int,
    divisor: int = 1,
    forward: Forward = plain_forward,
    **options: Any,
) -> None:
    """Train on the cases called ``ids``; ``options`` are :func:`c2fnas.training.loop.train`'s.

    ``macs`` is the network's cost on one patch: where a training of this cost has run out of memory, this one begins
    with the micro-batch that fitted, and what it finds itself is kept for the next. A retry, of a ``divisor`` above 1,
    leaves a GPU's memory to the network.
    """
    (rank, world_size), on_cpu = ranks(), device.startswith("cpu")
    sampler = PatchSampler(
        run.cases(ids),
        patch_size=run.plan.patch_size,
        volumes=recipe.volumes,
        patches_per_volume=recipe.patches_per_volume,
        seed=run.config.seed,
        foreground_rate=recipe.foreground_rate,
        augmentation=augmentation(recipe.augmentation, run.plan),
        rank=rank,
        world_size=world_size,
        device=None if on_cpu else torch.device(device),
        resident=divisor == 1,
        half=recipe.name != "paper",
        outside=run.scheme.outside,
    )
    batches = partial(prefetched, sampler, workers=PREFETCH_WORKERS, lone=on_cpu)
    recipe = within_memory(run, recipe, macs, device).divided(divisor)
    result = train(
        network,
        batches,
        recipe,
        folder=folder,
        seed=run.config.seed,
        device=device,
        forward=forward,
        scheme=run.scheme,
        **options,
    )
    keep_micro_batch(run, recipe, macs, device, result.micro_batch)


def score(run: Run, network: torch.nn.Module, window: SlidingWindow, folder: Path, device: str) -> Evaluation:
    """Score a network on the search's validation cases and leave ``evaluation.json``."""
    cases = run.cases(run.search_split.validation)
    return _kept(evaluate_network(network, cases, window, **_about(run, folder, device)), folder)


def _evaluate(
    run: Run, spec: TrainingSpec, network: torch.nn.Module, device: str, folder: Path | None = None
) -> Evaluation:
    """The scores of a network; in a job's ``folder`` those that an earlier call has kept are taken as they are."""
    ids = evenly_spread(run.split(spec.fold).validation, spec.cases)
    components = spec.keep == "model" and folder is not None and run.config.deployment.keep_largest
    window = run.coarse_window if spec.window == "coarse" else run.window()
    window = replace(window, precision=spec.recipe.precision)
    options, about = Options(largest=components), _about(run, folder, device)
    if folder is None:
        return evaluate_network(network, run.cases(ids), window, options=options, **about)
    if spec.keep == "model":
        about["keep"] = partial(keep_prediction, folder)
    scored = ScoredCases(folder, spec.to_json() | {"largest": components}, network)
    about |= {"known": scored.known, "on_scores": scored.add}
    found = _kept(evaluate_network(network, run.cases(ids), window, options=options, **about), folder)
    scored.forget()
    return found


def _about(run: Run, folder: Path | None, device: str) -> Json:
    progress = {} if folder is None else {"on_progress": progress_to(folder, "evaluated", device)}
    return {"scheme": run.scheme, "device": device, **progress}


def _scored(
    run: Run, spec: TrainingSpec, network: torch.nn.Module, folder: Path, device: str, *, last_try: bool
) -> tuple[Evaluation | None, str | None]:
    """The evaluation, or the reason why there is none; a lack of memory is answered by a retry first."""
    deployed = Mirrored(network) if spec.mirror and spec.recipe.mirror else network
    (folder / EVALUATION).unlink(missing_ok=True)  # of an earlier length, lest it stand for this one's
    if not run.split(spec.fold).validation:
        return None, UNKNOWN
    try:
        return _evaluate(run, spec, deployed, device, folder), None
    except Interrupted:
        raise
    except Exception as error:
        if is_out_of_memory(error) and not last_try:
            raise
        if isinstance(error, UserError) and spec.window == "coarse" and not is_out_of_memory(error):
            raise  # a full disk or a damaged case is no candidate's fault, and would fail the next one too
        log.warning("Dice not measurable: %s", error)
        return None, f"Dice not measurable: {' '.join(str(error).split())}"


def _kept(evaluation: Evaluation, folder: Path) -> Evaluation:
    write_json(folder / EVALUATION, evaluation.to_json())
    return evaluation


def _save_model(
    run: Run, spec: TrainingSpec, network: torch.nn.Module, folder: Path, evaluation: Evaluation | None
) -> None:
    training = run.split(spec.fold).training
    known = [each for each in run.fingerprint.cases if each.id in set(training)]
    save_package(
        folder / PACKAGE,
        network,
        spec.design,
        run.plan,
        card=model_card(run, spec.design, spec.recipe, spec.fold, evaluation),
        weighting=run.weighting,
        mirror=spec.recipe.mirror,
        seen=Seen.of(known, run.cases(training), run.plan.channels, run.fingerprint.stated_headers),
    )


def _or_none(measure: Callable[[], float]) -> float | None:
    """A validation on the way decides nothing, so that its failure may not cost the training."""
    try:
        return measure()
    except Interrupted:
        raise
    except Exception as error:
        log.warning("Validation during training failed: %s", error)
        return None
