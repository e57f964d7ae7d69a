"""The verdict (not in the paper): is what the search found better than networks that no search was needed for?

At the same recipe, folds and seed as the found network, a U-Net of equal multiply-accumulates and the median of the
random topologies are trained and evaluated on the same validation cases.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from c2fnas.errors import UserError
from c2fnas.evaluation.metrics import Evaluation, summarise
from c2fnas.evaluation.paired_folds import difference
from c2fnas.evaluation.verdict import Contestant, Reference, Verdict
from c2fnas.execution.call import finished
from c2fnas.execution.job import Job, Outcome
from c2fnas.files import write_json
from c2fnas.networks.designs import Design, design_file, read_design
from c2fnas.runs.found import was_found
from c2fnas.runs.ledger import trials_of
from c2fnas.runs.run import Run
from c2fnas.space.architecture import Architecture
from c2fnas.stages.coarse import STAGE as COARSE
from c2fnas.stages.deploy import evaluation_in, fold_job, scratch_spec
from c2fnas.stages.training import failure_of, run_all, training_job
from c2fnas.studies.references import UNET, median_random, no_median, unet_of_equal_macs

STAGE = "verdict"
MEDIAN = "random_topology"


def judge(run: Run) -> Verdict:
    """Train the references on the run's folds, compare, and leave ``verdict/verdict.json``.

    Resumes: what is trained is not trained again. A reference that could not be trained is a row that says so.

    Raises:
        UserError: the run was no search, or its final networks are not what it found, trained from scratch at once.
    """
    searched = searched_design(run)
    folds = run.final_folds
    own = _scored_folds(run, folds)
    together = _together(own)
    found = _contestant(run, "searched network", searched).with_scores(together)
    rivals = _unet(run, found.macs), _median(run, searched.width)
    jobs = {
        (rival.name, fold): reference_job(run, rival.name, rival.design, fold)
        for rival in rivals
        if rival.design
        for fold in folds
    }
    outcomes = dict(zip(jobs, run_all(run, STAGE, [*jobs.values()]), strict=True))
    references = tuple(_judged(run, rival, own, jobs, outcomes) for rival in rivals)
    verdict = Verdict(found, references, len(together.cases), folds, _training(run), _caveats(run))
    write_json(run.folder.verdict_file, verdict.to_json())
    return verdict


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
    if not (run.folder.fine / "architecture.json").exists():
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


def _scored_folds(run: Run, folds: tuple[int, ...]) -> dict[int, Evaluation]:
    """The found network's evaluations, by fold; refused where none of them could be measured."""
    found = {fold: evaluation_in(run.folder.final_fold(fold)) for fold in folds}
    scored = {fold: evaluation for fold, evaluation in found.items() if evaluation is not None}
    if not scored:
        raise UserError(
            f"{run.folder.final}: the Dice of the found network was not measurable on any fold, so that nothing can be "
            "compared. Divide the cases so that validation cases show the structures: --folds random."
        )
    return scored


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
    network = _contestant(run, rival.title, rival.design)
    mine = {fold: outcome for (name, fold), outcome in outcomes.items() if name == rival.name}
    failures = [f"fold {fold}: {reason}" for fold, outcome in mine.items() if (reason := failure_of(outcome))]
    if failures:
        return Reference(rival.name, network, rival.note, None, f"it could not be trained; {'; '.join(failures)}")
    evaluations = {fold: evaluation_in(jobs[rival.name, fold].folder) for fold in mine}
    theirs = {fold: evaluation for fold, evaluation in evaluations.items() if evaluation is not None}
    found = difference(own, theirs, groups=run.groups, seed=run.config.seed)
    return Reference(rival.name, network.with_scores(_together(theirs)), rival.note, found)


def _contestant(run: Run, title: str, design: Design) -> Contestant:
    cost = run.cost(design)
    return Contestant(title, design.to_text(), cost.parameters, cost.macs, None, None)


def _together(evaluations: Mapping[int, Evaluation]) -> Evaluation:
    """All folds as one evaluation."""
    return summarise([row for each in evaluations.values() for row in each.cases])


def _training(run: Run) -> str:
    recipe = run.config.deployment.recipe
    return (
        f"recipe {recipe.name}, {recipe.iterations} iterations of {recipe.batch_size} patches, seed {run.config.seed}"
    )


def _caveats(run: Run) -> tuple[str, ...]:
    """The search has chosen by validation cases of its own split, which are among those of the verdict."""
    over = "groups of cases" if run.groups else "cases"
    seed = f"The interval is over {over}: another seed would train other networks."
    if len(run.folds) - 1 not in run.final_folds:
        return (seed,)
    return seed, "The search chose by the validation cases of the last fold, which favours what it found."
