"""A model of scores by features: a Bayesian linear one, or a Gaussian process with a linear part.

A score is a mean, a linear function of the features, a smooth one, what is the candidate's own, and noise:

    y = mean + w·x + g(x) + own(x) + noise

All parts are normal, their variances in parts of the noise's. Variances are not chosen but weighed: each of a grid
counts by how well it explains the scores (its marginal likelihood), so that few scores lead to no certainty. The
noise's own variance has an inverse gamma prior that a handful of scores overrule. Williams and Rasmussen, Gaussian
Processes for Machine Learning, 2006, chapters 2 and 5.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from c2fnas.search.collapsed import NOISE, tempered

Array = NDArray[np.float64]
Kind = Literal["linear", "gp"]
Own = Literal["all", "known", "none"]
"""Whose own parts are drawn: of all candidates, of those that a score tells of, or of none."""

SHAPE = 1.0
"""Of the noise's inverse gamma prior: it counts as two scores, whose standard deviation is :data:`NOISE`."""
LINEAR = (0.01, 0.1, 0.4, 1.6, 6.4, 25.6)
SMOOTH, LENGTHS = (0.1, 0.4, 1.6), (1.5, 4.0)
OWN = (0.0, 0.25, 1.0)
GUESSES = ((0.0, 0.5), (0.5, 1 / 6), (1.0, 1 / 6), (2.0, 1 / 6))
"""Factors of a guess from elsewhere, and their prior weights: that it is worth nothing counts a half."""
MARGIN = 0.01
"""Dice within which two networks are as good as each other, if nobody says otherwise."""
FLAT = 1e4
"""Variance of the mean: what the scores' level is, nobody knows before."""


@dataclass(frozen=True)
class _Scales:
    """Variances in parts of the noise's, and the length of the smooth part in standardised features."""

    linear: float
    own: float
    smooth: float = 0.0
    length: float = 1.0


class ScoreModel:
    """The prior over the scores of candidates, and its posterior given some.

    >>> model = ScoreModel(np.arange(10.0)[:, None])
    >>> found = model.posterior([0, 1, 2, 7], [0.80, 0.81, 0.82, 0.87])
    >>> int(found.mean.argmax())
    9
    """

    def __init__(
        self,
        features: Array,
        kind: Kind = "linear",
        guess: Array | None = None,
        guesses: Sequence[tuple[float, float]] = GUESSES,
    ) -> None:
        """Model candidates by ``features``, ``[candidates, features]``.

        Args:
            features: constant ones are no matter.
            kind: ``gp`` adds a smooth function to the linear one (Matérn 5/2).
            guess: a score of each candidate from elsewhere, up to a constant; its worth is weighed by the scores.
            guesses: factors of it, with their prior weights.
        """
        spread = features.std(axis=0)
        self._features = (features - features.mean(axis=0))[:, spread > 0] / spread[spread > 0]
        self._guess = np.zeros(len(features)) if guess is None else guess - guess.mean()
        self.guesses = guesses if guess is not None else ((0.0, 1.0),)
        self.scales = [_Scales(linear, own) for linear, own in product(LINEAR, OWN)]
        if kind == "gp":
            self.scales += [_Scales(*each) for each in product(LINEAR[::2], OWN[:2], SMOOTH, LENGTHS)]

    def posterior(self, candidates: Sequence[int], scores: Sequence[float]) -> "Posterior":
        """Return what ``scores`` of ``candidates``, which may repeat, say of all."""
        return Posterior(self, np.array(candidates, dtype=int), tempered(np.array(scores, dtype=float)))

    def __len__(self) -> int:
        return len(self._features)

    @property
    def candidates(self) -> NDArray[np.int64]:
        """The numbers of all candidates."""
        return np.arange(len(self))

    def guess(self, factor: float) -> Array:
        """Return the guess of all candidates, by a factor."""
        return factor * self._guess

    def covariance(self, scales: _Scales, some: NDArray[np.int64], others: NDArray[np.int64]) -> Array:
        """Return the prior covariance of ``some`` candidates with ``others``, the mean's included."""
        place = np.ix_(some, others)
        found = FLAT + scales.linear * self._linear[place] + scales.own * (some[:, None] == others)
        return found + scales.smooth * self._smooth(scales.length)[place] if scales.smooth else found

    def prior_draws(self, scales: _Scales, rng: np.random.Generator, count: int) -> tuple[Array, Array]:
        """Return functions drawn from the prior, ``[count, candidates]``, without the mean; and each one's own part."""
        size, features = self._features.shape
        drawn = rng.standard_normal((count, features)) @ self._features.T * math.sqrt(scales.linear / max(1, features))
        if scales.smooth:
            drawn += math.sqrt(scales.smooth) * rng.standard_normal((count, size)) @ self._root(scales.length).T
        return drawn, math.sqrt(scales.own) * rng.standard_normal((count, size))

    @cached_property
    def _linear(self) -> Array:
        return self._features @ self._features.T / max(1, self._features.shape[1])

    def _smooth(self, length: float) -> Array:
        from sklearn.gaussian_process.kernels import Matern

        if length not in self._kernels:
            self._kernels[length] = np.asarray(Matern(length, nu=2.5)(self._features), dtype=np.float64)
        return self._kernels[length]

    def _root(self, length: float) -> Array:
        if length not in self._roots:
            root = np.linalg.cholesky(self._smooth(length) + 1e-8 * np.eye(len(self)))
            self._roots[length] = np.asarray(root, dtype=np.float64)
        return self._roots[length]

    @cached_property
    def _kernels(self) -> dict[float, Array]:
        return {}

    @cached_property
    def _roots(self) -> dict[float, Array]:
        return {}


