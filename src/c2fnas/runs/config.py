"""The one configuration of a run: all that decides its result. A budget's YAML file is a part of it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, field_validator, model_validator

from c2fnas.errors import UserError
from c2fnas.faults import faults_in_a_line
from c2fnas.files import write_text
from c2fnas.frozen import Frozen, Sides
from c2fnas.search.clusters import TopologyCluster, cluster_topologies
from c2fnas.search.pooled import PILOT, SHARE
from c2fnas.search.posterior import MARGIN
from c2fnas.search.successive_halving import pairs
from c2fnas.space.operation import Operation
from c2fnas.space.search_space import SearchSpace
from c2fnas.training.recipe import Recipe

Choice = Literal["observed", "posterior"]
"""The best observed score, as in the paper, or the highest posterior mean: within the margin the cheapest."""


class Shares(Frozen):
    """The division of what is left of a time budget among the stages that are left of a run.

    With a verdict, the final networks and their references have half of the budget, at most.
    """

    coarse: PositiveFloat
    supernet: PositiveFloat
    ranking: PositiveFloat
    deployment: PositiveFloat

    @model_validator(mode="after")
    def _at_most_the_whole(self) -> Self:
        if self.coarse + self.supernet + self.ranking + self.deployment > 1 + 1e-9:
            raise ValueError("the shares of a time budget add up to more than 1")
        return self


LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The safe loader of libyaml where PyYAML has it: a tenth of the time of the one in Python."""


class PlanConfig(Frozen):
    """The way to plan, and values that the plan takes instead of its own; None: as planned.

    ``style`` is ``paper`` (section 4.1: 1 mm, 96³) or ``planned`` (fitted to the data). The other fields are those of
    :class:`c2fnas.data.plan.Plan`, in its axes. They hold until a stage has begun, as an edited plan.yaml does.
    """

    style: Literal["paper", "planned"] = "planned"
    spacing: tuple[PositiveFloat, PositiveFloat, PositiveFloat] | None = None
    resize: Sides | None = None
    patch_size: Sides | None = None
    stride: Sides | None = None
    ranking_stride: Sides | None = None
    batch_size: PositiveInt | None = None
    foreground_rate: float | None = Field(default=None, ge=0, le=1)
    crop_nonzero: bool | None = None

    @property
    def given(self) -> dict[str, Any]:
        """The values that the plan has to take."""
        return self.model_dump(exclude={"style"}, exclude_none=True)


class FoldsConfig(Frozen):
    """The division into folds, see :class:`c2fnas.data.folds.FoldChoice`."""

    by: str | None = Field(default=None, examples=["random"])
    count: int | None = Field(default=None, ge=2, examples=[5])
    group_by: str | None = Field(default=None, examples=["(.+)_E[DS]"])


class CoarseLimits(Frozen):
    """The most that a coarse candidate may cost, known before it is trained; None: anything.

    Multiply-accumulates are those of one patch, ``memory`` the predicted bytes of a training.
    """

    parameters: PositiveInt | None = Field(default=None, examples=[20_000_000])
    macs: PositiveInt | None = Field(default=None, examples=[5_000_000_000])
    memory: PositiveInt | None = Field(default=None, examples=[8_000_000_000])


class EarlyStopping(Frozen):
    """Rungs at ``shares`` of a candidate's iterations; the best in ``factor`` go on (`search.successive_halving`)."""

    shares: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.33, 0.66)
    factor: int = Field(default=2, ge=2)


