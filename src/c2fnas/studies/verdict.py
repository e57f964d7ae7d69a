"""The verdict (not in the paper): is what the search found better than networks that no search was needed for?

At the recipe of the found network references are trained and evaluated on the same cases: by default once, which says
something of the trained networks alone, or with several seeds or folds, which says something of their architectures.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean

from c2fnas.data.folds import FOLDS, guided_folds
from c2fnas.evaluation.metrics import Evaluation, summarise
from c2fnas.evaluation.pairs import of_networks
from c2fnas.evaluation.replicates import Replicate, compare, holm
from c2fnas.evaluation.verdict import Contestant, Reference, Verdict
from c2fnas.execution.call import finished
from c2fnas.execution.job import Job, Outcome
from c2fnas.files import write_json
from c2fnas.networks.designs import Design
from c2fnas.runs.records.job_record import evaluation_in, read_job
from c2fnas.runs.run import Run
from c2fnas.runs.stage_summary import stages_of
from c2fnas.runs.summary import read_verdict, training_text
from c2fnas.runs.timing.allowance import affordable_references, cost_of_references, measured_alone
from c2fnas.stages.deployment import fold_job, scratch_spec
from c2fnas.stages.training_jobs import failure_of, run_all, training_job
from c2fnas.studies.judged_network import judged_folds, searched_design
from c2fnas.studies.references import Measured, Rival, measured, rivals
from c2fnas.text import duration, plural

STAGE = "verdict"
SEARCHED = "searched"
SEARCH_STAGES = ("coarse", "super-network", "ranking")
UNSCORED = (
    "the Dice of the run's own network was not measurable on any fold; see that validation cases show the structures"
)

Trained = dict[Replicate, Evaluation]


@dataclass(frozen=True)
class _Trainings:
    """The trainings of all contestants.

    Attributes:
        scores: the evaluations of each, by its name.
        outcomes: of the trainings that are the verdict's own, by contestant and replicate.
    """

    scores: Mapping[str, Trained]
    outcomes: Mapping[tuple[str, Replicate], Outcome]


def judged_once(run: Run, allowance: float | None = None) -> Verdict:
    """Return the verdict that the run has, else :func:`judge` it in ``allowance`` seconds."""
    return read_verdict(run.folder) or judge(run, allowance=allowance)


def judge(
    run: Run, replicates: int | None = None, margin: float | None = None, *, allowance: float | None = None
) -> Verdict:
    """Train the references, compare, and leave ``verdict/verdict.json``.

    Resumes: what is trained is not trained again. A reference that could not be trained is a row that says so. Where
    nothing was searched the verdict says that; asked for by its trainings, it judges the default network.

    Args:
        run: a search whose final networks are trained.
        replicates: trainings of each network; None for those of the last verdict, at first as :func:`asked` says.
        margin: differences within it do not matter; None: the run's, as for its search.
        allowance: seconds that it may take; later references are left out where it doesn't pay for them.

    Raises:
        UserError: the run was no search, or its final networks are not what it found, trained from scratch at once.
    """
    design, margin = searched_design(run), run.config.margin if margin is None else margin
    replicates = replicates or _replicates_before(run)
    searches = run.config.kind == "training" or run.config.searches
    count = affordable_references(run.config.references, allowance, _cost(run)) if searches or replicates else 0
    searched = Rival(SEARCHED, "searched network" if searches else "default network", design, "")
    wanted, contestants = asked(run, replicates), (searched, *rivals(run, design, count))
    trained = _train(run, contestants, wanted)
    networks = _networks(run, contestants, trained)
    found, own = networks[SEARCHED], trained.scores[SEARCHED]
    assert found is not None
    folds = tuple(sorted({fold for fold, _ in own or wanted}))
    verdict = Verdict(
        searched=found,
        references=_references(run, contestants[1:], networks, trained, margin),
        cases=sum(len(run.folds[fold].validation) for fold in folds) if own else 0,
        folds=folds,
        training=_training(run),
        caveats=_caveats(run, wanted, own, count) if count else (),
        replicates=replicates,
        search_seconds=_search_seconds(run) if searches else None,
    )
    write_json(run.folder.verdict_file, verdict.to_json())
    return verdict


def _train(run: Run, contestants: Sequence[Rival], wanted: Sequence[Replicate]) -> _Trainings:
    """Train what is wanted of each contestant, where the run's own network has a score to compare with."""
    scored = [at for at in wanted if evaluation_in(run.folder.final_fold(at[0]))]
    jobs = {(each.name, at): _job(run, each, at) for each in contestants if each.design for at in scored}
    new = {key: job for key, job in jobs.items() if key[0] != SEARCHED or key[1][1]}
    told = forecast(run, [*new.values()]) if len(contestants) > 1 else None
    outcomes = dict(zip(new, run_all(run, STAGE, [*new.values()], forecast=told), strict=True))
    return _Trainings({each.name: _scored(jobs, each.name) for each in contestants}, outcomes)


