"""The contract of a searcher, to test one's own with: ``check_searcher(MySearcher)``. Needs no pytest.

Each check takes a function that makes the searcher of ``(seed, evaluations)`` among :func:`clusters`, and raises
``AssertionError`` with a sentence where the searcher breaks the contract.
"""

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from c2fnas.search.choice import call_factory, load_factory
from c2fnas.search.searcher import Asked, Proposal, Searcher, Told
from c2fnas.space.clusters import TopologyCluster, cluster_topologies
from c2fnas.space.search_space import SearchSpace
from c2fnas.space.topology import Topology

Make = Callable[[int, int], Searcher]
Score = Callable[[Topology], float | None]
Event = Asked | Told

TOPOLOGIES = SearchSpace(cells=8, downsamplings=2).topologies()
"""The 70 topologies among which the checks search."""


@cache
def clusters() -> tuple[TopologyCluster, ...]:
    """Return :data:`TOPOLOGIES` in 6 clusters."""
    return cluster_topologies(TOPOLOGIES, clusters=6)


def check_searcher(searcher: str | Callable[..., Searcher]) -> None:
    """Check all that a search relies on, so that it never repeats itself, ends, and resumes where it was.

    Args:
        searcher: a class or function as ``--sampler`` calls it, or its ``module:name``.

    Raises:
        AssertionError: it breaks the contract.
        UserError: it can't be made.

    >>> from c2fnas.search import RandomSearch
    >>> check_searcher(RandomSearch)
    """
    factory = load_factory(searcher) if isinstance(searcher, str) else searcher
    name = searcher if isinstance(searcher, str) else getattr(searcher, "__name__", repr(searcher))
    for check in CHECKS:
        check(
            lambda seed, evaluations: call_factory(factory, clusters(), seed=seed, evaluations=evaluations, name=name)
        )


def search(searcher: Searcher, score: Score, *, workers: int = 1, seed: int = 0) -> list[Event]:
    """Drive ``searcher`` to its end with workers that finish in random order, and return what happened."""
    rng, running, log = np.random.default_rng(seed), list[Topology](), list[Event]()
    while True:
        while len(running) < workers and (proposal := searcher.ask()) is not None:
            running.append(proposal.topology)
            log.append(Asked(proposal.topology))
            assert len(log) <= 2 * len(TOPOLOGIES), "ask() never returns None: the search does not end"
        if not running:
            return log
        topology = running.pop(int(rng.integers(len(running))))
        searcher.tell(topology, score(topology))
        log.append(Told(topology, score(topology)))


def scores(failing: float = 0.0) -> Score:
    """Return random scores in [0, 1]; the first ``failing`` share of the topologies always fails."""
    table = dict(zip(TOPOLOGIES, np.random.default_rng(0).uniform(0, 1, len(TOPOLOGIES)).tolist(), strict=True))
    failed = set(TOPOLOGIES[: round(failing * len(TOPOLOGIES))])
    return lambda topology: None if topology in failed else table[topology]


def asked(log: Sequence[Event]) -> list[Topology]:
    """Return the proposals of a search in their order."""
    return [event.topology for event in log if isinstance(event, Asked)]


def check_search(make: Make, workers: int = 64, seed: int = 3, evaluations: int = 16, failing: float = 0.3) -> None:
    """No topology twice, the budget never exceeded, and met if the space holds enough, for any number of workers."""
    searcher, score = make(seed, evaluations), scores(failing)
    log = search(searcher, score, workers=workers, seed=seed)
    proposed = asked(log)
    assert len(set(proposed)) == len(proposed), "a topology was proposed twice"
    assert set(proposed) <= set(TOPOLOGIES), "a topology was proposed that is not among those given"
    successes = running = 0
    for event in log:
        running += 1 if isinstance(event, Asked) else -1
        successes += isinstance(event, Told) and event.score is not None
        assert successes + running <= evaluations, "more candidates were started than the budget has left"
    possible = sum(score(topology) is not None for topology in TOPOLOGIES)
    assert successes == min(evaluations, possible), "the search ended before its budget was met"
    assert searcher.successes == successes, "`successes` is not the number of scores told"
    assert searcher.ask() is None, "ask() proposes more after the end"


def check_repetition(make: Make) -> None:
    """The same seed and the same order of results give the same proposals."""
    first, again = (search(make(7, 16), scores(0.3), workers=3, seed=5) for _ in range(2))
    assert first == again, "the same seed and results gave other proposals"