@dataclass(frozen=True)
class _Told:
    """Scores, gathered by candidate: their means say all that they say, with the noise that is within candidates.

    Attributes:
        candidates: each once.
        counts: its scores.
        means: of them.
        within: sum of squares about the means.
    """

    candidates: NDArray[np.int64]
    counts: Array
    means: Array
    within: float

    @classmethod
    def of(cls, candidates: NDArray[np.int64], scores: Array) -> "_Told":
        """Gather ``scores`` of ``candidates``, which may repeat."""
        unique, places = np.unique(candidates, return_inverse=True)
        counts = np.bincount(places, minlength=len(unique)).astype(float)
        means = np.bincount(places, scores, len(unique)) / counts
        return cls(unique, counts, means, float(((scores - means[places]) ** 2).sum()))

    @property
    def shape(self) -> float:
        """Of the inverse gamma posterior of the noise's variance."""
        return SHAPE + float(self.counts.sum()) / 2


@dataclass(frozen=True)
class _Fit:
    """The posterior under given variances and factor of the guess.

    Attributes:
        evidence: logarithm of the marginal likelihood and of the prior weight.
        residual: means of scores less level and guess.
        inverse: of the covariance of the means, in parts of the noise's variance.
        variance: expected of the noise.
    """

    scales: _Scales
    factor: float
    evidence: float
    residual: Array
    inverse: Array
    variance: float


