"""The verdict: against what the found network is judged, that it carries on, and what it says."""

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coarse_run import Oracle
from fine_run import Listener, inline
from report_runs import write_result
from study_runs import BUDGET, searched_run

from c2fnas.data.phantoms import write_phantoms
from c2fnas.errors import Interrupted, UserError
from c2fnas.evaluation.comparison import LEAST_GROUPS, PairedDifference, paired_bootstrap
from c2fnas.evaluation.metrics import CaseScores, Evaluation, summarise
from c2fnas.evaluation.replicates import Comparison, compare, holm
from c2fnas.evaluation.verdict import EARLIER, NOT_JUDGED, Verdict
from c2fnas.execution import InlineExecutor
from c2fnas.execution.call import Report, write_report
from c2fnas.execution.job import Job, Outcome
from c2fnas.files import read_json, sha256, write_json
from c2fnas.inference.package import load_package
from c2fnas.networks.baselines import Baseline
from c2fnas.planning.budget import Workload, estimate
from c2fnas.planning.presets import load_budget
from c2fnas.runs.config import RunConfig
from c2fnas.runs.overrides import with_values
from c2fnas.runs.records.trained import Trained
from c2fnas.runs.reporter import Silent
from c2fnas.runs.run import Run
from c2fnas.runs.timing.allowance import cost_of_references
from c2fnas.runs.timing.timings import Timings
from c2fnas.space.architecture import Architecture
from c2fnas.space.cost import network_cost
from c2fnas.space.operation import Operation
from c2fnas.stages import training
from c2fnas.stages.deployment import deploy
from c2fnas.stages.pipeline import amend, run_pipeline
from c2fnas.stages.train import TrainOptions, train_architecture
from c2fnas.studies import references
from c2fnas.studies import verdict as verdicts
from c2fnas.studies.references import Measured, random_architecture
from c2fnas.studies.verdict import asked, judge, judged_once


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return searched_run(tmp_path_factory.mktemp("verdict"))


@pytest.fixture(scope="module")
def judged(trained: Run) -> tuple[Run, Verdict]:
    return trained, judge(trained.using(inline()))


def copied(run: Run, folder: Path) -> Run:
    """The run in another place, with an executor."""
    return Run.open(shutil.copytree(run.folder.root, folder / "run")).using(inline())


def otherwise(run: Run, values: dict[str, Any]) -> Run:
    """The run with other values in its configuration."""
    return Run(run.folder.root, executor=inline(), config=with_values(run.config, values))


def test_costs_are_those_of_the_closed_form(trained: Run) -> None:
    architecture = replace(Architecture.named("c2fnas-panc"), width=0.125)
    closed = network_cost(
        architecture, in_channels=trained.in_channels, classes=trained.classes, input_size=trained.plan.patch_size
    )
    found = trained.cost(architecture)
    assert (found.parameters, found.macs) == (closed.parameters, closed.macs)


def test_the_references_are_trained_as_the_found_network_was(judged: tuple[Run, Verdict]) -> None:
    run, verdict = judged
    unet, drawn = verdict.references
    assert [each.name for each in verdict.references] == ["unet_macs", "random"]
    fold = run.final_folds[0]
    for reference in (unet, drawn):
        folder = run.folder.reference(reference.name, fold)
        mine, theirs = (read_json(each / "evaluation.json") for each in (run.folder.final_fold(fold), folder))
        assert [row["case"] for row in mine["cases"]] == [row["case"] for row in theirs["cases"]]
        pair = [Evaluation.from_json(each) for each in (mine, theirs)]
        assert reference.networks == paired_bootstrap(*pair)
        assert reference.comparison == compare(*({(fold, 0): each} for each in pair))
        trained = [json.loads(line).get("iteration") for line in (folder / "metrics.jsonl").read_text().splitlines()]
        assert run.config.deployment.recipe.iterations in trained
        assert load_package(folder / "model").design.to_text() == reference.network.design  # type: ignore[union-attr]
    assert drawn.network is not None
    assert drawn.network.design == random_architecture(run, run.width).to_text()


def test_what_networks_take_is_measured_and_kept(judged: tuple[Run, Verdict]) -> None:
    run, verdict = judged
    kept = read_json(run.folder.verdict / "costs.json")
    for network in (verdict.searched, *(each.network for each in verdict.references)):
        assert network is not None
        assert (network.memory, network.latency) == (kept[network.design]["memory"], kept[network.design]["window"])
        assert network.latency > 0  # type: ignore[operator]