class CoarseConfig(Frozen):
    """Coarse stage, Algorithm 1 (paper 3.3), and what may take its place; without ``evaluations`` it is left out.

    A validation may cost ``validation_share`` of a candidate's training, which decides ``stride`` (None: the plan's
    stride, the paper's 16). Where it is coarser, the best ``finalists`` are scored again at the plan's stride.

    ``choice`` is the rule by which a topology is taken. By the posterior (`search.answer`), ``settling`` is the share
    of the evaluations by which the answer is settled, with other seeds; the stage ends early where after ``pilot``
    trainings nothing is left to win; and finalists are not scored again. ``table_prior`` lets the model begin with what
    the shipped tables say that were made on other data.
    """

    clusters: int = Field(default=8, ge=1, le=SearchSpace().topology_count)
    per_cluster: PositiveInt = 2
    evaluations: NonNegativeInt = 50
    random_share: float = Field(default=0.2, ge=0, le=1)
    recipe: Recipe
    sampler: str = "algorithm1"
    limits: CoarseLimits = CoarseLimits()
    early_stopping: EarlyStopping | None = None
    validation_share: float | None = Field(default=0.1, gt=0)
    stride: Sides | None = None
    finalists: PositiveInt = 5
    choice: Choice = "observed"
    settling: float = Field(default=SHARE, ge=0, lt=1)
    pilot: PositiveInt = PILOT
    table_prior: bool = True

    @field_validator("early_stopping", mode="before")
    @classmethod
    def _switched(cls, value: Any) -> Any:
        return {True: EarlyStopping(), False: None}[value] if isinstance(value, bool) else value

    @field_validator("sampler")
    @classmethod
    def _is_known(cls, sampler: str) -> str:
        from c2fnas.search.choice import check_sampler_name

        return check_sampler_name(sampler)


class FineConfig(Frozen):
    """Fine stage (paper 3.4): super-network, then candidates ranked on ``cases`` validation cases (None: all).

    Without ``candidates`` it is left out, and every cell has the operation of the default architecture.
    ``sampling`` says which paths train: uniform as in the paper, or with strict fairness. ``choose`` says where
    candidates come from. With more than one of ``rungs`` the best of a few cases go on to more; ``audit`` candidates at
    random are scored on all cases whatever their rank, to tell how far the first rungs can be trusted. ``choice`` is
    the rule by which one of them is taken.
    """

    candidates: NonNegativeInt = 2000
    cases: PositiveInt | None = None
    recipe: Recipe
    sampling: Literal["uniform", "strict"] = "uniform"
    choose: Literal["random", "evolution"] = "random"
    rungs: PositiveInt = 1
    audit: NonNegativeInt = 0
    choice: Choice = "observed"

    def pairs(self, cases: int) -> int:
        """Return the pairs of candidate and case that a ranking on ``cases`` cases scores, its audit included."""
        return pairs(self.candidates, cases, self.rungs, self.audit)


class DeploymentConfig(Frozen):
    """Training of the found architecture, one model per fold: from scratch, or from the model in ``final/from``.

    The fold ``every-case`` leaves no case out; its Dice is unknown.

    ``extended`` is true where the recipe was prolonged on purpose after the run had begun. Validations on whole volumes
    every ``validate_every`` iterations draw a curve and decide nothing. With ``keep_largest``, cross-validation of
    three folds or more decides of which classes prediction keeps the largest component alone.
    """

    folds: (
        Annotated[tuple[NonNegativeInt | Literal["last", "all", "every-case"], ...], Field(min_length=1)]
        | Literal["last", "all", "every-case"]
    ) = "last"
    recipe: Recipe
    start: str | None = Field(default=None, description="checksum of the model that every fold begins with")
    extended: bool = False
    validate_every: PositiveInt | None = None
    keep_largest: bool = True


