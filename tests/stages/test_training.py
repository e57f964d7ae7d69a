"""The one training job: its spec as JSON, a model before its score, scores on the way, and resumption anywhere."""

import json
import shutil
from contextlib import nullcontext
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from coarse_run import prepared_run
from fine_run import Listener, inline
from hypothesis import given
from hypothesis import strategies as st
from space_strategies import architectures
from stand_in import Accelerator

from c2fnas.data.dataset import evenly_spread
from c2fnas.data.patches import Batch, PatchSampler
from c2fnas.data.plan import ChannelPlan, ClassPlan, Plan
from c2fnas.errors import Interrupted, UserError
from c2fnas.evaluation.evaluate import evaluate_network
from c2fnas.execution.call import _report_of, finished, make_call
from c2fnas.execution.job import Job, Outcome
from c2fnas.files import read_json_lines
from c2fnas.inference.forward import WindowTooLarge
from c2fnas.inference.package import load_package
from c2fnas.networks.baselines import BASELINES, Baseline
from c2fnas.planning.plan import scaled_plan
from c2fnas.runs.folder import PACKAGE
from c2fnas.runs.records.job_record import evaluation_in
from c2fnas.runs.records.scored_cases import SCORES, ScoredCases
from c2fnas.runs.records.trained import Trained
from c2fnas.runs.run import Run
from c2fnas.space.architecture import Architecture
from c2fnas.stages import training, training_jobs
from c2fnas.stages.training import WEIGHTS, train_and_score, train_network
from c2fnas.stages.training_jobs import TrainingSpec, failure_of, run_all, training_job
from c2fnas.training import device
from c2fnas.training.checkpoint import has_checkpoint
from c2fnas.training.losses import DiceCrossEntropy
from c2fnas.training.recipe import modern_recipe, paper_recipe
from c2fnas.training.step import Stepper

SMALL = Architecture.from_text("0:3D 1:P3D 0:2D @0.0625")
RECIPE = modern_recipe(4).model_copy(update={"precision": "fp32"})
SPEC = TrainingSpec(SMALL, RECIPE, keep="model")
WHOLE = st.none() | st.integers(1, 10_000)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return prepared_run(tmp_path_factory.mktemp("training"))


@pytest.fixture
def folder(run: Run, request: pytest.FixtureRequest) -> Path:
    """A folder of the test's own in the run."""
    return run.folder.root / "trained" / f"{abs(hash(request.node.nodeid)):x}"


@pytest.fixture(scope="module")
def straight(run: Run) -> tuple[Trained, Path]:
    """A training that nothing has interrupted, with its folder."""
    folder = run.folder.root / "trained" / "straight"
    return train_and_score(run, SPEC, folder, "cpu"), folder


def timeless(value: Trained | dict[str, Any]) -> dict[str, Any]:
    """Without the seconds it took; the same of a job's value in JSON."""
    known = value.to_json() if isinstance(value, Trained) else value
    return {name: each for name, each in known.items() if name != "seconds"}


def specs() -> st.SearchStrategy[TrainingSpec]:
    recipes = st.builds(modern_recipe, st.integers(1, 30_000)) | st.sampled_from(
        [paper_recipe(stage) for stage in ("coarse", "supernet", "deployment")]
    )
    baselines = st.builds(Baseline, st.sampled_from(sorted(BASELINES)), st.floats(0.01, 4))
    return st.builds(
        TrainingSpec,
        design=architectures() | baselines,
        recipe=recipes,
        fold=st.integers(-1, 9),
        seed=st.integers(0, 2**40),
        until=WHOLE,
        score_at=st.lists(st.integers(1, 99), max_size=3).map(tuple),
        cases=WHOLE,
        window=st.sampled_from(["plan", "coarse"]),
        mirror=st.booleans(),
        patch_factor=st.floats(0.1, 4),
        extend=st.booleans(),
        start=st.none() | st.text("0123456789abcdef", min_size=8, max_size=8),
        keep=st.sampled_from(["nothing", "weights", "model"]),
    )


@given(specs())
def test_a_spec_goes_through_json(spec: TrainingSpec) -> None:
    """Whatever is in it, and nothing else: its job's payload is the spec and the way to the run."""
    assert TrainingSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
    folder = Run("/runs/a").folder.reference("unet3d", 2)
    job = training_job(Run("/runs/a"), "a", folder, spec)
    assert job.payload["run"] == "../../.."
    assert job.payload.keys() == {"run"} | {field.name for field in fields(TrainingSpec)}


