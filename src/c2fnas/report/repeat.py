"""The command that repeats a run, and what may come out otherwise."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from c2fnas.execution.call import RESULT
from c2fnas.files import read_json
from c2fnas.runs.config import RunConfig
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.records.ranked import Limits
from c2fnas.runs.repetition import Repetition
from c2fnas.runs.summary import read_verdict
from c2fnas.space.architecture import Architecture
from c2fnas.studies.widths import read_scaled

FILE = "repeat.json"
"""Beside the page, and in it as a link."""
LOST = ("out_of_memory", "killed")
"""Ends of a job that the machine has decided."""


@dataclass(frozen=True)
class Repeat:
    """The way to repeat a run.

    Attributes:
        command: in a shell; it names the file.
        content: of the file.
        reasons: why the same command need not give the same network, each without a full stop.
        further: what the command leaves to others, a sentence each.
    """

    command: str
    content: str
    reasons: tuple[str, ...]
    further: tuple[str, ...]

    @property
    def promise(self) -> str:
        """A sentence on the network that the command gives."""
        same = "This command on the same data, with the same versions, the same kind of processor and as many cores,"
        if not self.reasons:
            return f"{same} gives the same network, bit for bit."
        return f"{same} need not give the same network: {'; '.join(self.reasons)}."


def read_repeat(
    folder: RunFolder, config: RunConfig, workers: int, processes: int, *, own: bool = True
) -> Repeat | None:
    """Return the way to repeat a run; None before it has a plan and folds.

    Args:
        folder: Of the run.
        config: Of the run; its path of the data set is the one that is shown.
        workers: Devices that worked at the search at a time.
        processes: The most that trained one network together.
        own: True if the page goes into the run folder; the command names the run itself where it goes elsewhere.
    """
    if not (folder.plan.exists() and folder.folds.exists()):
        return None
    known, trained = Repetition.of(folder), config.kind == "training"
    words = ["c2fnas", "train" if trained else "run", config.dataset_path, "NEW"]
    name = folder.root.absolute().name
    words += ["--like", f"{name}/{folder.report.name}/{FILE}" if own else name]
    if known.start:
        words += ["--from", f"{folder.root.absolute().name}/{folder.start_model.relative_to(folder.root)}"]
    reasons = (*_of_machines(config, workers, processes), *_of_choices(folder, config), *_of_trainings(folder, config))
    return Repeat(shlex.join(words), known.text(), reasons, tuple(_further(folder)))


def _of_machines(config: RunConfig, workers: int, processes: int) -> Iterator[str]:
    if any(device.startswith("cuda") for device in config.devices):
        yield "GPU libraries add in varying order"
    if workers > 1 and config.searches:
        yield "with several devices, the candidate that ends first decides what is tried next"
    if processes > 1:
        yield f"{processes} processes trained together, where the command starts one"


def _of_choices(folder: RunFolder, config: RunConfig) -> Iterator[str]:
    """Yield choices that were made by hand in a stage."""
    place, choice = folder.topology, folder.limits
    found = Architecture.load(folder.coarse_architecture).topology.code if folder.coarse_architecture.exists() else None
    if place.exists() and found is not None and tuple(read_json(place)["code"]) != found:
        yield "operations were searched for a topology that was given by hand (`search fine --topology`)"
    if given := Limits.load(choice).options:
        yield f"the architecture was chosen within limits that were given to `search fine` ({', '.join(given)})"


def _of_trainings(folder: RunFolder, config: RunConfig) -> Iterator[str]:
    if config.deployment.extended:
        yield (
            "the final networks were trained further with `--extend`, where the command trains as many iterations in "
            "one go"
        )
    if folder.micro_batches.exists():
        yield "trainings that were short of memory took smaller parts of a batch at a time"
    if any(read_json(place)["kind"] in LOST for place in folder.coarse.glob(f"[0-9]*/{RESULT}")):
        yield "a candidate was lost to the machine (killed, or out of memory), which need not happen again"


def _further(folder: RunFolder) -> Iterator[str]:
    """Yield the commands of further work that was done in the run folder."""
    verdict = read_verdict(folder)
    if verdict is not None and (count := verdict.replicates):
        yield f"`c2fnas verdict NEW --replicates {count}` repeats the verdict."
    if folder.verification_file.exists():
        known = read_json(folder.verification_file)
        command = f"search fine NEW --verify {len(known['candidates'])} --verify-iterations {known['iterations']}"
        yield f"`c2fnas {command}` repeats what stands under verification."
    if folder.scale_table.exists():
        rows = read_scaled(folder)
        widths, most = sorted({row.width for row in rows}), max((row.trainings for row in rows), default=1)
        options = [f"--widths {','.join(f'{width:g}' for width in widths)}"] if rows else []
        options += [f"--replicates {most}"] if most > 1 else []
        yield f"`c2fnas {' '.join(['search scale NEW', *options])}` repeats what stands under scale."
    if folder.ablation.exists():
        yield "`c2fnas ablate NEW` repeats what stands under ablation."