class RunConfig(Frozen):
    """All that decides a run. Search and deployment share ``width`` and the plan's patch: the paper's point.

    ``hours`` and ``shares`` are those of a time budget, from which counts are derived at the start of every stage.
    ``overrides`` are the values that a user gave instead of the budget's, by the dotted names of their fields.
    """

    kind: Literal["search", "training"] = Field(default="search", description="or of a given network, without search")
    budget: str
    seed: NonNegativeInt = 0
    dataset: str = ""
    dataset_path: str = ""
    devices: tuple[str, ...] = ("cpu",)
    width: PositiveFloat | Literal["auto"] = "auto"
    cells: PositiveInt = SearchSpace().cells
    downsamplings: PositiveInt = SearchSpace().downsamplings
    operations: tuple[Operation, ...] = SearchSpace().operations
    hours: PositiveFloat | None = None
    shares: Shares | None = None
    stated_spacing: tuple[PositiveFloat, PositiveFloat, PositiveFloat] | None = Field(
        default=None, description="the true one, in mm along the images' own axes, where the headers have lost it"
    )
    plan: PlanConfig = PlanConfig()
    folds: FoldsConfig = FoldsConfig()
    coarse: CoarseConfig
    fine: FineConfig
    deployment: DeploymentConfig
    verdict: bool = Field(default=True, description="whether references are trained too, to judge the search by")
    references: int = Field(
        default=4, ge=1, le=4, description="networks that a verdict compares with, most telling first"
    )
    margin: float = Field(default=MARGIN, gt=0, lt=1, description="a difference in Dice that does not matter")
    overrides: dict[str, Any] = Field(default={})
    fingerprint_sha256: str = Field(default="", description="of the data set's fingerprint")
    plan_sha256: str = Field(default="", description="of plan.yaml")
    folds_sha256: str = Field(default="", description="of folds.json; empty in runs of earlier versions")
    versions: dict[str, str] = Field(default={})

    @field_validator("plan", mode="before")
    @classmethod
    def _style_alone(cls, value: Any) -> Any:
        return {"style": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _time_is_divided(self) -> Self:
        if (self.hours is None) != (self.shares is None):
            raise ValueError("a budget has both `hours` and `shares`, or neither")
        return self

    @model_validator(mode="after")
    def _space_holds_topologies(self) -> Self:
        _ = self.space  # which refuses fewer cells than its levels take
        return self

    def judges(self, folds: Iterable[int | str]) -> bool:
        """Return true if the run ends with a verdict on the final networks of ``folds``.

        None comes after an extension, nor where a network of every case leaves no case to judge on.
        """
        return self.verdict and not self.deployment.extended and {*folds} != {"every-case"}

    @property
    def seconds(self) -> float | None:
        """The time budget in seconds; None where the counts are given."""
        return None if self.hours is None else 3600 * self.hours

    @property
    def searches(self) -> bool:
        """True if anything is searched: a network may be given, or the time may not pay a search."""
        return self.kind == "search" and bool(self.coarse.evaluations or self.fine.candidates)

    @property
    def space(self) -> SearchSpace:
        """The search space of the run."""
        return SearchSpace(cells=self.cells, downsamplings=self.downsamplings, operations=self.operations)

    @property
    def topology_clusters(self) -> tuple[TopologyCluster, ...]:
        """The clusters from which the search draws (paper 3.3): as many as configured, in a small space one each."""
        topologies = self.space.topologies()
        return cluster_topologies(topologies, clusters=min(self.coarse.clusters, len(topologies)), seed=self.seed)

    def save(self, path: Path) -> None:
        """Write the configuration as YAML."""
        write_text(path, self.text())

    def text(self) -> str:
        """Return the configuration as YAML."""
        header = (
            "# The configuration of this run; a stage that begins fixes its part. Results depend on nothing else.\n"
        )
        return header + yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a configuration.

        Raises:
            UserError: unreadable, of another version, or a key is missing, unknown or out of range.
        """
        try:
            values = yaml.load(path.read_text(encoding="utf-8"), Loader=LOADER)
            version = values.get("versions", {}).get("c2fnas", "") if isinstance(values, dict) else ""
            if version.startswith("0.1."):
                raise UserError(
                    f"{path}: this run was made by c2fnas {version}, whose run folders this version does not read. "
                    "Finish it with that version, or begin another run; models and zip files of it can be used here."
                )
            return cls.model_validate(values)
        except (OSError, ValueError, AttributeError, yaml.YAMLError) as error:
            raise UserError(
                f"{path}: not a run configuration of this version of c2fnas ({faults_in_a_line(error, cls)})."
            ) from error
