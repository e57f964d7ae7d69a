import numpy as np
import pytest

from c2fnas.search.algorithm1 import ClusterEvolution
from c2fnas.search.choice import make_searcher
from c2fnas.search.clusters import TopologyCluster, cluster_topologies
from c2fnas.search.searcher import Asked, Told
from c2fnas.search.surrogate_evolution import SurrogateEvolution
from c2fnas.space.search_space import SearchSpace
from c2fnas.space.topology import Topology

TOPOLOGIES = SearchSpace().topologies()
CLUSTERS = cluster_topologies(TOPOLOGIES)


def told(topologies: tuple[Topology, ...], count: int) -> list[Asked | Told]:
    """Every so many topologies with a score that grows with the depth of the code."""
    chosen = topologies[:: len(topologies) // count][:count]
    return [event for each in chosen for event in (Asked(each), Told(each, sum(each.code) / 36))]


@pytest.mark.parametrize("seed", range(5))
def test_cluster_and_branch_are_those_of_algorithm_1(seed: int):
    plain, surrogate = ClusterEvolution(CLUSTERS, seed=seed), SurrogateEvolution(CLUSTERS, seed=seed)
    for searcher in (plain, surrogate):
        searcher.replay(told(TOPOLOGIES, 30))
    left, right = plain.ask(), surrogate.ask()
    assert left is not None
    assert right is not None
    assert (left.cluster, left.branch) == (right.cluster, right.branch)


def test_first_networks_are_algorithm_1s():
    plain, surrogate = ClusterEvolution(CLUSTERS, seed=0), SurrogateEvolution(CLUSTERS, seed=0)
    assert [plain.ask() for _ in range(16)] == [surrogate.ask() for _ in range(16)]


def test_proposes_what_the_scores_promise():
    """One cluster, scores a smooth function of the code: the untrained ones proposed are better than average by far."""
    topologies, scores = SearchSpace(cells=8, downsamplings=2).topologies(), []
    for seed in range(8):
        searcher = SurrogateEvolution([TopologyCluster(0, topologies)], seed=seed)
        searcher.replay(told(topologies, 20))
        proposal = searcher.ask()
        assert proposal is not None
        scores.append(sum(proposal.topology.code))
    assert np.mean(scores) > np.quantile([sum(topology.code) for topology in topologies], 0.9)


def test_one_function_is_drawn_without_the_noise_of_trainings():
    """It has one value at one code: noise would let luck decide which topology is highest."""
    rng, topologies = np.random.default_rng(0), SearchSpace(cells=8, downsamplings=2).topologies()
    searcher = SurrogateEvolution([TopologyCluster(0, topologies)], seed=0)
    events = [(topology, 0.8 + 0.05 * rng.standard_normal()) for topology in topologies[::4]]
    searcher.replay([event for each, score in events for event in (Asked(each), Told(each, score))])
    same = np.array([topologies[1].code] * 3 + [topologies[2].code])
    drawn = searcher._posterior_sample(same, rng)
    assert drawn[:3] == pytest.approx([drawn[0]] * 3, abs=1e-4)


def test_equal_scores_are_no_trouble():
    searcher = SurrogateEvolution(CLUSTERS, seed=0, evaluations=30)
    while (proposal := searcher.ask()) is not None:
        searcher.tell(proposal.topology, 0.5)
    assert searcher.successes == 30


def test_unknown_sampler_lists_the_known_ones():
    with pytest.raises(ValueError, match="choose among algorithm1, bayesian, bayesian-gp"):
        make_searcher("annealing", CLUSTERS, seed=0)
