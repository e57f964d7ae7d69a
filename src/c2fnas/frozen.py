"""The base of values that pydantic checks, such as a plan, a recipe or a run's configuration."""

from pydantic import BaseModel, ConfigDict, PositiveInt

Sides = tuple[PositiveInt, PositiveInt, PositiveInt]
"""Of a patch, a stride or a volume in voxels."""


class Frozen(BaseModel):
    """A frozen value that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")
