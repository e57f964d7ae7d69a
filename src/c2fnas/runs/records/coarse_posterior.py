"""The end of a coarse stage as its posterior sees it, kept in ``coarse/posterior.json``."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from c2fnas.files import read_json, refusing_damage, write_json


@dataclass(frozen=True)
class TrainedTopology:
    """A trained topology as the posterior sees it: its Dice by training, what is expected of it, and how surely."""

    code: tuple[int, ...]
    macs: int
    scores: tuple[float, ...]
    mean: float
    deviation: float


@dataclass(frozen=True)
class CoarsePosterior:
    """The knowledge of a coarse stage that chooses by the posterior, where it takes its answer.

    Attributes:
        margin: a difference in Dice that does not matter.
        answer: the code of the topology that was taken.
        left: probability that a topology is better by more than the margin than the one that the model wants.
        doubt: the same of the one that was taken.
        gain: Dice by which the best topology is expected to be better.
        spread: standard deviation between topologies: expected, and the ends of its 95 % interval.
        seed_noise: standard deviation between trainings of a topology, likewise.
        unused: trainings that the stage has not needed.
        saved: seconds that the stage has left to the final network.
        topologies: those trained, the best expected first.
    """

    margin: float
    answer: tuple[int, ...]
    left: float
    doubt: float
    gain: float
    spread: tuple[float, float, float]
    seed_noise: tuple[float, float, float]
    unused: int
    saved: float
    topologies: tuple[TrainedTopology, ...]

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read ``coarse/posterior.json``."""
        with refusing_damage(path, "the posterior of a coarse stage", "Restore it from a copy."):
            return cls._of(read_json(path))

    @classmethod
    def _of(cls, known: Mapping[str, Any]) -> Self:
        topologies = [
            TrainedTopology(**{**each, "code": tuple(each["code"]), "scores": tuple(each["scores"])})
            for each in known["topologies"]
        ]
        return cls(
            answer=tuple(known["answer"]),
            topologies=tuple(sorted(topologies, key=lambda each: -each.mean)),
            spread=tuple(known["spread"]),
            seed_noise=tuple(known["seed_noise"]),
            **{name: known[name] for name in ("margin", "left", "doubt", "gain", "unused", "saved")},
        )

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        write_json(path, asdict(self))

    @property
    def trainings(self) -> int:
        """Trainings that have a Dice."""
        return sum(len(each.scores) for each in self.topologies)

    @property
    def taken(self) -> TrainedTopology:
        """The topology that was taken."""
        return next(each for each in self.topologies if each.code == self.answer)
