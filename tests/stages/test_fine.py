"""The fine stage on small networks: every candidate scored, narrowed down, entered, and picked from."""

import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from fine_run import TOPOLOGY, Listener, inline, phantoms, prepared_run

from c2fnas.errors import Interrupted, UserError
from c2fnas.evaluation import path_ranking
from c2fnas.evaluation.evaluate import evaluate_network
from c2fnas.execution import InlineExecutor
from c2fnas.execution.retry import MICRO_BATCH_DIVISOR
from c2fnas.files import write_json
from c2fnas.runs.overrides import with_values
from c2fnas.runs.records.ranked import RankedPath, read_ranked
from c2fnas.runs.run import Run
from c2fnas.search.paths import random_paths
from c2fnas.space.architecture import Architecture
from c2fnas.space.cost import network_cost
from c2fnas.space.operation import Operation
from c2fnas.space.topology import Topology
from c2fnas.stages import fine, ranking, supernet
from c2fnas.stages.fine import Limits, search_operations
from c2fnas.stages.halving import Halved, Scored
from c2fnas.stages.pipeline import amend
from c2fnas.stages.ranking import Ranking, ranking_cases
from c2fnas.stages.supernet import trained_supernet
from c2fnas.stages.training import WEIGHTS
from c2fnas.training.checkpoint import has_checkpoint
from c2fnas.training.weights import save_weights


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return phantoms(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def finished(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = prepared_run(tmp_path_factory.mktemp("finished"), dataset)
    search(run)
    return run


def search(run: Run, listener: Listener | None = None, limits: Limits | None = None) -> Architecture:
    with inline() as executor:
        return search_operations(run.using(executor, listener or Listener()), TOPOLOGY, limits)


def candidates(run: Run) -> tuple[RankedPath, ...]:
    return read_ranked(run.folder)


def results(run: Run) -> list[tuple[Architecture, float | None, int]]:
    return [(each.architecture, each.dice, each.cases) for each in candidates(run)]


def copy_of(run: Run, folder: Path) -> Run:
    """The same run elsewhere; nothing in it knows where it lies."""
    shutil.copytree(run.folder.root, folder / "run")
    return Run.open(folder / "run")


def unranked(run: Run) -> Run:
    """As it was between super-network and ranking."""
    shutil.rmtree(run.folder.ranking)
    run.folder.ranking_file.unlink()
    run.folder.candidates.unlink()
    return run


def configured(run: Run, devices: tuple[str, ...] = ("cpu",), **fine: object) -> Run:
    """Another configuration; jobs read the one on disk, but candidates and cases come with them."""
    values = {"devices": devices, **{f"fine.{name}": value for name, value in fine.items()}}
    return Run(run.folder.root, config=with_values(run.config, values))


def test_every_candidate_is_written_down_once(finished: Run) -> None:
    entered = [each.architecture for each in candidates(finished)]
    paths = random_paths(finished.config.space, 12, seed=0)
    assert sorted(each.operations for each in entered) == sorted(paths)
    assert {each.topology for each in entered} == {TOPOLOGY}


@pytest.mark.exact
def test_scores_are_those_of_the_networks_alone(finished: Run) -> None:
    """Every candidate on the cases it has come to be scored on, with the super-network's weights.

    To the bit, though a rung scores its new cases alone, and an evaluation all of them in one go.
    """
    trained, order = trained_supernet(finished, TOPOLOGY.code), ranking_cases(finished)
    for each in candidates(finished):
        network, cases = trained.extract(each.architecture.operations), order[: each.cases]
        expected = evaluate_network(
            network, finished.cases(cases), finished.window(ranking=True), scheme=finished.scheme, device="cpu"
        )
        assert each.dice == expected.mean


@pytest.mark.exact
def test_all_candidates_share_the_first_rungs_scale(finished: Run) -> None:
    """Those that went on too, whose own score is one over more cases."""
    trained, order = trained_supernet(finished, TOPOLOGY.code), ranking_cases(finished)
    for each in candidates(finished):
        assert each.first_rung_cases == 1
        alone = evaluate_network(
            trained.extract(each.architecture.operations),
            finished.cases(order[:1]),
            finished.window(ranking=True),
            scheme=finished.scheme,
            device="cpu",
        )
        assert each.first_rung_dice == alone.mean


def test_the_best_few_get_to_all_cases(finished: Run) -> None:
    summary = json.loads(finished.folder.ranking_file.read_text())
    assert summary["candidates"] == 12
    assert [rung["cases"] for rung in summary["rungs"]] == [1, 3]
    assert summary["rungs"][0]["candidates"] == 12
    finalists = [each for each in candidates(finished) if each.cases == 3]
    assert 4 <= len(finalists) == summary["rungs"][1]["candidates"] < 12
    assert summary["scored"] < summary["scored_naively"] == 36
    assert summary["macs_tree"] < summary["macs_naive"]
    assert summary["audit"]["candidates"] == 4
    assert -1 <= summary["audit"]["rungs"][0]["tau"] <= 1


def test_costs_stand_beside_the_scores(finished: Run) -> None:
    for each in candidates(finished):
        cost = network_cost(each.architecture, in_channels=1, classes=3, input_size=finished.plan.patch_size)
        assert (each.macs, each.parameters) == (cost.macs, cost.parameters)


def test_the_front_is_one_of_dice_and_every_cost(finished: Run) -> None:
    finalists = [each for each in candidates(finished) if each.cases == 3]

    def values(each: RankedPath) -> tuple[float, ...]:
        return (-(each.dice or 0), each.macs, each.parameters, each.memory, each.latency_ms)

    for each in candidates(finished):
        if each not in finalists:
            assert (each.front, each.latency_ms) == (False, None)
            continue
        beaten = any(
            values(other) != values(each) and all(a <= b for a, b in zip(values(other), values(each), strict=True))
            for other in finalists
        )
        assert each.latency_ms > 0
        assert each.front == (not beaten)


def test_a_fast_candidate_is_on_the_front_however_much_it_computes(finished: Run) -> None:
    cheap, dear, beaten = ((operation,) * 12 for operation in (Operation.CONV2D, Operation.CONV3D, Operation.P3D))
    dice = {cheap: 0.5, dear: 0.5, beaten: 0.4}
    result = Halved([*dice], {path: Scored(3, found) for path, found in dice.items()})
    milliseconds: dict[tuple[Operation, ...], float | None] = {cheap: 5.0, dear: 4.0, beaten: 9.0}
    assert fine.front_of(finished, TOPOLOGY, result, milliseconds) == {cheap, dear}
    assert fine.front_of(finished, TOPOLOGY, result, dict.fromkeys(dice)) == {cheap}


def test_sampling_is_told(finished: Run) -> None:
    sampling = json.loads(finished.folder.ranking_file.read_text())["sampling"]
    assert [sum(row) for row in sampling] == [3] * 12
    listener = Listener()
    search(finished, listener)
    assert any("each operation of each cell trained in 0 to 3 iterations" in text for text in listener.said)


def test_the_best_is_picked_and_limits_are_remembered(finished: Run, tmp_path: Path) -> None:
    run = copy_of(finished, tmp_path)
    finalists = [each for each in candidates(run) if each.cases == 3]
    best = max(finalists, key=lambda each: each.dice or 0)
    assert search(run) == best.architecture
    cheapest = min(finalists, key=lambda each: each.macs)
    assert search(run, limits=Limits(max_macs=cheapest.macs)) == cheapest.architecture
    assert search(run) == cheapest.architecture  # the same command without the limit carries on with it
    fastest = min(each.latency_ms for each in finalists if each.latency_ms)
    found = search(run, limits=Limits(max_latency=fastest))
    assert [each.latency_ms for each in finalists if each.architecture == found] == [fastest]
    leanest = min(each.memory for each in finalists if each.memory)
    lean = search(run, limits=Limits(max_memory=leanest))
    assert [each.memory for each in finalists if each.architecture == lean] == [leanest]
    with pytest.raises(UserError, match=r"--max-macs 1: the cheapest takes .* multiply-accumulates"):
        search(run, limits=Limits(max_macs=1))
    with pytest.raises(UserError, match=r"--max-memory 1M: .*, the leanest .*M of memory\."):
        search(run, limits=Limits(max_memory=2**20))
    assert search(run, limits=Limits(max_latency=fastest)) == found  # what nothing meets is not kept
    assert search(run, limits=Limits()) == best.architecture


def test_once_networks_of_it_train_the_choice_stands(finished: Run, tmp_path: Path) -> None:
    run = copy_of(finished, tmp_path)
    found, *others = sorted((each for each in candidates(run) if each.cases == 3), key=lambda each: each.macs)
    write_json(run.folder.final / "architecture.json", found.architecture.to_json())
    (run.folder.final / "fold-0").mkdir(parents=True)
    assert max(others, key=lambda each: each.dice or 0).dice > found.dice  # it would choose another one now
    assert search(run) == found.architecture
    with pytest.raises(UserError, match="its choice stands"):
        search(run, limits=Limits())
    assert search(run, limits=Limits(max_macs=found.macs)) == found.architecture
    assert search(run) == found.architecture


def test_a_search_after_networks_of_default_operations_is_refused_before_it_trains(
    finished: Run, tmp_path: Path
) -> None:
    run = copy_of(finished, tmp_path)
    shutil.rmtree(run.folder.fine)
    write_json(run.folder.fine_architecture, candidates(finished)[0].architecture.to_json())
    (run.folder.final / "fold-0").mkdir(parents=True)
    with pytest.raises(UserError, match="operations that were not searched"):
        search(Run.open(run.folder.root))
    assert not run.folder.supernet.exists()


def test_a_finished_stage_is_not_run_again(finished: Run) -> None:
    before, listener = results(finished), Listener()
    search(finished, listener)
    assert results(finished) == before
    assert "ranking" not in listener.stages


def test_candidates_that_are_cut_short_are_written_again(finished: Run, tmp_path: Path) -> None:
    """Without scoring any of them again."""
    run = copy_of(finished, tmp_path)
    with run.folder.candidates.open("r+b") as file:
        file.truncate(run.folder.candidates.stat().st_size // 2)
    with pytest.raises(UserError, match=r"candidates\.jsonl: damaged"):
        results(run)
    before = sorted(run.folder.ranking.rglob("*"))
    search(run)
    assert results(run) == results(finished)
    assert sorted(run.folder.ranking.rglob("*")) == before


class StopsAt(Listener):
    """Leaves a stop file when a stage begins."""

    def __init__(self, run: Run, stage: str) -> None:
        super().__init__()
        self._run, self._stage = run, stage

    def start(self, stage: str, total: float) -> None:
        if stage == self._stage:
            self._run.folder.stop.touch()


@pytest.mark.exact
@pytest.mark.parametrize("stage", ["ranking", "latency"])
def test_stopped_between_its_parts_it_carries_on(stage: str, finished: Run, tmp_path: Path) -> None:
    run = unranked(copy_of(finished, tmp_path))
    with pytest.raises(Interrupted):
        search(run, StopsAt(run, stage))
    assert not run.folder.ranking_file.exists()
    run.folder.clear_stop()
    search(run)
    assert results(run) == results(finished)


@pytest.mark.exact
def test_a_job_killed_between_two_cases_repeats_none(
    finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, scored = unranked(copy_of(finished, tmp_path)), list[str]()
    keep = ranking.append_json_line

    def dies(path: Path, value: dict) -> None:
        keep(path, value)
        scored.append(value["case"])
        if len(scored) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(ranking, "append_json_line", dies)
    with pytest.raises(KeyboardInterrupt):
        search(run)
    rows = next(run.folder.fine.rglob("rung-2/*/rows.jsonl"))
    rows.write_text(rows.read_text()[:-5])  # the line was not whole when the power went
    search(run)
    assert results(run) == results(finished)
    assert len(scored) == 1 + 2 + 1 + 2  # rung 1, rung 2, the torn case again, the audit's two


def test_rows_survive_a_retry_with_a_smaller_batch(finished: Run, tmp_path: Path) -> None:
    """The device's memory is full after the first case; the job's next try does the others."""
    run = copy_of(finished, tmp_path)
    cases, paths = [case.id for case in run.cases(ranking_cases(run))], random_paths(run.config.space, 4, seed=9)
    again = {"run": "../../../..", "code": list(TOPOLOGY.code), "cases": cases, "paths": [list(path) for path in paths]}
    folder = run.folder.ranking / "retry" / "0000"
    folder.mkdir(parents=True)
    whole = ranking.rank_paths(again, folder, "cpu")
    lines = (folder / "rows.jsonl").read_text().splitlines()
    (folder / "rows.jsonl").write_text("\n".join(lines[:2]) + "\n")
    assert ranking.rank_paths(again | {MICRO_BATCH_DIVISOR: 2}, folder, "cpu") == whole
    assert (folder / "rows.jsonl").read_text().splitlines()[:2] == lines[:2]
    assert len((folder / "rows.jsonl").read_text().splitlines()) == len(lines)


def test_the_saving_told_is_that_of_what_was_walked_together(
    finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With room for one path at a time nothing is shared."""
    told = json.loads(finished.folder.ranking_file.read_text())
    run = unranked(copy_of(finished, tmp_path))
    monkeypatch.setattr(path_ranking, "room_for_sums", lambda device: 0)
    search(run)
    alone = json.loads(run.folder.ranking_file.read_text())
    assert alone["macs_tree"] == alone["macs_naive"] == told["macs_naive"] > told["macs_tree"]


def test_rows_of_another_ranking_are_not_taken_for_ones_own(finished: Run, tmp_path: Path) -> None:
    run = copy_of(finished, tmp_path)
    run.folder.ranking_file.unlink()
    for result in run.folder.ranking.rglob("result.json"):
        result.unlink()
    for rows in run.folder.ranking.rglob("rows.jsonl"):
        header, *_ = rows.read_text().splitlines()
        line = {"case": "none", "paths": [0], "rows": [None], "macs": [1, 1]}
        rows.write_text(header.replace('"job": "', '"job": "x') + "\n" + json.dumps(line) + "\n")
    search(run)
    assert results(run) == results(finished)


def test_checkpoints_of_the_super_network_stay_until_its_end_is_known(
    finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not [*(finished.folder.supernet / "checkpoints").glob("*")]
    run = copy_of(finished, tmp_path)
    shutil.rmtree(run.folder.fine)

    def dies(folder: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(supernet, "forget_checkpoints", dies)
        with pytest.raises(KeyboardInterrupt):
            search(run)
    assert has_checkpoint(run.folder.supernet)
    (run.folder.supernet / "result.json").unlink()  # the report had not been written
    with monkeypatch.context() as patched:
        patched.setattr(supernet, "save_weights", lambda path, network: dies(path))
        with pytest.raises(KeyboardInterrupt):
            search(run)
    lines = (run.folder.supernet / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == 2  # the first iteration and the last, once


def test_a_super_network_that_fails_is_named_with_the_mend(
    finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = copy_of(finished, tmp_path)
    shutil.rmtree(run.folder.fine)

    def diverges(*_: object, **__: object) -> None:
        raise ArithmeticError("the loss is nan")

    monkeypatch.setattr(supernet, "train_on", diverges)
    with pytest.raises(UserError, match=r"fine/supernet: .*the loss is nan .* same command again; .* another --seed"):
        search(run)


class Cluster(InlineExecutor):
    """Takes many jobs at a time."""

    idle = 3


def test_the_ranking_is_cut_for_the_devices_that_there_are_when_it_begins(finished: Run, tmp_path: Path) -> None:
    """A cluster's too, of which run.yaml says nothing; and taken up elsewhere it asks for the same jobs."""
    run = unranked(copy_of(finished, tmp_path))
    paths = random_paths(run.config.space, 160, seed=0)

    def jobs(executor: InlineExecutor, run: Run) -> int:
        return len(Ranking(run.using(executor), TOPOLOGY, 1.0)._chunks(paths))

    assert jobs(Cluster(), run) == jobs(inline(), run) == 10  # of 16 paths at least
    shutil.rmtree(run.folder.ranking)
    assert jobs(inline(), run) == 4


def test_candidates_with_scores_that_are_not_finite_fail_alone(finished: Run, tmp_path: Path) -> None:
    run = unranked(copy_of(finished, tmp_path))
    network = trained_supernet(run, TOPOLOGY.code)
    with torch.no_grad():
        for parameter in network.cells[4].branches[0].operations["conv3d"].parameters():
            parameter.fill_(math.nan)
    save_weights(run.folder.supernet / WEIGHTS, network)
    found = search(run)
    assert found.operations[4] != "3D"
    for each in candidates(run):
        assert (each.dice is None) == (each.architecture.operations[4] == "3D")
        assert each.reason == (
            None if each.dice is not None else "With the super-network's weights its logits are not finite."
        )


def test_a_super_network_that_has_learnt_nothing_is_told_of(finished: Run, tmp_path: Path) -> None:
    run, listener = unranked(copy_of(finished, tmp_path)), Listener()
    network = trained_supernet(run, TOPOLOGY.code)
    with torch.no_grad():
        network.stem_out.classify.weight.zero_()
    save_weights(run.folder.supernet / WEIGHTS, network)
    search(run, listener)
    assert any("All 12 candidates have the same Dice, 0.0000" in text for text in listener.said)
    assert {each.dice for each in candidates(run)} == {0.0}


def test_nothing_but_failures_is_a_readable_error(finished: Run, tmp_path: Path) -> None:
    run = unranked(copy_of(finished, tmp_path))
    network = trained_supernet(run, TOPOLOGY.code)
    with torch.no_grad():
        network.stem_in[0][0].weight.fill_(math.nan)
    save_weights(run.folder.supernet / WEIGHTS, network)
    with pytest.raises(UserError, match="none of the 12 candidates could be scored"):
        search(run)


def test_a_job_that_fails_costs_its_candidates(finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = configured(unranked(copy_of(finished, tmp_path)), devices=("cpu", "cpu"), candidates=32, audit=0)
    whole, listener = ranking.score_by_case, Listener()
    first = sorted(random_paths(run.config.space, 32, seed=0))[:16]

    def fails(supernet, cases, paths, window, **options):
        if list(paths) == first:
            raise ValueError("a disk has gone")
        return whole(supernet, cases, paths, window, **options)

    monkeypatch.setattr(ranking, "score_by_case", fails)
    search(run, listener)
    assert any("16 candidates could not be ranked" in text and "a disk has gone" in text for text in listener.said)
    failed = [each.architecture.operations for each in candidates(run) if each.dice is None]
    assert sorted(failed) == first
    assert len(candidates(run)) == 32
    assert all("a disk has gone" in (each.reason or "") for each in candidates(run) if each.dice is None)


def test_a_job_that_fails_is_tried_once_more(finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = configured(unranked(copy_of(finished, tmp_path)), devices=("cpu", "cpu"), candidates=32, audit=0)
    whole, listener, failures = ranking.score_by_case, Listener(), iter([True])

    def fails_once(supernet, cases, paths, window, **options):
        if next(failures, False):
            raise ValueError("a device was lost for a moment")
        return whole(supernet, cases, paths, window, **options)

    monkeypatch.setattr(ranking, "score_by_case", fails_once)
    search(run, listener)
    assert any("16 candidates could not be ranked, and are ranked once more" in text for text in listener.said)
    assert len(candidates(run)) == 32
    assert all(each.dice is not None for each in candidates(run))


def test_without_foreground_in_validation_there_is_no_ranking(finished: Run, tmp_path: Path) -> None:
    run = unranked(copy_of(finished, tmp_path))
    for case in run.cases(run.search_split.validation):
        about = json.loads((case.folder / "case.json").read_text())
        (case.folder / "case.json").write_text(json.dumps(about | {"foreground": [0, 0]}))
    with pytest.raises(UserError, match="no validation case shows any foreground"):
        search(Run.open(run.folder.root))


def test_a_class_that_no_validation_case_shows_is_told(finished: Run, tmp_path: Path) -> None:
    run, listener = copy_of(finished, tmp_path), Listener()
    for case in run.cases(run.search_split.validation):
        about = json.loads((case.folder / "case.json").read_text())
        (case.folder / "case.json").write_text(json.dumps(about | {"foreground": [sum(about["foreground"]), 0]}))
    ranking_cases(Run.open(run.folder.root, listener))
    assert listener.said == [
        "No validation case shows lesion: in the ranking this counts only where a candidate finds what isn't there."
    ]


@pytest.mark.long
def test_evolution_finds_as_many_and_carries_on(finished: Run, tmp_path: Path) -> None:
    run = configured(unranked(copy_of(finished, tmp_path)), choose="evolution", candidates=20, audit=0)
    found = search(run)
    entered = results(run)
    assert len({architecture for architecture, _, _ in entered}) == len(entered) >= 20
    assert len(list(run.folder.ranking.glob("generation-*"))) >= 3
    run.folder.ranking_file.unlink()  # as if the end had not come: the jobs answer again, at once
    run.folder.candidates.unlink()
    assert search(run) == found
    assert results(run) == entered


def test_strict_sampling_trains_every_operation_once(dataset: Path, tmp_path: Path) -> None:
    run = prepared_run(tmp_path, dataset, sampling="strict", candidates=2, rungs=1)
    search(run)
    assert json.loads(run.folder.ranking_file.read_text())["sampling"] == [[1, 1, 1]] * 12


def test_options_are_fixed_once_the_stage_has_begun(finished: Run, tmp_path: Path) -> None:
    run = copy_of(finished, tmp_path)
    before = run.folder.config.read_text()
    amend(run, {"fine.sampling": "uniform", "fine.rungs": 2})
    with pytest.raises(UserError, match=r"--candidates \(12, now 7\): its ranking stage has begun with it"):
        amend(run, {"fine.candidates": 7})
    with pytest.raises(UserError, match=r"--sampling \(uniform, now strict\): its super-network stage has begun"):
        amend(run, {"fine.sampling": "strict"})
    assert Run.open(run.folder.root).config.fine == finished.config.fine
    unranked(run)
    amend(run, {"fine.candidates": 7})  # the super-network does not depend on them
    with pytest.raises(UserError, match="--sampling"):
        amend(run, {"fine.sampling": "strict"})
    shutil.rmtree(run.folder.fine)
    amend(run, {"fine.sampling": "strict"})
    assert (run.config.fine.sampling, run.config.fine.candidates) == ("strict", 7)
    assert Run.open(run.folder.root).config == run.config
    assert run.folder.config.read_text() != before


def test_another_topology_is_refused(finished: Run) -> None:
    with inline() as executor, pytest.raises(UserError, match="is one of topology 0 1 1 2 2 3 3 2 1 0 0 0"):
        search_operations(finished.using(executor), Topology((1, 2, 3, 3, 3, 3, 3, 3, 2, 1, 0, 0)))


def test_a_topology_of_too_few_cells_is_refused_before_anything_begins(finished: Run, tmp_path: Path) -> None:
    run = copy_of(finished, tmp_path)
    shutil.rmtree(run.folder.fine)
    with inline() as executor, pytest.raises(UserError, match="operations of 12 cells, and topology 0 1 0 has 3"):
        search_operations(run.using(executor), Topology((0, 1, 0)))
    assert not run.folder.fine.exists()


def test_damaged_weights_are_a_readable_error(finished: Run, tmp_path: Path) -> None:
    run = unranked(copy_of(finished, tmp_path))
    weights = run.folder.supernet / WEIGHTS
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(UserError, match=r"weights\.safetensors"):
        search(run)


@pytest.mark.exact
@pytest.mark.long
def test_two_devices_find_what_one_finds(finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More devices cut the candidates into other jobs, which changes no score."""
    monkeypatch.setattr(ranking, "JOBS_PER_DEVICE", 1)
    two = configured(unranked(copy_of(finished, tmp_path)), devices=("cpu", "cpu"), candidates=40, audit=0)
    search(two)
    first = results(two)
    assert len(list((two.folder.ranking / "rung-1").iterdir())) == 2
    one = configured(unranked(two), candidates=40, audit=0)
    search(one)
    assert len(list((two.folder.ranking / "rung-1").iterdir())) == 1
    assert results(one) == first
