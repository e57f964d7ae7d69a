"""Algorithm 1 with a surrogate: a Gaussian process over codes chooses within the cluster (not in the paper)."""

import warnings

import numpy as np

from c2fnas.search.algorithm1 import ClusterEvolution
from c2fnas.search.base import Choice

LEAST_SUCCESSES = 4
"""Fewer scores than this say nothing about the length scale of the process."""
NO_NOISE = 1e-10
"""In parts of the scores' variance."""


class SurrogateEvolution(ClusterEvolution):
    """Clusters are chosen as Algorithm 1 does; a surrogate chooses within the cluster.

    A Gaussian process (Matérn 5/2 on the distance of codes, and noise) is fitted to all scores. One function is drawn
    from its posterior, and the untrained topology where it is highest is proposed: Thompson sampling, which keeps
    asynchronous workers apart without waiting for one another (Kandasamy et al., 2018). The first networks of a cluster
    stay random.
    """

    def choose(self, rng: np.random.Generator) -> Choice:
        """Return Algorithm 1's topology at first, then the one where a function drawn from the posterior is highest."""
        topology, cluster, branch = super().choose(rng)
        if branch == "initial" or self.successes < LEAST_SUCCESSES:
            return topology, cluster, branch
        untrained = list(self.history.cluster_of[topology].untrained)
        drawn = self._posterior_sample(np.array([each.code for each in untrained]), rng)
        return untrained[int(np.argmax(drawn))], cluster, branch

    def _posterior_sample(self, codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

        kernel = ConstantKernel(1.0, (0.1, 10)) * Matern(3.0, (0.5, 30), nu=2.5) + WhiteKernel(0.1, (1e-4, 10))
        scores = self.history.scores
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a length scale at its bound is an answer, not a fault
            process = GaussianProcessRegressor(kernel, normalize_y=True, random_state=0)
            process.fit(np.array([topology.code for topology in scores]), np.array(list(scores.values())))
        process.kernel_.k2.noise_level = NO_NOISE  # of the function, not of trainings
        return process.sample_y(codes, random_state=int(rng.integers(2**31)))[:, 0]
