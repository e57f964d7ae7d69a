"""What a user asks of a training, and whether a run that has begun agrees with it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from c2fnas.errors import UserError
from c2fnas.files import sha256
from c2fnas.networks.designs import Design
from c2fnas.runs.config import RunConfig
from c2fnas.runs.folder import RunFolder
from c2fnas.training.recipe import Precision


@dataclass(frozen=True)
class Wish:
    """What is None is as the run has it, or by default.

    Attributes:
        architecture: what to train, of the search space or a compared network.
        start: a model package to fine-tune; its architecture is the default.
        folds: ``all``, ``last``, or numbers such as ``0,2``.
        budget: its plan and recipe are taken, and its time goes to these folds alone.
        recipe: instead of the budget's.
        precision: instead of what the device computes fast.
        iterations: instead of what the budget gives.
        extend: train on, to so many iterations in all.
        validate_every: iterations between validations on whole volumes.
        seed: of the run.
    """

    architecture: Design | None = None
    start: Path | None = None
    folds: str = "last"
    budget: str | None = None
    recipe: Literal["paper", "modern"] | None = None
    precision: Precision | None = None
    iterations: int | None = None
    extend: int | None = None
    validate_every: int | None = None
    seed: int | None = None

    @property
    def base(self) -> str:
        """The budget that decides the plan and whatever is not asked for."""
        return self.budget or ("paper" if self.recipe == "paper" else "hour")


def chosen_folds(text: str, count: int) -> tuple[int, ...]:
    """The folds that ``all``, ``last`` or a list of numbers stands for.

    Raises:
        UserError: it is none of these, or there is no such fold.

    >>> chosen_folds("all", 3), chosen_folds("last", 3), chosen_folds("2,0,2", 3)
    ((0, 1, 2), (2,), (0, 2))
    """
    if text in ("all", "last"):
        return tuple(range(count)) if text == "all" else (count - 1,)
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and int(part) < count for part in parts):
        raise UserError(f"--folds {text}: give all, last, or numbers from 0 to {count - 1} such as 0,2.")
    return tuple(sorted({int(part) for part in parts}))


def refuse_conflicts(config: RunConfig, wish: Wish, folder: RunFolder) -> None:
    """See that what is asked for is what the run has; what is not asked for can't conflict.

    Raises:
        UserError: a value is another one.
    """
    recipe = config.deployment.recipe
    asked = (
        ("--budget", config.budget, wish.budget),
        ("--recipe", recipe.name, wish.recipe),
        ("--precision", recipe.precision, wish.precision),
        ("--iterations", recipe.iterations, None if wish.extend else wish.iterations),
        ("--seed", config.seed, wish.seed),
        ("plan.yaml", config.plan, sha256(folder.plan)),
    )
    for name, found, wanted in asked:
        if wanted is not None and found != wanted:
            raise UserError(
                f"{folder.config}: this run has another {name} ({found}, now {wanted}). A run is fixed once it has "
                "started: give the first value again, or choose another --run folder"
                f"{', or train on with --extend' if name == '--iterations' else ''}."
            )
