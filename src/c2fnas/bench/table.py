"""A table of topologies and its queries, in the manner of NAS-Bench."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from c2fnas.bench.replays import Measurement
from c2fnas.bench.rows import Row, columns, read_table
from c2fnas.errors import UserError
from c2fnas.files import read_json
from c2fnas.search.bayesian import TopologyModel
from c2fnas.search.clusters import TopologyCluster
from c2fnas.space.search_space import SearchSpace
from c2fnas.space.topology import Topology

TABLES = ("hippocampus", "heart")
"""The tables that come with c2fnas."""


@dataclass(frozen=True)
class Result:
    """The answer to a query: the trainings of one topology, with any seed or with a given one.

    Attributes:
        seeds: of the trainings.
        dice: mean whole-volume Dice in [0, 1] over the trainings that did not fail; None where all did.
        spread: standard deviation of Dice between seeds; None with fewer than two.
        rungs: mean Dice after so many iterations, where every training was scored.
        per_class: mean Dice by class.
        seconds: mean processor time of a training, of those that ended where one did.
        parameters: of the network.
        macs: multiply-accumulates of a patch.
    """

    topology: Topology
    cluster: int
    seeds: tuple[int, ...]
    dice: float | None
    spread: float | None
    rungs: dict[int, float]
    per_class: dict[str, float]
    seconds: float
    parameters: int
    macs: int


class UnknownTopology(UserError, KeyError):
    """The table has no training of the topology, or none with the seed."""

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True, eq=False)
class TopologyTable(Mapping[Topology, Result]):
    """Trained topologies, as a mapping from topology to result, in the manner of NAS-Bench.

    Attributes:
        rows: the trainings.
        setting: all that they have in common (data set, patch size, recipe, ...), from the JSON file beside the table.
        path: the CSV file.

    >>> table = TopologyTable.shipped()
    >>> len(table), len(table.rows)
    (192, 480)
    >>> best = max(table.values(), key=lambda result: result.dice or 0)
    >>> best.topology.code, round(best.dice, 4), best.seeds
    ((1, 1, 2, 2, 2, 3, 2, 1, 1, 1, 0, 0), 0.8298, (0, 1))
    """

    rows: tuple[Row, ...]
    setting: Mapping[str, Any]
    path: Path

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a table of ``c2fnas tabulate``.

        Raises:
            UserError: it cannot be read, or has a fault; the message names the line.
        """
        path = Path(path)
        beside = path.with_suffix(".json")
        return cls(read_table(path), read_json(beside) if beside.exists() else {}, path)

    @classmethod
    def shipped(cls, name: str = "hippocampus") -> Self:
        """Read a table that comes with c2fnas.

        Args:
            name: ``hippocampus`` of the Decathlon, 192 topologies and 480 trainings of 100 iterations; or ``heart``,
                the short axis of the M&Ms challenge, 48 topologies and 96 trainings of 300 iterations.

        Raises:
            ValueError: none has that name.
        """
        if name not in TABLES:
            raise ValueError(f"there is no table {name}, only {' and '.join(TABLES)}")
        return cls.load(Path(__file__).with_name(f"{name}.csv"))

    def query(self, topology: Topology | Sequence[int], seed: int | None = None) -> Result:
        """Return the result of a topology or its code, over all its trainings or of the one with ``seed``.

        Raises:
            UnknownTopology: a KeyError; it names the nearest topologies of the table, or the topology's seeds.
            ValueError: the code is no topology's.
        """
        topology = topology if isinstance(topology, Topology) else Topology(tuple(topology))
        rows = self._grouped.get(topology)
        if rows is None:
            nearest = ", ".join(_code(each) for each in self.nearest(topology))
            raise UnknownTopology(f"{self.path}: has no topology {_code(topology)}. The nearest are {nearest}.")
        chosen = [row for row in rows if seed in (None, row.seed)]
        if not chosen:
            seeds = ", ".join(str(row.seed) for row in rows)
            raise UnknownTopology(
                f"{self.path}: has no training of {_code(topology)} with seed {seed}; it has {seeds}."
            )
        return _result(chosen)

    def nearest(self, topology: Topology, count: int = 3) -> tuple[Topology, ...]:
        """Return the table's topologies whose codes are nearest to that of ``topology``, the nearest first."""
        alike = (each for each in self if each.cells == topology.cells)
        return tuple(sorted(alike, key=lambda each: (topology.distance(each), each))[:count])

    def to_rows(self) -> list[dict[str, Any]]:
        """Return a dictionary for each training, such as ``pandas.DataFrame`` takes; the keys are the CSV's columns."""
        return [columns(row) for row in self.rows]

    @cached_property
    def space(self) -> tuple[Topology, ...]:
        """All topologies of the space that the table is of, trained or not."""
        one = next(iter(self))
        return SearchSpace(cells=one.cells, downsamplings=one.downsamplings).topologies()

    def predicted(self, topologies: Sequence[Topology]) -> dict[Topology, float]:
        """Return the Dice that a Bayesian linear model of all trainings expects of ``topologies``, in the table or not.

        Args:
            topologies: the space over which codes are standardised; it holds the table's.
        """
        model = TopologyModel(topologies)
        known = [(row.topology, row.dice) for row in self.rows if row.dice is not None and row.topology in model.places]
        return dict(zip(topologies, model.given(known).mean.tolist(), strict=True))

    @property
    def iterations(self) -> int:
        """Iterations of a training.

        Raises:
            UserError: the file beside the table, which says so, is missing or has a fault.
        """
        beside = self.path.with_suffix(".json")
        if not self.setting:
            raise UserError(
                f"{beside}: is missing; it says in what setting the table was made. Copy it along with the table."
            )
        try:
            return int(self.setting["setting"]["iterations"])
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{beside}: does not say how many iterations a training had ({error!r}). Copy it again along with the "
                "table."
            ) from error

    def knows(self, signatures: Iterable[str]) -> bool:
        """Return true if it was made on such cases: at least two of its own are among these, or on all of these.

        Args:
            signatures: of cases, see :attr:`c2fnas.data.fingerprint.Fingerprint.signatures`; files may have been
                renamed, converted or left out since.
        """
        asked, own = set(signatures), set(self.setting.get("cases", ()))
        return bool(asked) and len(asked & own) >= min(2, len(asked))

    @property
    def scores(self) -> dict[Topology, float]:
        """Mean Dice of every topology that has one."""
        return {topology: result.dice for topology, result in self.items() if result.dice is not None}

    @property
    def clusters(self) -> tuple[TopologyCluster, ...]:
        """The table's topologies, each in its cluster of the whole space."""
        members: dict[int, list[Topology]] = {}
        for topology, (row, *_) in self._grouped.items():
            members.setdefault(row.cluster, []).append(topology)
        return tuple(TopologyCluster(index, tuple(sorted(members[index]))) for index in sorted(members))

    def measurements(self) -> dict[Topology, Measurement]:
        """Return the table as a replayed search takes it: cost is processor time, rungs are at shares of it."""
        iterations, found = self.iterations, {}
        for topology, result in self.items():
            rungs = tuple((place / iterations, dice) for place, dice in result.rungs.items())
            found[topology] = Measurement(result.dice, result.seconds, rungs)
        return found

    def __getitem__(self, topology: Topology) -> Result:
        return self.query(topology)

    def __iter__(self) -> Iterator[Topology]:
        return iter(self._grouped)

    def __len__(self) -> int:
        return len(self._grouped)

    @cached_property
    def _grouped(self) -> dict[Topology, list[Row]]:
        grouped: dict[Topology, list[Row]] = {}
        for row in self.rows:
            grouped.setdefault(row.topology, []).append(row)
        return grouped


def _result(rows: Sequence[Row]) -> Result:
    first, scored = rows[0], [row for row in rows if row.dice is not None]
    dice = [row.dice for row in scored if row.dice is not None]
    return Result(
        first.topology,
        first.cluster,
        tuple(row.seed for row in rows),
        dice=float(np.mean(dice)) if dice else None,
        spread=float(np.std(dice, ddof=1)) if len(dice) > 1 else None,
        rungs=dict(sorted(_means([row.rungs for row in scored]).items())),
        per_class=_means([row.per_class for row in scored]),
        seconds=float(np.mean([row.seconds for row in scored or rows])),
        parameters=first.parameters,
        macs=first.macs,
    )


def _means(values: Sequence[Mapping[Any, float]]) -> dict[Any, float]:
    """The mean for every key that all have."""
    shared = [key for key in values[0] if all(key in each for each in values)] if values else []
    return {key: float(np.mean([each[key] for each in values])) for key in shared}


def _code(topology: Topology) -> str:
    return f"({', '.join(map(str, topology.code))})"
