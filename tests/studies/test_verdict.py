"""The verdict: against what the found network is judged, that it carries on, and what it says."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fine_run import Listener, inline
from study_runs import BUDGET, searched_run

from c2fnas.data.phantoms import write_phantoms
from c2fnas.errors import Interrupted, UserError
from c2fnas.evaluation.comparison import LEAST_GROUPS, paired_bootstrap
from c2fnas.evaluation.metrics import CaseScores, Evaluation, summarise
from c2fnas.evaluation.verdict import Verdict
from c2fnas.execution import InlineExecutor
from c2fnas.execution.job import Outcome
from c2fnas.files import read_json, sha256, write_json
from c2fnas.inference.package import load_package
from c2fnas.networks.baselines import Baseline
from c2fnas.planning.budget import Workload, estimate
from c2fnas.planning.measure import Timings
from c2fnas.runs.config import RunConfig
from c2fnas.runs.ledger import Ledger
from c2fnas.runs.overrides import with_values
from c2fnas.runs.reporter import Silent
from c2fnas.runs.run import Run
from c2fnas.space.architecture import Architecture
from c2fnas.space.cost import network_cost
from c2fnas.space.operation import Operation
from c2fnas.stages import training
from c2fnas.stages.deploy import deploy
from c2fnas.stages.pipeline import amend, run_pipeline
from c2fnas.stages.train import TrainOptions, train_architecture
from c2fnas.studies.references import FINEST, UNET, unet_of_equal_macs
from c2fnas.studies.verdict import judge


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


def test_no_width_of_the_unet_comes_nearer(trained: Run) -> None:
    """All widths up to a twentieth, one by one."""
    counts = [trained.cost(Baseline(UNET, (2 * step + 1) / FINEST)).macs for step in range(52)]
    assert counts == sorted(counts)
    for macs in (1, counts[20] + 1, (counts[10] + counts[30]) // 2, counts[45]):
        found = trained.cost(unet_of_equal_macs(trained, macs)).macs
        assert abs(found - macs) == min(abs(count - macs) for count in counts)


def test_costs_are_those_of_the_closed_form(trained: Run) -> None:
    architecture = replace(Architecture.named("c2fnas-panc"), width=0.125)
    closed = network_cost(
        architecture, in_channels=trained.in_channels, classes=trained.classes, input_size=trained.plan.patch_size
    )
    found = trained.cost(architecture)
    assert (found.parameters, found.macs) == (closed.parameters, closed.macs)


def test_the_references_are_trained_as_the_found_network_was(judged: tuple[Run, Verdict]) -> None:
    run, verdict = judged
    unet, median = verdict.references
    assert [each.name for each in verdict.references] == ["unet3d", "random_topology"]
    fold = run.final_folds[0]
    for reference in (unet, median):
        folder = run.folder.reference(reference.name, fold)
        mine, theirs = (read_json(each / "evaluation.json") for each in (run.folder.final_fold(fold), folder))
        assert [row["case"] for row in mine["cases"]] == [row["case"] for row in theirs["cases"]]
        found, expected = reference.difference, paired_bootstrap(*map(Evaluation.from_json, (mine, theirs)))
        assert found == expected
        trained = [json.loads(line).get("iteration") for line in (folder / "metrics.jsonl").read_text().splitlines()]
        assert run.config.deployment.recipe.iterations in trained
        assert load_package(folder / "model").design.to_text() == reference.network.design  # type: ignore[union-attr]
    assert median.network is not None
    chosen = Ledger(run.folder.study, "coarse", read_only=True).trial(4).architecture
    assert median.network.design == chosen.to_text()
    assert "candidate 4, the median by coarse Dice of the 3 that were drawn at random" in median.note


def test_cards_say_what_a_search_has_found(judged: tuple[Run, Verdict]) -> None:
    run, _ = judged
    (fold,) = run.final_folds
    found = (run.folder.final_model(fold) / "README.md").read_text()
    assert "A network found by coarse-to-fine architecture search and trained" in found
    assert "The search may have seen the validation cases" in found
    drawn = (run.folder.reference("random_topology", fold) / "model" / "README.md").read_text()
    assert "A network of the C2FNAS search space, trained" in drawn
    assert "If a search on these data chose the architecture, it may have seen" in drawn
    unet = (run.folder.reference("unet3d", fold) / "model" / "README.md").read_text()
    assert "A network of a fixed form, trained" in unet
    assert "architecture search" not in unet
    assert "may have seen" not in unet


def test_the_same_network_reaches_the_same_in_either_place(judged: tuple[Run, Verdict], tmp_path: Path) -> None:
    """The median topology trained as the final network of another folder: the same weights, to the last bit."""
    run, _ = judged
    again = copied(run, tmp_path)
    shutil.rmtree(again.folder.final)
    chosen = Ledger(run.folder.study, "coarse", read_only=True).trial(4).architecture
    (model,) = deploy(again, chosen, again.final_folds).models
    (fold,) = again.final_folds
    other = run.folder.reference("random_topology", fold) / "model"
    assert sha256(model / "weights.safetensors") == sha256(other / "weights.safetensors")


def test_few_cases_are_said_to_be_few(judged: tuple[Run, Verdict]) -> None:
    _, verdict = judged
    assert verdict.cases == 1
    assert all(each.better is None for each in verdict.references)
    assert verdict.sentence.startswith("No gain shown over the U-Net of equal MACs: Dice ")
    assert f"1 case, too few to tell (at least {LEAST_GROUPS})" in verdict.sentence


def test_what_it_leaves_is_what_it_returns(judged: tuple[Run, Verdict]) -> None:
    run, verdict = judged
    kept = read_json(run.folder.verdict / "verdict.json")
    assert Verdict.from_json(kept) == verdict
    assert kept["sentence"] == verdict.sentence
    assert [row["sentence"] for row in kept["references"]] == [each.sentence for each in verdict.references]


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
    with pytest.raises(Interrupted):
        judge(again.using(reporter=StopsAfterTheFirst(again.folder.root)))
    (fold,) = again.final_folds
    first = again.folder.reference("unet3d", fold) / "model" / "weights.safetensors"
    before = first.stat().st_mtime_ns
    assert not again.folder.reference("random_topology", fold).exists()
    again.folder.clear_stop()
    assert judge(again) == verdict
    assert first.stat().st_mtime_ns == before
    for name in ("unet3d", "random_topology"):
        old, new = (each.folder.reference(name, fold) / "model/weights.safetensors" for each in (run, again))
        assert sha256(old) == sha256(new)


class WithoutUNets(InlineExecutor):
    """A machine on which no U-Net trains."""

    def wait(self, timeout: float | None = None) -> Outcome | None:
        (job,) = self.running
        if not job.id.startswith("unet3d"):
            return super().wait(timeout)
        self._job = None
        return Outcome(job.id, None, "TrainingFailed: the loss is not finite", "failed", 1.0, "cpu")


def test_a_reference_that_fails_is_a_row_that_says_so(judged: tuple[Run, Verdict]) -> None:
    run, verdict = judged
    found = judge(run.using(WithoutUNets("cpu")))
    unet, median = found.references
    assert unet.difference is None
    assert unet.network is not None
    assert unet.network.dice is None
    assert unet.sentence == (
        "No comparison with the U-Net of equal MACs: it could not be trained; fold 4: TrainingFailed: the loss is not "
        "finite."
    )
    assert median == verdict.references[1]
    assert judge(run.using(inline())) == verdict, "tried again, it is there"


def test_without_a_random_topology_the_row_says_so(judged: tuple[Run, Verdict], tmp_path: Path) -> None:
    again = copied(judged[0], tmp_path)
    again.folder.study.unlink()
    ledger = Ledger(again.folder.study, "coarse")
    topology = again.config.space.topologies()[0]
    ledger.succeed(ledger.start(Architecture.uniform(topology), {"branch": "best"}), 0.5)
    found = judge(again)
    assert found.references[0] == judged[1].references[0]
    assert found.references[1].network is None
    assert "No comparison with the random topology: the coarse stage has drawn no topology at random." in found.sentence
    assert Verdict.from_json(read_json(again.folder.verdict / "verdict.json")) == found
    again.folder.study.unlink()
    Ledger(again.folder.study, "scale")  # a topology was given, and the coarse stage never begun
    assert judge(again) == found


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

    def train_and_score(run: Run, spec: Any, folder: Path, device: str, *, divisor: int = 1) -> dict[str, Any]:
        is_median = isinstance(spec.design, Architecture) and spec.keep == "package"
        if (type(spec.design), spec.fold) in unscored and not is_median:
            return {"dice": None, "per_class": {}, "unscored": NO_ORGAN}
        evaluation = summarise([CaseScores(case, {"organ": dice}) for case, dice in scores[spec.fold].items()])
        write_json(folder / "evaluation.json", evaluation.to_json())
        return {"dice": evaluation.mean, "per_class": evaluation.per_class}

    monkeypatch.setattr(training, "train_and_score", train_and_score)
    again = copied(run, folder)
    shutil.rmtree(again.folder.final)
    shutil.rmtree(again.folder.verdict)
    groups = {"groups": {"b": "patient", "c": "patient"}}
    write_json(again.folder.folds, [{"training": ["d"], "validation": list(scores[fold])} | groups for fold in scores])
    again = otherwise(again, {"deployment.folds": (0, 1)})
    deploy(again, Architecture.load(again.folder.fine), (0, 1))
    for fold in (0, 1):
        write_json(again.folder.final_model(fold) / "weights", {})  # a model is not made here
    return again


TWO_FOLDS = {0: {"a": 0.9, "b": 0.5}, 1: {"a": 0.5, "c": 0.6}}


def test_cases_of_two_folds_are_paired_within_each_and_groups_are_drawn(
    judged: tuple[Run, Verdict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All networks are alike, and the case that validates two folds has another Dice in each."""
    found = judge(of_two_folds(judged[0], tmp_path, monkeypatch, TWO_FOLDS))
    for reference in found.references:
        assert reference.difference is not None
        mean = reference.difference.mean
        assert (mean.mean, mean.low, mean.high, mean.cases, mean.groups) == (0, 0, 0, 4, 2)
        assert "4 cases of 2 groups, too few to tell" in reference.sentence
    assert found.cases == 4
    assert found.caveats[0].startswith("The interval is over groups of cases")