def check_replay(make: Make, evaluations: int = 16) -> None:
    """A new searcher that replays the events up to any moment proposes what the old one did, and ends as it did."""
    log = search(make(2, evaluations), scores(0.3), workers=4, seed=9)
    for cut in range(0, len(log), 3):
        searcher = make(2, evaluations)
        searcher.replay(log[:cut])
        following = next((place for place in range(cut, len(log)) if isinstance(log[place], Asked)), len(log))
        for event in log[cut:following]:
            assert isinstance(event, Told)
            searcher.tell(event.topology, event.score)
        proposal = searcher.ask()
        expected = log[following].topology if following < len(log) else None
        assert (proposal.topology if proposal else None) == expected, "after a replay the next proposal is another one"
        assert proposal is None or proposal.index == len(asked(log[:following])), "a replay forgets the index"
    one_by_one, searcher = search(make(2, evaluations), scores(0.3)), make(2, evaluations)
    searcher.replay(one_by_one[:evaluations])
    rest = search(searcher, scores(0.3))
    assert one_by_one[:evaluations] + rest == one_by_one, "a replayed search ends differently"


def check_proposals(make: Make) -> None:
    """Proposals are counted from 0; a failure is replaced by another topology."""
    searcher = make(0, 2)
    first, second = _ask(searcher), _ask(searcher)
    assert [first.index, second.index] == [0, 1], "`Proposal.index` does not count from 0"
    assert searcher.ask() is None, "the budget is under way, and ask() proposes more"
    searcher.tell(first.topology, None)
    assert _ask(searcher).topology not in (first.topology, second.topology), "a failed candidate is proposed again"
    assert searcher.best is None, "`best` is not None before any score"


def check_best(make: Make) -> None:
    """The best is the first of the highest scores; failures do not count."""
    searcher = make(0, 5)
    proposals = [_ask(searcher) for _ in range(5)]
    for proposal, score in zip(proposals, [0.2, 0.7, None, 0.7, 0.0], strict=True):
        searcher.tell(proposal.topology, score)
    assert searcher.best == (proposals[1].topology, 0.7), "`best` is not the first of the highest scores"
    assert searcher.successes == 4, "`successes` is not the number of scores told"


def check_refusals(make: Make) -> None:
    """``tell`` refuses with ValueError what can't be, and forgets nothing by it."""
    searcher = make(0, 5)
    _refuses("tell() takes a topology that is not under way", searcher.tell, TOPOLOGIES[0], 0.5)
    topology = _ask(searcher).topology
    for score in (float("nan"), float("inf"), -float("inf"), -1e-9, 1 + 1e-9):
        _refuses(f"tell() takes the score {score}", searcher.tell, topology, score)
    assert searcher.best is None, "a refused score counts"
    searcher.tell(topology, 0.5)
    _refuses("tell() takes a second score of a topology", searcher.tell, topology, 0.6)
    assert searcher.best == (topology, 0.5), "a refused score counts"


def check_refused_events(make: Make) -> None:
    """``replay`` refuses with ValueError events that can't have happened."""
    one, score = TOPOLOGIES[0], Told(TOPOLOGIES[0], 0.5)
    impossible: dict[str, list[Event]] = {
        "a proposal twice": [Asked(one), Asked(one)],
        "a proposal after its score": [Asked(one), score, Asked(one)],
        "a score without a proposal": [score],
        "a score above 1": [Asked(one), Told(one, 1.5)],
        "a topology of another space": [Asked(Topology((0, 1, 0)))],
    }
    for fault, events in impossible.items():
        _refuses(f"replay() takes {fault}", make(0, 5).replay, events)


CHECKS = (
    check_search,
    check_repetition,
    check_replay,
    check_proposals,
    check_best,
    check_refusals,
    check_refused_events,
)
"""All checks, such as for ``pytest.mark.parametrize``."""


def _ask(searcher: Searcher) -> Proposal:
    proposal = searcher.ask()
    assert isinstance(proposal, Proposal), f"ask() returned {proposal!r}, not a Proposal, though the budget is not met"
    return proposal


def _refuses(fault: str, call: Callable[..., object], *arguments: object) -> None:
    try:
        call(*arguments)
    except ValueError:
        return
    raise AssertionError(f"{fault}, and should raise ValueError")
