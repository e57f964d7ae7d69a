"""The verdict (not in the paper): is what the search found better than networks that no search was needed for?

At the same recipe, folds and seed as the found network, a U-Net of equal multiply-accumulates and the median of the
random topologies are trained and evaluated on the same validation cases.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from c2fnas.errors import UserError
from c2fnas.evaluation.comparison import difference
from c2fnas.evaluation.metrics import Evaluation, summarise
from c2fnas.evaluation.verdict import Contestant, Reference, Verdict
from c2fnas.execution.call import finished
from c2fnas.execution.job import Job, Outcome
from c2fnas.files import write_json
from c2fnas.networks.designs import Design, design_file, read_design
from c2fnas.planning.budget import affordable_references
from c2fnas.runs.found import was_found
from c2fnas.runs.job_record import read_job
from c2fnas.runs.ledger import trials_of
from c2fnas.runs.run import Run
from c2fnas.space.architecture import Architecture
from c2fnas.stages.coarse import STAGE as COARSE
from c2fnas.stages.deployment import evaluation_in, fold_job, scratch_spec
from c2fnas.stages.training import failure_of, run_all, training_job
from c2fnas.studies.references import UNET, median_random, no_median, unet_of_equal_macs

STAGE = "verdict"
MEDIAN = "random_topology"
UNPAID = "what the budget leaves for a verdict does not pay for its training; `c2fnas verdict RUN` trains it"
UNSCORED = (
    "the Dice of the searched network was not measurable on any fold; see that validation cases show the structures"
)


def judge(run: Run, allowance: float | None = None) -> Verdict:
    """Train the references on the run's folds, compare, and leave ``verdict/verdict.json``.

    Resumes: what is trained is not trained again. A reference that could not be trained is a row that says so. Where
    nothing was searched there is nothing to judge, and the verdict says that.

    Args:
        run: its final networks are trained.
        allowance: seconds that it may take; the later references are left out where it does not pay for them.

    Raises:
        UserError: the run was no search, or its final networks are not what it found, trained from scratch at once.
    """
    searched = searched_design(run)
    own = _scored({fold: run.folder.final_fold(fold) for fold in run.final_folds})
    title = "searched network" if run.config.searches else "default network"
    found = _contestant(run, title, searched, own)
    rivals = _rivals(run, found, searched.width, allowance)
    jobs = {
        (rival.name, fold): reference_job(run, rival.name, rival.design, fold)
        for rival in rivals
        if rival.design
        for fold in own
    }
    outcomes = dict(zip(jobs, run_all(run, STAGE, [*jobs.values()]), strict=True))
    references = tuple(_judged(run, rival, own, jobs, outcomes) for rival in rivals)
    cases = sum(len(evaluation.cases) for evaluation in own.values())
    verdict = Verdict(found, references, cases, tuple(own) or run.final_folds, _training(run), _caveats(run, own))
    write_json(run.folder.verdict_file, verdict.to_json())
    return verdict


def _rivals(run: Run, found: Contestant, width: float, allowance: float | None) -> tuple["_Rival", ...]:
    """The references; none where nothing was searched. What the allowance does not pay for has no design."""
    if run.config.kind == "search" and not run.config.searches:
        return ()
    rivals = _unet(run, found.macs), _median(run, width)
    took = sum(read_job(run.folder.final_fold(fold)).seconds for fold in run.final_folds) / len(run.config.devices)
    paid = affordable_references(allowance, took)
    return *rivals[:paid], *(replace(rival, design=None, note=UNPAID) for rival in rivals[paid:])


def reference_job(run: Run, name: str, design: Design, fold: int) -> Job:
    """Return the training of a reference on a fold: the found network's own, but for what is trained and where."""
    folder = run.folder.reference(name, fold)
    return training_job(run, f"{name} fold {fold}", folder, scratch_spec(run, design, fold))


def searched_design(run: Run) -> Design:
    """Return the design of the run's final networks, all of which are there.

    Raises:
        UserError: they are not what the run's search has found, or not trained from scratch on one schedule.
    """
    root, deployment = run.folder.root, run.config.deployment
    if not run.folder.fine_architecture.exists():
        raise UserError(f"{root}: no search has finished here, so there is nothing to judge. Start with `c2fnas run`.")
    if deployment.start:
        raise UserError(
            f"{root}: its final networks began with another model; a verdict compares networks trained from scratch. "
            "Judge the run that the search was made in."
        )
    if deployment.extended:
        raise UserError(
            f"{root}: its final networks were extended, so they had one schedule after another; references would have "
            f"a single one. A verdict comes before `--extend`; after it `c2fnas ablate {root}` trains architectures "
            "alike."
        )
    missing = [fold for fold in run.final_folds if not run.folder.final_model(fold).exists()]
    if missing:
        raise UserError(_untrained(run, missing))
    design = read_design(run.folder.final)
    if not was_found(run.folder, design):
        found = Architecture.load(run.folder.fine)
        raise UserError(
            f"{run.folder.final / design_file(design)}: the final networks are of {design.to_text()}, and the search "
            f"has found {found.to_text()}. A verdict judges what was found: in a copy of the run folder without "
            "`final`, `c2fnas run` trains that."
        )
    behind = [fold for fold in run.final_folds if finished(fold_job(run, design, fold)) is None]
    if behind:
        raise UserError(_untrained(run, behind))
    return design


