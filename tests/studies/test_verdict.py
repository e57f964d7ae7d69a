"""The verdict: against what the found network is judged, that it carries on, and what it says."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from c2fnas.planning.timing import Timings
from c2fnas.planning.train_wish import Wish
from c2fnas.planning.verdict_wish import ask_for_verdict
from fine_run import Listener, inline
from typer.testing import CliRunner

import c2fnas.execution
from c2fnas.cli import app
from c2fnas.cli.verdict_text import verdict_text
from c2fnas.data.phantoms import write_phantoms
from c2fnas.errors import Interrupted, UserError
from c2fnas.evaluation.metrics import CaseScores, Evaluation, summarise
from c2fnas.evaluation.paired_bootstrap import LEAST_GROUPS, paired_bootstrap
from c2fnas.evaluation.verdict import Verdict
from c2fnas.execution import InlineExecutor
from c2fnas.execution.job import Outcome
from c2fnas.files import read_json, sha256, write_json
from c2fnas.inference.package import load_package
from c2fnas.networks.baselines import Baseline
from c2fnas.planning.budget import Workload, estimate
from c2fnas.runs.config import RunConfig
from c2fnas.runs.ledger import Ledger
from c2fnas.runs.reporter import Silent
from c2fnas.runs.run import Setting
from c2fnas.space.architecture import Architecture
from c2fnas.space.cost import network_cost
from c2fnas.space.operation import Operation
from c2fnas.stages import jobs
from c2fnas.stages.deploy import train_final
from c2fnas.stages.pipeline import run_pipeline
from c2fnas.stages.prepare import prepare
from c2fnas.stages.train import train_architecture
from c2fnas.studies.references import FINEST, UNET, cost_of, unet_of_equal_macs
from c2fnas.studies.verdict import give_verdict

BUDGET = """
plan: planned
width: 0.03125
hours: null
coarse: {clusters: 4, per_cluster: 1, evaluations: 6, recipe: {name: modern, iterations: 2}}
fine: {candidates: 2, recipe: {name: modern, iterations: 2}}
deployment: {folds: last, recipe: {name: modern, iterations: 2}}
"""
SCORES = (("initial", 0.9), ("random", 0.4), ("best", 0.8), ("random", 0.6), ("random", 0.5), ("random", None))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    """A run whose search is taken as done, with its final network trained."""
    folder = tmp_path_factory.mktemp("verdict")
    budget = folder / "budget.yaml"
    budget.write_text(BUDGET)
    dataset = write_phantoms(folder / "Task00", cases=5, test_cases=0)
    setting = prepare(dataset, folder / "run", str(budget), seed=0, devices=("cpu",), reporter=Silent())
    topologies = setting.config.space.topologies()[::150]
    ledger = Ledger(setting.folder.study, "coarse")
    for (branch, score), topology in zip(SCORES, topologies, strict=False):
        number = ledger.start(Architecture.uniform(topology, width=setting.config.width), {"branch": branch})
        _ = ledger.fail(number, "broken") if score is None else ledger.succeed(number, score)
    found = Architecture(topologies[0], (Operation.P3D,) * 12, setting.config.width)
    write_json(setting.folder.fine / "architecture.json", found.to_json())
    train_final(setting, found, setting.config.deployment.folds, inline(), Silent())
    return setting


@pytest.fixture(scope="module")
def judged(trained: Setting) -> tuple[Setting, Verdict]:
    return trained, give_verdict(trained, inline(), Silent())


def copied(setting: Setting, folder: Path) -> Setting:
    return Setting.load(Path(shutil.copytree(setting.folder.root, folder / "run")))


def test_no_width_of_the_unet_comes_nearer(trained: Setting) -> None:
    """All widths up to a twentieth, one by one."""
    counts = [cost_of(trained, Baseline(UNET, (2 * step + 1) / FINEST)).macs for step in range(52)]
    assert counts == sorted(counts)
    for macs in (1, counts[20] + 1, (counts[10] + counts[30]) // 2, counts[45]):
        found = cost_of(trained, unet_of_equal_macs(trained, macs)).macs
        assert abs(found - macs) == min(abs(count - macs) for count in counts)


def test_costs_are_those_of_the_closed_form(trained: Setting) -> None:
    architecture = replace(Architecture.named("c2fnas-panc"), width=0.125)
    closed = network_cost(
        architecture, in_channels=trained.in_channels, classes=trained.classes, input_size=trained.plan.patch_size
    )
    found = cost_of(trained, architecture)
    assert (found.parameters, found.macs) == (closed.parameters, closed.macs)


def test_the_references_are_trained_as_the_found_network_was(judged: tuple[Setting, Verdict]) -> None:
    setting, verdict = judged
    unet, median = verdict.references
    assert [each.name for each in verdict.references] == ["unet3d", "random_topology"]
    fold = setting.config.deployment.folds[0]
    for reference in (unet, median):
        folder = setting.folder.reference(reference.name, fold)
        mine, theirs = (read_json(each / "evaluation.json") for each in (setting.folder.final_fold(fold), folder))
        assert [row["case"] for row in mine["cases"]] == [row["case"] for row in theirs["cases"]]
        found, expected = reference.difference, paired_bootstrap(*map(Evaluation.from_json, (mine, theirs)))
        assert found == expected
        trained = [json.loads(line).get("iteration") for line in (folder / "metrics.jsonl").read_text().splitlines()]
        assert setting.config.deployment.recipe.iterations in trained
        assert load_package(folder / "model").design.to_text() == reference.network.design  # type: ignore[union-attr]
    assert median.network is not None
    chosen = Ledger(setting.folder.study, "coarse", read_only=True).trial(4).architecture
    assert median.network.design == chosen.to_text()
    assert "candidate 4, the median by coarse Dice of the 3 that were drawn at random" in median.note


def test_cards_say_what_a_search_has_found(judged: tuple[Setting, Verdict]) -> None:
    setting, _ = judged
    (fold,) = setting.config.deployment.folds
    found = (setting.folder.final_model(fold) / "README.md").read_text()
    assert "A network found by coarse-to-fine architecture search and trained" in found
    assert "The search may have seen the validation cases" in found
    drawn = (setting.folder.reference("random_topology", fold) / "model" / "README.md").read_text()
    assert "A network of the C2FNAS search space, trained" in drawn
    assert "If a search on these data chose the architecture, it may have seen" in drawn
    unet = (setting.folder.reference("unet3d", fold) / "model" / "README.md").read_text()
    assert "A network of a fixed form, trained" in unet
    assert "architecture search" not in unet
    assert "may have seen" not in unet


def test_the_same_network_reaches_the_same_in_either_place(judged: tuple[Setting, Verdict], tmp_path: Path) -> None:
    """The median topology trained as the final network of another folder: the same weights, to the last bit."""
    setting, _ = judged
    again = copied(setting, tmp_path)
    shutil.rmtree(again.folder.final)
    chosen = Ledger(setting.folder.study, "coarse", read_only=True).trial(4).architecture
    (model,) = train_final(again, chosen, again.config.deployment.folds, inline(), Silent())
    (fold,) = again.config.deployment.folds
    other = setting.folder.reference("random_topology", fold) / "model"
    assert sha256(model / "weights.safetensors") == sha256(other / "weights.safetensors")


def test_few_cases_are_said_to_be_few(judged: tuple[Setting, Verdict]) -> None:
    _, verdict = judged
    assert verdict.cases == 1
    assert all(each.better is None for each in verdict.references)
    assert verdict.sentence.startswith("No gain shown over the U-Net of equal MACs: Dice ")
    assert f"1 case, too few to tell (at least {LEAST_GROUPS})" in verdict.sentence


def test_what_it_leaves_is_what_it_returns(judged: tuple[Setting, Verdict]) -> None:
    setting, verdict = judged
    kept = read_json(setting.folder.verdict / "verdict.json")
    assert Verdict.from_json(kept) == verdict
    assert kept["sentence"] == verdict.sentence
    assert [row["sentence"] for row in kept["references"]] == [each.sentence for each in verdict.references]


class StopsAfterTheFirst(Silent):
    """A user who leaves a stop file when a reference is trained."""

    def __init__(self, run: Path) -> None:
        self.run = run

    def update(self, stage: str, done: float, note: str = "") -> None:
        (self.run / "stop").touch()


def test_stopped_and_carried_on_equals_uninterrupted(judged: tuple[Setting, Verdict], tmp_path: Path) -> None:
    setting, verdict = judged
    again = copied(setting, tmp_path)
    shutil.rmtree(again.folder.verdict)
    with pytest.raises(Interrupted):
        give_verdict(again, inline(), StopsAfterTheFirst(again.folder.root))
    (fold,) = again.config.deployment.folds
    first = again.folder.reference("unet3d", fold) / "model" / "weights.safetensors"
    before = first.stat().st_mtime_ns
    assert not again.folder.reference("random_topology", fold).exists()
    again.folder.clear_stop()
    assert give_verdict(again, inline(), Silent()) == verdict
    assert first.stat().st_mtime_ns == before
    for name in ("unet3d", "random_topology"):
        old, new = (each.folder.reference(name, fold) / "model/weights.safetensors" for each in (setting, again))
        assert sha256(old) == sha256(new)


class WithoutUNets(InlineExecutor):
    """A machine on which no U-Net trains."""

    def wait(self, timeout: float | None = None) -> Outcome | None:
        (job,) = self.running
        if not job.id.startswith("unet3d"):
            return super().wait(timeout)
        self._job = None
        return Outcome(job.id, None, "TrainingFailed: the loss is not finite", "failed", 1.0, "cpu")


def test_a_reference_that_fails_is_a_row_that_says_so(judged: tuple[Setting, Verdict]) -> None:
    setting, verdict = judged
    found = give_verdict(setting, WithoutUNets("cpu"), Silent())
    unet, median = found.references
    assert unet.difference is None
    assert unet.network is not None
    assert unet.network.dice is None
    assert unet.sentence == (
        "No comparison with the U-Net of equal MACs: it could not be trained; fold 4: TrainingFailed: the loss is not "
        "finite."
    )
    assert median == verdict.references[1]
    assert "–" in verdict_text(found)
    assert give_verdict(setting, inline(), Silent()) == verdict, "tried again, it is there"


def test_without_a_random_topology_the_row_says_so(judged: tuple[Setting, Verdict], tmp_path: Path) -> None:
    again = copied(judged[0], tmp_path)
    again.folder.study.unlink()
    ledger = Ledger(again.folder.study, "coarse")
    topology = again.config.space.topologies()[0]
    ledger.succeed(ledger.start(Architecture.uniform(topology), {"branch": "best"}), 0.5)
    found = give_verdict(again, inline(), Silent())
    assert found.references[0] == judged[1].references[0]
    assert found.references[1].network is None
    assert "No comparison with the random topology: the coarse stage has drawn no topology at random." in found.sentence
    assert Verdict.from_json(read_json(again.folder.verdict / "verdict.json")) == found
    again.folder.study.unlink()
    Ledger(again.folder.study, "scale")  # a topology was given, and the coarse stage never begun
    assert give_verdict(again, inline(), Silent()) == found


def test_cases_of_two_folds_are_paired_within_each_and_groups_are_drawn(
    judged: tuple[Setting, Verdict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All networks are alike, and the case that validates two folds has another Dice in each."""
    scores = {0: {"a": 0.9, "b": 0.5}, 1: {"a": 0.5, "c": 0.6}}

    def train_fold(payload: dict[str, Any], folder: Path, device: str) -> dict[str, Any]:
        rows = [CaseScores(case, {"organ": dice}) for case, dice in scores[payload["fold"]].items()]
        write_json(folder / "evaluation.json", summarise(rows).to_json())
        return {}

    monkeypatch.setattr(jobs, "train_fold", train_fold)
    again = copied(judged[0], tmp_path)
    shutil.rmtree(again.folder.final)
    shutil.rmtree(again.folder.verdict)
    groups = {"groups": {"b": "patient", "c": "patient"}}
    write_json(again.folder.folds, [{"training": ["d"], "validation": list(scores[fold])} | groups for fold in scores])
    deployment = again.config.deployment.model_copy(update={"folds": (0, 1)})
    again.config.model_copy(update={"deployment": deployment}).save(again.folder.config)
    again = Setting.load(again.folder.root)
    train_final(again, Architecture.load(again.folder.fine), (0, 1), inline(), Silent())
    found = give_verdict(again, inline(), Silent())
    for reference in found.references:
        assert reference.difference is not None
        mean = reference.difference.mean
        assert (mean.mean, mean.low, mean.high, mean.cases, mean.groups) == (0, 0, 0, 4, 2)
        assert "4 cases of 2 groups, too few to tell" in reference.sentence
    assert found.cases == 4
    assert found.caveats[0].startswith("The interval is over groups of cases")


