"""Verification: what retraining says of a ranking."""

import json
import shutil
from pathlib import Path
from statistics import mean

import numpy as np
import pytest
from fine_run import TOPOLOGY, Listener, inline, prepared_run
from scipy.stats import kendalltau

from c2fnas.errors import UserError
from c2fnas.runs.records.ranked import read_ranked
from c2fnas.runs.run import Run
from c2fnas.search.ranks import kendall_tau, pooled_sd, sd_interval
from c2fnas.space.architecture import Architecture
from c2fnas.stages import training
from c2fnas.stages.fine import search_operations
from c2fnas.studies.verification import Verification, verify_ranking


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = prepared_run(tmp_path_factory.mktemp("verified"))
    with inline() as executor:
        search_operations(run.using(executor), TOPOLOGY)
    return run


@pytest.fixture(scope="module")
def verified(finished: Run) -> Verification:
    return verify(finished)


def verify(run: Run, count: int = 5, listener: Listener | None = None) -> Verification:
    with inline() as executor:
        return verify_ranking(run.using(executor, listener), count=count, iterations=2)


def test_candidates_are_drawn_at_random(finished: Run, verified: Verification) -> None:
    """By the run's seed; a further call that asks for more keeps those that were drawn."""
    places = [each.place for each in verified.candidates]
    drawn = np.random.default_rng(finished.config.seed).permutation(12)
    assert places == sorted((drawn[:5] + 1).tolist())
    ranked = sorted(read_ranked(finished.folder), key=lambda each: (-each.cases, -(each.dice or 0), each.number))
    assert [each.architecture for each in verified.candidates] == [ranked[place - 1].architecture for place in places]


def test_tau_and_noise_are_of_the_values_told(finished: Run, verified: Verification) -> None:
    told = json.loads((finished.folder.fine / "verification.json").read_text())
    assert told == verified.to_json()
    rows = told["candidates"]
    assert sorted(len(row["dice"]) for row in rows) == [1, 2, 2, 2, 2]
    ranked = read_ranked(finished.folder)
    assert [ranked[row["number"]].architecture.to_text() for row in rows] == [row["architecture"] for row in rows]
    assert told["tau"] == kendall_tau([row["ranked"] for row in rows], [mean(row["dice"]) for row in rows])
    assert told["interval"][0] <= told["tau"] <= told["interval"][1]
    assert told["seed_sd"] == pooled_sd([row["dice"] for row in rows])
    assert tuple(told["seed_interval"]) == sd_interval([row["dice"] for row in rows])
    assert told["seed_interval"][0] < told["seed_sd"] < told["seed_interval"][1]
    assert Architecture.from_text(rows[0]["architecture"]) == verified.candidates[0].architecture


def test_at_random_it_is_right_on_average_where_spread_out_it_flatters() -> None:
    """Twelve of 2,000 candidates whose order agrees with the truth by a τ of about 0.41, as the module says."""
    rng, truth = np.random.default_rng(5), []
    taus: dict[str, list[float]] = {"random": [], "spread": []}
    for _ in range(200):
        ranked = rng.normal(size=2000)
        dice = ranked + rng.normal(0, 1.35, 2000)
        truth.append(kendalltau(ranked, dice).statistic)
        order = np.argsort(-ranked)
        for name, places in (("random", rng.permutation(2000)[:12]), ("spread", np.linspace(0, 1999, 12).astype(int))):
            taus[name].append(kendall_tau(ranked[order[places]], dice[order[places]]))
    assert np.mean(truth) == pytest.approx(0.41, abs=0.01)
    assert np.mean(taus["random"]) == pytest.approx(0.41, abs=0.04)
    assert np.mean(taus["spread"]) > 0.48


def test_a_seed_is_a_training_of_its_own(verified: Verification) -> None:
    assert all(len(set(each.dice)) == len(each.dice) for each in verified.candidates)


def test_called_again_it_trains_nothing(finished: Run, verified: Verification, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "train_on", None)
    assert verify(finished) == verified


def test_a_training_that_fails_is_left_out(
    finished: Run, verified: Verification, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(finished.folder.root, tmp_path / "run")
    run, train, listener = Run.open(tmp_path / "run"), training.train_on, Listener()
    shutil.rmtree(run.folder.verification)
    once = next(place for place, each in enumerate(verified.candidates) if len(each.dice) == 1)
    failing = verified.candidates[once].architecture

    def fails(run: Run, network, *rest, **options) -> None:
        if network.architecture == failing:
            raise ArithmeticError("the loss is nan")
        train(run, network, *rest, **options)

    monkeypatch.setattr(training, "train_on", fails)
    found = verify(run, listener=listener)
    assert found.candidates[once].dice == ()
    assert len(listener.said) == 1
    assert "the loss is nan" in listener.said[0]
    kept = [each for place, each in enumerate(verified.candidates) if place != once]
    assert found.tau == kendall_tau([each.ranked for each in kept], [mean(each.dice) for each in kept])
    monkeypatch.setattr(training, "train_on", train)
    assert verify(run) == verified, "tried again, it is there"


def test_one_that_cannot_be_scored_is_left_out_and_said_to_be(
    finished: Run, verified: Verification, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(finished.folder.root, tmp_path / "run")
    run, evaluate, listener = Run.open(tmp_path / "run"), training.evaluate_network, Listener()
    shutil.rmtree(run.folder.verification)
    unscored = next(each for each in verified.candidates if len(each.dice) == 2).architecture

    def evaluated(network, *rest, **options):
        if network.architecture == unscored:
            raise UserError("no case shows an organ")
        return evaluate(network, *rest, **options)

    monkeypatch.setattr(training, "evaluate_network", evaluated)
    found = verify(run, listener=listener)
    assert [each.dice for each in found.candidates] == [
        () if each.architecture == unscored else each.dice for each in verified.candidates
    ]
    assert len(listener.said) == 2, "of both seeds"
    assert all("Dice not measurable: no case shows an organ" in text for text in listener.said)


def test_too_few_are_refused(finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="at least 3 candidates"):
        verify(finished, count=2)
    shutil.copytree(finished.folder.root, tmp_path / "run")
    run = Run.open(tmp_path / "run")
    shutil.rmtree(run.folder.verification, ignore_errors=True)
    monkeypatch.setattr(training, "train_on", None)
    with pytest.raises(UserError, match="0 of 3 candidates could be trained"):
        verify(run, count=3)


def test_there_must_be_a_ranking(finished: Run, tmp_path: Path) -> None:
    shutil.copytree(finished.folder.root, tmp_path / "run")
    (tmp_path / "run" / "fine" / "ranking.json").unlink()
    with pytest.raises(UserError, match="the fine stage has not finished"):
        verify(Run.open(tmp_path / "run"))
