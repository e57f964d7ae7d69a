"""Several processes, started by torchrun, that train the super-network together: many devices, one path at a time."""

from contextlib import nullcontext
from functools import partial
from pathlib import Path

from c2fnas.execution.call import clear_stop, finished
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.lock import RunLock
from c2fnas.runs.reporter import Reporter
from c2fnas.runs.run import Setting
from c2fnas.space.topology import Topology
from c2fnas.stages.fine import SUPERNET_STAGE, claim_topology, supernet_job, topology_begun
from c2fnas.stages.fine_jobs import train_supernet_network
from c2fnas.stages.fine_wish import FineWish, with_wish
from c2fnas.stages.pipeline import topology_to_search
from c2fnas.stages.train_together import do_together, looked_after
from c2fnas.training.device import local_device, make_fabric, ranks


def train_supernet_together(
    run: Path, wish: FineWish, *, topology: Topology | None, kind: str, reporter: Reporter
) -> None:
    """The first part of the fine stage under torchrun, called in every process; a driver without torchrun goes on.

    Every process draws the same path from the run's seed and trains its share of the patches along it. The first one
    begins the stage and writes, the others share the training alone.

    Args:
        topology: see :func:`c2fnas.stages.pipeline.fine_stage`.
        kind: of the devices, "cpu" or "cuda".

    Raises:
        UserError: the stage can't begin, or the super-network could not be trained.
        Interrupted: stopped on request.
    """
    device, first = local_device(kind), ranks()[0] == 0
    fabric = make_fabric(device, "fp32")  # before all else: it lets the processes find each other
    with RunLock(run) if first else nullcontext():
        if first:
            RunFolder(run).clear_stop()
            setting = with_wish(Setting.load(run), wish)
            claim_topology(setting, topology_to_search(setting, topology))
        fabric.barrier()
        setting = Setting.load(run)
        begun = topology_begun(setting)
        assert begun is not None
        job = supernet_job(setting, begun)
        done = finished(job)
        if first:
            job.folder.mkdir(parents=True, exist_ok=True)  # the others find the run from there
            clear_stop(job)
        fabric.barrier()  # the first process writes a result no sooner than all have looked
        reporter.start(SUPERNET_STAGE, 1.0)
        if not done:
            with looked_after(job, setting.folder, reporter, SUPERNET_STAGE) if first else nullcontext():
                share = partial(train_supernet_network, job.payload, job.folder, device)
                do_together(job, device, None if first else share)
        reporter.finish(SUPERNET_STAGE)
