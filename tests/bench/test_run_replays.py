"""The stage of a run, replayed: by hand, its failures, and beside the coarse stage itself."""

import numpy as np
import pytest

from c2fnas.bench import Measurement, replay_run
from c2fnas.search.bayesian import TopologyModel
from c2fnas.search.pooled import Size
from c2fnas.search.random_search import RandomSearch
from c2fnas.space.search_space import SearchSpace

TOPOLOGIES = SearchSpace(cells=8, downsamplings=2).topologies()
MODEL = TopologyModel(TOPOLOGIES)
TABLE = {each: Measurement(0.8 + 0.01 * (each.code[0] - each.code[-3]), 1.0 + sum(each.code)) for each in TOPOLOGIES}


def searcher(evaluations: int, seed: int = 0) -> RandomSearch:
    return RandomSearch(TOPOLOGIES, seed=seed, evaluations=evaluations)


def test_one_worker_trains_one_after_the_other_to_the_size_of_the_search() -> None:
    found = replay_run(searcher(16), MODEL, TABLE, Size(16))
    assert len(found.topologies) == len(found.regret) == 16
    assert found.time.tolist() == found.cost.tolist()
    assert found.cost[-1] == sum(TABLE[each].cost for each in found.topologies)
    assert len(set(found.topologies)) <= 14, "the pilot repeats two"
    assert found.answer in found.topologies
    best = max(entry.score or 0.0 for entry in TABLE.values())
    assert found.regret[-1] == pytest.approx(best - (TABLE[found.answer].score or 0.0))


def test_more_workers_are_sooner_done() -> None:
    one, four = (replay_run(searcher(16), MODEL, TABLE, Size(16), workers=workers) for workers in (1, 4))
    assert four.time[-1] < 0.5 * one.time[-1]
    with pytest.raises(ValueError, match="at least one worker"):
        replay_run(searcher(4), MODEL, TABLE, Size(4), workers=0)


def test_a_repeat_has_noise_of_its_own() -> None:
    found = replay_run(searcher(16), MODEL, TABLE, Size(16), noise=0.05, seed=3)
    seen = {}
    for topology, score in zip(found.topologies, found.told.tolist(), strict=True):
        seen.setdefault(topology, []).append(score)
    repeated = [scores for scores in seen.values() if len(scores) > 1]
    assert repeated
    assert all(len(set(scores)) == len(scores) for scores in repeated)


def test_where_everything_fails_there_is_no_answer() -> None:
    failing = {each: Measurement(None) for each in TOPOLOGIES}
    found = replay_run(searcher(8), MODEL, failing, Size(8), workers=2)
    assert found.answer is None
    assert set(found.regret.tolist()) == {1.0}
    assert np.isnan(found.told).all()