def test_only_what_the_search_has_found_is_judged(judged: tuple[Setting, Verdict], tmp_path: Path) -> None:
    """A verdict would call another architecture the searched network; the found one in another width may be judged."""
    again = copied(judged[0], tmp_path)
    found = Architecture.load(again.folder.fine)
    other = replace(found, operations=(Operation.CONV3D, *found.operations[1:]))
    write_json(again.folder.fine / "architecture.json", other.to_json())
    with pytest.raises(UserError, match=r"are of 0:.*, and the search has found 0:.*in a copy of the run folder"):
        give_verdict(again, inline(), Silent())
    write_json(again.folder.fine / "architecture.json", replace(found, width=0.25).to_json())
    assert give_verdict(again, inline(), Silent()) == judged[1]


def test_the_median_topology_has_the_found_networks_width(judged: tuple[Setting, Verdict], tmp_path: Path) -> None:
    again = copied(judged[0], tmp_path)
    shutil.rmtree(again.folder.final)
    shutil.rmtree(again.folder.verdict)
    wide = replace(Architecture.load(again.folder.fine), width=0.0625)
    train_final(again, wide, again.config.deployment.folds, inline(), Silent())
    unet, median = give_verdict(again, inline(), Silent()).references
    assert unet.network is not None
    assert median.network is not None
    assert median.network.design.endswith("@0.0625")
    assert unet.network.macs > 2 * judged[1].references[0].network.macs  # type: ignore[union-attr]


