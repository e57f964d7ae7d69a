"""The fine stage on small networks: every candidate scored, narrowed down, entered, and picked from."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from c2fnas.stages.fine_choice import Limits
from c2fnas.stages.fine_jobs import WEIGHTS, trained_supernet
from c2fnas.stages.fine_wish import FineWish, with_wish
from c2fnas.stages.narrowing import Narrowed
from fine_run import TOPOLOGY, Listener, inline, phantoms, prepared_run

from c2fnas.errors import Interrupted, UserError
from c2fnas.evaluation.evaluate import evaluate_network
from c2fnas.execution import InlineExecutor
from c2fnas.runs.ranked import RankedPath, read_ranked
from c2fnas.runs.run import Setting
from c2fnas.search.paths import random_paths
from c2fnas.space.architecture import Architecture
from c2fnas.space.cost import network_cost
from c2fnas.space.operation import Operation
from c2fnas.space.topology import Topology
from c2fnas.stages import fine, fine_jobs, ranking
from c2fnas.stages.fine import search_operations
from c2fnas.stages.ranking import Ranking, ranking_cases
from c2fnas.training.checkpoint import has_checkpoint
from c2fnas.training.weights import save_weights


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return phantoms(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def finished(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Setting:
    setting = prepared_run(tmp_path_factory.mktemp("finished"), dataset)
    search(setting)
    return setting


def search(setting: Setting, listener: Listener | None = None, limits: Limits | None = None) -> Architecture:
    with inline() as executor:
        return search_operations(setting, TOPOLOGY, executor, listener or Listener(), limits)


def candidates(setting: Setting) -> tuple[RankedPath, ...]:
    return read_ranked(setting.folder)


def results(setting: Setting) -> list[tuple[Architecture, float | None, int]]:
    return [(each.architecture, each.dice, each.cases) for each in candidates(setting)]


def copy_of(setting: Setting, folder: Path) -> Setting:
    """The same run elsewhere; nothing in it knows where it lies."""
    shutil.copytree(setting.folder.root, folder / "run")
    return Setting.load(folder / "run")


def unranked(setting: Setting) -> Setting:
    """As it was between super-network and ranking."""
    shutil.rmtree(setting.folder.ranking)
    setting.folder.ranking_file.unlink()
    setting.folder.candidates.unlink()
    return setting


def configured(setting: Setting, devices: tuple[str, ...] = ("cpu",), **fine: object) -> Setting:
    """Another configuration; jobs read the one on disk, but candidates and cases come with them."""
    config = setting.config
    changed = config.model_copy(update={"devices": devices, "fine": config.fine.model_copy(update=fine)})
    return replace(setting, config=changed)


def test_every_candidate_is_written_down_once(finished: Setting) -> None:
    entered = [each.architecture for each in candidates(finished)]
    paths = random_paths(finished.config.space, 12, seed=0)
    assert sorted(each.operations for each in entered) == sorted(paths)
    assert {each.topology for each in entered} == {TOPOLOGY}


@pytest.mark.exact
def test_scores_are_those_of_the_networks_alone(finished: Setting) -> None:
    """Every candidate on the cases it has come to be scored on, with the super-network's weights.

    To the bit, though a rung scores its new cases alone, and an evaluation all of them in one go.
    """
    supernet, order = trained_supernet(finished, TOPOLOGY.code), ranking_cases(finished, Listener())
    for each in candidates(finished):
        network, cases = supernet.extract(each.architecture.operations), order[: each.cases]
        expected = evaluate_network(
            network,
            finished.cases(cases),
            finished.window(ranking=True),
            class_names=finished.class_names,
            device="cpu",
        )
        assert each.dice == expected.mean


@pytest.mark.exact
def test_all_candidates_share_the_first_rungs_scale(finished: Setting) -> None:
    """Those that went on too, whose own score is one over more cases."""
    supernet, order = trained_supernet(finished, TOPOLOGY.code), ranking_cases(finished, Listener())
    for each in candidates(finished):
        assert each.first_rung_cases == 1
        alone = evaluate_network(
            supernet.extract(each.architecture.operations),
            finished.cases(order[:1]),
            finished.window(ranking=True),
            class_names=finished.class_names,
            device="cpu",
        )
        assert each.first_rung_dice == alone.mean


def test_the_best_few_get_to_all_cases(finished: Setting) -> None:
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


def test_costs_stand_beside_the_scores(finished: Setting) -> None:
    for each in candidates(finished):
        cost = network_cost(each.architecture, in_channels=1, classes=3, input_size=finished.plan.patch_size)
        assert (each.macs, each.parameters) == (cost.macs, cost.parameters)


def test_the_front_is_one_of_dice_and_every_cost(finished: Setting) -> None:
    finalists = [each for each in candidates(finished) if each.cases == 3]

    def values(each: RankedPath) -> tuple[float, ...]:
        return (-(each.dice or 0), each.macs, each.parameters, each.latency_ms)

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


def test_a_fast_candidate_is_on_the_front_however_much_it_computes(finished: Setting) -> None:
    cheap, dear, beaten = ((operation,) * 12 for operation in (Operation.CONV2D, Operation.CONV3D, Operation.P3D))
    dice = {cheap: 0.5, dear: 0.5, beaten: 0.4}
    result = Narrowed([*dice], dict.fromkeys(dice, 3), {**dice})
    milliseconds: dict[tuple[Operation, ...], float | None] = {cheap: 5.0, dear: 4.0, beaten: 9.0}
    assert fine.front_of(finished, TOPOLOGY, result, milliseconds) == {cheap, dear}
    assert fine.front_of(finished, TOPOLOGY, result, dict.fromkeys(dice)) == {cheap}


def test_sampling_is_told(finished: Setting) -> None:
    sampling = json.loads(finished.folder.ranking_file.read_text())["sampling"]
    assert [sum(row) for row in sampling] == [3] * 12
    listener = Listener()
    search(finished, listener)
    assert any("each operation of each cell trained in 0 to 3 iterations" in text for text in listener.said)


def test_the_best_is_picked_and_limits_are_remembered(finished: Setting, tmp_path: Path) -> None:
    setting = copy_of(finished, tmp_path)
    finalists = [each for each in candidates(setting) if each.cases == 3]
    best = max(finalists, key=lambda each: each.dice or 0)
    assert search(setting) == best.architecture
    cheapest = min(finalists, key=lambda each: each.macs)
    assert search(setting, limits=Limits(max_macs=cheapest.macs)) == cheapest.architecture
    assert search(setting) == cheapest.architecture  # the same command without the limit carries on with it
    fastest = min(each.latency_ms for each in finalists if each.latency_ms)
    found = search(setting, limits=Limits(max_latency=fastest))
    assert [each.latency_ms for each in finalists if each.architecture == found] == [fastest]
    with pytest.raises(UserError, match=r"--max-macs 1: the cheapest takes .* multiply-accumulates"):
        search(setting, limits=Limits(max_macs=1))
    assert search(setting) == found  # what nothing meets is not kept
    assert search(setting, limits=Limits()) == best.architecture


def test_a_finished_stage_is_not_run_again(finished: Setting) -> None:
    before, listener = results(finished), Listener()
    search(finished, listener)
    assert results(finished) == before
    assert "ranking" not in listener.stages


def test_candidates_that_are_cut_short_are_written_again(finished: Setting, tmp_path: Path) -> None:
    """Without scoring any of them again."""
    setting = copy_of(finished, tmp_path)
    with setting.folder.candidates.open("r+b") as file:
        file.truncate(setting.folder.candidates.stat().st_size // 2)
    with pytest.raises(UserError, match=r"candidates\.jsonl: damaged"):
        results(setting)
    before = sorted(setting.folder.ranking.rglob("*"))
    search(setting)
    assert results(setting) == results(finished)
    assert sorted(setting.folder.ranking.rglob("*")) == before


class StopsAt(Listener):
    """Leaves a stop file when a stage begins."""

    def __init__(self, setting: Setting, stage: str) -> None:
        super().__init__()
        self._setting, self._stage = setting, stage

    def start(self, stage: str, total: float) -> None:
        if stage == self._stage:
            self._setting.folder.stop.touch()


@pytest.mark.exact
@pytest.mark.parametrize("stage", ["ranking", "latency"])
def test_stopped_between_its_parts_it_carries_on(stage: str, finished: Setting, tmp_path: Path) -> None:
    setting = unranked(copy_of(finished, tmp_path))
    with pytest.raises(Interrupted):
        search(setting, StopsAt(setting, stage))
    assert not setting.folder.ranking_file.exists()
    setting.folder.clear_stop()
    search(setting)
    assert results(setting) == results(finished)


@pytest.mark.exact
def test_a_job_killed_between_two_cases_repeats_none(
    finished: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting, scored = unranked(copy_of(finished, tmp_path)), list[str]()
    keep = fine_jobs.append_json_line

    def dies(path: Path, value: dict) -> None:
        keep(path, value)
        scored.append(value["case"])
        if len(scored) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(fine_jobs, "append_json_line", dies)
    with pytest.raises(KeyboardInterrupt):
        search(setting)
    rows = next(setting.folder.fine.rglob("rung-2/*/rows.jsonl"))
    rows.write_text(rows.read_text()[:-5])  # the line was not whole when the power went
    search(setting)
    assert results(setting) == results(finished)
    assert len(scored) == 1 + 2 + 1 + 2  # rung 1, rung 2, the torn case again, the audit's two


def test_rows_of_another_ranking_are_not_taken_for_ones_own(finished: Setting, tmp_path: Path) -> None:
    setting = copy_of(finished, tmp_path)
    setting.folder.ranking_file.unlink()
    for result in setting.folder.ranking.rglob("result.json"):
        result.unlink()
    for rows in setting.folder.ranking.rglob("rows.jsonl"):
        header, *_ = rows.read_text().splitlines()
        rows.write_text(header.replace('"job": "', '"job": "x') + "\n" + '{"case": "none", "first": 0, "rows": []}\n')
    search(setting)
    assert results(setting) == results(finished)


def test_checkpoints_of_the_super_network_stay_until_its_end_is_known(
    finished: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not [*(finished.folder.supernet / "checkpoints").glob("*")]
    setting = copy_of(finished, tmp_path)
    shutil.rmtree(setting.folder.fine)

    def dies(folder: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(fine, "forget_checkpoints", dies)
        with pytest.raises(KeyboardInterrupt):
            search(setting)
    assert has_checkpoint(setting.folder.supernet)
    (setting.folder.supernet / "result.json").unlink()  # the report had not been written
    with monkeypatch.context() as patched:
        patched.setattr(fine_jobs, "save_weights", lambda path, network: dies(path))
        with pytest.raises(KeyboardInterrupt):
            search(setting)
    lines = (setting.folder.supernet / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == 2  # the first iteration and the last, once


def test_a_super_network_that_fails_is_named_with_the_mend(
    finished: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = copy_of(finished, tmp_path)
    shutil.rmtree(setting.folder.fine)

    def diverges(*_: object, **__: object) -> None:
        raise ArithmeticError("the loss is nan")

    monkeypatch.setattr(fine_jobs, "train_on", diverges)
    with pytest.raises(UserError, match=r"fine/supernet: .*the loss is nan .* same command again; .* another --seed"):
        search(setting)


class Cluster(InlineExecutor):
    """Takes many jobs at a time."""

    idle = 3


def test_the_ranking_is_cut_for_the_devices_that_there_are_when_it_begins(finished: Setting, tmp_path: Path) -> None:
    """A cluster's too, of which run.yaml says nothing; and taken up elsewhere it asks for the same jobs."""
    setting = unranked(copy_of(finished, tmp_path))
    paths = random_paths(setting.config.space, 160, seed=0)

    def jobs(executor: InlineExecutor, setting: Setting) -> int:
        return len(Ranking(setting, TOPOLOGY, executor, Listener(), 1.0)._chunks(paths))

    assert jobs(Cluster(), setting) == jobs(inline(), setting) == 10  # of 16 paths at least
    shutil.rmtree(setting.folder.ranking)
    assert jobs(inline(), setting) == 4


