"""Training of an architecture or a compared network, on one data set or on several."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack

from c2fnas.api.jobs import Jobs, executor_factory, refuse_beside_torchrun
from c2fnas.api.options import given, known_options, refuse_below, stated
from c2fnas.api.pipelines import begun_like, refuse_early, tell_what_is_read
from c2fnas.api.repeating import like_training, repetition
from c2fnas.api.runs import Run, refuse_other_version
from c2fnas.devices import find_devices
from c2fnas.errors import UserError
from c2fnas.files import read_json
from c2fnas.runs.folder import RunFolder

if TYPE_CHECKING:
    from c2fnas.networks.designs import Design
    from c2fnas.runs.reporter import Reporter
    from c2fnas.stages.train import TrainOptions
    from c2fnas.studies.tasks import TaskScores


@dataclass(frozen=True)
class TaskTable:
    """Table 1: what an architecture reaches on each data set of a folder."""

    run: Path
    rows: "tuple[TaskScores, ...]"

    @property
    def status(self) -> Literal["fine", "partial"]:
        """``partial`` where a data set has failed."""
        return "partial" if any(row.failure is not None for row in self.rows) else "fine"

    def to_json(self) -> dict[str, Any]:
        """A row for each data set, and the averages."""
        from c2fnas.studies.tasks import table_1

        return table_1(self.rows)


@known_options
def train(
    dataset: str | Path,
    run: str | Path,
    *,
    architecture: str | None = None,
    network: str | None = None,
    width: float | None = None,
    folds: str | None = None,
    divide: str | None = None,
    fold_count: int | None = None,
    group_by: str | None = None,
    budget: str | None = None,
    recipe: Literal["paper", "modern"] | None = None,
    precision: Literal["fp32", "bf16", "fp16"] | None = None,
    iterations: int | None = None,
    start: str | Path | None = None,
    extend: int | None = None,
    validate_every: int | None = None,
    seed: int | None = None,
    label_tests: bool = False,
    spacing: str | None = None,
    like: str | Path | None = None,
    set: Sequence[str] | Mapping[str, Any] = (),
    reporter: "Reporter | None" = None,
    **jobs: Unpack[Jobs],
) -> Run | TaskTable | None:
    """Train an architecture on a data set, a model for each of the folds, without a search.

    Resumable: interrupted at any point, by Ctrl-C or by a file called `stop` in the run folder, the same command
    carries on; finished, it says so. Of several folds, table-1.json has the mean over their validation cases and how
    they differ. In the folder of a search on the same data, `--folds all` trains the found
    architecture on the other folds too. Under torchrun the processes share every fold's batches.

    In a folder of several data sets, such as the Decathlon's tasks, each is trained in a folder of its own in RUN and
    has a budget's time for itself; one that fails is named, the others go on, and the exit code is 1 at the end. The
    table over tasks and classes (the paper's Table 1, on the validation cases of the folds) goes to table-1.json.

    Args:
        dataset: The data set's folder or file: MSD, nnU-Net raw, or a CSV; or a folder of several.
        run: The run folder: a new one, or that of a search on this data; of several, one for each in it.
        architecture: A name (`c2fnas-panc`), a JSON file, a run or model folder, or text.
        network: Instead, a network to compare with: unet3d, vnet, voxresnet, resdsn, attention_unet, dynunet,
            segresnet or dints; or a JSON file of one, such as the network.json of a model.
        width: Multiplies every filter count; default: the architecture's own width (`c2fnas-panc`: 1, the paper's). On
            a CPU give `--width 0.25`, or 0.5 where there is time for it.
        folds: `all`, `last`, or numbers such as `0,2`; or `every-case` (nnU-Net's `all`): one model trained on every
            case, whose Dice is unknown. By default the folds that the run has in its run.yaml, in a new run the last.
        divide: How cases are divided into folds, as `c2fnas run --folds` takes it: sequential, random, column, or the
            path of nnU-Net's splits_final.json.
        fold_count: Sequential or random folds; by default five.
        group_by: Keep cases of a group (a patient, say) in one fold: `(.+)_E[DS]` names it in the case's id.
        budget: demo, hour (the default), day, a time such as 3h, paper, or a YAML file; it goes to these folds alone.
        recipe: Instead of the budget's recipe.
        precision: Instead of what the device computes fast.
        iterations: Instead of what the budget gives.
        start: A model to fine-tune, or one that comes with c2fnas (`hippocampus/fold-0`); on other channels or classes
            what fits.
        extend: Train the final networks of a finished run on, to so many iterations in all: those of the folds above.
            Networks of other folds count as unfinished until they are extended as well.
        validate_every: Iterations between validations on whole volumes, for the curve.
        seed: Seed of everything random; default: 0, or the run's.
        label_tests: Then label the data set's test images (imagesTs) by majority vote of all folds trained so far, into
            predictions in the run folder.
        spacing: State the true spacing, `1.25,1.25,8`, in mm along the images' own axes, where the headers have lost
            it; files stay as they are. A CSV may have a column `spacing` instead.
        like: Train the network of this run with its plan, folds, groups, counts and all other values: its folder, or
            the repeat.json of its report. Other options come on top.
        set: FIELD=VALUE: any other field of the configuration, such as plan.patch_size=[96,96,96]; may be repeated.
        reporter: Hears of the progress.
        jobs: Where jobs are done: `devices`, `backend`, `address` and `cpus_per_job`, as :class:`c2fnas.api.jobs.Jobs`
            says.

    Returns:
        The run; of several data sets their table; None in a process of torchrun other than the first.

    Raises:
        UserError: an option is wrong, or the run folder holds what was made with other settings.
        Interrupted: stopped on request.

    Examples:
        c2fnas train Task09_Spleen runs/spleen --architecture c2fnas-panc --folds all
        c2fnas train Task09_Spleen runs/spleen-unet --network unet3d --budget hour
        c2fnas train Task09_Spleen runs/tuned --from runs/pancreas/final/fold-0/model --iterations 2000
        c2fnas train Task09_Spleen runs/spleen --folds all --extend 4000
        c2fnas train Task09_Spleen runs/spleen --folds every-case
        c2fnas train CardiacShortAxis runs/heart --folds all --divide random --group-by '(.+)_E[DS]'
        c2fnas train Decathlon runs/decathlon -a c2fnas-panc --folds all --label-tests
        torchrun --nproc-per-node 8 -m -- c2fnas train Task07_Pancreas runs/pancreas -a c2fnas-panc
    """
    refuse_below(1, iterations=iterations, extend=extend, validate_every=validate_every)
    if folds is not None:
        _refuse_unreadable_folds(folds)
    executor_factory(jobs)
    from c2fnas.data.layouts import datasets_in
    from c2fnas.runs.overrides import parse_overrides

    several = datasets_in(Path(dataset))
    if several and like is not None:
        raise UserError(f"{dataset}: several data sets, and --like repeats a run on its own. Name one of them.")
    fields = given(
        deployment__recipe__name=recipe,
        deployment__recipe__precision=precision,
        deployment__recipe__iterations=iterations,
        deployment__validate_every=validate_every,
        seed=seed,
        stated_spacing=stated(spacing),
        folds__by=divide,
        folds__count=fold_count,
        folds__group_by=group_by,
    )
    overrides = parse_overrides(set) | fields
    own: Design | None = None
    if known := repetition(like, run):
        own, folds, start = like_training(known, str(like), Path(run), folds, start)
    refuse_other_version(run)
    design, package = _design(architecture, network, width, Path(run), own), _package(start)
    if known:
        budget, overrides = begun_like(known, str(like), dataset, run, budget, overrides, jobs)
    refuse_early(several[0] if several else dataset, jobs, budget, overrides)
    if not several:
        _refuse_absent_folds(folds, Path(dataset), RunFolder(Path(run)), overrides)
    if extend is not None and not several:
        RunFolder(Path(run)).refuse_unbegun()
    if design is None and package is None and not several:
        RunFolder(Path(run)).refuse_without_design()
    tell_what_is_read(run, reporter)
    from c2fnas.stages.train import TrainOptions

    options = TrainOptions(design, package, folds, budget, overrides, extend, forecast=True)
    result = Run(Path(run), jobs, reporter)
    if several:
        return _train_all(several, result, options, label_tests)
    return _train(Path(dataset), result, options, label_tests)


def _refuse_unreadable_folds(folds: str) -> None:
    """Refuse a text that names no folds; numbers that are too large are refused once the folds are known."""
    words = ("all", "last", "every-case")
    if not all(part.isdecimal() or part in words for part in map(str.strip, folds.split(","))):
        raise UserError(f"--folds {folds}: give all, last, numbers such as 0,2, or every-case.")


def _refuse_absent_folds(folds: str | None, dataset: Path, run: RunFolder, overrides: Mapping[str, Any]) -> None:
    """Refuse the number of a fold that a new run would not have; one that is prepared knows its own."""
    if not run.folds.exists():
        from c2fnas.data.folds import FoldChoice, chosen_folds, make_folds
        from c2fnas.data.layouts import read_dataset

        named = overrides.get("deployment.folds", "last") if folds is None else folds
        text = named if isinstance(named, str) else ",".join(map(str, named))
        chosen_folds(text, len(make_folds(read_dataset(dataset).sound(dataset), FoldChoice.of(overrides))))


def _train(dataset: Path, run: Run, options: "TrainOptions", label_tests: bool) -> Run | None:
    from c2fnas.stages.train import train_architecture
    from c2fnas.studies.label_test import label_test_images
    from c2fnas.studies.tasks import keep_table, task_scores
    from c2fnas.training.device import local_processes, ranks

    core, devices = run.opened(), run.devices
    if ranks()[1] > 1:
        from c2fnas.stages.together import train_together

        refuse_beside_torchrun(run.jobs, local_processes())
        found = train_together(core, dataset, options, kind=run.kind, devices=devices)
    else:
        found = train_architecture(core, dataset, options, run.executor, devices)
    if not found.models:  # under torchrun, one process tells
        return None
    if label_tests:
        label_test_images(core, dataset, core.config.devices[0])
    if len(found.folds) > 1:
        keep_table((task_scores(dataset.resolve().name, found),), run.folder)
    return Run(run.folder, run.jobs, core.reporter, found.folds)


def _train_all(datasets: tuple[Path, ...], run: Run, options: "TrainOptions", label_tests: bool) -> TaskTable:
    from c2fnas.studies.tasks import train_all
    from c2fnas.training.device import ranks

    if ranks()[1] > 1:
        raise UserError(f"{datasets[0].parent}: several data sets. Under torchrun, name one of them at a time.")
    named = run.jobs.get("devices")
    devices = find_devices(named) if named else None
    rows = train_all(datasets, run.opened(), options, run.executor, devices=devices, label_tests=label_tests)
    return TaskTable(run.folder, rows)


def _design(
    text: str | None, network: str | None, width: float | None, run: Path, like: "Design | None" = None
) -> "Design | None":
    """Return the network that is asked for, else that of --like; a width alone is for that one or the run's own."""
    if text is not None and network is not None:
        raise UserError("Give --architecture or --network, one of the two.")
    named = text is not None or network is not None
    try:
        design = like if not named and (like or width is None) else asked_design(text, network, run)
        return design if design is None or width is None else replace(design, width=width)
    except ValueError as error:
        raise UserError(f"train: {error}.") from error


def asked_design(text: str | None, network: str | None, run: Path) -> "Design":
    """Return the architecture of a text, the compared network of a name or file, or else the run's own."""
    from c2fnas.inference.pretrained import with_design
    from c2fnas.runs.folder import RunFolder
    from c2fnas.space.architecture import Architecture

    if text is not None:
        return Architecture.load(with_design(text))
    from c2fnas.networks.designs import first_design

    if network is not None:
        return _compared(network)
    return first_design(RunFolder(run).final) or Architecture.load(run)


def _compared(network: str) -> "Design":
    """Return the network of a name, or of a JSON file."""
    from c2fnas.networks.baselines import Baseline

    if not network.endswith(".json"):
        return Baseline(network)
    try:
        return Baseline.from_json(read_json(Path(network)))
    except ValueError as error:
        raise UserError(f"--network {network}: {error}.") from error


def _package(path: str | Path | None) -> Path | None:
    """Return the one model package that a path stands for."""
    if path is None:
        return None
    from c2fnas.inference.pretrained import model_folders

    packages = model_folders([Path(path)])
    if len(packages) > 1:
        raise UserError(f"--from {path}: {len(packages)} models. Name one of them, such as {packages[0]}.")
    return packages[0]