def _networks(run: Run, contestants: Sequence[Rival], trained: _Trainings) -> dict[str, Contestant | None]:
    """The contestants with what they cost and reached; without references nothing is measured."""
    designs = [each.design for each in contestants if each.design]
    costs = measured(run, designs) if len(contestants) > 1 else {}
    return {each.name: _contestant(run, each, trained.scores[each.name], costs) for each in contestants}


def _references(
    run: Run,
    contestants: Sequence[Rival],
    networks: Mapping[str, Contestant | None],
    trained: _Trainings,
    margin: float,
) -> tuple[Reference, ...]:
    """The references with their comparisons; p values of those after the first are corrected together (Holm)."""
    found = [_judged(run, each, networks, trained, margin) for each in contestants]
    corrected = holm([each.comparison for each in found[1:]])
    rest = [replace(each, comparison=comparison) for each, comparison in zip(found[1:], corrected, strict=True)]
    return (*found[:1], *rest)


def _search_seconds(run: Run) -> float:
    return sum(each.seconds for each in stages_of(run) if each.name in SEARCH_STAGES)


def _cost(run: Run) -> Callable[[int], float]:
    """The seconds of so many trainings, each about as long as a final network's, with fewer cores where it had more."""
    seconds = mean(read_job(run.folder.final_fold(fold)).seconds for fold in run.final_folds)
    slots = run.slots
    return cost_of_references(seconds, len(run.final_folds), slots.jobs, measured_alone(run.folder, slots))


def asked(run: Run, replicates: int | None = None) -> tuple[Replicate, ...]:
    """Return the fold and the seed, beyond the run's own, of each training of a network.

    Folds on whose cases no score has guided the search come first: mostly all but the last. With enough of them
    replicates are folds, else seeds on the first. Where their number is left to the run, they are the folds that it
    deploys, in a time budget the first alone.
    """
    deployed, guided = judged_folds(run), _guided(run)
    fair = [fold for fold in deployed if fold not in guided] or [*deployed]
    if replicates is None:
        return tuple((fold, 0) for fold in (deployed if run.config.hours is None else fair[:1]))
    if replicates <= len(fair):
        return tuple((fold, 0) for fold in fair[:replicates])
    return tuple((fair[0], further) for further in range(replicates))


def _guided(run: Run) -> frozenset[int]:
    return guided_folds([fold.validation for fold in run.folds], run.groups)


