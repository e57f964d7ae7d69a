"""Algorithm 1 with a surrogate: a Gaussian process over codes chooses within the cluster (not in the paper)."""

import warnings
from typing import TYPE_CHECKING

import numpy as np

from c2fnas.search.algorithm1 import ClusterEvolution
from c2fnas.search.asynchronous import Choice
from c2fnas.space.topology import Topology

if TYPE_CHECKING:
    from sklearn.gaussian_process import GaussianProcessRegressor

LEAST_SUCCESSES = 4
"""Fewer scores than this say nothing about the length scale of the process."""


class SurrogateEvolution(ClusterEvolution):
    """Clusters are chosen as Algorithm 1 does; within the chosen one the topology is no longer a random one.

    A Gaussian process (Matérn 5/2 on the distance of codes, and noise) is fitted to all scores; one function is drawn
    from its posterior, and the untrained topology where that is highest is proposed: Thompson sampling, which keeps
    asynchronous workers apart without waiting for one another (Kandasamy et al., 2018). The first networks of a cluster
    stay random.
    """

    def _choose(self, rng: np.random.Generator) -> Choice:
        topology, cluster, branch = super()._choose(rng)
        if branch == "initial" or self.successes < LEAST_SUCCESSES:
            return topology, cluster, branch
        return self._promising(self._cluster_of[topology].untrained, rng), cluster, branch

    def _promising(self, untrained: dict[Topology, None], rng: np.random.Generator) -> Topology:
        """Where a function drawn from the posterior is highest."""
        codes = np.array([topology.code for topology in untrained])
        drawn = self._fitted().sample_y(codes, random_state=int(rng.integers(2**31)))[:, 0]
        return list(untrained)[int(np.argmax(drawn))]

    def _fitted(self) -> "GaussianProcessRegressor":
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

        kernel = ConstantKernel(1.0, (0.1, 10)) * Matern(3.0, (0.5, 30), nu=2.5) + WhiteKernel(0.1, (1e-4, 10))
        scores = self._history.scores
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a length scale at its bound is an answer, not a fault
            process = GaussianProcessRegressor(kernel, normalize_y=True, random_state=0)
            return process.fit(np.array([topology.code for topology in scores]), np.array(list(scores.values())))
