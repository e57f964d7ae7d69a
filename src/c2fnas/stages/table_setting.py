"""The small setting in which a table of topologies is trained: the same for all of them, short, and written down."""

from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt

from c2fnas.training.recipe import Precision, Recipe, modern_recipe


class TableSetting(BaseModel):
    """How every topology of a table is trained and scored.

    A few dozen iterations have to tell topologies apart. Tried on Hippocampus (two topologies, 100 iterations): the
    modern recipe's learning rate of 0.01 leaves Dice at 0 to 0.2, 0.03 at 0.37 and 0.78, 0.1 at 0.73 and 0.78.
    Augmentation only slows so short a training, and is left out.

    Attributes:
        width: of every network.
        iterations: of the modern recipe's schedule.
        rungs: iterations before the end at which Dice is measured too, for what early stopping would have seen.
        cases: validation cases, spread evenly over the search's validation fold.
        volumes: patches in an iteration, each from another volume.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: PositiveFloat = 0.25
    iterations: PositiveInt = 100
    rungs: tuple[PositiveInt, ...] = (33, 66)
    cases: PositiveInt = 20
    volumes: PositiveInt = 2
    learning_rate: PositiveFloat = 0.1
    foreground_rate: float = 1 / 3

    def recipe(self, precision: Precision) -> Recipe:
        """The training recipe."""
        return modern_recipe(self.iterations).model_copy(update={
            "name": "table", "volumes": self.volumes, "learning_rate": self.learning_rate, "augmentation": "none",
            "foreground_rate": self.foreground_rate, "precision": precision,
        })  # fmt: skip
