"""Rules by which a replayed search chooses its network: the best observed, the posterior's, and an oracle's."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from c2fnas.bench.replays import Replay, Table, best_of
from c2fnas.search.bayesian import TopologyModel
from c2fnas.space.topology import Topology

Rule = Literal["observed", "posterior", "cheapest", "oracle"]
RULES: tuple[Rule, ...] = ("observed", "posterior", "cheapest", "oracle")
EVERY = 4
"""Between so many networks the posterior's choice is not asked for again: it takes milliseconds."""


@dataclass(frozen=True)
class Entry:
    """A search of a comparison: ``SAMPLER[+RULE][@NETWORKS]``.

    Attributes:
        sampler: see :data:`c2fnas.search.choice.SEARCHERS`.
        rule: of choice. By default a Bayesian sampler chooses by the posterior, and any other the best observed.
            ``cheapest``, of a Bayesian one, is that of a run: within the margin of the posterior's best the cheapest.
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
            ValueError: an unknown rule, one that the sampler does not have, or no number of networks.
        """
        name, at, number = text.partition("@")
        sampler, _, asked = name.partition("+")
        rule = asked or ("posterior" if sampler.startswith("bayesian") else "observed")
        if at and not (number.isdigit() and int(number) > 0):
            raise ValueError(f"{text}: after @ comes a number of networks")
        if rule == "cheapest" and not sampler.startswith("bayesian"):
            raise ValueError(f"{text}: cheapest is the rule of bayesian and bayesian-gp alone")
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
    def pools(self) -> bool:
        """True if it is the search of a run by the posterior: pilot, early end, trainings that settle the answer."""
        return self.sampler.startswith("bayesian") and self.rule in ("posterior", "cheapest")


def choose_by_oracle(replayed: Replay, table: Table) -> Replay:
    """Return the search as one that takes the truly best of the networks that it has trained."""
    true = [table[topology].score or 0.0 for topology in replayed.topologies]
    answer = replayed.topologies[int(np.argmax(true))] if true else None
    return replace(replayed, regret=best_of(table) - np.maximum.accumulate(true), answer=answer)


def choose_by_posterior(replayed: Replay, table: Table, model: TopologyModel) -> Replay:
    """Return the search as one that takes the highest posterior mean of the networks that it has trained."""
    optimum = best_of(table)
    known: list[tuple[Topology, float]] = []
    regrets, regret, last, best = list[float](), 1.0, len(replayed.topologies) - 1, None
    for place, (topology, score) in enumerate(zip(replayed.topologies, replayed.told.tolist(), strict=True)):
        if np.isfinite(score):
            known.append((topology, score))
        if known and (len(known) < EVERY or place % EVERY == EVERY - 1 or place == last):
            mean = model.given(known).mean
            best = max((each for each, _ in known), key=lambda each: mean[model.places[each]])
            regret = optimum - (table[best].score or 0.0)
        regrets.append(regret)
    return replace(replayed, regret=np.array(regrets), answer=best)