def test_the_verdict_comes_before_an_extension(judged: tuple[Setting, Verdict], tmp_path: Path) -> None:
    again = copied(judged[0], tmp_path)
    prolonged = again.config.deployment.recipe.with_iterations(3)
    deployment = again.config.deployment.model_copy(update={"recipe": prolonged, "extended": True})
    extended = replace(again, config=again.config.model_copy(update={"deployment": deployment}))
    with pytest.raises(UserError, match=r"were extended.*A verdict comes before `--extend`"):
        give_verdict(extended, inline(), Silent())


def evaluation(dice: Sequence[float]) -> Evaluation:
    return summarise([CaseScores(f"case{number}", {"organ": each}) for number, each in enumerate(dice)])


def test_better_and_worse_are_said_as_the_interval_says(judged: tuple[Setting, Verdict]) -> None:
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


def test_there_is_no_verdict_before_there_is_a_network(trained: Setting, tmp_path: Path) -> None:
    run = copied(trained, tmp_path)
    prolonged = run.config.deployment.recipe.with_iterations(3)
    deployment = run.config.deployment.model_copy(update={"recipe": prolonged})
    with pytest.raises(UserError, match="not trained yet on fold 4"):
        give_verdict(replace(run, config=run.config.model_copy(update={"deployment": deployment})), inline(), Silent())
    tuned = run.config.deployment.model_copy(update={"start": "0" * 64})
    with pytest.raises(UserError, match="trained from scratch"):
        give_verdict(replace(run, config=run.config.model_copy(update={"deployment": tuned})), inline(), Silent())
    shutil.rmtree(run.folder.final)
    with pytest.raises(UserError, match="not trained yet on fold 4"):
        give_verdict(run, inline(), Silent())
    shutil.rmtree(run.folder.fine)
    with pytest.raises(UserError, match="no search has finished here"):
        give_verdict(run, inline(), Silent())


