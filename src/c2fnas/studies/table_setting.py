"""The small setting in which a table of topologies is trained: the same for all of them, short, and written down."""

from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt

from c2fnas.training.recipe import WARMUP_SHARE, Precision, Recipe


class TableSetting(BaseModel):
    """How every topology of a table is trained and scored.

    A hundred iterations have to tell topologies apart, so it takes AdamW: with SGD two seeds of a topology differ more
    than two topologies (docs/decisions/0023). Augmentation only slows so short a training, and is left out.

    Attributes:
        width: of every network.
        iterations: of the whole schedule.
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
    learning_rate: PositiveFloat = 0.004
    foreground_rate: float = 1 / 3

    def recipe(self, precision: Precision) -> Recipe:
        """The training recipe: the table's own, that its rows stay comparable whatever becomes of the modern one."""
        return Recipe(
            name="table",
            optimiser="adamw",
            iterations=self.iterations,
            volumes=self.volumes,
            patches_per_volume=1,
            learning_rate=self.learning_rate,
            warmup_from=self.learning_rate / 10,
            warmup_iterations=max(1, self.iterations // WARMUP_SHARE),
            schedule="polynomial",
            momentum=0.9,
            nesterov=False,
            weight_decay=0.01,
            gradient_clip=12.0,
            precision=precision,
            augmentation="none",
            foreground_rate=self.foreground_rate,
        )
