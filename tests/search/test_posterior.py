"""The model of scores: equal to the formulas of Gaussian conditioning, calibrated, robust; and what follows from it."""

from collections import Counter
from itertools import product

import numpy as np
import pytest

from c2fnas.search.answer import settling_training, standing
from c2fnas.search.bayesian import BayesianSearch, TopologyModel
from c2fnas.search.collapsed import NOISE
from c2fnas.search.operation_effects import path_posterior, take_path
from c2fnas.search.posterior import FLAT, SHAPE, Kind, ScoreModel
from c2fnas.space.operation import Operation
from c2fnas.space.search_space import SearchSpace

TOPOLOGIES = SearchSpace(cells=8, downsamplings=2).topologies()
FREE = dict.fromkeys(TOPOLOGIES, 1.0)


def codes() -> np.ndarray:
    return np.array([topology.code for topology in TOPOLOGIES], dtype=float)


@pytest.mark.parametrize("kind", ["linear", "gp"])
def test_the_mean_is_that_of_conditioning_each_of_the_grid_weighed_by_its_likelihood(kind: Kind) -> None:
    rng = np.random.default_rng(0)
    model, told = ScoreModel(codes(), kind), rng.integers(0, 70, 12)
    scores = 0.8 + 0.01 * rng.standard_normal(12)
    means, logs = [], []
    for scales in model.scales:
        everything = np.arange(70)
        prior = model.covariance(scales, everything, everything)
        seen = prior[np.ix_(told, told)] + np.eye(12)
        apart = scores - scores.mean()
        means.append(scores.mean() + prior[:, told] @ np.linalg.solve(seen, apart))
        rate = SHAPE * NOISE**2 + apart @ np.linalg.solve(seen, apart) / 2
        logs.append(-0.5 * np.log(np.linalg.det(seen)) - (SHAPE + 6) * np.log(rate))
    weights = np.exp(np.array(logs) - max(logs))
    expected = weights @ np.array(means) / weights.sum()
    assert model.posterior(told, scores).mean == pytest.approx(expected, abs=1e-9)


def test_the_prior_covariance_is_that_of_scikit_learns_kernels() -> None:
    from sklearn.gaussian_process.kernels import DotProduct, Matern

    model = ScoreModel(codes(), "gp")
    scales = model.scales[-1]
    spread = codes().std(axis=0)
    features = (codes() - codes().mean(axis=0))[:, spread > 0] / spread[spread > 0]
    linear = DotProduct(0.0)(features) / features.shape[1]
    smooth = Matern(scales.length, nu=2.5)(features)
    expected = FLAT + scales.linear * linear + scales.smooth * smooth + scales.own * np.eye(70)
    everything = np.arange(70)
    assert model.covariance(scales, everything, everything) == pytest.approx(expected, rel=1e-9)


