"""The verdict (not in the paper): whether what the search found is better than networks that no search was needed for.

At the same recipe, folds and seed as the found network, a U-Net of equal multiply-accumulates and the median of the
random topologies are trained and evaluated on the same validation cases.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from c2fnas.errors import UserError
from c2fnas.execution.call import finished
from c2fnas.execution.executor import Executor
from c2fnas.execution.job import Job, Outcome
from c2fnas.files import read_json, write_json
from c2fnas.inference.designs import Design, read_design
from c2fnas.inference.metrics import Evaluation, summarise
from c2fnas.inference.paired_bootstrap import paired_bootstrap
from c2fnas.inference.verdict import CAVEAT, Contestant, Reference, Verdict
from c2fnas.runs.folder import EVALUATION
from c2fnas.runs.ledger import Ledger
from c2fnas.space.architecture import Architecture
from c2fnas.stages.coarse import STAGE as COARSE
from c2fnas.stages.deploy import fold_job
from c2fnas.stages.drive import run_all
from c2fnas.stages.progress import Reporter
from c2fnas.stages.references import UNET, cost_of, median_random, unet_of_equal_macs
from c2fnas.stages.setting import Setting

STAGE = "verdict"
MEDIAN = "random_topology"


def give_verdict(setting: Setting, executor: Executor, reporter: Reporter) -> Verdict:
    """Train the references on the run's folds, compare, and leave ``verdict/verdict.json``.

    Resumes: what is trained is not trained again. A reference that could not be trained is a row that says so.

    Raises:
        UserError: the run was no search, or its found network is not trained yet.
    """
    searched = _searched(setting)
    folds = setting.config.deployment.folds
    own = _together([read_json(setting.folder.final_fold(fold) / EVALUATION) for fold in folds])
    found = _contestant(setting, "searched network", searched).with_scores(own)
    rivals = _rivals(setting, found.macs)
    jobs = {
        (rival.name, fold): reference_job(setting, rival.name, rival.design, fold)
        for rival in rivals if rival.design for fold in folds
    }  # fmt: skip
    outcomes = dict(zip(jobs, run_all(executor, [*jobs.values()], setting.folder, reporter, STAGE), strict=True))
    references = tuple(_judged(setting, rival, own, jobs, outcomes) for rival in rivals)
    verdict = Verdict(found, references, len(own.cases), folds, _training(setting), _caveats(setting))
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


def _searched(setting: Setting) -> Design:
    """The design of the run's final networks, all of which are there."""
    run, deployment = setting.folder.root, setting.config.deployment
    if not (setting.folder.fine / "architecture.json").exists():
        raise UserError(f"{run}: no search has finished here, so there is nothing to judge. Start with `c2fnas run`.")
    if deployment.start:
        raise UserError(
            f"{run}: its final networks began with another model; a verdict compares networks trained from scratch. "
            "Judge the run that the search was made in."
        )
    missing = [fold for fold in deployment.folds if not (setting.folder.final_fold(fold) / EVALUATION).exists()]
    if missing:
        raise UserError(_untrained(setting, missing))
    kind, design = read_design(setting.folder.final)
    if not isinstance(design, Architecture):
        raise UserError(f"{setting.folder.final / kind.file}: its final networks are not of a searched architecture.")
    behind = [fold for fold in deployment.folds if finished(fold_job(setting, design, fold)) is None]
    if behind:
        raise UserError(_untrained(setting, behind))
    return design


def _untrained(setting: Setting, folds: list[int]) -> str:
    return (
        f"{setting.folder.final}: the found network is not trained yet on fold {', '.join(map(str, folds))}. "
        "`c2fnas run` comes first; a verdict follows."
    )


def _rivals(setting: Setting, macs: int) -> tuple[_Rival, ...]:
    unet = unet_of_equal_macs(setting, macs)
    more = cost_of(setting, unet).macs / macs - 1
    near = f"as near as whole filters allow: {abs(more):.1%} {'more' if more > 0 else 'fewer'} multiply-accumulates"
    trials = Ledger(setting.folder.study, COARSE, read_only=True).trials()
    median = median_random(trials, setting.config.coarse.sampler)
    if median is None:
        none = "no random topology of the coarse stage has succeeded."
        return _Rival(UNET, "U-Net of equal MACs", unet, near), _Rival(MEDIAN, "median random topology", None, none)
    trial, count = median
    drawn = "first of their clusters" if trial.extra["branch"] == "initial" else "drawn at random"
    of = f"candidate {trial.number}, the median by coarse Dice of the {count} that were {drawn}; 3D in every cell"
    return (
        _Rival(UNET, "U-Net of equal MACs", unet, near),
        _Rival(MEDIAN, "median random topology", trial.architecture, of),
    )


def _judged(
    setting: Setting, rival: _Rival, own: Evaluation, jobs: Mapping[tuple[str, int], Job],
    outcomes: Mapping[tuple[str, int], Outcome],
) -> Reference:  # fmt: skip
    """A reference with its scores and the difference, or with the reason why there is none."""
    if rival.design is None:
        return Reference(rival.name, None, rival.note, None, rival.note)
    network = _contestant(setting, rival.title, rival.design)
    mine = {key: outcome for key, outcome in outcomes.items() if key[0] == rival.name}
    failures = [f"fold {fold}: {outcome.failure}" for (_, fold), outcome in mine.items() if outcome.value is None]
    if failures:
        return Reference(rival.name, network, rival.note, None, f"it could not be trained; {'; '.join(failures)}")
    theirs = _together([read_json(jobs[key].folder / EVALUATION) for key in mine])
    difference = paired_bootstrap(own, theirs, seed=setting.config.seed)
    return Reference(rival.name, network.with_scores(theirs), rival.note, difference)


def _contestant(setting: Setting, title: str, design: Design) -> Contestant:
    cost = cost_of(setting, design)
    return Contestant(title, design.to_text(), cost.parameters, cost.macs, None, None)


def _together(evaluations: Sequence[Mapping[str, object]]) -> Evaluation:
    """The evaluations of all folds as one of all their cases."""
    return summarise([row for each in evaluations for row in Evaluation.from_json(each).cases])


def _training(setting: Setting) -> str:
    recipe = setting.config.deployment.recipe
    return (
        f"recipe {recipe.name}, {recipe.iterations} iterations of {recipe.batch_size} patches, seed "
        f"{setting.config.seed}"
    )


def _caveats(setting: Setting) -> tuple[str, ...]:
    """The search has chosen by validation cases of its own split, which are among those of the verdict."""
    if len(setting.folds) - 1 not in setting.config.deployment.folds:
        return (CAVEAT,)
    return CAVEAT, "The search chose by the validation cases of the last fold, which favours what it found."