def test_a_fold_on_which_the_found_network_has_no_dice_is_left_out(
    judged: tuple[Run, Verdict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = of_two_folds(judged[0], tmp_path, monkeypatch, TWO_FOLDS, [(Architecture, 1)])
    found = judge(run)
    assert (found.folds, found.cases, found.searched.dice) == ((0,), 2, 0.7)
    assert [reference.difference.mean.cases for reference in found.references if reference.difference] == [2, 2]
    assert found.caveats[-1] == "Left out, since its Dice was not measurable there: fold 1."
    assert not run.folder.reference(UNET, 1).exists(), "there would be nothing to compare with"


def test_a_found_network_without_a_dice_is_compared_with_nothing(
    judged: tuple[Run, Verdict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its model is kept, and a run ends with a verdict that says so."""
    run = of_two_folds(judged[0], tmp_path, monkeypatch, TWO_FOLDS, [(Architecture, 0), (Architecture, 1)])
    found = judge(run)
    assert (found.searched.dice, found.searched.per_class, found.cases) == (None, None, 0)
    assert [reference.difference for reference in found.references] == [None, None]
    assert "No comparison with the U-Net of equal MACs: the Dice of the searched network was" in found.sentence
    assert Verdict.from_json(read_json(run.folder.verdict_file)) == found
    assert not run.folder.reference(UNET, 0).exists()


def test_a_reference_without_a_dice_is_a_row_that_says_so(
    judged: tuple[Run, Verdict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = of_two_folds(judged[0], tmp_path, monkeypatch, TWO_FOLDS, [(Baseline, 1)])
    unet, median = judge(run).references
    assert unet.difference is None
    assert unet.reason == f"it was trained but not scored; fold 1: {NO_ORGAN}"
    assert unet.network is not None
    assert unet.network.dice is None
    assert median.difference is not None


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


def test_the_median_topology_has_the_found_networks_width(judged: tuple[Run, Verdict], tmp_path: Path) -> None:
    again = copied(judged[0], tmp_path)
    shutil.rmtree(again.folder.final)
    shutil.rmtree(again.folder.verdict)
    wide = replace(Architecture.load(again.folder.fine), width=0.0625)
    deploy(again, wide, again.final_folds)
    unet, median = judge(again).references
    assert unet.network is not None
    assert median.network is not None
    assert median.network.design.endswith("@0.0625")
    assert unet.network.macs > 2 * judged[1].references[0].network.macs  # type: ignore[union-attr]


def test_the_verdict_comes_before_an_extension(judged: tuple[Run, Verdict], tmp_path: Path) -> None:
    again = copied(judged[0], tmp_path)
    prolonged = again.config.deployment.recipe.with_iterations(3)
    with pytest.raises(UserError, match=r"were extended.*A verdict comes before `--extend`"):
        judge(otherwise(again, {"deployment.recipe": prolonged, "deployment.extended": True}))


def evaluation(dice: Sequence[float]) -> Evaluation:
    return summarise([CaseScores(f"case{number}", {"organ": each}) for number, each in enumerate(dice)])


def test_better_and_worse_are_said_as_the_interval_says(judged: tuple[Run, Verdict]) -> None:
    _, verdict = judged
    unet = verdict.references[0]
    high, low = ([base + 0.01 * (number % 3) for number in range(12)] for base in (0.8, 0.7))
    better = replace(unet, difference=paired_bootstrap(evaluation(high), evaluation(low)))
    worse = replace(unet, difference=paired_bootstrap(evaluation(low), evaluation(high)))
    mixed = paired_bootstrap(evaluation(high), evaluation(high[1:] + high[:1]))
    assert better.sentence.startswith("Better than the U-Net of equal MACs: Dice +0.1000, 95 % interval +0.1000 to")
    assert worse.sentence.startswith("Worse than the U-Net of equal MACs: Dice -0.1000")
    assert replace(unet, difference=mixed).sentence.startswith("No gain shown over the U-Net of equal MACs: Dice ")
    assert [each.better for each in (better, worse, replace(unet, difference=mixed))] == [True, False, None]


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
