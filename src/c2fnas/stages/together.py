"""Several processes, started by torchrun, that train together: every fold of a network, or the super-network.

The first process prepares, evaluates and writes; the others share the training alone. Every function here is called in
every process.
"""

import atexit
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from c2fnas.errors import UserError
from c2fnas.execution.call import clear_stop, finished, make_call
from c2fnas.execution.job import Job
from c2fnas.files import STOP
from c2fnas.networks.designs import read_design
from c2fnas.runs.live import note_on, share_done
from c2fnas.runs.poll import hand_on_stop, polling
from c2fnas.runs.run import Run
from c2fnas.space.topology import Topology
from c2fnas.stages import supernet
from c2fnas.stages.deployment import STAGE, Deployed, choose_components, deployed, fold_job
from c2fnas.stages.fine import claim_topology, topology_begun
from c2fnas.stages.pipeline import amend, topology_to_search
from c2fnas.stages.train import TrainOptions, announcement, folds_asked, ready
from c2fnas.stages.training import train_network
from c2fnas.stages.training_jobs import TrainingSpec, is_to_be_scored
from c2fnas.training.device import local_device, make_fabric, ranks

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def train_together(
    run: Run, dataset: Path, options: TrainOptions, *, kind: str, devices: tuple[str, ...] | None = None
) -> Deployed:
    """Train as :func:`c2fnas.stages.train.train_architecture` does, one large network on many devices.

    Args:
        kind: of the devices, "cpu" or "cuda".
        devices: those that the run has for its other jobs; None for its own ones, of a new run the CPU.

    Raises:
        UserError: as there, or a fold could not be trained.
        Interrupted: stopped on request.
    """
    with _together(run, kind) as processes:
        if processes.first:
            ready(run, dataset, options, devices)
        processes.fabric.barrier()
        run = Run.open(run.folder.root, run.reporter)
        design = read_design(run.folder.final)
        folds = folds_asked(run, options)
        run.reporter.say(announcement(run, design, folds))
        run.reporter.start(STAGE, len(folds))
        for number, fold in enumerate(folds):
            job = fold_job(run, design, fold)
            spec = TrainingSpec.from_json({key: job.payload[key] for key in TrainingSpec.__dataclass_fields__})
            share = partial(
                train_network,
                run.varied(seed=spec.seed, plan=run.fold_plan(spec.fold)),
                spec,
                job.folder,
                processes.device,
            )
            processes.do(run, job, share, STAGE, number)
        run.reporter.finish(STAGE)
        if processes.first:
            choose_components(run)
    return deployed(run, design, folds if processes.first else ())


def train_supernet_together(run: Run, overrides: Mapping[str, Any], *, topology: Topology | None, kind: str) -> None:
    """Train the super-network, the first part of the fine stage; a driver without torchrun goes on from there.

    Every process draws the same path from the run's seed and trains its share of the patches along it.

    Args:
        overrides: values of the configuration's fields.
        topology: see :func:`c2fnas.stages.pipeline.fine_stage`.
        kind: of the devices, "cpu" or "cuda".

    Raises:
        UserError: the stage can't begin, or the super-network could not be trained.
        Interrupted: stopped on request.
    """
    with _together(run, kind) as processes:
        if processes.first:
            amend(run, overrides)
            if not run.config.fine.candidates:
                raise UserError(
                    f"{run.folder.config}: no operations are searched in this run. Give --candidates N as well."
                )
            claim_topology(run, topology_to_search(run, topology))
        processes.fabric.barrier()
        run = Run.open(run.folder.root, run.reporter)
        begun = topology_begun(run)
        assert begun is not None
        job = supernet.supernet_job(run, begun)
        if processes.first:
            job.folder.mkdir(parents=True, exist_ok=True)  # the others find the run from there
        run.reporter.start(supernet.STAGE, 1.0)
        share = partial(supernet.train_supernet_network, job.payload, job.folder, processes.device)
        processes.do(run, job, share, supernet.STAGE)
        run.reporter.finish(supernet.STAGE)


@dataclass(frozen=True)
class _Processes:
    """This process among those that train together."""

    device: str
    first: bool
    fabric: "Fabric"

    def do(self, run: Run, job: Job, share: Callable[[], object], stage: str, done_before: int = 0) -> None:
        """Do a job together: the first process does all of it, the others only train their share.

        Raises:
            UserError: the job failed.
            Interrupted: stopped on request.
        """
        if self.fabric.broadcast(run.folder.stop_requested):  # the first process's look decides for all
            raise run.interruption
        done = finished(job) and not is_to_be_scored(job)
        if self.first:
            clear_stop(job)
        self.fabric.barrier()  # the first process writes a result no sooner than all have looked
        if done:
            return
        if not self.first:
            share()
            return
        with _looked_after(run, job, stage, done_before):
            outcome = make_call(job, job.payload, self.device, ranks()[1]).outcome(job, self.device)
        if not outcome.succeeded:
            raise UserError(f"{job.folder}: could not be trained: {outcome.failure}")


@contextmanager
def _together(run: Run, kind: str) -> Iterator[_Processes]:
    """The processes, once they have found each other; the first one holds the run's lock.

    A process that fails ends at once, so that torchrun ends the others.
    """
    device, first = local_device(kind), ranks()[0] == 0
    fabric = make_fabric(device, "fp32")  # before all else: it lets the processes find each other
    try:
        with run.locked() if first else nullcontext():
            yield _Processes(device, first, fabric)
    except BaseException:
        _leave_without_the_others()
        raise


def _leave_without_the_others() -> None:
    """Have this process end without a word to the others.

    Fabric lets a process on a GPU take leave of all others when it ends: after a failure these still wait for it in
    another collective operation, and all would wait until the time of :data:`c2fnas.training.device.PATIENCE` is over.
    """
    from lightning_fabric.utilities.distributed import _destroy_dist_connection

    atexit.unregister(_destroy_dist_connection)


@contextmanager
def _looked_after(run: Run, job: Job, stage: str, done_before: int) -> Iterator[None]:
    """In a thread, what a driver does: progress is shown, and a file ``stop`` of the run reaches the job."""

    def look() -> None:
        hand_on_stop(run.folder, job.folder / STOP)
        run.reporter.update(stage, done_before + share_done(job), note_on(job))

    with polling(look):
        yield