class Posterior:
    """Scores of all candidates, given some.

    Attributes:
        mean: expected of each candidate.
    """

    def __init__(self, model: ScoreModel, candidates: NDArray[np.int64], scores: Array) -> None:
        self._model, self._level = model, float(scores.mean()) if len(scores) else 0.5
        self._told = _Told.of(candidates, scores)
        self._fits = self._fitted()
        evidence = np.array([fit.evidence for fit in self._fits])
        weights = np.exp(evidence - evidence.max())
        self._weights = weights / weights.sum()

    @cached_property
    def mean(self) -> Array:
        """Expected score of each candidate."""
        found = np.full(len(self._model), self._level)
        for fit, weight in zip(self._fits, self._weights, strict=True):
            cross = self._model.covariance(fit.scales, self._model.candidates, self._told.candidates)
            found += weight * (self._model.guess(fit.factor) + cross @ (fit.inverse @ fit.residual))
        return found

    @property
    def seed_noise(self) -> float:
        """Expected standard deviation between trainings of a candidate."""
        return float(sum(w * math.sqrt(fit.variance) for fit, w in zip(self._fits, self._weights, strict=True)))

    def probability(self, part: Literal["smooth", "own"]) -> float:
        """Return the probability that scores have such a part, each model of the grid being as likely before."""
        has = [getattr(fit.scales, part) > 0 for fit in self._fits]
        return float(self._weights @ np.array(has, dtype=float))

    def draws(self, rng: np.random.Generator, count: int, *, own: Own = "all") -> Array:
        """Return scores of all candidates drawn from the posterior together, ``[count, candidates]``.

        A candidate without its ``own`` part has what its features alone tell. Of one that no score tells of, nobody
        can know more before it is trained.
        """
        known, rest = self._drawn(rng, count, own != "none")
        return known + rest if own == "all" else known

    def paired_draws(self, rng: np.random.Generator, count: int) -> tuple[Array, Array]:
        """Return :meth:`draws` with the own parts of all, and the same with those of the known alone."""
        known, rest = self._drawn(rng, count, own=True)
        return known + rest, known

    def noise_draws(self, rng: np.random.Generator, count: int) -> Array:
        """Return standard deviations between trainings of a candidate drawn from the posterior, ``[count]``."""
        shape = self._told.shape
        variances = np.array([fit.variance for fit in self._fits])[rng.choice(len(self._fits), count, p=self._weights)]
        return np.sqrt(variances * (shape - 0.5) / rng.gamma(shape, size=count))

    def _drawn(self, rng: np.random.Generator, count: int, own: bool) -> tuple[Array, Array]:
        """Draws without the own parts of those that no score tells of, and these parts."""
        numbers = rng.multinomial(count, self._weights)
        parts = [self._draws(fit, rng, number, own) for fit, number in zip(self._fits, numbers, strict=True) if number]
        known, rest = (np.concatenate(each) for each in zip(*parts, strict=True))
        order = rng.permutation(count) if count > 1 else [0]  # else draws of one fit would stand together
        return known[order], rest[order]

    def _draws(self, fit: _Fit, rng: np.random.Generator, count: int, own: bool) -> tuple[Array, Array]:
        """Functions of the prior, corrected by what the scores say of them (Matheron's rule)."""
        told, shape = self._told.candidates, self._told.shape
        sigma = np.sqrt(fit.variance * (shape - 0.5) / rng.gamma(shape, size=(count, 1)))
        shared, particular = self._model.prior_draws(fit.scales, rng, count)
        shared += math.sqrt(FLAT) * rng.standard_normal((count, 1))
        seen = (shared + particular)[:, told] + rng.standard_normal((count, len(told))) / np.sqrt(self._told.counts)
        scales = fit.scales if own else replace(fit.scales, own=0.0)
        cross = self._model.covariance(scales, self._model.candidates, told)
        rest = sigma * particular
        found = sigma * shared + (fit.residual - sigma * seen) @ fit.inverse @ cross.T
        if own:
            found[:, told] += rest[:, told]
        rest[:, told if own else slice(None)] = 0.0
        if not len(told):  # the level is unknown, and matters to nobody
            found -= found.mean(axis=1, keepdims=True)
        return found + self._level + self._model.guess(fit.factor), rest

    def _fitted(self) -> list[_Fit]:
        """The fits under all variances and factors of the guess."""
        model, told, fits = self._model, self._told, list[_Fit]()
        own = np.diag(1 / told.counts)
        matrices = np.stack([own + model.covariance(each, told.candidates, told.candidates) for each in model.scales])
        inverses, determinants = np.linalg.inv(matrices), np.linalg.slogdet(matrices)[1]
        for factor, weight in model.guesses:
            residual = told.means - self._level - model.guess(factor)[told.candidates]
            rates = SHAPE * NOISE**2 + (told.within + inverses @ residual @ residual) / 2
            evidence = math.log(weight) - determinants / 2 - told.shape * np.log(rates)
            fits += [
                _Fit(scales, factor, float(known), residual, inverse, float(rate) / (told.shape - 0.5))
                for scales, known, inverse, rate in zip(model.scales, evidence, inverses, rates, strict=True)
            ]
        return fits
