"""Many paths at once against each one alone, which is what a user would evaluate."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from ranked_cases import PATCH, SCHEME, plan, prepared, supernet, write_case

from c2fnas.data.cache import Cache, PreparedCase, prepare_cases
from c2fnas.errors import UserError
from c2fnas.evaluation import path_ranking
from c2fnas.evaluation.evaluate import evaluate_network
from c2fnas.evaluation.metrics import CaseScores, Evaluation
from c2fnas.evaluation.path_ranking import CaseResult, mean_dice, score_by_case
from c2fnas.inference.sliding_window import SlidingWindow
from c2fnas.networks import SegmentationNetwork, SuperNetwork
from c2fnas.search.paths import random_paths
from c2fnas.space.operation import Operation
from c2fnas.space.search_space import SearchSpace

PATHS = random_paths(SearchSpace(cells=5, downsamplings=1), 7, seed=0)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[PreparedCase]:
    return list(prepared(tmp_path_factory.mktemp("ranked")).cases.values())


def alone(network: SegmentationNetwork, cases: list[PreparedCase], window: SlidingWindow) -> Evaluation:
    """What evaluating a stand-alone network gives."""
    return evaluate_network(network, cases, window, scheme=SCHEME, device="cpu")


def ranked(network: SuperNetwork, cases: list[PreparedCase], window: SlidingWindow, paths=PATHS) -> list[float | None]:
    """The mean Dice of each path."""
    rows: list[list[CaseScores | None]] = [[] for _ in paths]
    for result in score_by_case(network, cases, paths, window, scheme=SCHEME, device="cpu"):
        for index, row in zip(result.paths, result.rows, strict=True):
            rows[index].append(row)
    return [mean_dice(each) for each in rows]


@pytest.mark.exact
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(("batch", "stride"), [(1, PATCH), (2, PATCH), (3, (7, 10, 8))])
def test_each_path_scores_as_its_own_network_does(
    cases: list[PreparedCase], batch: int, stride: tuple[int, int, int], precision: str
) -> None:
    network, window = supernet(), SlidingWindow(PATCH, stride, batch=batch, precision=precision)  # type: ignore[arg-type]
    scores = ranked(network, cases, window)
    assert scores == [alone(network.extract(path), cases, window).mean for path in PATHS]
    assert len(set(scores)) > 3  # the paths do differ


@pytest.mark.exact
def test_windows_of_several_cases_share_a_batch(cases: list[PreparedCase]) -> None:
    network, sizes = supernet(), []
    network.stem_in.register_forward_hook(lambda _, inputs, output: sizes.append(len(inputs[0])))
    ranked(network, cases, SlidingWindow(PATCH, PATCH, batch=2))
    windows = [len(SlidingWindow(PATCH, PATCH).windows(case.image.shape[1:])) for case in cases]
    assert any(count % 2 for count in windows)
    assert sizes == [2] * -(-sum(windows) // 2)


@pytest.mark.exact
def test_nothing_changes_where_memory_has_paths_take_turns(
    cases: list[PreparedCase], monkeypatch: pytest.MonkeyPatch
) -> None:
    network, window = supernet(), SlidingWindow(PATCH, PATCH, batch=2)
    expected = ranked(network, cases, window)
    each = 2 * max(path_ranking._bytes_per_path(case, window, 3) for case in cases)
    monkeypatch.setattr(path_ranking, "room_for_sums", lambda device: 3 * each)
    assert ranked(network, cases, window) == expected
    results = list(score_by_case(network, cases, PATHS, window, scheme=SCHEME, device="cpu"))
    assert max(len(result.paths) for result in results) <= 6  # three by two cases, or six by one
    pairs = [(result.case, number) for result in results for number in result.paths]
    assert sorted(pairs) == sorted(itertools.product((case.id for case in cases), range(len(PATHS))))


@pytest.mark.exact
def test_a_large_case_has_small_groups_and_a_small_case_large_ones(
    cases: list[PreparedCase], monkeypatch: pytest.MonkeyPatch
) -> None:
    network, window = supernet(), SlidingWindow(PATCH, PATCH, batch=1)
    needs = [path_ranking._bytes_per_path(case, window, 3) for case in cases]
    monkeypatch.setattr(path_ranking, "room_for_sums", lambda device: 3 * max(needs))
    groups: dict[str, int] = {}
    for result in score_by_case(network, cases, PATHS, window, scheme=SCHEME, device="cpu"):
        groups[result.case] = max(len(result.paths), groups.get(result.case, 0))
    assert groups[cases[needs.index(max(needs))].id] < groups[cases[needs.index(min(needs))].id]


def test_neighbours_are_walked_together(cases: list[PreparedCase], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(path_ranking, "room_for_sums", lambda device: 0)
    results = score_by_case(supernet(), cases[:1], PATHS, SlidingWindow(PATCH, PATCH), scheme=SCHEME, device="cpu")
    assert [PATHS[result.paths[0]] for result in results] == sorted(PATHS)


@pytest.mark.exact
def test_rows_are_those_of_the_evaluation(cases: list[PreparedCase]) -> None:
    network, window = supernet(), SlidingWindow(PATCH, PATCH)
    results = list(score_by_case(network, cases, PATHS, window, scheme=SCHEME, device="cpu"))
    assert [result.case for result in results] == [case.id for case in cases]
    for index, path in enumerate(PATHS):
        rows = tuple(result.rows[result.paths.index(index)] for result in results)
        assert rows == alone(network.extract(path), cases, window).cases


@pytest.mark.exact
@pytest.mark.parametrize("done", [1, 2, 3, 4])
@pytest.mark.parametrize("batch", [1, 2, 3])
def test_a_ranking_taken_up_again_in_the_middle_ends_the_same(
    cases: list[PreparedCase], done: int, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit for bit, though the last window of one case shares its batch with the first of the next."""
    network, window = supernet(), SlidingWindow(PATCH, PATCH, batch=batch)
    monkeypatch.setattr(path_ranking, "room_for_sums", lambda device: 0)
    paths = PATHS[:2]  # two groups of one path each
    whole = list(score_by_case(network, cases, paths, window, scheme=SCHEME, device="cpu"))
    finished = {(result.case, number) for result in whole[: 2 * done - 1] for number in result.paths}
    rest = score_by_case(network, cases, paths, window, scheme=SCHEME, device="cpu", finished=finished)
    assert sorted(rest, key=by_case_and_path) == sorted(whole[2 * done - 1 :], key=by_case_and_path)