def test_any_part_of_the_draws_is_as_good_as_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws in the order of the grid's models would be linear first; whoever takes some would take those.

    Halves of 4,000 draws whose value is their model's place differ by less than 5 standard errors: a false alarm in a
    million runs.
    """
    rng = np.random.default_rng(0)
    posterior = ScoreModel(codes(), "gp").posterior(rng.integers(0, 70, 12), 0.8 + 0.01 * rng.standard_normal(12))
    places = {id(fit): place for place, fit in enumerate(posterior._fits)}

    def place(fit: object, rng: np.random.Generator, count: int, own: bool) -> tuple[np.ndarray, np.ndarray]:
        return np.full((count, 1), float(places[id(fit)])), np.zeros((count, 1))

    monkeypatch.setattr(posterior, "_draws", place)
    drawn = posterior.draws(rng, 4000)[:, 0]
    assert drawn.std() > 1
    assert abs(drawn[:2000].mean() - drawn[2000:].mean()) < 5 * drawn.std() * np.sqrt(2 / 2000)
    known, rest = posterior.paired_draws(rng, 50)
    assert len(known) == len(rest) == 50


@pytest.mark.parametrize("kind", ["linear", "gp"])
def test_draws_have_the_posteriors_mean(kind: Kind) -> None:
    """Means of 4,000 draws lie within 5 standard errors of the mean: a false alarm in 10,000 runs of 70 candidates."""
    rng = np.random.default_rng(1)
    posterior = ScoreModel(codes(), kind).posterior([0, 5, 5, 30, 60], [0.80, 0.81, 0.82, 0.79, 0.83])
    draws = posterior.draws(rng, 4000)
    error = draws.std(axis=0) / np.sqrt(4000)
    assert (np.abs(draws.mean(axis=0) - posterior.mean) < 5 * error).all()


def test_intervals_hold_the_truth_as_often_as_they_claim() -> None:
    """Truths of the model itself: of 100, about 90 lie in the 90 % interval.

    Below 78 is beyond 4 standard errors; above 98 come 3 draws of 10,000.
    """
    rng = np.random.default_rng(2)
    features, inside = codes(), 0
    standard = (features - features.mean(axis=0)) / np.where(features.std(axis=0) > 0, features.std(axis=0), 1)
    model = ScoreModel(features)
    for _ in range(100):
        truth = 0.8 + standard @ rng.standard_normal(8) * 0.006 / np.sqrt(7) + 0.003 * rng.standard_normal(70)
        told = rng.integers(0, 70, 16)
        found = model.posterior(told, truth[told] + 0.006 * rng.standard_normal(16)).draws(rng, 200)
        place = int(rng.integers(70))
        low, high = np.quantile(found[:, place], [0.05, 0.95])
        inside += bool(low <= truth[place] <= high)
    assert 78 <= inside <= 98


@pytest.mark.parametrize("place", [3, -1])
def test_draws_have_the_covariance_of_conditioning(place: int) -> None:
    """Of one of the grid's models: the Gaussian's, times the noise's expected variance, inverse gamma by the scores.

    Sixteen scores, four candidates told of twice. Entries of 4,000 draws are off by 5 standard errors at most, each
    about 0.025 of the standard deviations' product.
    """
    rng, everything = np.random.default_rng(5), np.arange(70)
    model, told = ScoreModel(codes(), "gp"), np.array([*range(0, 60, 5), 0, 5, 10, 15])
    (scales,) = model.scales = [model.scales[place]]
    scores = 0.8 + 0.01 * rng.standard_normal(16)
    prior = model.covariance(scales, everything, everything)
    seen = prior[np.ix_(told, told)] + np.eye(16)
    apart = scores - scores.mean()
    noise = (SHAPE * NOISE**2 + apart @ np.linalg.solve(seen, apart) / 2) / (SHAPE + 16 / 2 - 1)
    expected = noise * (prior - prior[:, told] @ np.linalg.solve(seen, prior[told]))
    found = np.cov(model.posterior(told, scores).draws(rng, 4000).T)
    deviations = np.sqrt(np.diag(expected))
    assert (np.abs(found - expected) < 0.125 * np.outer(deviations, deviations)).all()


def test_one_collapsed_training_does_not_turn_the_slope() -> None:
    features = np.arange(20.0)[:, None]
    scores = [0.70 + 0.01 * place for place in range(20)]
    model = ScoreModel(features)
    assert model.posterior(range(20), [*scores[:-1], 0.0]).mean.argmax() >= 17
    assert model.posterior(range(20), scores).mean.argmax() == 19


def test_a_guess_counts_as_far_as_scores_bear_it_out() -> None:
    rng = np.random.default_rng(3)
    truth = 0.01 * rng.standard_normal(70)
    told = rng.integers(0, 70, 24)
    scores = 0.8 + truth[told] + 0.003 * rng.standard_normal(24)
    right = ScoreModel(codes(), guess=truth).posterior(told, scores)
    wrong = ScoreModel(codes(), guess=0.01 * rng.standard_normal(70)).posterior(told, scores)
    factors = [sum(w * fit.factor for fit, w in zip(each._fits, each._weights, strict=True)) for each in (right, wrong)]
    assert factors[0] > 0.8 > 0.2 > factors[1]
    blind = ScoreModel(codes()).posterior(told, scores)
    assert np.corrcoef(right.mean, truth)[0, 1] > np.corrcoef(blind.mean, truth)[0, 1] + 0.1


def linear_truth() -> dict:
    return {topology: 0.8 + 0.01 * (topology.code[0] - topology.code[-3]) for topology in TOPOLOGIES}


def test_the_search_finds_what_the_code_tells() -> None:
    """Sixteen noisy trainings, ten seeds: the mean regret is an eighth of the spread, that of any topology a half."""
    truth, best = linear_truth(), max(linear_truth().values())
    regrets = []
    for seed in range(10):
        rng, searcher = np.random.default_rng(seed), BayesianSearch(TOPOLOGIES, seed=seed, evaluations=16)
        while (proposal := searcher.ask()) is not None:
            score = truth[proposal.topology] + 0.004 * rng.standard_normal()
            searcher.tell(proposal.topology, float(score))
        found = standing(TopologyModel(TOPOLOGIES), list(searcher.history.scores.items()), FREE, margin=0.001)
        regrets.append(best - truth[found.answer or TOPOLOGIES[0]])
    assert np.mean(regrets) < 0.005


def test_within_the_margin_the_cheapest_is_taken_and_trained_first() -> None:
    model, flat = TopologyModel(TOPOLOGIES), [(topology, 0.8) for topology in TOPOLOGIES[:30]]
    cost = {topology: float(place) for place, topology in enumerate(reversed(TOPOLOGIES))}
    found = standing(model, flat, cost, margin=0.05)
    assert found.wanted == TOPOLOGIES[-1]
    assert found.answer == TOPOLOGIES[29]
    assert found.doubt < 0.05
    assert not found.settled
    assert settling_training(found, Counter(TOPOLOGIES[:30])) == TOPOLOGIES[-1]
    after = standing(model, [*flat, (TOPOLOGIES[-1], 0.8)], cost, margin=0.05)
    assert after.settled
    assert after.answer == TOPOLOGIES[-1]


def test_what_has_failed_is_neither_wanted_nor_the_answer() -> None:
    model, truth = TopologyModel(TOPOLOGIES), linear_truth()
    best = [topology for topology in TOPOLOGIES if truth[topology] == max(truth.values())]
    known = [(topology, truth[topology]) for topology in TOPOLOGIES if topology not in best]
    assert standing(model, known, FREE, margin=0.001).wanted in best
    found = standing(model, known, FREE, margin=0.001, failed=frozenset(best))
    assert found.wanted not in best
    assert found.answer not in best


def test_two_that_are_close_are_trained_again_in_turn() -> None:
    model = TopologyModel(TOPOLOGIES)
    one, other = TOPOLOGIES[0], TOPOLOGIES[40]
    known = [(topology, 0.7) for topology in TOPOLOGIES if topology not in (one, other)]
    known += [(one, 0.90), (other, 0.899)]
    found = standing(model, known, FREE, margin=1e-4)
    counted = Counter(topology for topology, _ in known)
    first = settling_training(found, counted)
    second = settling_training(found, counted + Counter([first or one]))
    assert {first, second} <= {found.answer, found.rival}
    assert first != second


def test_paths_are_taken_by_their_operations_effects_not_by_luck() -> None:
    """A 3D operation adds a hundredth in every cell; noise of as much hides it path by path, not effect by effect."""
    rng = np.random.default_rng(4)
    operations = list(Operation)
    paths = [tuple(operations[choice] for choice in rng.integers(3, size=6)) for _ in range(120)]
    true = [0.7 + 0.01 * path.count(Operation.CONV3D) for path in paths]
    seen = [each + 0.02 * rng.standard_normal() for each in true]
    taken = take_path(paths, seen, [1.0] * 120, margin=0.001)
    assert true[taken] >= max(true) - 0.011
    assert true[taken] >= true[int(np.argmax(seen))]


def test_paths_that_do_not_differ_are_taken_by_cost() -> None:
    paths = list(product(Operation, repeat=3))
    costs = [float(path.count(Operation.CONV3D)) for path in paths]
    taken = take_path(paths, [0.8] * len(paths), costs, margin=0.01)
    assert costs[taken] == 0.0


def test_first_rungs_inform_the_finalists() -> None:
    """Over five seeds the correlation with the truth rises by half a tenth or more on average."""
    gains = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        operations = list(Operation)
        paths = [tuple(operations[choice] for choice in rng.integers(3, size=6)) for _ in range(200)]
        true = np.array([0.7 + 0.01 * path.count(Operation.CONV3D) for path in paths])
        first = paths, (true + 0.01 * rng.standard_normal(200)).tolist()
        places = np.argsort(true)[::8]
        finalists, scores = [paths[place] for place in places], true[places] + 0.03 * rng.standard_normal(len(places))
        with_them, without = (path_posterior(finalists, scores.tolist(), each).mean for each in (first, None))
        gains.append(np.corrcoef(with_them, true[places])[0, 1] - np.corrcoef(without, true[places])[0, 1])
    assert np.mean(gains) > 0.05


def test_own_parts_of_untrained_candidates_may_be_left_out_of_the_same_draws() -> None:
    posterior = ScoreModel(codes()).posterior([0, 5, 5, 30], [0.70, 0.90, 0.91, 0.72])
    every, known = posterior.paired_draws(np.random.default_rng(0), 300)
    for own, expected in (("all", every), ("known", known)):
        assert (posterior.draws(np.random.default_rng(0), 300, own=own) == expected).all()  # type: ignore[arg-type]
    same = (every == known).all(axis=0)
    assert np.flatnonzero(same).tolist() == [0, 5, 30]
    assert (known.std(axis=0) <= every.std(axis=0) + 1e-4).all()
    none = posterior.draws(np.random.default_rng(0), 300, own="none")
    assert not np.isclose(none[:, 5], known[:, 5]).all()


def test_the_noise_of_seeds_is_drawn_around_what_is_expected_of_it() -> None:
    rng = np.random.default_rng(0)
    scores = [0.8 + 0.004 * float(rng.standard_normal()) for _ in range(60)]
    posterior = ScoreModel(codes()).posterior([*range(20)] * 3, scores)
    drawn = posterior.noise_draws(rng, 4000)
    assert np.mean(drawn) == pytest.approx(posterior.seed_noise, rel=0.03)
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert low < 0.004 < high


@pytest.mark.parametrize("part", ["none", "own", "smooth"])
def test_three_seeds_of_each_tell_what_scores_are_made_of(part: str) -> None:
    """Of a truth linear in the code, with parts of candidates' own, or bent; apart by as much as seeds."""
    rng = np.random.default_rng(5)
    standard = (codes() - codes().mean(axis=0)) / np.where(codes().std(axis=0) > 0, codes().std(axis=0), 1)
    bent = standard[:, 3] * standard[:, 4]
    truth = 0.8 + 0.004 * standard[:, 1] + {"none": 0.0, "own": rng.normal(0, 0.006, 70), "smooth": 0.006 * bent}[part]
    told = [*range(70)] * 3
    found = ScoreModel(codes(), "gp").posterior(told, truth[told] + rng.normal(0, 0.006, 210))
    assert (found.probability("own") > 0.5) == (part == "own")
    assert (found.probability("smooth") > 0.9) == (part == "smooth")
