from collections import Counter

import pytest
from scipy.stats import binomtest, chisquare

from c2fnas.search.algorithm1 import FIRST_ATTEMPTS, ClusterEvolution
from c2fnas.search.searcher import Asked, Proposal, Told
from c2fnas.space.clusters import TopologyCluster, cluster_topologies
from c2fnas.space.search_space import SearchSpace
from c2fnas.space.topology import Topology

CLUSTERS = cluster_topologies(SearchSpace().topologies())
CLUSTER_OF = {topology: cluster.index for cluster in CLUSTERS for topology in cluster.topologies}
FALSE_ALARM = 1e-6
"""Rate at which a statistical test here would fail, with other seeds and the code right."""


def ask(searcher: ClusterEvolution) -> Proposal:
    proposal = searcher.ask()
    assert proposal is not None
    return proposal


def full_search(seed: int, **options: float) -> list[Proposal]:
    """A search whose scores depend on the topology only."""
    searcher, proposals = ClusterEvolution(CLUSTERS, seed=seed, **options), []  # type: ignore[arg-type]
    while (proposal := searcher.ask()) is not None:
        proposals.append(proposal)
        searcher.tell(proposal.topology, sum(proposal.topology.code) / 36)
    return proposals


def split(topologies: tuple[Topology, ...], *sizes: int) -> list[TopologyCluster]:
    """Clusters of the first topologies, with the sizes given."""
    starts = [sum(sizes[:place]) for place in range(len(sizes))]
    return [
        TopologyCluster(index, topologies[start : start + size])
        for index, (start, size) in enumerate(zip(starts, sizes, strict=True))
    ]


@pytest.mark.parametrize("seed", range(20))
def test_starts_with_two_of_every_cluster(seed: int):
    first = full_search(seed)[:16]
    assert Counter(CLUSTER_OF[proposal.topology] for proposal in first) == dict.fromkeys(range(8), 2)
    assert {proposal.branch for proposal in first} == {"initial"}


def test_fifty_networks_the_first_included():
    proposals = full_search(0)
    assert len(proposals) == 50
    assert [proposal.branch for proposal in proposals].count("initial") == 16
    assert all(proposal.cluster == CLUSTER_OF[proposal.topology] for proposal in proposals)


def test_first_networks_come_from_all_over_their_cluster():
    """Chi-squared on which topology of cluster 0 is proposed first, over 2,000 seeds."""
    place = {topology: index for index, topology in enumerate(CLUSTERS[0].topologies)}
    first = Counter(place[ask(ClusterEvolution(CLUSTERS, seed=seed)).topology] for seed in range(2000))
    assert chisquare([first[index] for index in range(len(place))]).pvalue > FALSE_ALARM


def test_a_failed_first_network_is_replaced_in_its_cluster():
    searcher = ClusterEvolution(CLUSTERS, seed=0)
    first = [ask(searcher) for _ in range(16)]
    for proposal in first[1:]:
        searcher.tell(proposal.topology, 0.9)
    searcher.tell(first[0].topology, None)
    replacement = ask(searcher)
    assert (replacement.cluster, replacement.branch) == (first[0].cluster, "initial")


def test_a_cluster_that_always_fails_does_not_hold_up_the_search():
    searcher = ClusterEvolution(CLUSTERS, seed=0)
    branches = Counter[str]()
    while (proposal := searcher.ask()) is not None:
        branches[proposal.branch] += proposal.cluster == 3
        searcher.tell(proposal.topology, None if proposal.cluster == 3 else 0.5)
    assert searcher.successes == 50
    assert branches["initial"] == 2 * FIRST_ATTEMPTS
    assert branches["best"] == 0


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("best", range(8))
def test_proposes_from_the_cluster_of_the_best(seed: int, best: int):
    """With one network per cluster there is nothing to draw: the best one's cluster is certain."""
    searcher = ClusterEvolution(CLUSTERS, seed=seed, per_cluster=1, random_share=0)
    for proposal in [ask(searcher) for _ in range(8)]:
        searcher.tell(proposal.topology, 0.9 if proposal.cluster == best else 0.5)
    proposal = ask(searcher)
    assert (proposal.cluster, proposal.branch) == (best, "best")


def test_one_network_is_drawn_from_every_cluster():
    """Clusters with scores {0.9, 0.1} and {0.5}: the first wins where 0.9 is drawn, in half of all proposals."""
    clusters = split(SearchSpace().topologies(), 20, 20)
    told = [
        Told(clusters[0].topologies[0], 0.9),
        Told(clusters[0].topologies[1], 0.1),
        Told(clusters[1].topologies[0], 0.5),
    ]
    first = 0
    for seed in range(2000):
        searcher = ClusterEvolution(clusters, seed=seed, per_cluster=1, random_share=0)
        searcher.replay([Asked(event.topology) for event in told])
        searcher.replay(told)
        first += ask(searcher).cluster == 0
    assert binomtest(first, 2000, 0.5).pvalue > FALSE_ALARM


def test_share_of_the_random_branch_in_the_long_run():
    """Of 150 searches' 34 proposals after the first ones, a binomial share of 0.2 is random; 0.25 would fail."""
    later = [proposal for seed in range(150) for proposal in full_search(seed)[16:]]
    random = [proposal for proposal in later if proposal.branch == "random"]
    assert len(later) == 150 * 34
    assert binomtest(len(random), len(later), 0.2).pvalue > FALSE_ALARM
    assert binomtest(len(random), len(later), 0.25).pvalue < FALSE_ALARM
    counts = Counter(proposal.cluster for proposal in random)
    assert chisquare([counts[index] for index in range(8)]).pvalue > FALSE_ALARM


@pytest.mark.parametrize(("share", "branch"), [(0.0, "best"), (1.0, "random")])
def test_extreme_shares(share: float, branch: str):
    assert {proposal.branch for proposal in full_search(1, random_share=share)[16:]} == {branch}


def test_equal_scores_are_told_apart_by_chance():
    """All networks score 0, as poorly trained ones do: every cluster gets its turn by the best branch."""
    searcher, clusters = ClusterEvolution(CLUSTERS, seed=0, evaluations=200, random_share=0), Counter[int | None]()
    while (proposal := searcher.ask()) is not None:
        clusters[proposal.cluster] += proposal.branch == "best"
        searcher.tell(proposal.topology, 0.0)
    assert chisquare([clusters[index] for index in range(8)]).pvalue > FALSE_ALARM


def test_an_exhausted_cluster_is_passed_over():
    clusters = split(SearchSpace().topologies(), 1, 3, 6)
    searcher, order = ClusterEvolution(clusters, seed=0, evaluations=10, random_share=0.5), []
    while (proposal := searcher.ask()) is not None:
        order.append(proposal.cluster)
        searcher.tell(proposal.topology, [0.9, 0.6, 0.3][proposal.cluster or 0])
    assert Counter(order) == {0: 1, 1: 3, 2: 6}


def test_no_success_yet_is_ordinary():
    """Workers ask on while all first networks are under way: random clusters are proposed until one has a score."""
    searcher = ClusterEvolution(CLUSTERS, seed=0, random_share=0)
    proposals = [ask(searcher) for _ in range(50)]
    assert {proposal.branch for proposal in proposals[16:]} == {"random"}
    assert searcher.ask() is None


@pytest.mark.parametrize("options", [{"random_share": -0.1}, {"random_share": 1.1}, {"per_cluster": -1}])
def test_impossible_settings_are_refused(options: dict):
    with pytest.raises(ValueError, match="random_share is within"):
        ClusterEvolution(CLUSTERS, seed=0, **options)
