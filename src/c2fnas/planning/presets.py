"""Budgets: what a user picks with ``--budget``: a YAML file in ``c2fnas/presets`` by its name, or one of their own."""

from importlib import resources
from pathlib import Path
from typing import Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from c2fnas.errors import UserError, in_a_line
from c2fnas.runs.config import CoarseLimits, EarlyStopping
from c2fnas.search.choice import check_sampler_name
from c2fnas.space.search_space import SearchSpace

BUDGETS = ("demo", "hour", "day", "paper")


class Frozen(BaseModel):
    """A frozen value that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RecipeChoice(Frozen):
    """A named training recipe; ``iterations`` stays open where the budget is a time."""

    name: Literal["paper", "modern"]
    iterations: PositiveInt | None = None


class CoarsePreset(Frozen):
    """Algorithm 1's numbers and what may take its place, see :class:`c2fnas.runs.config.CoarseConfig`.

    A validation may cost ``validation_share`` of a candidate's training, and its stride is chosen by that; None: the
    plan's stride whatever it costs, as in the paper.
    """

    clusters: int = Field(default=8, ge=1, le=SearchSpace().topology_count)
    per_cluster: PositiveInt = 2
    evaluations: PositiveInt = 50
    random_share: float = Field(0.2, ge=0, le=1)
    recipe: RecipeChoice
    sampler: str = "algorithm1"
    limits: CoarseLimits = CoarseLimits()
    early_stopping: EarlyStopping | None = None
    validation_share: float | None = Field(default=0.1, gt=0)
    finalists: PositiveInt = 5

    @field_validator("sampler")
    @classmethod
    def _is_known(cls, sampler: str) -> str:
        check_sampler_name(sampler)
        return sampler


class FinePreset(Frozen):
    """Super-network and ranking, see :class:`c2fnas.runs.config.FineConfig`."""

    candidates: PositiveInt = 2000
    cases: PositiveInt | None = None
    recipe: RecipeChoice
    sampling: Literal["uniform", "strict"] = "uniform"
    choose: Literal["random", "evolution"] = "random"
    rungs: PositiveInt = 1
    audit: NonNegativeInt = 0


class DeploymentPreset(Frozen):
    """Final training: the last fold alone, as the paper's validation, or all of them."""

    folds: Literal["last", "all"] = "last"
    recipe: RecipeChoice


class Shares(Frozen):
    """How a time budget is divided; what is left of 1 is slack for preparation and evaluation.

    ``deployment`` is for all networks that its recipe trains, those of a verdict among them.
    """

    coarse: PositiveFloat
    supernet: PositiveFloat
    ranking: PositiveFloat
    deployment: PositiveFloat

    @model_validator(mode="after")
    def _at_most_the_whole(self) -> "Shares":
        if self.coarse + self.supernet + self.ranking + self.deployment > 1 + 1e-9:
            raise ValueError("the shares of a time budget add up to more than 1")
        return self


class Preset(Frozen):
    """One budget. ``hours`` is None where iteration counts are fixed; ``verdict``: see `c2fnas.studies.verdict`."""

    plan: Literal["paper", "planned"]
    width: PositiveFloat | Literal["auto"]
    hours: PositiveFloat | None
    shares: Shares | None = None
    coarse: CoarsePreset
    fine: FinePreset
    deployment: DeploymentPreset
    verdict: bool = True

    @model_validator(mode="after")
    def _time_is_divided(self) -> "Preset":
        if (self.hours is None) != (self.shares is None):
            raise ValueError("a budget has both `hours` and `shares`, or neither")
        return self

    def width_on(self, device: str) -> float:
        """The width multiplier of every network of the run: one size for search and deployment."""
        if self.width == "auto":
            return 1.0 if device.startswith("cuda") else 0.25
        return self.width


def load_preset(budget: str) -> Preset:
    """The preset called ``budget``, one of :data:`BUDGETS`, or that of a YAML file.

    Raises:
        UserError: neither a budget nor a file, or a file with a fault.
    """
    known = budget in BUDGETS
    source = resources.files("c2fnas.presets").joinpath(f"{budget}.yaml") if known else Path(budget)
    if not source.is_file():
        raise UserError(
            f"--budget {budget}: no such budget. Choose {', '.join(BUDGETS)}, or give a YAML file like theirs."
        )
    try:
        return Preset.model_validate(yaml.safe_load(source.read_text(encoding="utf-8")))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(
            f"{source}: not a budget ({in_a_line(error)}). Compare it with c2fnas/presets/demo.yaml."
        ) from error