def test_candidates_with_scores_that_are_not_finite_fail_alone(finished: Setting, tmp_path: Path) -> None:
    setting = unranked(copy_of(finished, tmp_path))
    supernet = trained_supernet(setting, TOPOLOGY.code)
    with torch.no_grad():
        for parameter in supernet.cells[4].branches[0].operations["conv3d"].parameters():
            parameter.fill_(math.nan)
    save_weights(setting.folder.supernet / WEIGHTS, supernet)
    found = search(setting)
    assert found.operations[4] != "3D"
    for each in candidates(setting):
        assert (each.dice is None) == (each.architecture.operations[4] == "3D")
        assert each.reason == (
            None if each.dice is not None else "With the super-network's weights its logits are not finite."
        )


def test_a_super_network_that_has_learnt_nothing_is_told_of(finished: Setting, tmp_path: Path) -> None:
    setting, listener = unranked(copy_of(finished, tmp_path)), Listener()
    supernet = trained_supernet(setting, TOPOLOGY.code)
    with torch.no_grad():
        supernet.stem_out.classify.weight.zero_()
    save_weights(setting.folder.supernet / WEIGHTS, supernet)
    search(setting, listener)
    assert any("All 12 candidates have the same Dice, 0.0000" in text for text in listener.said)
    assert {each.dice for each in candidates(setting)} == {0.0}


