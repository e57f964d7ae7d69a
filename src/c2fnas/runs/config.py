"""The resolved configuration of a run: everything that decides its result, written once and then fixed."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt

from c2fnas.errors import UserError, in_a_line
from c2fnas.files import write_text
from c2fnas.space.operation import Operation
from c2fnas.space.search_space import SearchSpace
from c2fnas.training.recipe import Recipe


class Frozen(BaseModel):
    """A frozen value that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class CoarseLimits(Frozen):
    """What a coarse candidate may cost at most, known before it is trained; None: anything.

    Multiply-accumulates are those of one patch, ``memory`` the predicted bytes of a training.
    """

    parameters: PositiveInt | None = None
    macs: PositiveInt | None = None
    memory: PositiveInt | None = None


class EarlyStopping(Frozen):
    """Rungs at ``shares`` of a candidate's iterations; the best in ``factor`` go on (`search.successive_halving`)."""

    shares: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.33, 0.66)
    factor: int = Field(default=2, ge=2)


class CoarseConfig(Frozen):
    """Coarse stage, Algorithm 1 (paper 3.3), and what may take its place.

    Candidates are validated at ``stride`` (None: the plan's, the paper's 16); where it is coarser, the best
    ``finalists`` of them are scored again at the plan's, and the best of these is taken.
    """

    clusters: PositiveInt
    per_cluster: PositiveInt
    evaluations: PositiveInt
    random_share: float = Field(ge=0, le=1)
    recipe: Recipe
    sampler: str = "algorithm1"
    limits: CoarseLimits = CoarseLimits()
    early_stopping: EarlyStopping | None = None
    stride: tuple[PositiveInt, PositiveInt, PositiveInt] | None = None
    finalists: PositiveInt = 5


class FineConfig(Frozen):
    """Fine stage (paper 3.4): super-network, then candidates ranked on ``cases`` validation cases (None: all).

    ``sampling`` says which paths train: uniform as in the paper, or with strict fairness. ``choose`` says where
    candidates come from. With more than one of ``rungs`` the best of a few cases go on to more; ``audit`` candidates at
    random are scored on all cases whatever their rank, to tell how far the first rungs can be trusted.
    """

    candidates: PositiveInt
    cases: PositiveInt | None
    recipe: Recipe
    sampling: Literal["uniform", "strict"] = "uniform"
    choose: Literal["random", "evolution"] = "random"
    rungs: PositiveInt = 1
    audit: NonNegativeInt = 0


class DeploymentConfig(Frozen):
    """Training the found architecture, one model per fold: from scratch, or from the model in ``final/from``.

    ``extended`` says whether the recipe was prolonged on purpose after the run had begun. Validations on whole volumes
    every ``validate_every`` iterations draw a curve and decide nothing.
    """

    folds: tuple[int, ...]
    recipe: Recipe
    start: str | None = Field(default=None, description="checksum of the model that every fold begins with")
    extended: bool = False
    validate_every: PositiveInt | None = None


class RunConfig(Frozen):
    """What a run does. Search and deployment share ``width`` and the plan's patch: the paper's point."""

    kind: Literal["search", "training"] = Field(default="search", description="or of a given network, without search")
    budget: str
    seed: int
    dataset: str
    dataset_path: str
    fingerprint: str = Field(description="SHA-256 of the data set's fingerprint")
    plan: str = Field(description="SHA-256 of plan.yaml")
    width: PositiveFloat
    cells: PositiveInt
    downsamplings: PositiveInt
    operations: tuple[Operation, ...]
    devices: tuple[str, ...]
    coarse: CoarseConfig
    fine: FineConfig
    deployment: DeploymentConfig
    verdict: bool = Field(default=False, description="whether references are trained too, to judge the search by")
    versions: dict[str, str]

    @property
    def space(self) -> SearchSpace:
        """The search space of the run."""
        return SearchSpace(cells=self.cells, downsamplings=self.downsamplings, operations=self.operations)

    def save(self, path: Path) -> None:
        """Write the configuration as YAML."""
        header = "# The resolved configuration of this run, fixed when it started. Results depend on nothing else.\n"
        write_text(path, header + yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a configuration.

        Raises:
            UserError: unreadable, or a key is missing, unknown or out of range.
        """
        try:
            return cls.model_validate(_with_kind(yaml.safe_load(path.read_text(encoding="utf-8"))))
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise UserError(
                f"{path}: not a run configuration of this version of c2fnas ({in_a_line(error)})."
            ) from error


def _with_kind(values: Any) -> Any:
    """Versions that had no ``kind`` wrote "train " before the budget of a training."""
    if not isinstance(values, dict) or "kind" in values or not str(values.get("budget")).startswith("train "):
        return values
    return values | {"kind": "training", "budget": values["budget"].removeprefix("train ")}