def test_whether_there_is_one_is_fixed_with_the_search(trained: Setting, tmp_path: Path) -> None:
    folder = copied(trained, tmp_path).folder
    assert RunConfig.load(folder.config).verdict, "a budget has one unless it says otherwise"
    ask_for_verdict(folder, False)
    assert not RunConfig.load(folder.config).verdict
    folder.coarse.mkdir()
    ask_for_verdict(folder, None)
    ask_for_verdict(folder, False)
    with pytest.raises(UserError, match="`c2fnas verdict` gives one afterwards"):
        ask_for_verdict(folder, True)


def test_its_time_is_forecast(trained: Setting) -> None:
    timings, work = Timings(patch=0.1, window=0.05), Workload(1, 4, 2, devices=1)
    with_one = estimate(trained.config, timings, work)
    without = estimate(trained.config.model_copy(update={"verdict": False}), timings, work)
    assert with_one == without | {"verdict": pytest.approx(2 * without["deployment"])}


def test_the_command_shows_it(judged: tuple[Setting, Verdict], monkeypatch: pytest.MonkeyPatch) -> None:
    setting, verdict = judged
    monkeypatch.setattr(c2fnas.execution, "LocalProcessExecutor", lambda devices: inline())
    call = ["verdict", str(setting.folder.root), "--quiet"]
    assert json.loads(CliRunner().invoke(app, [*call, "--json"], catch_exceptions=False).stdout) == verdict.to_json()
    shown = CliRunner().invoke(app, call, catch_exceptions=False).stdout
    assert verdict_text(verdict) in shown
    assert all(each.sentence in shown for each in verdict.references)
    for each in verdict.references:
        assert each.network is not None
        assert f"{each.network.title}: {each.note}." in shown