def test_nothing_but_failures_is_a_readable_error(finished: Setting, tmp_path: Path) -> None:
    setting = unranked(copy_of(finished, tmp_path))
    supernet = trained_supernet(setting, TOPOLOGY.code)
    with torch.no_grad():
        supernet.stem_in[0][0].weight.fill_(math.nan)
    save_weights(setting.folder.supernet / WEIGHTS, supernet)
    with pytest.raises(UserError, match="none of the 12 candidates could be scored"):
        search(setting)


def test_a_job_that_fails_costs_its_candidates(
    finished: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = configured(unranked(copy_of(finished, tmp_path)), devices=("cpu", "cpu"), candidates=32, audit=0)
    whole, listener = fine_jobs.score_by_case, Listener()
    first = sorted(random_paths(setting.config.space, 32, seed=0))[:16]

    def fails_once(supernet, cases, paths, window, **options):
        if list(paths) == first:
            raise ValueError("a disk has gone")
        return whole(supernet, cases, paths, window, **options)

    monkeypatch.setattr(fine_jobs, "score_by_case", fails_once)
    search(setting, listener)
    assert any("16 candidates could not be ranked" in text and "a disk has gone" in text for text in listener.said)
    failed = [each.architecture.operations for each in candidates(setting) if each.dice is None]
    assert sorted(failed) == first
    assert len(candidates(setting)) == 32
    assert all("a disk has gone" in (each.reason or "") for each in candidates(setting) if each.dice is None)


def test_without_foreground_in_validation_there_is_no_ranking(finished: Setting, tmp_path: Path) -> None:
    setting = unranked(copy_of(finished, tmp_path))
    for case in setting.cases(setting.search_split.validation):
        about = json.loads((case.folder / "case.json").read_text())
        (case.folder / "case.json").write_text(json.dumps(about | {"foreground": [0, 0]}))
    with pytest.raises(UserError, match="no validation case shows any foreground"):
        search(Setting.load(setting.folder.root))


def test_a_class_that_no_validation_case_shows_is_told(finished: Setting, tmp_path: Path) -> None:
    setting, listener = copy_of(finished, tmp_path), Listener()
    for case in setting.cases(setting.search_split.validation):
        about = json.loads((case.folder / "case.json").read_text())
        (case.folder / "case.json").write_text(json.dumps(about | {"foreground": [sum(about["foreground"]), 0]}))
    ranking_cases(Setting.load(setting.folder.root), listener)
    assert listener.said == [
        "No validation case shows lesion: in the ranking this counts only where a candidate finds what isn't there."
    ]


@pytest.mark.long
def test_evolution_finds_as_many_and_carries_on(finished: Setting, tmp_path: Path) -> None:
    setting = configured(unranked(copy_of(finished, tmp_path)), choose="evolution", candidates=20, audit=0)
    found = search(setting)
    entered = results(setting)
    assert len({architecture for architecture, _, _ in entered}) == len(entered) >= 20
    assert len(list(setting.folder.ranking.glob("generation-*"))) >= 3
    setting.folder.ranking_file.unlink()  # as if the end had not come: the jobs answer again, at once
    setting.folder.candidates.unlink()
    assert search(setting) == found
    assert results(setting) == entered


def test_strict_sampling_trains_every_operation_once(dataset: Path, tmp_path: Path) -> None:
    setting = prepared_run(tmp_path, dataset, sampling="strict", candidates=2, rungs=1)
    search(setting)
    assert json.loads(setting.folder.ranking_file.read_text())["sampling"] == [[1, 1, 1]] * 12


def test_wishes_are_fixed_once_the_stage_has_begun(finished: Setting, tmp_path: Path) -> None:
    setting = copy_of(finished, tmp_path)
    shutil.rmtree(setting.folder.fine)
    wished = with_wish(setting, FineWish(sampling="strict", candidates=7))
    assert (wished.config.fine.sampling, wished.config.fine.candidates) == ("strict", 7)
    assert Setting.load(setting.folder.root).config == wished.config
    assert with_wish(finished, FineWish(sampling="uniform", rungs=2)) == finished
    with pytest.raises(UserError, match="--candidates 12, not 7"):
        with_wish(finished, FineWish(candidates=7))
    with pytest.raises(UserError, match="--sampling uniform, not strict"):
        with_wish(finished, FineWish(sampling="strict"))


def test_another_topology_is_refused(finished: Setting) -> None:
    with inline() as executor, pytest.raises(UserError, match="is one of topology 0 1 1 2 2 3 3 2 1 0 0 0"):
        search_operations(finished, Topology((1, 2, 3, 3, 3, 3, 3, 3, 2, 1, 0, 0)), executor, Listener())


def test_a_topology_of_too_few_cells_is_refused_before_anything_begins(finished: Setting, tmp_path: Path) -> None:
    setting = copy_of(finished, tmp_path)
    shutil.rmtree(setting.folder.fine)
    with inline() as executor, pytest.raises(UserError, match="operations of 12 cells, and topology 0 1 0 has 3"):
        search_operations(setting, Topology((0, 1, 0)), executor, Listener())
    assert not setting.folder.fine.exists()


def test_damaged_weights_are_a_readable_error(finished: Setting, tmp_path: Path) -> None:
    setting = unranked(copy_of(finished, tmp_path))
    weights = setting.folder.supernet / WEIGHTS
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(UserError, match=r"weights\.safetensors"):
        search(setting)


@pytest.mark.exact
@pytest.mark.long
def test_two_devices_find_what_one_finds(finished: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