def forecast(run: Run, jobs: Sequence[Job]) -> str:
    """Return how many trainings are left, and about how long they will take at the pace of the final networks."""
    left = sum(finished(job) is None for job in jobs)
    if not left:
        return "Verdict: every network is trained."
    slots = run.slots
    took = _cost(run)(len(jobs)) * -(-left // slots.jobs) / -(-len(jobs) // slots.jobs)  # cores: all of the stage's
    return f"Verdict: {plural(left, 'training')}, about {duration(took)} on {slots.text(run.config.devices)}."


def _replicates_before(run: Run) -> int | None:
    before = read_verdict(run.folder)
    return before.replicates if before else None


def _job(run: Run, rival: Rival, at: Replicate) -> Job:
    """The training of a contestant: the found network's own, but for what is trained, where, and the seed."""
    fold, further = at
    assert rival.design is not None
    if rival.name == SEARCHED and not further:
        return fold_job(run, rival.design, fold)
    spec = scratch_spec(run, rival.design, fold)
    recipe = spec.recipe if rival.iterations is None else spec.recipe.with_iterations(rival.iterations)
    seed = f", seed {run.config.seed + further}" if further else ""
    folder = run.folder.reference(rival.name, fold, further)
    spec = replace(spec, recipe=recipe, seed=run.config.seed + further)
    return training_job(run, f"{rival.name} fold {fold}{seed}", folder, spec)


def _scored(jobs: Mapping[tuple[str, Replicate], Job], name: str) -> Trained:
    """The evaluations of a contestant; a training whose Dice was not measurable is left out."""
    found = {at: evaluation_in(job.folder) for (each, at), job in jobs.items() if each == name}
    return {at: evaluation for at, evaluation in found.items() if evaluation is not None}


def _judged(
    run: Run, rival: Rival, networks: Mapping[str, Contestant | None], trained: _Trainings, margin: float
) -> Reference:
    """A reference with its comparison, or the reason for there being none; no failed training is passed over."""
    scores, outcomes = trained.scores, trained.outcomes
    own, theirs, network = scores[SEARCHED], scores[rival.name], networks[rival.name]
    if network is None:
        return Reference(rival.name, None, rival.note, None, None, rival.note)
    failed = _failure(run, rival.name, outcomes)
    if reason := (_failure(run, SEARCHED, outcomes) or failed) if own else UNSCORED:
        shown = replace(network, dice=None, per_class=None) if failed else network
        return Reference(rival.name, shown, rival.note, None, None, reason)
    found = compare(own, theirs, groups=run.groups, margin=margin)
    networks_alone = of_networks(own, theirs, found, run.groups, run.config.seed)
    return Reference(rival.name, network, rival.note, found, networks_alone)


def _failure(run: Run, name: str, outcomes: Mapping[tuple[str, Replicate], Outcome]) -> str | None:
    """The reason for a contestant having no Dice of some training."""
    mine = {at: outcome for (each, at), outcome in outcomes.items() if each == name}
    reasons = [
        f"fold {fold}{f', seed {run.config.seed + further}' if further else ''}: {reason}"
        for (fold, further), outcome in mine.items()
        if (reason := failure_of(outcome))
    ]
    who = "the run's own network" if name == SEARCHED else "it"
    trained = all(outcome.value is not None for outcome in mine.values())
    what = f"{who} was trained but not scored" if trained else f"{who} could not be trained"
    return f"{what}; {'; '.join(reasons)}" if reasons else None


def _contestant(run: Run, rival: Rival, scores: Trained, costs: Mapping[Design, Measured]) -> Contestant | None:
    """A network with the Dice of all its trainings together; none where there is no network of the kind."""
    if rival.design is None:
        return None
    cost, taken = run.cost(rival.design), costs.get(rival.design)
    memory, latency = (taken.memory, taken.window) if taken else (None, None)
    text = rival.design.to_text()
    network = Contestant(rival.title, text, cost.parameters, cost.macs, None, None, memory, latency)
    rows = [row for each in scores.values() for row in each.cases]
    return network.with_scores(summarise(rows)) if rows else network


def _training(run: Run) -> str:
    recipe = run.config.deployment.recipe
    return f"recipe {recipe.name}, {training_text(recipe)}, seed {run.config.seed}"


def _caveats(run: Run, wanted: Sequence[Replicate], own: Collection[Replicate], count: int) -> tuple[str, ...]:
    """Limits of the comparison: what favours the found network, what could not be had."""
    folds = sorted({fold for fold, _ in wanted})
    shown = plural(len(folds), "fold") if len(folds) > 1 else f"fold {folds[0]}"
    caveats = [f"No score on the cases of {shown} has guided the search, which may have trained on them."]
    if not run.config.searches:
        caveats = ["Nothing was searched: the default network was chosen without these data."]
    elif guided := sorted(_guided(run) & {*folds}):
        shown = ", ".join(map(str, guided))
        caveats = [f"The search chose by scores on cases of fold {shown}, which favours what it found."]
    if len(folds) > 1:
        caveats.append("Trainings of folds share most of their cases: the interval is about these data.")
    if further := run.config.references - count:
        caveats.append(
            f"Left out, since the budget doesn't pay for it: {plural(further, 'further reference')}; `c2fnas verdict "
            "RUN` trains more."
        )
    if len(run.folds) < FOLDS:
        caveats.append(
            f"The cases were divided into {plural(len(run.folds), 'fold')}: fewer than the five of the paper."
        )
    if unscored := sorted({fold for fold, _ in wanted} - {fold for fold, _ in own}):
        caveats.append(f"Left out, since its Dice was not measurable there: fold {', '.join(map(str, unscored))}.")
    return tuple(caveats)