def _untrained(run: Run, folds: list[int]) -> str:
    return (
        f"{run.folder.final}: the found network is not trained yet on fold {', '.join(map(str, folds))}. "
        "`c2fnas run` comes first; a verdict follows."
    )


def _scored(folders: Mapping[int, Path]) -> dict[int, Evaluation]:
    """The evaluations in the folders of folds; a fold whose Dice was not measurable is left out."""
    found = {fold: evaluation_in(folder) for fold, folder in folders.items()}
    return {fold: evaluation for fold, evaluation in found.items() if evaluation is not None}


@dataclass(frozen=True)
class _Rival:
    """A reference before its training; without a design where there is none of the kind, for ``note``."""

    name: str
    title: str
    design: Design | None
    note: str


def _unet(run: Run, macs: int) -> _Rival:
    unet = unet_of_equal_macs(run, macs)
    more = run.cost(unet).macs / macs - 1
    near = f"as near as whole filters allow: {abs(more):.1%} {'more' if more > 0 else 'fewer'} multiply-accumulates"
    return _Rival(UNET, "U-Net of equal MACs", unet, near)


def _median(run: Run, width: float) -> _Rival:
    """In the width of the found network, which may have been scaled since the coarse stage."""
    title, sampler = "median random topology", run.config.coarse.sampler
    trials = trials_of(run.folder, COARSE)
    median = median_random(trials, sampler)
    if median is None:
        return _Rival(MEDIAN, title, None, no_median(trials, sampler))
    return _Rival(MEDIAN, title, replace(median.trial.architecture, width=width), median.note)


def _judged(
    run: Run,
    rival: _Rival,
    own: Mapping[int, Evaluation],
    jobs: Mapping[tuple[str, int], Job],
    outcomes: Mapping[tuple[str, int], Outcome],
) -> Reference:
    """A reference with its scores and the difference, or with the reason for there being none."""
    if rival.design is None:
        return Reference(rival.name, None, rival.note, None, rival.note)
    mine = {fold: outcome for (name, fold), outcome in outcomes.items() if name == rival.name}
    if reason := _failure(mine) if own else UNSCORED:
        return Reference(rival.name, _contestant(run, rival.title, rival.design, {}), rival.note, None, reason)
    theirs = _scored({fold: jobs[rival.name, fold].folder for fold in mine})
    found = difference(own, theirs, groups=run.groups, seed=run.config.seed)
    return Reference(rival.name, _contestant(run, rival.title, rival.design, theirs), rival.note, found)


def _failure(outcomes: Mapping[int, Outcome]) -> str | None:
    """The reason for a reference having no Dice on some fold."""
    reasons = [f"fold {fold}: {reason}" for fold, outcome in outcomes.items() if (reason := failure_of(outcome))]
    trained = all(outcome.value is not None for outcome in outcomes.values())
    what = "it was trained but not scored" if trained else "it could not be trained"
    return f"{what}; {'; '.join(reasons)}" if reasons else None


def _contestant(run: Run, title: str, design: Design, evaluations: Mapping[int, Evaluation]) -> Contestant:
    """A network with the Dice of all its folds together; none where there are none."""
    cost = run.cost(design)
    network = Contestant(title, design.to_text(), cost.parameters, cost.macs, None, None)
    rows = [row for each in evaluations.values() for row in each.cases]
    return network.with_scores(summarise(rows)) if rows else network


def _training(run: Run) -> str:
    recipe = run.config.deployment.recipe
    return (
        f"recipe {recipe.name}, {recipe.iterations} iterations of {recipe.batch_size} patches, seed {run.config.seed}"
    )


def _caveats(run: Run, folds: Collection[int]) -> tuple[str, ...]:
    """Limits of the comparison: other seeds, what favours the found network, folds without a Dice."""
    if not run.config.searches:
        return ()
    over = "groups of cases" if run.groups else "cases"
    caveats = [f"The interval is over {over}: another seed would train other networks."]
    if len(run.folds) - 1 in folds:
        caveats.append("The search chose by the validation cases of the last fold, which favours what it found.")
    if unscored := sorted(set(run.final_folds) - set(folds)):
        caveats.append(f"Left out, since its Dice was not measurable there: fold {', '.join(map(str, unscored))}.")
    return tuple(caveats)
