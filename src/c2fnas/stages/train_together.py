"""Several processes, started by torchrun, that train every fold together: one large network on many devices."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

from c2fnas.errors import Interrupted, UserError
from c2fnas.execution.call import STOP, clear_stop, finished, make_call
from c2fnas.execution.job import Job
from c2fnas.networks.designs import read_design
from c2fnas.planning.train_wish import Wish, chosen_folds
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.live import note_on, share_done
from c2fnas.runs.lock import RunLock
from c2fnas.runs.meanwhile import hand_on_stop, meanwhile
from c2fnas.runs.reporter import Reporter
from c2fnas.runs.run import Setting
from c2fnas.stages.deploy import STAGE, fold_job
from c2fnas.stages.jobs import train_fold_network
from c2fnas.stages.pipeline import Result
from c2fnas.stages.train import announcement, ready, result
from c2fnas.training.device import local_device, make_fabric, ranks


def train_together(dataset: Path, run: Path, wish: Wish, *, kind: str, reporter: Reporter) -> Result:
    """Twin of :func:`c2fnas.stages.train.train_architecture` under torchrun; called in every process.

    The first process prepares, evaluates and writes; the others share the training alone.

    Args:
        kind: of the devices, "cpu" or "cuda".

    Raises:
        UserError: as there, or a fold could not be trained.
        Interrupted: stopped on request.
    """
    device, first = local_device(kind), ranks()[0] == 0
    fabric = make_fabric(device, "fp32")  # before all else: it lets the processes find each other
    with RunLock(run) if first else nullcontext():
        if first:
            RunFolder(run).clear_stop()
            ready(dataset, run, wish, (device,), reporter)
        fabric.barrier()
        setting = Setting.load(run)
        architecture = read_design(setting.folder.final)
        folds = chosen_folds(wish.folds, len(setting.folds))
        reporter.say(announcement(setting, architecture, folds))
        reporter.start(STAGE, len(folds))
        for number, fold in enumerate(folds):
            if fabric.broadcast(setting.folder.stop_requested):  # the first process's look decides for all
                raise Interrupted(f"{setting.folder.stop} asked for it. Run the same command again to carry on.")
            job = fold_job(setting, architecture, fold)
            done = finished(job)
            if first:
                clear_stop(job)
            fabric.barrier()  # the first process writes a result no sooner than all have looked
            if not done:
                with looked_after(job, setting.folder, reporter, STAGE, number) if first else nullcontext():
                    recipe = setting.config.deployment.recipe
                    share = partial(train_fold_network, setting, architecture, recipe, job.payload, job.folder, device)
                    do_together(job, device, None if first else share)
        reporter.finish(STAGE)
    return result(setting, architecture, folds) if first else Result(architecture, (), (), ())


@contextmanager
def looked_after(
    job: Job, folder: RunFolder, reporter: Reporter, stage: str, finished_before: int = 0
) -> Iterator[None]:
    """In a thread meanwhile, what a driver does: progress is shown, and a file ``stop`` of the run reaches the job."""

    def look() -> None:
        hand_on_stop(folder, job.folder / STOP)
        reporter.update(stage, finished_before + share_done(job), note_on(job))

    with meanwhile(look):
        yield


def do_together(job: Job, device: str, share: Callable[[], object] | None) -> None:
    """A job in every process: the first one does all of it (``share`` is None), the others only train their share.

    Raises:
        UserError: the job failed.
    """
    if share is not None:
        share()
        return
    outcome = make_call(job, job.payload, device, ranks()[1]).outcome(job, device)
    if not outcome.succeeded:
        raise UserError(f"{job.folder}: could not be trained: {outcome.failure}")