def test_each_network_is_measured_in_a_process_of_its_own(
    trained: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None reuses the memory that another has freed. The target tells its process in the place of the memory."""
    monkeypatch.setattr(references, "MEASURE", "executor_targets:measured_by_its_process")
    designs = [Architecture.named("c2fnas-panc"), random_architecture(trained, trained.width)]
    found = references.measured(copied(trained, tmp_path), designs)
    assert len({os.getpid(), *(each.memory for each in found.values())}) == 3


def test_cards_say_what_a_search_has_found(judged: tuple[Run, Verdict]) -> None:
    run, _ = judged
    (fold,) = run.final_folds
    found = (run.folder.final_model(fold) / "README.md").read_text()
    assert "A network found by coarse-to-fine architecture search, trained" in found
    assert "The search may have seen the validation cases" in found
    drawn = (run.folder.reference("random", fold) / "model" / "README.md").read_text()
    assert "A network of the C2FNAS search space, trained" in drawn
    assert "If a search on these data chose the architecture, it may have seen" in drawn
    unet = (run.folder.reference("unet_macs", fold) / "model" / "README.md").read_text()
    assert "A network of a fixed form, trained" in unet
    assert "architecture search" not in unet
    assert "may have seen" not in unet


def test_the_same_network_reaches_the_same_in_either_place(judged: tuple[Run, Verdict], tmp_path: Path) -> None:
    """The random network trained as the final network of another folder: the same weights, to the last bit."""
    run, _ = judged
    again = copied(run, tmp_path)
    shutil.rmtree(again.folder.final)
    chosen = random_architecture(run, run.width)
    (model,) = deploy(again, chosen, again.final_folds).models
    (fold,) = again.final_folds
    other = run.folder.reference("random", fold) / "model"
    assert sha256(model / "weights.safetensors") == sha256(other / "weights.safetensors")


def test_one_training_each_is_no_answer(judged: tuple[Run, Verdict]) -> None:
    """What cases say of the trained networks stands apart, and few cases are said to be few."""
    _, verdict = judged
    assert verdict.cases == 1
    assert all(each.comparison and each.comparison.answer == "cannot tell" for each in verdict.references)
    assert verdict.sentence.startswith("Cannot tell from the U-Net of equal MACs: Dice ")
    assert "interval" not in verdict.sentence
    assert "The search itself took " in verdict.sentence
    (first, _) = verdict.about_networks
    assert first.startswith("searched network less U-Net of equal MACs, these two trained networks alone, over cases:")
    assert f"1 case, too few to tell (at least {LEAST_GROUPS})" in first


def test_what_it_leaves_is_what_it_returns(judged: tuple[Run, Verdict]) -> None:
    run, verdict = judged
    kept = read_json(run.folder.verdict / "verdict.json")
    assert Verdict.from_json(kept) == verdict
    assert kept["sentence"] == verdict.sentence
    assert [row["sentence"] for row in kept["references"]] == list(verdict.sentences[:-1])


class StopsAfterTheFirst(Silent):
    """A user who leaves a stop file when a reference is trained."""

    def __init__(self, run: Path) -> None:
        self.run = run

    def update(self, stage: str, done: float, note: str = "") -> None:
        (self.run / "stop").touch()


def test_stopped_and_carried_on_equals_uninterrupted(judged: tuple[Run, Verdict], tmp_path: Path) -> None:
    run, verdict = judged
    again = copied(run, tmp_path)
    shutil.rmtree(again.folder.verdict)
    again.folder.verdict.mkdir()
    shutil.copy(run.folder.verdict / "costs.json", again.folder.verdict)  # measurements, unlike all else
    with pytest.raises(Interrupted):
        judge(again.using(reporter=StopsAfterTheFirst(again.folder.root)))
    (fold,) = again.final_folds
    first = again.folder.reference("unet_macs", fold) / "model" / "weights.safetensors"
    before = first.stat().st_mtime_ns
    assert not again.folder.reference("random", fold).exists()
    again.folder.clear_stop()
    assert judge(again) == verdict
    assert first.stat().st_mtime_ns == before
    for name in ("unet_macs", "random"):
        old, new = (each.folder.reference(name, fold) / "model/weights.safetensors" for each in (run, again))
        assert sha256(old) == sha256(new)


class WithoutUNets(InlineExecutor):
    """A machine on which no U-Net trains."""

    def wait(self, timeout: float | None = None) -> Outcome | None:
        (job,) = self.running
        if not job.id.startswith("unet_macs"):
            return super().wait(timeout)
        self._job = None
        return Outcome(job.id, None, "TrainingFailed: the loss is not finite", "failed", 1.0, "cpu")


def test_a_reference_that_fails_is_a_row_that_says_so(judged: tuple[Run, Verdict]) -> None:
    run, verdict = judged
    found = judge(run.using(WithoutUNets("cpu")))
    unet, median = found.references
    assert unet.comparison is None
    assert unet.network is not None
    assert unet.network.dice is None
    assert unet.sentence(found.searched) == (
        "No comparison with the U-Net of equal MACs: it could not be trained; fold 4: TrainingFailed: the loss is not "
        "finite."
    )
    assert median == verdict.references[1]
    assert judge(run.using(inline())) == verdict, "tried again, it is there"


NO_ORGAN = "Dice not measurable: no case shows an organ"


def of_two_folds(
    run: Run,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    scores: dict[int, dict[str, float]],
    unscored: Sequence[tuple[type, int]] = (),
) -> Run:
    """The run with folds 0 and 1 deployed; every network has the Dice ``scores``, by fold and case.

    ``unscored`` are those without: the found one, or the compared one, each on a fold.
    """

    def train_and_score(run: Run, spec: Any, folder: Path, device: str, *, divisor: int = 1) -> Trained:
        drawn = random_architecture(run, run.width)
        if (type(spec.design), spec.fold) in unscored and spec.design != drawn:
            return Trained(None, unscored=NO_ORGAN)
        evaluation = summarise([CaseScores(case, {"organ": dice}) for case, dice in scores[spec.fold].items()])
        write_json(folder / "evaluation.json", evaluation.to_json())
        return Trained(evaluation.mean, evaluation.per_class)

    monkeypatch.setattr(training, "train_and_score", train_and_score)
    again = copied(run, folder)
    shutil.rmtree(again.folder.final)
    shutil.rmtree(again.folder.verdict)
    groups = {"groups": {"b": "patient", "c": "patient"}}
    write_json(again.folder.folds, [{"training": ["e"], "validation": list(scores[fold])} | groups for fold in scores])
    again = otherwise(again, {"deployment.folds": (0, 1), "deployment.keep_largest": False})
    deploy(again, Architecture.load(again.folder.fine), (0, 1))
    for fold in (0, 1):
        write_json(again.folder.final_model(fold) / "weights", {})  # a model is not made here
    return again


TWO_FOLDS = {0: {"a": 0.9, "b": 0.5}, 1: {"a": 0.5, "c": 0.6}}


def test_folds_that_share_a_case_are_no_two_trainings(
    judged: tuple[Run, Verdict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All networks are alike, and the case that validates two folds has another Dice in each."""
    run = of_two_folds(judged[0], tmp_path, monkeypatch, TWO_FOLDS)
    found = judge(run)
    for reference in found.references:
        assert reference.comparison is not None
        mean = reference.comparison
        assert (mean.mean, mean.interval, mean.groups, mean.trainings, mean.over) == (0, None, 2, (1, 1), "seeds")
        assert "2 cases or groups can't tell" in reference.sentence(found.searched)
        assert reference.networks is None
    assert found.cases == 4
    assert judge(run, 1).references[0].networks is not None, "of one fold alone"


def test_the_margin_is_the_runs_unless_another_is_asked_for(
    judged: tuple[Run, Verdict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = of_two_folds(judged[0], tmp_path, monkeypatch, TWO_FOLDS)
    run.configure(with_values(run.config, {"margin": 0.003}))
    for margin, expected in ((None, 0.003), (0.02, 0.02)):
        found = judge(run, margin=margin)
        assert {each.comparison.margin for each in found.references if each.comparison} == {expected}


def test_a_fold_on_which_the_found_network_has_no_dice_is_left_out(
    judged: tuple[Run, Verdict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = of_two_folds(judged[0], tmp_path, monkeypatch, TWO_FOLDS, [(Architecture, 1)])
    found = judge(run)
    assert (found.folds, found.cases, found.searched.dice) == ((0,), 2, 0.7)
    assert [reference.networks.mean.cases for reference in found.references if reference.networks] == [2, 2]
    assert found.caveats[-1] == "Left out, since its Dice was not measurable there: fold 1."
    assert not run.folder.reference("unet_macs", 1).exists(), "there would be nothing to compare with"


def test_a_found_network_without_a_dice_is_compared_with_nothing(
    judged: tuple[Run, Verdict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its model is kept, and a run ends with a verdict that says so."""
    run = of_two_folds(judged[0], tmp_path, monkeypatch, TWO_FOLDS, [(Architecture, 0), (Architecture, 1)])
    found = judge(run)
    assert (found.searched.dice, found.searched.per_class, found.cases) == (None, None, 0)
    assert [reference.comparison for reference in found.references] == [None, None]
    assert "No comparison with the U-Net of equal MACs: the Dice of the run's own network was" in found.sentence
    assert Verdict.from_json(read_json(run.folder.verdict_file)) == found
    assert not run.folder.reference("unet_macs", 0).exists()


def test_a_reference_without_a_dice_is_a_row_that_says_so(
    judged: tuple[Run, Verdict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = of_two_folds(judged[0], tmp_path, monkeypatch, TWO_FOLDS, [(Baseline, 1)])
    unet, drawn = judge(run).references
    assert unet.comparison is None
    assert unet.reason == f"it was trained but not scored; fold 1: {NO_ORGAN}"
    assert unet.network is not None
    assert unet.network.dice is None
    assert drawn.comparison is not None


@pytest.mark.long
@pytest.mark.parametrize(("trainings", "references"), [(0.5, 1), (1.9, 1), (2.1, 2)])
def test_an_allowance_trains_as_many_references_as_it_pays_for(
    judged: tuple[Run, Verdict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trainings: float, references: int
) -> None:
    """One at least; the verdict says how many are left out, and asked for again it has them."""
    run = of_two_folds(judged[0], tmp_path, monkeypatch, TWO_FOLDS)
    monkeypatch.setattr(verdicts, "_cost", lambda run: cost_of_references(60, trained=1, devices=1))
    run = otherwise(run, {"deployment.folds": (0,)})
    found = judged_once(run, 60 * trainings)
    assert [each.name for each in found.references] == ["unet_macs", "random"][:references]
    left = [caveat for caveat in found.caveats if "further reference" in caveat]
    assert [caveat.partition(": ")[2].partition(";")[0] for caveat in left] == ["1 further reference"] * (
        2 - references
    )
    assert run.folder.reference("random", 0).exists() == (references == 2)
    assert judged_once(run, 120) == found
    assert [each.name for each in judge(run).references] == ["unet_macs", "random"]


def test_where_nothing_was_searched_there_is_nothing_to_judge(
    judged: tuple[Run, Verdict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = of_two_folds(judged[0], tmp_path, monkeypatch, TWO_FOLDS)
    run = otherwise(run, {"coarse.evaluations": 0, "fine.candidates": 0})
    found = judge(run.using(reporter=(listener := Listener())))
    assert (found.references, found.sentence, found.caveats) == ((), NOT_JUDGED, ())
    assert (found.searched.title, found.searched.dice) == ("default network", pytest.approx(0.625))
    assert Verdict.from_json(read_json(run.folder.verdict_file)) == found
    assert not [*run.folder.verdict.glob("*/fold-*")]
    assert not listener.said


def test_the_default_network_is_judged_where_trainings_are_asked_for(
    judged: tuple[Run, Verdict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = of_two_folds(judged[0], tmp_path, monkeypatch, TWO_FOLDS)
    run = otherwise(run, {"coarse.evaluations": 0, "fine.candidates": 0})
    assert judge(run).references == ()
    found = judge(run, 2)
    assert [each.name for each in found.references] == ["unet_macs", "random"]
    assert all(each.comparison is not None for each in found.references)
    assert (found.searched.title, found.replicates, found.search_seconds) == ("default network", 2, None)
    assert found.caveats[0] == "Nothing was searched: the default network was chosen without these data."
    assert "search itself" not in found.sentence
    assert judge(run) == found == Verdict.from_json(read_json(run.folder.verdict_file))


@pytest.mark.parametrize(
    ("folds", "count", "caveats"),
    [
        ((0,), 2, ["No score on the cases of fold 0 has guided the search, which may have trained on them."]),
        (
            (0, 2),
            2,
            [
                "No score on the cases of 2 folds has guided the search, which may have trained on them.",
                "Trainings of folds share most of their cases: the interval is about these data.",
            ],
        ),
        (
            (0, 1, 2, 3, 4),
            1,
            [
                "The search chose by scores on cases of fold 4, which favours what it found.",
                "Trainings of folds share most of their cases: the interval is about these data.",
                "Left out, since the budget doesn't pay for it: 1 further reference; `c2fnas verdict RUN` trains more.",
            ],
        ),
        ((4,), 2, ["The search chose by scores on cases of fold 4, which favours what it found."]),
    ],
)
def test_caveats_say_which_folds_guided_the_search_and_what_is_left_out(
    trained: Run, folds: tuple[int, ...], count: int, caveats: list[str]
) -> None:
    """Of five folds the last chose, and two references are asked for."""
    wanted = [(fold, 0) for fold in folds]
    assert verdicts._caveats(trained, wanted, wanted, count) == tuple(caveats)


@pytest.mark.parametrize(("folds", "told"), [(2, True), (4, True), (5, False)])
def test_caveats_say_that_folds_are_fewer_than_the_papers(trained: Run, tmp_path: Path, folds: int, told: bool) -> None:
    run = copied(trained, tmp_path)
    write_json(run.folder.folds, read_json(run.folder.folds)[:folds])
    few = f"The cases were divided into {folds} folds: fewer than the five of the paper."
    assert (few in verdicts._caveats(run, [(0, 0)], [(0, 0)], 2)) == told
    again = verdicts._caveats(run, [(0, 0), (folds - 1, 0)], [(0, 0), (folds - 1, 0)], 2)
    assert again[0] == f"The search chose by scores on cases of fold {folds - 1}, which favours what it found."


@pytest.mark.parametrize(
    ("folds", "jobs", "left", "told"),
    [
        ((0, 1), 8, 8, "8 trainings, about 1 min 20 s"),
        ((0, 1), 8, 5, "5 trainings, about 1 min 0 s"),
        ((0, 1), 8, 4, "4 trainings, about 40 s"),
        ((0, 1), 7, 4, "4 trainings, about 40 s"),
        ((0, 1), 1, 1, "1 training, about 5 s"),
        ((0,), 2, 2, "2 trainings, about 40 s"),
        ((0,), 1, 1, "1 training, about 10 s"),
    ],
)
def test_trainings_are_forecast_at_the_pace_of_the_final_networks(
    trained: Run, tmp_path: Path, folds: tuple[int, ...], jobs: int, left: int, told: str
) -> None:
    """Final networks of 10 and 30 s, so 20 s; a job alone on two devices takes a quarter of its time beside another.

    Of one fold the network was alone: beside another it would have taken 40 s.
    """
    run = copied(trained, tmp_path)
    run = otherwise(run, {"deployment.folds": folds}).using(Oracle(lambda job: None, devices=2))
    write_json(run.folder.timings, {"seconds": {"alone": 0.25}})
    for fold, seconds in zip(folds, (10.0, 30.0), strict=False):
        write_result(run.folder.final_fold(fold), {}, seconds=seconds)
    asked = [Job(f"{number}", "a:b", {}, tmp_path / f"job-{number}") for number in range(jobs)]
    for job in asked[left:]:
        write_report(job, Report("done", {}, None, 1.0))
    assert verdicts.forecast(run, asked) == f"Verdict: {told} on 2 jobs at a time."


def test_a_verdict_whose_networks_are_trained_says_so(trained: Run, tmp_path: Path) -> None:
    job = Job("a", "a:b", {}, tmp_path / "job")
    write_report(job, Report("done", {}, None, 1.0))
    assert verdicts.forecast(trained, [job]) == "Verdict: every network is trained."


def test_replicates_are_fair_folds_or_else_seeds_on_the_first(judged: tuple[Run, Verdict]) -> None:
    """The last fold's cases have guided the search: a time budget never judges on them, nor do replicates."""
    run = judged[0]
    assert [asked(run, count) for count in (None, 1, 3)] == [((4, 0),), ((4, 0),), ((4, 0), (4, 1), (4, 2))]
    every = otherwise(run, {"deployment.folds": (0, 1, 2, 3, 4)})
    assert asked(every) == tuple((fold, 0) for fold in range(5))
    assert asked(every, 4) == tuple((fold, 0) for fold in range(4))
    assert asked(every, 5) == tuple((0, further) for further in range(5))
    shares = {"coarse": 0.3, "supernet": 0.1, "ranking": 0.1, "deployment": 0.5}
    timed = otherwise(run, {"hours": 1.0, "shares": shares, "deployment.folds": (0, 4)})
    assert asked(timed) == ((0, 0),)
    for name in ("hour", "demo"):
        assert load_budget(name)["deployment"]["folds"] == [0]


def test_replicates_of_seeds_are_trained_and_forecast(
    judged: tuple[Run, Verdict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nine cases on fold 0, whose Dice a network and a seed shift: the answer is the module's, and is kept."""
    rng, trained = np.random.default_rng(0), []
    scores = {0: {f"c{number}": 0.7 + 0.01 * number for number in range(9)}, 1: {"d": 0.5}}
    run = of_two_folds(judged[0], tmp_path, monkeypatch, scores)

    def train_and_score(run: Run, spec: Any, folder: Path, device: str, *, divisor: int = 1) -> Trained:
        trained.append(("/".join(folder.parts[-3:]), spec.seed))
        shift = (0.1 if isinstance(spec.design, Baseline) else 0.0) - 0.001 * spec.seed
        rows = {case: dice - shift + rng.normal(0, 0.001) for case, dice in scores[spec.fold].items()}
        evaluation = summarise([CaseScores(case, {"organ": dice}) for case, dice in rows.items()])
        write_json(folder / "evaluation.json", evaluation.to_json())
        return Trained(evaluation.mean, evaluation.per_class)

    monkeypatch.setattr(training, "train_and_score", train_and_score)
    run = otherwise(run, {"deployment.folds": (0,)}).using(reporter=(listener := Listener()))
    found = judge(run, 3)
    again = [("verdict/searched/fold-0-seed-1", 1), ("verdict/searched/fold-0-seed-2", 2)]
    theirs = [
        (f"verdict/{name}/fold-0{f'-seed-{seed}' if seed else ''}", seed)
        for name in ("unet_macs", "random")
        for seed in range(3)
    ]
    assert sorted(trained) == sorted(again + theirs)
    assert listener.said[0].startswith("Verdict: 8 trainings, about ")
    unet, drawn = found.references
    assert unet.comparison is not None
    assert (unet.comparison.trainings, unet.comparison.answer) == ((3, 3), "better")
    assert unet.sentence(found.searched).startswith("Better than the U-Net of equal MACs: Dice +0.")
    assert unet.networks is None
    assert drawn.comparison is not None
    assert drawn.comparison.answer != "better"
    assert Verdict.from_json(read_json(run.folder.verdict_file)) == found
    assert judge(run) == found, "as many as the last time"
    assert judged_once(run) == found
    assert len(trained) == 8


def test_a_training_of_the_found_network_that_fails_is_not_passed_over(
    judged: tuple[Run, Verdict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one of a reference is not: what is left of three would be the better ones."""
    scores = {0: {f"c{number}": 0.7 + 0.01 * number for number in range(9)}, 1: {"d": 0.5}}
    run, broken = of_two_folds(judged[0], tmp_path, monkeypatch, scores), [True]

    def train_and_score(run: Run, spec: Any, folder: Path, device: str, *, divisor: int = 1) -> Trained:
        if broken and folder.parts[-2:] == ("searched", "fold-0-seed-1"):
            raise ValueError("the loss is not finite")
        shift = 0.1 * isinstance(spec.design, Baseline) + 0.001 * spec.seed
        evaluation = summarise([CaseScores(case, {"organ": dice - shift}) for case, dice in scores[0].items()])
        write_json(folder / "evaluation.json", evaluation.to_json())
        return Trained(evaluation.mean, evaluation.per_class)

    monkeypatch.setattr(training, "train_and_score", train_and_score)
    run = otherwise(run, {"deployment.folds": (0,)})
    found = judge(run, 3)
    for reference in found.references:
        assert reference.comparison is None
        assert "the run's own network could not be trained; fold 0, seed 1" in reference.sentence(found.searched)
        assert reference.network is not None
        assert reference.network.dice is not None, "only the comparison can't be had"
    broken.clear()
    comparison = judge(run, 3).references[0].comparison
    assert comparison is not None
    assert comparison.trainings == (3, 3)


def test_secondary_references_are_corrected_together(judged: tuple[Run, Verdict]) -> None:
    pair = [Comparison(mean, 0.001, 8, 0.001, 0.0, (5, 5), "seeds", 40) for mean in (0.02, 0.03)]
    corrected = [replace(judged[1].references[1], comparison=each) for each in holm(pair)]
    assert [each.comparison and each.comparison.level for each in corrected] == [0.95, 0.975]
    assert "97.5 % interval" in corrected[1].sentence(judged[1].searched)


def test_all_references_in_their_order_and_the_planned_one_at_equal_time(
    judged: tuple[Run, Verdict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = of_two_folds(judged[0], tmp_path, monkeypatch, TWO_FOLDS)
    long = run.config.deployment.recipe.with_iterations(100)
    run = otherwise(run, {"references": 4, "deployment.recipe": long})
    shutil.rmtree(run.folder.final)
    deploy(run, Architecture.load(run.folder.fine), (0, 1))
    for fold in (0, 1):
        write_json(run.folder.final_model(fold) / "weights", {})

    def timed(run: Run, designs: Sequence[Any]) -> dict[Any, Measured]:
        return {each: Measured(0.5 if isinstance(each, Baseline) else 0.02, 0.1, 10) for each in designs}

    monkeypatch.setattr(references, "measured", timed)
    monkeypatch.setattr(verdicts, "measured", timed)
    specs, quick = [], training.train_and_score
    monkeypatch.setattr(
        training, "train_and_score", lambda *given, **more: specs.append(given[1]) or quick(*given, **more)
    )
    found = judge(run)
    assert [each.name for each in found.references] == ["unet_macs", "random", "dynunet", "unet_parameters"]
    planned = found.references[2]
    assert "its 4 iterations take as long as the searched network's 100" in planned.note
    mine = [each for each in specs if each.design.to_text() == planned.network.design]  # type: ignore[union-attr]
    assert [(each.recipe.iterations, each.design.width, each.fold) for each in mine] == [(4, 1.0, 0), (4, 1.0, 1)]
    assert {each.recipe.iterations for each in specs if each not in mine} == {100}
    assert planned.network is not None
    assert planned.network.macs > found.searched.macs


def test_a_design_that_cannot_be_timed_is_a_row_that_says_so(
    judged: tuple[Run, Verdict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = otherwise(of_two_folds(judged[0], tmp_path, monkeypatch, TWO_FOLDS), {"references": 3})

    def fails(*_: Any) -> Any:
        raise MemoryError("costs: out of memory")

    monkeypatch.setattr(references, "run_once", fails)
    found = judge(run)
    assert found.references[2].network is None
    assert "No comparison with the dynunet: its training steps could not be timed on this device." in found.sentence
    assert found.references[0].network is not None
    assert found.references[0].network.memory is None
    assert Verdict.from_json(read_json(run.folder.verdict_file)) == found


def test_a_verdict_of_an_earlier_version_is_read_and_holds_no_answer() -> None:
    """The recorded one: its differences over cases are of trained networks, whatever it called them."""
    recorded = Path(__file__).parents[2] / "docs/results/hippocampus/verdict.json"
    value = read_json(recorded)
    value["references"][0]["difference"]["mean"] |= {"low": 0.001, "better": "first"}
    found = Verdict.from_json(value)
    assert found.caveats[-1] == EARLIER
    assert all(each.comparison and each.comparison.answer == "cannot tell" for each in found.references)
    assert found.sentence.startswith("Cannot tell from the U-Net of equal MACs: Dice +0.0016, one training of each; ")
    assert "if seeds differ as on Hippocampus (0.004)" in found.sentence
    difference = value["references"][0]["difference"]
    assert found.references[0].networks == PairedDifference.from_json(difference)
    assert Verdict.from_json(found.to_json()) == found


def test_only_what_the_search_has_found_is_judged(judged: tuple[Run, Verdict], tmp_path: Path) -> None:
    """A verdict would call another architecture the searched network; the found one in another width may be judged."""
    again = copied(judged[0], tmp_path)
    found = Architecture.load(again.folder.fine)
    other = replace(found, operations=(Operation.CONV3D, *found.operations[1:]))
    write_json(again.folder.fine / "architecture.json", other.to_json())
    with pytest.raises(UserError, match=r"are of 0:.*, and the search has found 0:.*in a copy of the run folder"):
        judge(again)
    write_json(again.folder.fine / "architecture.json", replace(found, width=0.25).to_json())
    assert judge(again) == judged[1]


@pytest.mark.long
def test_the_random_network_has_the_found_networks_width(judged: tuple[Run, Verdict], tmp_path: Path) -> None:
    again = copied(judged[0], tmp_path)
    shutil.rmtree(again.folder.final)
    shutil.rmtree(again.folder.verdict)
    wide = replace(Architecture.load(again.folder.fine), width=0.0625)
    deploy(again, wide, again.final_folds)
    unet, drawn = judge(again).references
    assert unet.network is not None
    assert drawn.network is not None
    assert drawn.network.design.endswith("@0.0625")
    assert unet.network.macs > 2 * judged[1].references[0].network.macs  # type: ignore[union-attr]


def test_the_verdict_comes_before_an_extension(judged: tuple[Run, Verdict], tmp_path: Path) -> None:
    again = copied(judged[0], tmp_path)
    prolonged = again.config.deployment.recipe.with_iterations(3)
    with pytest.raises(UserError, match=r"were extended.*A verdict comes before `--extend`"):
        judge(otherwise(again, {"deployment.recipe": prolonged, "deployment.extended": True}))


def test_answers_are_said_as_the_interval_lies(judged: tuple[Run, Verdict]) -> None:
    searched, unet = judged[1].searched, judged[1].references[0]
    assert unet.network is not None

    def said(mean: float, se: float = 0.001, **costs: Any) -> str:
        found = Comparison(mean, se, 8, se, 0.0, (5, 5), "seeds", 40)
        network = replace(unet.network, **costs)  # type: ignore[type-var]
        return replace(unet, comparison=found, network=network).sentence(searched)

    assert said(0.1) == (
        "Better than the U-Net of equal MACs: Dice +0.1000, 95 % interval +0.0977 to +0.1023 over 5 seeds of each."
    )
    assert said(-0.1).startswith("Worse than the U-Net of equal MACs: Dice -0.1000, 95 % interval -0.1023 to -0.0977")
    assert said(0.008, 0.004).startswith("Cannot tell from the U-Net of equal MACs: Dice +0.0080, 95 % interval")
    equal = said(0.001, macs=searched.macs)
    assert equal.startswith("As good as the U-Net of equal MACs: Dice +0.0010")
    assert equal.endswith("over 5 seeds of each, within ±0.01.")
    dear = {"macs": round(searched.macs / 0.89), "memory": 2**30, "latency": 0.1}
    less = said(0.001, **dear)
    assert "As good as the U-Net of equal MACs at less, 0.89 of its MACs" in less
    assert " MiB in training to 1024" in less
    assert " ms a window to 100.0" in less
    assert "at less" not in said(0.001, macs=round(searched.macs / 0.92))
    assert "at less" not in said(-0.1, **dear)


def test_there_is_no_verdict_before_there_is_a_network(trained: Run, tmp_path: Path) -> None:
    run = copied(trained, tmp_path)
    prolonged = run.config.deployment.recipe.with_iterations(3)
    with pytest.raises(UserError, match="not trained yet on fold 4"):
        judge(otherwise(run, {"deployment.recipe": prolonged}))
    with pytest.raises(UserError, match="trained from scratch"):
        judge(otherwise(run, {"deployment.start": "0" * 64}))
    shutil.rmtree(run.folder.final)
    with pytest.raises(UserError, match="not trained yet on fold 4"):
        judge(run)
    shutil.rmtree(run.folder.fine)
    with pytest.raises(UserError, match="no search has finished here"):
        judge(run)


def test_whether_there_is_one_is_fixed_with_the_search(trained: Run, tmp_path: Path) -> None:
    run = copied(trained, tmp_path)
    assert run.config.verdict, "a budget has one unless it says otherwise"
    shutil.rmtree(run.folder.final)
    amend(run, {"verdict": False})
    assert not RunConfig.load(run.folder.config).verdict
    run.folder.coarse.mkdir()
    amend(run, {})
    amend(run, {"verdict": False})
    with pytest.raises(UserError, match=r"another --verdict or --no-verdict \(False, now True\): its coarse stage"):
        amend(run, {"verdict": True})
    assert not RunConfig.load(run.folder.config).verdict


def test_its_time_is_forecast(trained: Run) -> None:
    timings, work = Timings(patch=0.1, window=0.05), Workload(1, 4, 2, devices=1)
    with_one = estimate(trained.config, timings, work)
    without = estimate(with_values(trained.config, {"verdict": False}), timings, work)
    assert with_one == without | {"verdict": pytest.approx(2 * without["deployment"])}


@pytest.mark.long
def test_the_whole_way(tmp_path: Path) -> None:
    """Every stage, then the verdict; finished, nothing is trained again."""
    (tmp_path / "budget.yaml").write_text(BUDGET)
    dataset, run = write_phantoms(tmp_path / "Task00", cases=5, test_cases=0), Run(tmp_path / "run")

    def pipeline(**options: Any) -> Any:
        return run_pipeline(run, dataset, lambda devices: inline(), judge=judge, **options)

    verdict = pipeline(budget=str(tmp_path / "budget.yaml"), devices=("cpu",)).verdict
    assert verdict is not None
    assert Verdict.from_json(read_json(run.folder.verdict_file)) == verdict
    final = Evaluation.from_json(read_json(run.folder.final_fold(4) / "evaluation.json"))
    assert verdict.searched.dice == final.mean
    run = run.using(reporter=(listener := Listener()))
    assert pipeline().verdict == verdict
    assert listener.stages[-2:] == ["deployment", "verdict"]
    assert listener.said[0] == "This run has finished already: nothing is left to compute."
    with pytest.raises(UserError, match="--no-verdict"):
        pipeline(overrides={"verdict": False})
    train_architecture(run, dataset, TrainOptions(extend=3), lambda devices: inline())
    assert pipeline().verdict is None, "it was of the networks before"
    assert Verdict.from_json(read_json(run.folder.verdict_file)) == verdict
