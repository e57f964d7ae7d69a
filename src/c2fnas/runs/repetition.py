"""All that another run needs in order to repeat this one: configuration, plan, folds with their groups, network."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import TypeAdapter, ValidationError

from c2fnas import __version__
from c2fnas.data.folds import EVERY_CASE, fold_order
from c2fnas.errors import UserError
from c2fnas.files import read_json, write_text
from c2fnas.runs.config import RunConfig
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.overrides import value_at

RECIPES = ("coarse", "fine", "deployment")
FIXED = (
    *("seed", "width", "verdict", "coarse.evaluations", "coarse.stride", "fine.candidates", "fine.cases"),
    *(f"{section}.recipe.{field}" for section in RECIPES for field in ("name", "iterations", "precision")),
)
"""The fields that a budget or the machine has decided, which would be others elsewhere."""

MIRROR, MIRRORING = "deployment.recipe.mirror", ("modern", "strong")
"""A network of these augmentations is averaged over mirrored views, unless its time was too short to validate them."""

PLANNED = ("spacing", "resize", "patch_size", "stride", "ranking_stride", "batch_size", "foreground_rate")
"""The values of a plan that a configuration can hold too."""


ELSEWHERE = ("plan", "folds.", "deployment.start")
"""Fields whose values are in the plan, the folds and ``start``."""


@dataclass(frozen=True)
class Repetition:
    """A run as it can be repeated. Its JSON form holds no path.

    Attributes:
        dataset: the data set's name.
        kind: search or training.
        budget: its name, or that of its file.
        base: the budget's part of a configuration.
        overrides: values of fields on top of it: the user's, and those that were derived from pace and memory.
        devices: that the jobs ran on.
        plan: plan.yaml, edited or not.
        folds: folds.json, the groups of cases included.
        design: the network, as text, where one was trained.
        start: checksum of the model that final networks begin with, or None.
        made_by: the version that wrote it.
    """

    dataset: str
    kind: str
    budget: str
    base: dict[str, Any]
    overrides: dict[str, Any]
    devices: tuple[str, ...]
    plan: str
    folds: list[dict[str, Any]]
    design: dict[str, Any] | None
    start: str | None
    made_by: str = __version__

    @classmethod
    def of(cls, folder: RunFolder) -> Self:
        """Return what repeats the run in ``folder``.

        Raises:
            UserError: it is no run, or was not prepared to the end.
        """
        folder.refuse_unprepared()
        config = RunConfig.load(folder.config)
        own = {name: value for name, value in config.overrides.items() if not name.startswith(ELSEWHERE)}
        fixed = {name: value_at(config, name) for name in FIXED}
        folds = {*(config.deployment.folds if not isinstance(config.deployment.folds, str) else ())}
        recipe = config.deployment.recipe
        if recipe.mirror != (recipe.augmentation in MIRRORING):
            fixed[MIRROR] = recipe.mirror
        fixed["deployment.folds"] = sorted({*folds, *folder.begun_folds}, key=_order)
        if folder.verdict_file.exists():
            fixed |= {"verdict": True, "references": max(1, len(read_json(folder.verdict_file)["references"]))}
        base = yaml.safe_load(folder.budget.read_text(encoding="utf-8")) if folder.budget.exists() else {}
        return cls(
            dataset=config.dataset,
            kind=config.kind,
            budget=Path(config.budget).name,
            base=base,
            overrides=json.loads(json.dumps(own | fixed)),
            devices=config.devices,
            plan=folder.plan.read_text(encoding="utf-8"),
            folds=read_json(folder.folds),
            design=design.to_json() if (design := folder.design) else None,
            start=config.deployment.start,
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read it from a run folder, or from the file of :meth:`text`.

        Raises:
            UserError: it is neither, or is damaged.
        """
        if path.is_dir():
            return cls.of(RunFolder(path))
        try:
            known = TypeAdapter(cls).validate_python(read_json(path)["repeats"])
            for fold in known.folds:
                _ = [*fold["training"], *fold["validation"]]
            return known
        except (KeyError, TypeError, ValidationError) as error:
            raise UserError(
                f"--like {path}: neither a run folder nor the repeat.json of a run's report. `c2fnas report RUN` "
                "writes it beside its page."
            ) from error

    def text(self, **more: str) -> str:
        """Return it as JSON. A YAML reader takes it for the budget that it holds, see ``planning.presets``."""
        return json.dumps({**more, "repeats": asdict(self)}, indent=1) + "\n"

    def refuse_other_data(self, source: Path, cases: set[str]) -> None:
        """Refuse cases among which those of the folds are not."""
        known = {case for fold in self.folds for case in (*fold["training"], *fold["validation"])}
        if missing := sorted(known - cases):
            raise UserError(
                f"--like {source}: its folds have the case {missing[0]}, which this data set has not. A run is "
                f"repeated on its own data, {self.dataset}; leave --like out on another."
            )

    def begin(self, folder: RunFolder, like: str, *, plan: bool = True, folds: bool = True) -> None:
        """Leave plan and folds in a run folder that has none; preparation then takes these.

        The run itself is kept as it was found, with its place ``like``: later starts read nothing but that.

        Raises:
            UserError: another plan or other folds are there, or they can't be written.
        """
        if folder.config.exists():
            return
        wanted = {folder.plan: self.plan} if plan else {}
        wanted |= {folder.folds: json.dumps(self.folds, indent=2) + "\n"} if folds else {}
        if folder.taken.exists():  # of its folds some cases were left out, in a call that was cut short
            wanted.pop(folder.folds, None)
        for path, content in wanted.items():
            if path.exists() and path.read_text(encoding="utf-8") != content:
                raise UserError(f"{path}: there is one already, and it differs from that of --like. Choose a new run.")
        for path, content in wanted.items():
            write_text(path, content)
        if not folder.like.exists():
            write_text(folder.like, self.text(like=like))

    @property
    def without_counts(self) -> dict[str, Any]:
        """The overrides but for what another budget derives for itself."""
        return {
            name: value for name, value in self.with_views.items() if name not in FIXED or name in ("seed", "width")
        }

    @property
    def with_views(self) -> dict[str, Any]:
        """The overrides, mirrored views as the length of a training has them."""
        return {name: value for name, value in self.overrides.items() if (name, value) != (MIRROR, False)}

    @property
    def planned(self) -> dict[str, Any]:
        """The values of the plan as fields of a configuration."""
        plan = yaml.safe_load(self.plan)
        return {f"plan.{name}": plan[name] for name in PLANNED if plan.get(name) is not None}


def _order(fold: Any) -> Any:
    return fold_order(fold if fold == EVERY_CASE else int(fold))