@pytest.mark.long
def test_the_whole_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every stage, then the verdict, which the command line prints; finished, nothing is trained again."""
    monkeypatch.setattr(c2fnas.execution, "LocalProcessExecutor", lambda devices: inline())
    (tmp_path / "budget.yaml").write_text(BUDGET)
    dataset, run = write_phantoms(tmp_path / "Task00", cases=5, test_cases=0), tmp_path / "run"
    call = ["run", str(dataset), "--run", str(run), "--budget", str(tmp_path / "budget.yaml"), "--devices", "cpu"]
    shown = CliRunner().invoke(app, call, catch_exceptions=False).output
    verdict = Verdict.from_json(read_json(run / "verdict" / "verdict.json"))
    assert verdict_text(verdict) in shown
    assert "a U-Net of equal MACs and a random topology, on 1 of the folds, 2 iterations" in shown
    assert verdict.searched.dice == Evaluation.from_json(read_json(run / "final/fold-4/evaluation.json")).mean
    listener = Listener()
    result = run_pipeline(
        dataset,
        run,
        str(tmp_path / "budget.yaml"),
        seed=0,
        devices=("cpu",),
        executor=lambda devices: inline(),
        reporter=listener,
    )
    assert result.verdict == verdict
    assert listener.stages[-2:] == ["deployment", "verdict"]
    assert isinstance(CliRunner().invoke(app, [*call, "--no-verdict"]).exception, UserError)
    train_architecture(
        dataset, run, Wish(extend=3), devices=("cpu",), executor=lambda devices: inline(), reporter=Silent()
    )
    extended = run_pipeline(
        dataset,
        run,
        str(tmp_path / "budget.yaml"),
        seed=0,
        devices=("cpu",),
        executor=lambda devices: inline(),
        reporter=Silent(),
    )
    assert extended.verdict is None, "it was of the networks before"
    assert Verdict.from_json(read_json(run / "verdict" / "verdict.json")) == verdict