@given(specs(), specs())
def test_jobs_are_the_same_where_their_specs_are(first: TrainingSpec, second: TrainingSpec) -> None:
    """In any run folder, so that one that is copied elsewhere answers there."""
    ours, theirs = (training_job(Run("/a"), "fold 0", Run("/a").folder.final_fold(0), spec) for spec in (first, second))
    assert (ours.digest() == theirs.digest()) == (first == second)
    moved = training_job(Run("/b/c"), "fold 0", Run("/b/c").folder.final_fold(0), first)
    assert moved.digest() == ours.digest()


def test_a_job_gives_what_its_spec_gives(run: Run, straight: tuple[Trained, Path]) -> None:
    """To the bit; its folder is found from its own place in the run."""
    job = training_job(run, "as a job", run.folder.root / "trained" / "deep" / "er" / "job", SPEC)
    report = make_call(job, job.payload, "cpu")
    assert report.value is not None
    assert timeless(report.value) == timeless(straight[0])
    assert model_sums(job.folder) == model_sums(straight[1])


def model_sums(folder: Path) -> str:
    return (folder / "model" / "SHA256SUMS").read_text()


def test_what_is_left_is_what_was_scored(run: Run, straight: tuple[Trained, Path]) -> None:
    value, folder = straight
    evaluation = evaluation_in(folder)
    assert evaluation is not None
    assert (value.dice, value.per_class, value.rungs) == (evaluation.mean, evaluation.per_class, {})
    assert [case.case for case in evaluation.cases] == [*run.search_split.validation]
    model = load_package(folder / "model")
    again = evaluate_network(
        model.network,
        run.cases(run.search_split.validation),
        replace(run.window(), precision="fp32"),
        scheme=run.scheme,
        device="cpu",
    )
    assert again.mean == evaluation.mean
    assert f"Dice {evaluation.mean:.4f} on {len(evaluation.cases)} cases" in (folder / "model/README.md").read_text()


def fails(*_: object, **__: object) -> None:
    raise ValueError("a case\n has gone")