def by_case_and_path(result: CaseResult) -> tuple[str, tuple[int, ...]]:
    return result.case, result.paths


@pytest.mark.exact
def test_order_and_repetition_of_paths_do_not_matter(cases: list[PreparedCase]) -> None:
    network, window = supernet(), SlidingWindow(PATCH, PATCH)
    scores = dict(zip(PATHS, ranked(network, cases, window), strict=True))
    shuffled = [*reversed(PATHS), PATHS[3]]
    assert ranked(network, cases, window, paths=shuffled) == [scores[path] for path in shuffled]


@pytest.mark.exact
def test_a_path_that_has_diverged_fails_alone(cases: list[PreparedCase]) -> None:
    network, window = supernet(), SlidingWindow(PATCH, PATCH)
    expected = ranked(network, cases, window)
    with torch.no_grad():
        for parameter in network.cells[2].branches[0].operations["p3d"].parameters():
            parameter.fill_(float("nan"))
    broken = [path[2] is Operation.P3D for path in PATHS]
    assert 0 < sum(broken) < len(PATHS)
    assert ranked(network, cases, window) == [
        None if bad else score for bad, score in zip(broken, expected, strict=True)
    ]


def test_a_network_in_training_goes_on_training(cases: list[PreparedCase]) -> None:
    network = supernet().train()
    ranked(network, cases[:1], SlidingWindow(PATCH, PATCH))
    assert network.training
    assert torch.is_grad_enabled()


def test_without_foreground_there_is_nothing_to_rank_by(tmp_path: Path) -> None:
    case = write_case(tmp_path / "raw", "empty", (9, 9, 9), np.eye(4), empty=True)
    cache: Cache = prepare_cases([case], plan(), tmp_path / "cache")
    with pytest.raises(UserError, match=r"no validation case shows any foreground class \(cases: empty\)"):
        ranked(supernet(), [cache["empty"]], SlidingWindow(PATCH, PATCH))


def test_a_path_without_a_row_on_every_case_has_no_mean(cases: list[PreparedCase]) -> None:
    rows = alone(supernet().extract(PATHS[0]), cases, SlidingWindow(PATCH, PATCH)).cases
    assert mean_dice(rows[:1]) is not None
    assert mean_dice([*rows, None]) is None
    assert mean_dice([]) is None


def test_no_paths_have_no_scores(cases: list[PreparedCase]) -> None:
    assert ranked(supernet(), cases, SlidingWindow(PATCH, PATCH), paths=[]) == []


def test_groups_cover_all_paths_once(cases: list[PreparedCase]) -> None:
    window = SlidingWindow(PATCH, PATCH, batch=2)
    each = 2 * max(path_ranking._bytes_per_path(case, window, 3) for case in cases)
    for paths, room in itertools.product(range(1, 12), (0, each, 2 * each, 5 * each - 1, 100 * each)):
        groups = list(path_ranking.groups_of(range(paths), cases, window, 3, room))
        assert [number for group in groups for number in group] == list(range(paths))
        assert all(len(group) * each <= max(room, each) for group in groups)


@pytest.mark.parametrize("batch", [1, 2, 3, 64])
def test_blocks_keep_every_case_once_and_waste_little(cases: list[PreparedCase], batch: int) -> None:
    window = SlidingWindow(PATCH, PATCH, batch=batch)
    blocks = list(path_ranking._blocks(20 * cases, window))
    assert [case for block in blocks for case in block] == 20 * cases
    for block in blocks[:-1]:
        windows = sum(len(window.windows(case.restoration.shape)) for case in block)
        assert -windows % batch <= windows / path_ranking.BATCHES
