"""The super-network of the fine stage (paper 3.4, Eq. 6): a job that trains it, and its trained weights."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from c2fnas.errors import UserError
from c2fnas.execution.job import Job
from c2fnas.execution.retry import MICRO_BATCH_DIVISOR
from c2fnas.networks import SuperNetwork
from c2fnas.runs.driver import run_jobs
from c2fnas.runs.run import Run
from c2fnas.search.paths import SAMPLINGS, describe_fairness
from c2fnas.space.architecture import Architecture
from c2fnas.space.topology import Topology
from c2fnas.stages.training import WEIGHTS, train_on
from c2fnas.training.checkpoint import forget_checkpoints
from c2fnas.training.weights import load_weights, save_weights

STAGE = "super-network"

Json = dict[str, Any]
Sampling = list[list[int]]
"""In how many iterations each cell has trained each operation."""


def train_supernet(run: Run, topology: Topology) -> Sampling:
    """Train the super-network of ``topology`` and return its sampling.

    Raises:
        UserError: it failed.
    """
    job = supernet_job(run, topology)
    (outcome,) = run_jobs(run, STAGE, [job])
    if outcome.value is None:
        raise UserError(
            f"{job.folder}: the super-network could not be trained: {outcome.failure}. Fix the cause and give the "
            "same command again; where the training itself diverges, prepare another run with another --seed."
        )
    forget_checkpoints(job.folder)  # not before the result is known, lest a kill cost the training
    sampling: Sampling = outcome.value["sampling"]
    run.reporter.say(f"Super-network: {describe_fairness(sampling)}.")
    return sampling


def supernet_job(run: Run, topology: Topology) -> Job:
    """Return the job that trains the super-network."""
    payload = {"run": "../..", "code": list(topology.code)}
    return Job("super-network", "c2fnas.stages.supernet:train_supernet_job", payload, run.folder.supernet)


def train_supernet_job(payload: Json, folder: Path, device: str) -> Json:
    """Train the super-network of a topology by single-path one-shot and leave its weights."""
    supernet, sampling = train_supernet_network(payload, folder, device)
    save_weights(folder / WEIGHTS, supernet)
    return {"sampling": sampling}


def train_supernet_network(payload: Json, folder: Path, device: str) -> tuple[SuperNetwork, Sampling]:
    """Return the trained super-network and its sampling; processes that train together each call this."""
    run = Run.open(folder / payload["run"])
    config = run.config
    supernet = new_supernet(run, payload["code"])
    paths = SAMPLINGS[config.fine.sampling](config.operations, config.cells, seed=config.seed)
    recipe, topology = config.fine.recipe, Topology(tuple(payload["code"]))
    train_on(
        run,
        supernet,
        run.search_split.training,
        recipe,
        folder,
        device,
        macs=run.cost(Architecture.uniform(topology, width=run.width)).macs,  # of its costliest path
        divisor=payload.get(MICRO_BATCH_DIVISOR, 1),
        forward=lambda network, image, iteration: network(image, paths(iteration)),
    )
    return supernet, paths.counts(recipe.iterations)


def new_supernet(run: Run, code: Sequence[int]) -> SuperNetwork:
    """Build the super-network of a topology's code with the run's first weights."""
    torch.manual_seed(run.config.seed)
    return SuperNetwork(
        Topology(tuple(code)),
        in_channels=run.in_channels,
        classes=run.classes,
        width=run.width,
        operations=run.config.operations,
    )


def trained_supernet(run: Run, code: Sequence[int]) -> SuperNetwork:
    """Build the super-network with the weights that its training has left.

    Raises:
        UserError: they are damaged, missing or another network's.
    """
    supernet = new_supernet(run, code)
    load_weights(run.folder.supernet / WEIGHTS, supernet)
    return supernet