def test_a_model_is_packaged_before_it_is_scored_and_stays(
    run: Run, straight: tuple[Trained, Path], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails_beside_a_model(*_: object, **__: object) -> None:
        assert load_package(folder / "model").design == SMALL
        fails()

    with monkeypatch.context() as patched:
        patched.setattr(training, "evaluate_network", fails_beside_a_model)
        value = train_and_score(run, SPEC, folder, "cpu")
    assert (value.dice, value.per_class) == (None, {})
    assert value.unscored == "Dice not measurable: a case has gone"
    assert evaluation_in(folder) is None
    assert "Dice not measurable on the 3 cases" in (folder / "model" / "README.md").read_text()
    assert weights_sum(folder) == weights_sum(straight[1])
    scored = train_and_score(run, SPEC, folder, "cpu")  # the cause was put right: scored, without further training
    assert timeless(scored) == timeless(straight[0])
    assert model_sums(folder) == model_sums(straight[1])


@pytest.mark.parametrize(("window", "raised"), [("coarse", True), ("plan", False)])
def test_a_fault_of_the_machine_in_scoring_is_no_candidates(
    window: Literal["coarse", "plan"], raised: bool, run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A damaged case, a full disk: another candidate would meet it too. A final network is kept without a score."""

    def damaged(*_: object, **__: object) -> None:
        raise UserError("image.npy: damaged")

    monkeypatch.setattr(training, "evaluate_network", damaged)
    spec = replace(SPEC, window=window, keep="nothing")
    with pytest.raises(UserError, match="damaged") if raised else nullcontext():
        assert "damaged" in train_and_score(run, spec, folder, "cpu").unscored


def weights_sum(folder: Path) -> list[str]:
    return [line for line in model_sums(folder).splitlines() if "weights" in line]


def test_a_score_of_a_shorter_training_does_not_stand_for_a_longer_one(
    run: Run, straight: tuple[Trained, Path], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(straight[1], folder)
    longer = replace(SPEC, recipe=RECIPE.with_iterations(6), extend=True)
    monkeypatch.setattr(training, "evaluate_network", fails)
    assert train_and_score(run, longer, folder, "cpu").dice is None
    assert evaluation_in(folder) is None
    assert weights_sum(folder) != weights_sum(straight[1])


def test_a_lack_of_memory_in_scoring_is_answered_by_one_retry(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first time it is the executor's to answer; with half the batch, the model is kept unscored."""

    def too_large(*_: object, **__: object) -> None:
        raise MemoryError("too large")

    monkeypatch.setattr(training, "evaluate_network", too_large)
    with pytest.raises(MemoryError):
        train_and_score(run, SPEC, folder, "cpu")
    assert load_package(folder / "model").design == SMALL
    assert train_and_score(run, SPEC, folder, "cpu", divisor=2).unscored == "Dice not measurable: too large"


def test_a_window_beyond_the_memory_costs_a_candidate_and_not_the_search(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A candidate of the coarse stage: the executor tries once more, then it has no Dice; others go on."""

    def too_large(*_: object, **__: object) -> None:
        raise WindowTooLarge("not enough memory for one window")

    monkeypatch.setattr(training, "evaluate_network", too_large)
    spec = replace(SPEC, window="coarse", keep="nothing")
    job = Job("one", "c2fnas.stages.training_jobs:unused", {}, folder)
    with pytest.raises(WindowTooLarge) as error:
        train_and_score(run, spec, folder, "cpu")
    assert _report_of(error.value, job, 1.0).kind == "out_of_memory"
    told = train_and_score(run, spec, folder, "cpu", divisor=2)
    assert (told.dice, told.unscored) == (None, "Dice not measurable: not enough memory for one window")


def test_cases_without_structures_have_no_dice_on_the_way_either(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a table's trainings, which are scored at their rungs too."""

    def nothing(*_: object, **__: object) -> None:
        raise UserError("There is no Dice to report.")

    monkeypatch.setattr(training, "evaluate_network", nothing)
    found = train_and_score(run, replace(SPEC, score_at=(1, 3), keep="nothing"), folder, "cpu")
    assert (found.dice, found.rungs) == (None, {"1": None, "3": None})


def test_under_torchrun_a_lack_of_memory_in_scoring_is_no_failure(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No executor would try again there, and the other processes have gone on to the next fold."""

    def too_large(*_: object, **__: object) -> None:
        raise MemoryError("too large")

    monkeypatch.setattr(training, "_evaluate", too_large)
    monkeypatch.setattr(training, "train_network", lambda *_: (run.build(SMALL), {}))
    monkeypatch.setattr(training, "ranks", lambda: (0, 2))
    assert train_and_score(run, SPEC, folder, "cpu").unscored == "Dice not measurable: too large"
    assert load_package(folder / "model").design == SMALL


def test_a_stop_while_it_is_scored_is_no_failure(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise Interrupted("stopped")

    monkeypatch.setattr(training, "evaluate_network", stopped)
    with pytest.raises(Interrupted):
        train_and_score(run, SPEC, folder, "cpu")


@pytest.mark.exact
def test_scores_on_the_way_are_those_of_a_training_that_pauses_there(
    run: Run, straight: tuple[Trained, Path], folder: Path
) -> None:
    on_the_way = train_and_score(run, replace(SPEC, score_at=(1, 3), keep="nothing"), folder / "way", "cpu")
    paused = {
        str(end): train_and_score(run, replace(SPEC, until=end, keep="nothing"), folder / "paused", "cpu").dice
        for end in (1, 3)
    }
    assert on_the_way.rungs == paused
    assert timeless(on_the_way) | {"rungs": {}} == timeless(straight[0])
    last = train_and_score(run, replace(SPEC, keep="nothing"), folder / "paused", "cpu")
    assert timeless(last) == timeless(straight[0])
    again = train_and_score(run, replace(SPEC, score_at=(1, 3), keep="nothing"), folder / "way", "cpu")
    assert timeless(again) == timeless(on_the_way)


def test_only_a_whole_training_leaves_its_weights(run: Run, folder: Path) -> None:
    spec = replace(SPEC, keep="weights")
    train_and_score(run, replace(spec, until=2), folder, "cpu")
    assert not (folder / WEIGHTS).exists()
    train_and_score(run, spec, folder, "cpu")
    assert (folder / WEIGHTS).exists()
    assert not (folder / "model").exists()


def test_the_seed_fold_and_cases_are_the_specs(run: Run, straight: tuple[Trained, Path], folder: Path) -> None:
    other = train_and_score(run, replace(SPEC, seed=1, fold=0, cases=2), folder, "cpu")
    evaluation = evaluation_in(folder)
    assert evaluation is not None
    assert [case.case for case in evaluation.cases] == [*evenly_spread(run.folds[0].validation, 2)]
    assert weights_sum(folder) != weights_sum(straight[1])
    assert other.dice == evaluation.mean
    assert run.config.seed == 0


def test_threads_that_make_patches_have_no_team_beside_a_training_on_the_cpu(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each would have one of as many threads as cores, and all of them, the training's included, would sleep then."""
    teams, batch, before = set[int](), PatchSampler.batch, torch.get_num_threads()

    def counted(sampler: PatchSampler, iteration: int) -> Batch:
        teams.add(torch.get_num_threads())
        return batch(sampler, iteration)

    monkeypatch.setattr(PatchSampler, "batch", counted)
    monkeypatch.setattr(device, "usable_cores", lambda: 3)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    try:
        train_and_score(run, SPEC, folder, "cpu")
        assert (teams, torch.get_num_threads()) == ({1}, 3)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("divisor", "resident"), [(1, True), (2, False)])
def test_a_retry_after_a_lack_of_memory_leaves_the_volumes_in_their_files(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, divisor: int, resident: bool
) -> None:
    """On a GPU they might be what the network lacks."""
    seen = []

    class Ended(Exception):
        pass

    def spy(cases: Any, **options: Any) -> None:
        seen.append(options["resident"])
        raise Ended

    monkeypatch.setattr(training, "PatchSampler", spy)
    with pytest.raises(Ended):
        train_network(run, SPEC, folder, "cpu", divisor)
    assert seen == [resident]


@pytest.mark.parametrize("mirrors", [False, True])
@pytest.mark.parametrize("wanted", [False, True])
def test_mirrored_views_are_the_recipes_and_the_specs(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, mirrors: bool, wanted: bool
) -> None:
    seen: list[type] = []
    score = training.evaluate_network

    def spying(network: Any, *arguments: Any, **options: Any) -> Any:
        seen.append(type(network))
        return score(network, *arguments, **options)

    monkeypatch.setattr(training, "evaluate_network", spying)
    recipe = RECIPE.model_copy(update={"mirror": mirrors, "iterations": 1})
    train_and_score(run, replace(SPEC, recipe=recipe, mirror=wanted, keep="nothing"), folder, "cpu")
    assert [each is training.Mirrored for each in seen] == [mirrors and wanted]


def test_a_factor_scales_the_patch_that_trains_and_the_windows_that_score(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patches, windows = [], []
    sampler, score = training.PatchSampler, training.evaluate_network
    monkeypatch.setattr(
        training, "PatchSampler", lambda *a, **options: patches.append(options["patch_size"]) or sampler(*a, **options)
    )
    monkeypatch.setattr(
        training, "evaluate_network", lambda n, c, window, **o: windows.append(window) or score(n, c, window, **o)
    )
    train_and_score(run, replace(SPEC, patch_factor=0.5), folder, "cpu")
    half = scaled_plan(run.plan, 0.5)
    assert patches == [half.patch_size] == [(16, 16, 16)]
    assert [(window.patch_size, window.stride) for window in windows] == [(half.patch_size, half.stride)]
    packaged = load_package(folder / "model").plan
    assert (packaged.patch_size, packaged.stride) == (half.patch_size, half.stride)


SIDES = st.tuples(*[st.integers(1, 20).map(lambda side: 8 * side)] * 3)


@given(SIDES, st.floats(0.05, 4), st.data())
def test_a_scaled_plan_is_in_proportion(patch: tuple[int, int, int], factor: float, data: st.DataObject) -> None:
    strides = [data.draw(st.tuples(*[st.integers(1, side) for side in patch])) for _ in range(2)]
    plan = Plan(
        channels=(ChannelPlan(name="mr", kind="mr"),),
        classes=(ClassPlan(name="background", values=(0,)), ClassPlan(name="organ", values=(1,))),
        spacing=(1.0, 1.0, 1.0),
        patch_size=patch,
        stride=strides[0],
        ranking_stride=strides[1],
    )
    assert scaled_plan(plan, 1) is plan
    scaled = scaled_plan(plan, factor)
    assert Plan.model_validate(scaled.model_dump()) == scaled
    for side, before in zip(scaled.patch_size, patch, strict=True):
        assert side % 8 == 0
        assert abs(side - before * factor) <= 4 or side == 8
    for now, before in ((scaled.stride, strides[0]), (scaled.ranking_stride, strides[1])):
        for step, first, side in zip(now, before, scaled.patch_size, strict=True):
            assert step == min(side, max(1, round(first * factor)))
    assert scaled.model_dump(exclude={"patch_size", "stride", "ranking_stride"}) == plan.model_dump(
        exclude={"patch_size", "stride", "ranking_stride"}
    )


@given(st.integers(1, 64), st.integers(1, 64), st.integers(1, 4))
def test_a_smaller_micro_batch_keeps_the_effective_one(volumes: int, micro: int, divisor: int) -> None:
    recipe = RECIPE.model_copy(update={"volumes": volumes})
    for before, size in ((recipe, volumes), (recipe.model_copy(update={"micro_batch": micro}), micro)):
        after = before.divided(divisor)
        assert after.batch_size == before.batch_size
        assert after.micro_batch == (before.micro_batch if divisor == 1 else max(1, size // divisor))
        assert after.model_copy(update={"micro_batch": before.micro_batch}) == before


@given(st.integers(1, 60), st.none() | st.integers(1, 60))
def test_cases_are_spread_evenly_in_order(total: int, count: int | None) -> None:
    ids = tuple(f"{number:02d}" for number in range(total))
    chosen = evenly_spread(ids, count)
    assert len(chosen) == min(total, count or total)
    assert sorted(set(chosen)) == [*chosen]
    places = [ids.index(each) for each in chosen] + [total]
    gaps = [after - before for before, after in pairwise(places)]
    assert max(gaps) - min(gaps) <= 1


@pytest.mark.parametrize(
    ("value", "failure", "reason"),
    [
        ({"dice": 0.0}, None, None),
        ({"dice": None, "unscored": "Dice not measurable: x"}, None, "Dice not measurable: x"),
        (None, "ValueError: x", "ValueError: x"),
        (None, None, "killed"),
    ],
)
def test_the_reason_for_no_dice(value: dict[str, Any] | None, failure: str | None, reason: str | None) -> None:
    kind = "done" if value else "killed"
    assert failure_of(Outcome("a", value, failure, kind, 1.0, "cpu")) == reason


KILLS: list[tuple[Any, str, int]] = [
    *((training, "train", number) for number in (1, 2)),
    *((training, "save_package", number) for number in (1, 2)),
    (training, "evaluate_network", 1),
    (ScoredCases, "add", 1),
    (training, "write_json", 1),
    (training_jobs, "forget_checkpoints", 1),
]


@pytest.mark.exact
@pytest.mark.parametrize(("place", "name", "number"), KILLS, ids=[f"{name}-{number}" for _, name, number in KILLS])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_anywhere_it_carries_on_to_the_same_bits(
    run: Run,
    straight: tuple[Trained, Path],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: Any,
    name: str,
    number: int,
    after: bool,
) -> None:
    """Before and after each step of the job, with the reports that a driver reads; called again, nothing is lost."""
    job, step, calls = training_job(run, "one", folder, SPEC), getattr(place, name), []

    def dies(*arguments: Any, **options: Any) -> Any:
        calls.append(name)
        value = step(*arguments, **options) if after or len(calls) < number else None
        if len(calls) == number:
            raise KeyboardInterrupt
        return value

    def call() -> list[Outcome]:
        with inline() as executor:
            return run_all(run.using(executor), "one", [job])

    with monkeypatch.context() as patched:
        patched.setattr(place, name, dies)
        if (name, number) == ("train", 2):
            assert call()  # there is one call alone
        else:
            with pytest.raises(KeyboardInterrupt):
                call()
    (outcome,) = call()
    assert outcome.value is not None
    assert timeless(outcome.value) == timeless(straight[0])
    assert model_sums(folder) == model_sums(straight[1])
    (repeated,) = call()
    assert repeated.value == outcome.value


def test_a_scoring_that_was_cut_short_goes_on_with_the_next_case(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, keep, kept = training_job(run, "one", folder, SPEC), training.keep_prediction, list[str]()

    def dies(folder: Path, case: Any, labels: Any) -> None:
        if len(kept) == 1:
            raise KeyboardInterrupt
        kept.append(case.id)
        keep(folder, case, labels)

    with monkeypatch.context() as patched:
        patched.setattr(training, "keep_prediction", dies)
        with pytest.raises(KeyboardInterrupt), inline() as executor:
            run_all(run.using(executor), "one", [job])
    monkeypatch.setattr(training, "keep_prediction", lambda folder, case, labels: kept.append(case.id))
    with inline() as executor:
        (outcome,) = run_all(run.using(executor), "one", [job])
    assert sorted(kept) == sorted(run.split(-1).validation)
    assert not (folder / SCORES).exists()
    assert outcome.value is not None
    other = run.build(SMALL)
    scored = ScoredCases(folder, SPEC.to_json(), other)
    scored.add(evaluation_in(folder).cases[0])  # type: ignore[union-attr]
    assert len(ScoredCases(folder, SPEC.to_json(), other).known) == 1
    with torch.no_grad():
        next(other.parameters()).add_(1)
    assert not ScoredCases(folder, SPEC.to_json(), other).known  # of other weights


@pytest.mark.exact
@pytest.mark.parametrize("iteration", [1, 2])
def test_stopped_at_any_iteration_it_carries_on_to_the_same_bits(
    run: Run, straight: tuple[Trained, Path], folder: Path, monkeypatch: pytest.MonkeyPatch, iteration: int
) -> None:
    loop = training.train

    def stops(network: Any, *arguments: Any, **options: Any) -> Any:
        def tell(progress: Any) -> None:
            if progress.iteration == iteration:
                (folder / "stop").touch()

        return loop(network, *arguments, **options, on_progress=tell)

    job = training_job(run, "one", folder, SPEC)
    with monkeypatch.context() as patched, inline() as executor:
        patched.setattr(training, "train", stops)
        with pytest.raises(Interrupted):
            run_all(run.using(executor), "one", [job])
    assert has_checkpoint(folder)
    assert finished(job) is None
    with inline() as executor:
        (outcome,) = run_all(run.using(executor), "one", [job])
    assert outcome.value is not None
    assert timeless(outcome.value) == timeless(straight[0])
    assert model_sums(folder) == model_sums(straight[1])


def test_a_list_of_trainings_resumes_in_one_way(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ended answers at once, what failed is tried again, and a kept model alone keeps a checkpoint."""
    short = RECIPE.model_copy(update={"iterations": 1})
    keeps = ("model", "weights", "nothing")
    jobs = [training_job(run, keep, folder / keep, replace(SPEC, recipe=short, keep=keep)) for keep in keeps]
    trained, loop = list[str](), training.train
    failing = {"weights"}

    def spying(network: Any, *arguments: Any, **options: Any) -> Any:
        trained.append(options["folder"].name)
        if options["folder"].name in failing:
            raise ArithmeticError("the loss is nan")
        return loop(network, *arguments, **options)

    def call(jobs: list[Job]) -> list[str | None]:
        with inline() as executor:
            return [failure_of(each) for each in run_all(run.using(executor, Listener()), "three", jobs)]

    monkeypatch.setattr(training, "train", spying)
    reasons = call(jobs)
    assert [bool(reason) for reason in reasons] == [False, True, False]
    assert "the loss is nan" in (reasons[1] or "")
    failing.clear()
    assert call(jobs) == [None] * 3
    assert call([*reversed(jobs)]) == [None] * 3
    assert trained == [*keeps, "weights"]
    assert [has_checkpoint(folder / keep) for keep in keeps] == [True, False, False]


@pytest.mark.parametrize("keep", ["nothing", "weights", "package", "model"])
def test_a_training_without_a_score_is_scored_by_the_next_call(
    keep: str, run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is not trained again; until it has its score, it keeps a checkpoint."""
    spec = replace(SPEC, recipe=RECIPE.model_copy(update={"iterations": 2}), keep=keep)  # type: ignore[arg-type]
    steps, step = list[int](), Stepper.step

    def counted(self: Stepper, batch: Any, iteration: int, *flags: Any) -> Any:
        steps.append(iteration)
        return step(self, batch, iteration, *flags)

    def call(folder: Path) -> Any:
        with inline() as executor:
            return run_all(run.using(executor, Listener()), "one", [training_job(run, "one", folder, spec)])[0].value

    monkeypatch.setattr(Stepper, "step", counted)
    with monkeypatch.context() as patched:
        patched.setattr(training, "evaluate_network", fails)
        assert [call(folder)["dice"] for _ in range(2)] == [None, None]
    assert has_checkpoint(folder)
    scored = call(folder)
    assert len(steps) == 2
    assert has_checkpoint(folder) == (keep == "model")
    assert timeless(scored) == timeless(call(folder.with_name(f"{folder.name} at once")))
    assert timeless(call(folder)) == timeless(scored)
    assert len(steps) == 4


def test_of_unscored_trainings_the_driver_tells_no_best(run: Run, folder: Path, monkeypatch: Any) -> None:
    notes: list[str] = []

    class Notes(Listener):
        def update(self, stage: str, done: float, note: str = "") -> None:
            notes.append(note)

    job = training_job(run, "one", folder, replace(SPEC, recipe=RECIPE.model_copy(update={"iterations": 1})))
    monkeypatch.setattr(training, "evaluate_network", fails)
    with inline() as executor:
        (outcome,) = run_all(run.using(executor, Notes()), "one", [job])
    assert failure_of(outcome) == "Dice not measurable: a case has gone"
    assert not any("best Dice" in note for note in notes)


def test_a_micro_batch_that_fitted_is_kept_for_networks_of_that_cost(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A costlier one begins with it, a cheaper one tries for itself; another precision is another matter."""
    loss, sizes = DiceCrossEntropy.forward, list[int]()

    def roomy_for_one(self: DiceCrossEntropy, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        sizes.append(len(logits))
        if len(logits) > 1:
            raise torch.AcceleratorError("CUDA error: out of memory")
        return loss(self, logits, label)

    def tried(text: str, **changes: Any) -> int:
        """The most patches that a training tried at a time."""
        sizes.clear()
        spec = replace(SPEC, design=Architecture.from_text(text), recipe=RECIPE.model_copy(update=changes))
        train_network(run, spec, folder / str(len(list(folder.glob("*")))), "cpu")
        return max(sizes)

    monkeypatch.setattr(DiceCrossEntropy, "forward", roomy_for_one)
    assert tried("0:3D 1:P3D 0:2D @0.0625") == 2
    assert tried("0:3D 1:P3D 0:2D @0.0625") == 1
    assert tried("0:3D 1:3D 0:3D @0.0625") == 1
    assert tried("0:2D 1:2D 0:2D @0.0625") == 2
    assert tried("0:3D 1:3D 0:3D @0.0625", precision="bf16") == 2
    rows = list(read_json_lines(run.folder.micro_batches))
    assert [(row["micro_batch"], row["precision"]) for row in rows] == [(1, "fp32"), (1, "fp32"), (1, "bf16")]
    run.folder.micro_batches.unlink()


def test_a_whole_job_on_an_accelerator(run: Run, folder: Path, accelerator: Accelerator) -> None:
    """Patches of resident volumes, training, package, evaluation: as on a CPU, to rounding; it waits where it says."""
    spec = replace(SPEC, recipe=RECIPE.model_copy(update={"optimiser": "sgd", "learning_rate": 0.05}))
    own, other = (train_and_score(run, spec, folder / place[:3], place) for place in ("cuda:0", "cpu"))
    assert own.dice == pytest.approx(other.dice, abs=0.01)
    weights, expected = (load_package(folder / place / PACKAGE).network.state_dict() for place in ("cud", "cpu"))
    for name, value in weights.items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=5e-3)
    begun = run.build(SMALL).state_dict()
    assert max(float((value - expected[name]).abs().max()) for name, value in begun.items()) > 0.02
    assert {place for place in accelerator.reads if place.startswith("training/")} == {
        "training/loop.py",
        "training/state.py",
        "training/weights.py",
    }
    assert accelerator.pinned == 0
