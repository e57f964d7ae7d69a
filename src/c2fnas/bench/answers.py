"""Rules by which a replayed search chooses its network: the best observed, the posterior's, and an oracle's."""

from collections import Counter
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from c2fnas.bench.replays import Replay, Table
from c2fnas.search.answer import settling_training, standing
from c2fnas.search.bayesian import TopologyModel
from c2fnas.space.topology import Topology

Rule = Literal["observed", "posterior", "oracle"]
RULES: tuple[Rule, ...] = ("observed", "posterior", "oracle")
EVERY = 4
"""Between so many networks the posterior's choice is not asked for again: it takes milliseconds."""


@dataclass(frozen=True)
class Entry:
    """A search of a comparison: ``SAMPLER[+RULE][@NETWORKS]``.

    Attributes:
        sampler: see :data:`c2fnas.search.choice.SEARCHERS`.
        rule: of choice. By default a Bayesian sampler chooses by the posterior, and any other the best observed.
        networks: of the search; None: as many as the comparison says.

    >>> Entry.parse("bayesian@16")
    Entry(sampler='bayesian', rule='posterior', networks=16)
    >>> Entry.parse("random+oracle").text
    'random+oracle'
    """

    sampler: str
    rule: Rule
    networks: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Entry":
        """Read an entry.

        Raises:
            ValueError: an unknown rule, or no number of networks.
        """
        name, at, number = text.partition("@")
        sampler, _, asked = name.partition("+")
        rule = asked or ("posterior" if sampler.startswith("bayesian") else "observed")
        if at and not (number.isdigit() and int(number) > 0):
            raise ValueError(f"{text}: after @ comes a number of networks")
        for known in RULES:
            if rule == known:
                return cls(sampler, known, int(number) if at else None)
        raise ValueError(f"{text}: {rule} is no rule of choice, take {', '.join(RULES)}")

    @property
    def text(self) -> str:
        """The entry as it is read, without what is the default."""
        plain = Entry.parse(self.sampler).rule == self.rule
        return self.sampler + ("" if plain else f"+{self.rule}") + (f"@{self.networks}" if self.networks else "")

    @property
    def settles(self) -> bool:
        """True if a share of the networks settles the answer, as in a run."""
        return self.sampler.startswith("bayesian") and self.rule == "posterior"


def choose_by_oracle(replayed: Replay, table: Table) -> Replay:
    """Return the search as one that takes the truly best of the networks that it has trained."""
    optimum = max(entry.score or 0.0 for entry in table.values())
    true = [table[topology].score or 0.0 for topology in replayed.topologies]
    return replace(replayed, regret=optimum - np.maximum.accumulate(true))


def choose_by_posterior(replayed: Replay, table: Table, model: TopologyModel) -> Replay:
    """Return the search as one that takes the highest posterior mean of the networks that it has trained."""
    optimum = max(entry.score or 0.0 for entry in table.values())
    known: list[tuple[Topology, float]] = []
    regrets, regret, last = list[float](), 1.0, len(replayed.topologies) - 1
    for place, (topology, score) in enumerate(zip(replayed.topologies, replayed.told.tolist(), strict=True)):
        if np.isfinite(score):
            known.append((topology, score))
        if known and (len(known) < EVERY or place % EVERY == EVERY - 1 or place == last):
            mean = model.given(known).mean
            best = max((each for each, _ in known), key=lambda each: mean[model.places[each]])
            regret = optimum - (table[best].score or 0.0)
        regrets.append(regret)
    return replace(replayed, regret=np.array(regrets))


def settle(replayed: Replay, table: Table, model: TopologyModel, *, networks: int, noise: float, seed: int) -> Replay:
    """Return the search with the trainings that settle its answer, one after another, up to ``networks`` in all.

    Margins of nothing: what is compared is Dice, not cost.
    """
    rng, costs = np.random.default_rng((seed, 1)), dict.fromkeys(model.topologies, 1.0)
    told = zip(replayed.topologies, replayed.told.tolist(), strict=True)
    known, failed = list[tuple[Topology, float]](), set[Topology]()
    for topology, score in told:
        if np.isfinite(score):
            known.append((topology, score))
        else:
            failed.add(topology)
    while len(known) < networks:
        found = standing(model, known, costs, margin=0.0, seed=seed, failed=failed)
        again = settling_training(found, Counter(each for each, _ in known))
        if again is None:
            break
        true = table[again].score
        if true is None:
            failed.add(again)
            continue
        score = float(np.clip(true + noise * rng.standard_normal(), 0.0, 1.0))
        known.append((again, score))
        replayed = _longer(replayed, again, score, table)
    return replayed


def _longer(replayed: Replay, topology: Topology, score: float, table: Table) -> Replay:
    cost = table[topology].cost
    time, spent, successes, regret = replayed.time, replayed.cost, replayed.successes, replayed.regret
    return Replay(
        (*replayed.topologies, topology),
        np.append(time, time[-1] + cost),
        np.append(spent, spent[-1] + cost),
        np.append(successes, successes[-1] + 1),
        np.append(regret, regret[-1]),
        np.append(replayed.told, score),
    )
