"""The whole method on a data set, or its preparation alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from c2fnas.api.jobs import Devices, Jobs, executor_factory
from c2fnas.api.options import given, known_options, refuse_below, stated
from c2fnas.api.repeating import begin_like, begun_with, repetition
from c2fnas.api.runs import Run
from c2fnas.devices import find_devices
from c2fnas.errors import UserError
from c2fnas.files import read_json
from c2fnas.runs.folder import RunFolder

if TYPE_CHECKING:
    from c2fnas.runs.repetition import Repetition
    from c2fnas.runs.reporter import Reporter


SHOWN = {"coarse.evaluations": 10, "fine.candidates": 32}
"""The search of a demo: it shows the method, though ten minutes would pay for a better final network instead."""


class RunOptions(Devices, total=False):
    """Options of a new run.

    Attributes:
        folds: How cases are divided: sequential (in their order, as in the paper), random (by the seed), column (by the
            data set's own column `fold`), or the path of nnU-Net's splits_final.json. By default the column where there
            is one, else the order.
        fold_count: Sequential or random folds; by default five.
        group_by: Keep cases of a group (a patient, say) in one fold, and count them as one in intervals: `(.+)_E[DS]`
            names it in the case's id.
        spacing: State the true spacing, `1.25,1.25,8`, in mm along the images' own axes, where the headers have lost
            it; files stay as they are. A CSV may have a column `spacing` instead.
        like: Begin with the plan, the folds with their groups, the counts and all other values of this run: its folder,
            or the repeat.json of its report. Other options come on top; another budget has counts of its own.
        set: FIELD=VALUE: any field of the configuration, such as coarse.evaluations=20 or plan.spacing=[1,1,2]; may be
            repeated. run.yaml in a run folder shows all fields.
    """

    folds: str
    fold_count: int
    group_by: str
    spacing: str
    like: str
    set: Sequence[str] | Mapping[str, Any]


class NewRun(RunOptions, Jobs, total=False):
    """Options of a new run, and where its jobs are done."""


@known_options
def prepare(
    dataset: str | Path,
    run: str | Path,
    *,
    budget: str | None = None,
    seed: int | None = None,
    plan_only: bool = False,
    reporter: "Reporter | None" = None,
    **options: Unpack[RunOptions],
) -> Run:
    """Check, fingerprint, plan and preprocess a data set once; `c2fnas run` does it too.

    Of a time budget it then says what the run will do, and how long each stage takes.

    Args:
        dataset: The data set's folder or file: MSD, nnU-Net raw, or a CSV.
        run: The run folder; everything of the run is kept there.
        budget: A time that holds: demo (10 minutes), hour (the default), day, or such as 30m, 3h. paper: its recipe to
            the letter. Or a YAML file such as the budget.yaml in a run folder. For a run that exists: its own.
        seed: Seed of everything random; by default 0, for a run that exists its own.
        plan_only: Stop after plan.yaml, to edit it before the run.
        reporter: Hears of the progress.
        options: `folds`, `fold_count`, `group_by`, `spacing`, `like`, `set` and `devices`, as :class:`RunOptions` says;
            `set` takes a mapping, `{"plan.spacing": [2, 2, 1]}`, too.

    Returns:
        The run, whose `folder` holds the plan, the folds and the prepared cases.

    Raises:
        TypeError: there is no such option.
        UserError: the data set has errors, or the folder is another run's.

    Examples:
        c2fnas prepare Task04_Hippocampus runs/hippocampus
        c2fnas prepare Task04_Hippocampus runs/hippocampus --plan-only
        c2fnas prepare CardiacShortAxis runs/cardiac --folds random --group-by '(.+)_E[DS]'
    """
    jobs, overrides = _jobs(options), _overrides(options, seed=seed)
    if known := repetition(options.get("like"), run):
        budget, overrides = begun_like(known, options["like"], dataset, run, budget, overrides, jobs)
    refuse_early(dataset, jobs, budget, overrides, search=not RunFolder(Path(run)).folds.exists())
    refuse_changed(run, overrides, budget=budget)
    from c2fnas.planning.forecast import forecast_of
    from c2fnas.planning.request import request_for
    from c2fnas.stages.deployment import is_deployed
    from c2fnas.stages.preparation import prepare as prepare_run
    from c2fnas.stages.preparation import prepare_plan
    from c2fnas.stages.race import race_seconds
    from c2fnas.stages.run_folds import keep_folds

    result = Run(Path(run), jobs, reporter)
    core = result.opened()
    request = request_for(core.folder, budget=budget, overrides=overrides, devices=result.devices)
    with core.locked():
        if not plan_only:
            prepare_run(core, Path(dataset), request)
            if request.by_time and not is_deployed(core):
                core.reporter.say(forecast_of(core, race_seconds(core)))
            return result
        data, _ = prepare_plan(core, Path(dataset), request)
        if request.folds.given:
            keep_folds(core, data, request)
    return result


@known_options
def run(
    dataset: str | Path,
    run: str | Path,
    *,
    budget: str | None = None,
    seed: int | None = None,
    verdict: bool | None = None,
    reporter: "Reporter | None" = None,
    **options: Unpack[NewRun],
) -> Run:
    """Search an architecture on a data set and train it: prepare, coarse, fine, deployment, verdict.

    The verdict compares the found network with references that are trained alike, first a U-Net of equal
    multiply-accumulates. Each is trained once, which can't tell architectures apart; `c2fnas verdict RUN` with
    `--replicates 5` goes on from there.

    The final networks are those of the first fold or of all, as the budget has it. For one that is trained on every
    case besides, whose Dice is unknown: `--set deployment.folds=[0,every-case]`, or `c2fnas train DATASET RUN --folds
    every-case` afterwards.

    Resumable: interrupted at any point (Ctrl-C, power loss), the same command carries on; finished, it says so. To
    stop it from elsewhere, create a file called `stop` in the run folder.

    Args:
        dataset: The data set's folder or file: MSD, nnU-Net raw, or a CSV.
        run: The run folder; everything of the run is kept there.
        budget: A time that holds: demo (10 minutes), hour (the default), day, or such as 30m, 3h. paper: its recipe to
            the letter. Or a YAML file such as the budget.yaml in a run folder. For a run that exists: its own.
        seed: Seed of everything random; by default 0, for a run that exists its own.
        verdict: Train references too and say if the search was worth it; by default as the budget has it.
        reporter: Hears of the progress.
        options: `folds`, `fold_count`, `group_by`, `spacing`, `like` and `set`, as :class:`RunOptions` says, and where
            jobs are done: `devices`, `backend`, `address` and `cpus_per_job`, as :class:`c2fnas.api.jobs.Jobs` does.
            `set` takes a mapping, `{"coarse.evaluations": 20}`, too.

    Returns:
        The run, with `architecture`, `models`, `evaluation` by fold, `verdict` and `trials()`.

    Raises:
        TypeError: there is no such option.
        UserError: the data set has errors, or the folder is another run's.
        Interrupted: stopped on request.

    Examples:
        c2fnas run Task04_Hippocampus runs/hippocampus --budget demo
        c2fnas run Task07_Pancreas runs/pancreas --budget day --devices cuda:0,cuda:1
        c2fnas run Task07_Pancreas runs/pancreas-1 --like runs/pancreas --seed 1
        c2fnas run CardiacShortAxis runs/cardiac --folds random --group-by '(.+)_E[DS]'
    """
    jobs, overrides = _jobs(options), _overrides(options, seed=seed, verdict=verdict)
    if known := repetition(options.get("like"), run):
        if known.kind == "training":
            raise UserError(f"--like {options['like']}: that run searched nothing. `c2fnas train --like` repeats it.")
        budget, overrides = begun_like(known, options["like"], dataset, run, budget, overrides, jobs)
    refuse_early(dataset, jobs, budget, overrides, search=not RunFolder(Path(run)).folds.exists())
    refuse_changed(run, overrides, budget=budget)
    tell_what_is_read(run, reporter)
    from c2fnas.stages.pipeline import run_pipeline
    from c2fnas.studies.verdict import judged_once

    result = Run(Path(run), jobs, reporter)
    run_pipeline(
        result.opened(),
        Path(dataset),
        result.executor,
        budget=budget,
        overrides=overrides,
        devices=result.devices,
        judge=judged_once,
    )
    return Run(Path(run), jobs, reporter, result.opened().final_folds)


@known_options
def demo(
    output: str | Path = "c2fnas-demo",
    *,
    cases: int = 20,
    seed: int = 0,
    verdict: bool | None = None,
    reporter: "Reporter | None" = None,
    **jobs: Unpack[Jobs],
) -> Run:
    """Run the whole pipeline on generated phantoms: ten minutes, no download.

    Phantoms are anatomy-like shapes of two foreground classes with anisotropic voxels, noise, a bias field, varying
    sizes and orientations. The search, the training and the evaluation are the real ones at small numbers. It searches
    to show the method; `c2fnas run DATASET RUN --budget demo` spends the ten minutes on one network.
    Interrupted, the same command carries on.

    Args:
        output: Where the phantoms and the run go.
        cases: Labelled phantoms to generate.
        seed: Seed of the phantoms and of the run.
        verdict: Train references too and say if the search was worth it; by default as the budget has it.
        reporter: Hears of the progress.
        jobs: Where jobs are done: `devices`, `backend`, `address` and `cpus_per_job`, as :class:`c2fnas.api.jobs.Jobs`
            says.

    Returns:
        The run, as of `run`.

    Examples:
        c2fnas demo --output /tmp/c2fnas-demo
    """
    refuse_below(5, cases=cases)  # for five folds
    executor_factory(jobs)
    from c2fnas.data.phantoms import write_phantoms

    dataset = Path(output) / "Task00_Phantoms"
    manifest = dataset / "dataset.json"
    if not manifest.exists():
        write_phantoms(dataset, cases=cases, seed=seed)
    elif (there := len(read_json(manifest)["training"])) != cases:
        raise UserError(
            f"{dataset}: {there} phantoms are there, not {cases}. Give --cases {there}, or another --output."
        )
    if jobs.get("backend", "local") == "local":
        jobs["devices"] = ",".join(side_by_side(jobs.get("devices", "auto")))
    searched = [f"{field}={count}" for field, count in SHOWN.items()]
    return run(
        dataset,
        Path(output) / "run",
        budget="demo",
        seed=seed,
        verdict=verdict,
        reporter=reporter,
        set=searched,
        **jobs,
    )


def side_by_side(devices: str) -> tuple[str, ...]:
    """Return the devices of a demo: left to itself, two jobs at a time share the CPU, which suits small patches."""
    from c2fnas.cores import usable_cores

    names = find_devices(devices)
    return ("cpu:0", "cpu:1") if (devices, names) == ("auto", ("cpu",)) and usable_cores() > 1 else names


def refuse_early(
    dataset: str | Path, jobs: Jobs, budget: str | None, overrides: Mapping[str, Any], *, search: bool = False
) -> None:
    """Refuse a mistake before torch is imported and a folder is made; ``search`` needs cases that validate.

    Raises:
        UserError: no data set, budget or device has the name, a value is out of range, or no such folds can be made.
    """
    executor_factory(jobs)
    from c2fnas.data.folds import FoldChoice, make_folds, refuse_undivided
    from c2fnas.data.layouts import read_dataset
    from c2fnas.planning.presets import DEFAULT_BUDGET, requested
    from c2fnas.runs.overrides import refuse_unknown

    reading = read_dataset(Path(dataset))
    refuse_unknown(overrides)
    requested(budget or DEFAULT_BUDGET, overrides)
    folds = FoldChoice.of(overrides)
    if folds.given or search:
        data = reading.sound(Path(dataset))
        made = make_folds(data, folds)
        if search:
            refuse_undivided(data, made)


def refuse_changed(run: str | Path, overrides: Mapping[str, Any], **options: Any) -> None:
    """Refuse what a run folder can't take, before torch is imported.

    Raises:
        UserError: the run is of another version, or one of its stages has begun with another value.
    """
    from c2fnas.planning.request import request_for

    if (folder := RunFolder(Path(run))).config.exists():
        request_for(folder, overrides=overrides, **options)


def tell_what_is_read(run: str | Path, reporter: "Reporter | None") -> None:
    """Say of a run that is there what is read before anything else can be said: that takes seconds."""
    from c2fnas.runs.reporter import listening

    if RunFolder(Path(run)).config.exists():
        listening(reporter).say(
            f"{run}: this run is there. Its configuration and its stages are read, to carry it on ..."
        )


def begun_like(
    known: "Repetition",
    like: str,
    dataset: str | Path,
    run: str | Path,
    budget: str | None,
    overrides: dict[str, Any],
    jobs: Jobs,
) -> tuple[str | None, dict[str, Any]]:
    """Begin a run folder like the run ``known``, and return budget and overrides; ``jobs`` get its devices.

    One that has begun stays as it was started.

    Raises:
        UserError: the run is one on other data, or an option is wrong.
    """
    folder = RunFolder(Path(run))
    if folder.config.exists():
        return budget, overrides
    if jobs.get("backend", "local") == "local":
        jobs.setdefault("devices", ",".join(known.devices))
    place = folder.like if folder.like.exists() else Path(like)
    budget, whole = begun_with(known, place, budget, overrides)
    refuse_early(dataset, jobs, budget, whole)
    begin_like(known, like, Path(dataset), Path(run), overrides)
    return budget, whole


def _jobs(options: Any) -> Jobs:
    return {name: options[name] for name in Jobs.__annotations__ if name in options}  # type: ignore[return-value]


def _overrides(options: Any, **values: Any) -> dict[str, Any]:
    """Return fields of the configuration by name: those of ``set``, of the folds, and ``values`` that are given."""
    from c2fnas.runs.overrides import parse_overrides

    names = {"folds": "by", "fold_count": "count", "group_by": "group_by"}
    folds = {f"folds.{field}": options[name] for name, field in names.items() if name in options}
    values["stated_spacing"] = stated(options.get("spacing"))
    return parse_overrides(options.get("set", ())) | folds | given(**values)
