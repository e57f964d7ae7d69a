"""A user's own searcher, by ``module:name``: found in the working directory, called by name, checked."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from c2fnas.errors import UserError
from c2fnas.search import Proposal, RandomSearch, make_searcher
from c2fnas.search.choice import check_sampler_name, load_factory
from c2fnas.search.testing import TOPOLOGIES, clusters, scores, search

OWN = """
from c2fnas.search import AsynchronousSearcher, Proposal, RandomSearch
from c2fnas.space.topology import Topology

class Deepest(AsynchronousSearcher):
    def choose(self, rng):
        return max(self.history.untrained, key=lambda topology: (sum(topology.code), topology)), None, "best"

class Stubborn(AsynchronousSearcher):
    first = None
    def choose(self, rng):
        self.first = self.first or next(iter(self.history.untrained))
        return self.first, None, "best"

class Greedy(RandomSearch):
    def __init__(self, topologies, seed, evaluations, temperature):
        super().__init__(topologies, seed=seed, evaluations=evaluations)

def of_clusters(clusters, *, evaluations, seed, temperature=1.0):
    assert [cluster.index for cluster in clusters] == [0, 1, 2, 3, 4, 5]
    return RandomSearch(clusters[2].topologies, seed=seed, evaluations=evaluations)

class Stub:
    successes, best = 0, None
    def ask(self): return self.proposal
    def tell(self, topology, score): pass
    def replay(self, events): pass

class Topologies(Stub):
    def __init__(self, topologies): self.proposal = topologies[0]

class Twice(Stub):
    def __init__(self, topologies): self.proposal = Proposal(topologies[0], 0)

class Elsewhere(Stub):
    proposal = Proposal(Topology((0, 1, 0)), 0)

class Mute:
    successes, best = 0, None
    def ask(self): pass
    def replay(self, events): pass

NUMBER = 5
"""


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The module ``own``, and others that can't be imported, in the working directory alone."""
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "faulty.py").write_text("import nothing_of_this_name")
    (tmp_path / "broken.py").write_text("1 / 0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    for module in ("own", "faulty", "broken"):
        sys.modules.pop(module, None)


def made(name: str, evaluations: int = 5) -> Any:
    return make_searcher(name, clusters(), seed=0, evaluations=evaluations)


def test_a_class_of_ones_own_searches() -> None:
    log = search(made("own:Deepest"), scores())
    proposed = [event.topology for event in log[::2]]
    assert proposed == sorted(TOPOLOGIES, key=lambda topology: (sum(topology.code), topology))[:-6:-1]


def test_a_function_is_called_with_what_it_names() -> None:
    found = {event.topology for event in search(made("own:of_clusters"), scores())}
    assert found <= set(clusters()[2].topologies)


def test_a_module_that_is_installed_is_found_too() -> None:
    own, ours = made("c2fnas.search:RandomSearch"), made("random")
    assert search(own, scores()) == search(ours, scores())
    assert (own.best, own.successes) == (ours.best, 5)


def test_proposals_are_numbered_and_replayed_like_ours() -> None:
    searcher, again = made("own:Deepest"), made("own:Deepest")
    log = search(searcher, scores())
    again.replay(iter(log[:6]))
    assert again.ask() == Proposal(log[6].topology, 3, None, "best")
    with pytest.raises(ValueError, match="not under way"):
        again.tell(log[0].topology, 0.5)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("none_such:X", r"module 'none_such' can't be imported .*No module.* Run the command in the folder that holds"),
        ("faulty:X", r"module 'faulty' can't be imported \(ModuleNotFoundError: .*nothing_of_this_name"),
        ("broken:X", r"module 'broken' can't be imported \(ZeroDivisionError"),
        (":X", r"module '' can't be imported"),
        ("own:Depest", r"own\.py has no class or function 'Depest'\. Define it there, or correct the name"),
        ("own:NUMBER", r"no class or function 'NUMBER'"),
        ("own:", r"no class or function ''"),
        ("own:Greedy", r"but missing a required argument: 'temperature'\. Give other parameters a default"),
        ("own:Mute", r"what it gives \(Mute\) is without tell\. Derive the class from c2fnas\.search"),
    ],
)
def test_what_is_no_searcher_is_refused_in_a_sentence(name: str, sentence: str) -> None:
    with pytest.raises(UserError, match=rf"^--sampler {name}: .*{sentence}"):
        made(name)


@pytest.mark.parametrize(
    ("name", "asked", "sentence"),
    [
        ("own:Topologies", 1, r"Topology\(.*\) is no Proposal\. Return a c2fnas\.search\.Proposal of a topology"),
        ("own:Twice", 2, r"was proposed before\. Return .* that was given and not yet proposed"),
        ("own:Stubborn", 2, r"was proposed before\. Return .* that was given and not yet proposed"),
        ("own:Elsewhere", 1, r"\(0, 1, 0\) is not in the space that is searched\. Return"),
    ],
)
def test_a_proposal_that_breaks_the_contract_is_told_in_a_sentence(name: str, asked: int, sentence: str) -> None:
    searcher = made(name)
    for _ in range(asked - 1):
        searcher.ask()
    with pytest.raises(UserError, match=rf"^--sampler {name}: .*{sentence}"):
        searcher.ask()


def test_names_are_checked_without_an_import() -> None:
    for name in ("algorithm1", "gp", "none_such:X"):
        check_sampler_name(name)
    with pytest.raises(ValueError, match=r"hill is no sampler, choose among algorithm1, .*, or give your own"):
        check_sampler_name("hill")
    with pytest.raises(ValueError, match="hill is no sampler"):
        made("hill")


def test_ours_need_no_working_directory() -> None:
    before = [*sys.path]
    assert isinstance(made("random"), RandomSearch)
    assert sys.path == before


def test_a_module_without_a_file_is_named() -> None:
    with pytest.raises(UserError, match="sys has no class or function 'Mine'"):
        load_factory("sys:Mine")
