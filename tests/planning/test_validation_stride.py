"""The stride that validates coarse candidates."""

from pathlib import Path

import pytest
from coarse_run import prepared_run
from fine_run import Listener, inline

from c2fnas.data.plan import ChannelPlan, ClassPlan, Plan
from c2fnas.errors import UserError
from c2fnas.planning.budget import affordable_stride
from c2fnas.planning.request import request_for
from c2fnas.runs.ledger import Ledger
from c2fnas.runs.overrides import with_values
from c2fnas.stages.coarse import search_topology
from c2fnas.stages.preparation import prepare
from c2fnas.training.recipe import paper_recipe

PLAN = Plan(
    channels=(ChannelPlan(name="mr", kind="mr"),),
    classes=(ClassPlan(name="background", values=(0,)), ClassPlan(name="organ", values=(1,))),
    spacing=(1.0, 1.0, 1.0),
    patch_size=(96, 96, 96),
    stride=(16, 16, 16),
    ranking_stride=(48, 48, 48),
)
SHAPES = [(200, 180, 150), (96, 120, 300)]


def test_the_papers_training_affords_the_papers_stride() -> None:
    assert affordable_stride(PLAN, SHAPES, paper_recipe("coarse"), 0.1) == (16, 16, 16)


@pytest.mark.parametrize(
    ("iterations", "share", "stride"), [(70, 0.1, 16), (60, 0.1, 24), (1, 1.0, 48), (60, 0.01, 72), (1, 0.001, 96)]
)
def test_it_is_the_finest_that_is_affordable(iterations: int, share: float, stride: int) -> None:
    """The two volumes have 8·7·5 + 1·3·14 windows of a stride of 16, then 120 + 20, 36 + 12, 18 + 8 and 12 + 8.

    A step on 16 patches is worth 48 windows: steps afford 336 of them, 288, exactly 48, 28.8, and none.
    """
    recipe = paper_recipe("coarse").with_iterations(iterations)
    assert affordable_stride(PLAN, SHAPES, recipe, share) == (stride, stride, stride)


@pytest.mark.long
def test_a_coarse_stride_really_validates_and_finalists_really_are_scored_again(tmp_path: Path) -> None:
    run = prepared_run(tmp_path, evaluations=3, per_cluster=1, clusters=2, finalists=2)
    patch = run.plan.patch_size
    run.configure(with_values(run.config, {"coarse.stride": patch}))
    assert run.coarse_window.stride == patch != run.window().stride
    with inline() as executor:
        found = search_topology(run.using(executor, Listener()))
    finalists = Ledger(run.folder.study, "finalists", read_only=True).trials()
    assert len(finalists) == 2
    best = max(finalists, key=lambda trial: trial.score or 0.0)
    assert best.score is None or best.score == 0 or best.architecture.topology == found


def test_the_paper_keeps_its_stride_whatever_it_costs(tmp_path: Path) -> None:
    run = prepared_run(tmp_path)

    def again(share: float | None) -> tuple[int, int, int] | None:
        request = request_for(run.folder, overrides={"coarse.validation_share": share})
        return prepare(run, tmp_path / "Task00", request).config.coarse.stride

    assert again(1e-9) == run.plan.patch_size != run.plan.stride
    assert again(None) is None
    assert again(1e9) is None
    with pytest.raises(UserError, match="a number above 0"):
        again(0)
