"""The verdict (not in the paper): whether what the search found is better than networks that no search was needed for.

At the same recipe, folds and seed as the found network, a U-Net of equal multiply-accumulates and the median of the
random topologies are trained and evaluated on the same validation cases.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from c2fnas.evaluation.metrics import Evaluation, summarise
from c2fnas.evaluation.paired_folds import difference
from c2fnas.evaluation.verdict import Contestant, Reference, Verdict
from c2fnas.execution.executor import Executor
from c2fnas.execution.job import Job, Outcome
from c2fnas.files import read_json, write_json
from c2fnas.networks.designs import Design
from c2fnas.runs.driver import run_all
from c2fnas.runs.folder import EVALUATION
from c2fnas.runs.ledger import trials_of
from c2fnas.runs.reporter import Reporter
from c2fnas.runs.run import Setting
from c2fnas.stages.coarse import STAGE as COARSE
from c2fnas.stages.deploy import fold_job
from c2fnas.studies.references import UNET, cost_of, median_random, no_median, unet_of_equal_macs
from c2fnas.studies.verdict_subject import searched_design

STAGE = "verdict"
MEDIAN = "random_topology"


def give_verdict(setting: Setting, executor: Executor, reporter: Reporter) -> Verdict:
    """Train the references on the run's folds, compare, and leave ``verdict/verdict.json``.

    Resumes: what is trained is not trained again. A reference that could not be trained is a row that says so.

    Raises:
        UserError: the run was no search, or its final networks are not what it found, trained from scratch at once.
    """
    searched = searched_design(setting)
    folds = setting.config.deployment.folds
    own = {fold: _evaluation(setting.folder.final_fold(fold)) for fold in folds}
    together = _together(own)
    found = _contestant(setting, "searched network", searched).with_scores(together)
    rivals = _unet(setting, found.macs), _median(setting, searched.width)
    jobs = {
        (rival.name, fold): reference_job(setting, rival.name, rival.design, fold)
        for rival in rivals
        if rival.design
        for fold in folds
    }
    outcomes = dict(zip(jobs, run_all(executor, [*jobs.values()], setting.folder, reporter, STAGE), strict=True))
    references = tuple(_judged(setting, rival, own, jobs, outcomes) for rival in rivals)
    verdict = Verdict(found, references, len(together.cases), folds, _training(setting), _caveats(setting))
    write_json(setting.folder.verdict_file, verdict.to_json())
    return verdict


def reference_job(setting: Setting, name: str, design: Design, fold: int) -> Job:
    """The training of a reference on a fold: the found network's own job, but for what is trained and where."""
    payload = {**fold_job(setting, design, fold).payload, "run": "../../.."}
    return Job(f"{name} fold {fold}", "c2fnas.stages.jobs:train_fold", payload, setting.folder.reference(name, fold))


@dataclass(frozen=True)
class _Rival:
    """A reference before its training; without a design where there is none of the kind, for ``note``."""

    name: str
    title: str
    design: Design | None
    note: str


def _unet(setting: Setting, macs: int) -> _Rival:
    unet = unet_of_equal_macs(setting, macs)
    more = cost_of(setting, unet).macs / macs - 1
    near = f"as near as whole filters allow: {abs(more):.1%} {'more' if more > 0 else 'fewer'} multiply-accumulates"
    return _Rival(UNET, "U-Net of equal MACs", unet, near)


def _median(setting: Setting, width: float) -> _Rival:
    """In the width of the found network, which may have been scaled since the coarse stage."""
    title, sampler = "median random topology", setting.config.coarse.sampler
    trials = trials_of(setting.folder, COARSE)
    median = median_random(trials, sampler)
    if median is None:
        return _Rival(MEDIAN, title, None, no_median(trials, sampler))
    return _Rival(MEDIAN, title, replace(median.trial.architecture, width=width), median.note)


def _judged(
    setting: Setting,
    rival: _Rival,
    own: Mapping[int, Evaluation],
    jobs: Mapping[tuple[str, int], Job],
    outcomes: Mapping[tuple[str, int], Outcome],
) -> Reference:
    """A reference with its scores and the difference, or with the reason why there is none."""
    if rival.design is None:
        return Reference(rival.name, None, rival.note, None, rival.note)
    network = _contestant(setting, rival.title, rival.design)
    mine = {key: outcome for key, outcome in outcomes.items() if key[0] == rival.name}
    failures = [f"fold {fold}: {outcome.failure}" for (_, fold), outcome in mine.items() if outcome.value is None]
    if failures:
        return Reference(rival.name, network, rival.note, None, f"it could not be trained; {'; '.join(failures)}")
    theirs = {fold: _evaluation(jobs[name, fold].folder) for name, fold in mine}
    found = difference(own, theirs, groups=setting.groups, seed=setting.config.seed)
    return Reference(rival.name, network.with_scores(_together(theirs)), rival.note, found)


def _contestant(setting: Setting, title: str, design: Design) -> Contestant:
    cost = cost_of(setting, design)
    return Contestant(title, design.to_text(), cost.parameters, cost.macs, None, None)


def _evaluation(folder: Path) -> Evaluation:
    return Evaluation.from_json(read_json(folder / EVALUATION))


def _together(evaluations: Mapping[int, Evaluation]) -> Evaluation:
    """What all folds amount to."""
    return summarise([row for each in evaluations.values() for row in each.cases])


def _training(setting: Setting) -> str:
    recipe = setting.config.deployment.recipe
    return (
        f"recipe {recipe.name}, {recipe.iterations} iterations of {recipe.batch_size} patches, seed "
        f"{setting.config.seed}"
    )


def _caveats(setting: Setting) -> tuple[str, ...]:
    """The search has chosen by validation cases of its own split, which are among those of the verdict."""
    over = "groups of cases" if setting.groups else "cases"
    seed = f"The interval is over {over}: another seed would train other networks."
    if len(setting.folds) - 1 not in setting.config.deployment.folds:
        return (seed,)
    return seed, "The search chose by the validation cases of the last fold, which favours what it found."
