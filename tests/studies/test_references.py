"""The references: nearest widths by enumeration, a draw that no score can change, nnU-Net's own plans."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from study_runs import searched_run
from torch import nn

from c2fnas.networks.baselines import Baseline, build_baseline
from c2fnas.networks.baselines.dynunet import LEVELS, planned_levels
from c2fnas.networks.baselines.unet3d import UNet3D
from c2fnas.networks.count import count_network
from c2fnas.planning.feasible import candidate_cost
from c2fnas.runs.overrides import with_values
from c2fnas.runs.run import Run
from c2fnas.space.architecture import Architecture
from c2fnas.studies import references
from c2fnas.studies.references import FINEST, UNET, random_architecture, unet_of_equal


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return searched_run(tmp_path_factory.mktemp("references"))


@pytest.mark.parametrize("kind", ["macs", "parameters"])
def test_no_width_of_the_unet_comes_nearer(run: Run, kind: str) -> None:
    """All widths up to a twentieth, one by one."""
    counts = [getattr(run.cost(Baseline(UNET, (2 * step + 1) / FINEST)), kind) for step in range(52)]
    assert counts == sorted(counts)
    for amount in (1, counts[20] + 1, (counts[10] + counts[30]) // 2, counts[45]):
        found = getattr(run.cost(unet_of_equal(run, kind, amount)), kind)  # type: ignore[arg-type]
        assert abs(found - amount) == min(abs(count - amount) for count in counts)


def test_the_random_network_knows_the_seed_alone(run: Run, tmp_path: Path) -> None:
    """No score, no stage and no other setting changes it; another seed does."""
    drawn = random_architecture(run, 0.25)
    assert drawn == replace(random_architecture(run, 0.5), width=0.25)
    bare = Run(run.folder.root, config=run.config.model_copy(update={"coarse": run.config.coarse}))
    bare.folder.study.rename(tmp_path / "study.db")
    assert random_architecture(bare, 0.25) == drawn
    (tmp_path / "study.db").rename(bare.folder.study)
    others = {
        random_architecture(Run(run.folder.root, config=with_values(run.config, {"seed": seed})), 0.25)
        for seed in range(20)
    }
    assert drawn in others
    assert len({each.topology for each in others}) > 15
    assert len({each.operations for each in others}) == 20


def test_the_random_network_keeps_the_limits(run: Run) -> None:
    costs = [candidate_cost(run, topology)["macs"] for topology in run.config.space.topologies()[::50]]
    limit = sorted(costs)[2]
    for seed in range(5):
        limited = Run(run.folder.root, config=with_values(run.config, {"coarse.limits.macs": limit, "seed": seed}))
        assert candidate_cost(run, random_architecture(limited, run.width).topology)["macs"] <= limit


@pytest.mark.parametrize(
    ("patch", "spacing", "kernels", "strides"),
    [  # as plans files of nnU-Net v2 have them for the Decathlon's tasks
        ((40, 56, 40), (1.0, 1.0, 1.0), "333 333 333 333", "111 222 222 222"),  # Task04_Hippocampus
        ((128, 128, 128), (1.0, 1.0, 1.0), "333 333 333 333 333 333", "111 222 222 222 222 222"),  # Task01_BrainTumour
        ((20, 320, 256), (3.6, 0.62, 0.62), "133 133 333 333 333 333 333", "111 122 122 222 222 122 122"),  # Task05
        ((40, 224, 224), (2.5, 0.8, 0.8), "133 333 333 333 333 333", "111 122 222 222 222 122"),  # Task07_Pancreas
    ],
)
def test_levels_are_those_of_nnunets_plans(patch, spacing, kernels: str, strides: str) -> None:
    levels = planned_levels(patch, spacing)
    assert " ".join("".join(map(str, kernel)) for kernel, _ in levels) == kernels
    assert " ".join("".join(map(str, stride)) for _, stride in levels) == strides


def test_a_patch_that_nnunets_rules_halve_along_no_axis_costs_the_row_alone(run: Run) -> None:
    flat = run.varied(plan=run.plan.model_copy(update={"patch_size": (96, 96, 8), "spacing": (2.0, 2.0, 1.0)}))
    assert len(planned_levels((96, 96, 8), (2.0, 2.0, 1.0))) == 1
    found = references._planned(flat, Architecture.uniform(run.config.space.topologies()[0], width=run.width))
    assert (found.design, "halve no axis of a patch of 96×96×8" in found.note) == (None, True)


def test_planned_networks_are_built_counted_and_read_back() -> None:
    same = Baseline("dynunet", 0.25, LEVELS)
    costs = [
        count_network(build_baseline(each, in_channels=1, classes=3), in_channels=1, input_size=(32, 32, 32))
        for each in (same, Baseline("dynunet", 0.25))
    ]
    assert costs[0] == costs[1]
    flat = Baseline("dynunet", 0.0625, planned_levels((32, 32, 4), (1.0, 1.0, 6.0)))
    assert flat.stride == (8, 8, 1)
    assert Baseline.from_json(flat.to_json()) == flat
    network = build_baseline(flat, in_channels=1, classes=3)
    assert network(torch.zeros(1, 1, 30, 17, 4)).shape == (1, 3, 30, 17, 4)
    for wrong in ([[[3, 3], [1, 1, 1]]] * 2, [[[3, 3, 3], [0, 1, 1]]] * 2, [1], [[[3, 3, 3], [1, 1, 1]]]):
        with pytest.raises(ValueError, match="levels"):
            Baseline.from_json({"network": "dynunet", "width": 1.0, "levels": wrong})
    with pytest.raises(ValueError, match="dynunet alone"):
        Baseline("vnet", 1.0, LEVELS)


def test_the_unet_with_the_stem_is_a_unet_at_half_resolution_between_its_ends() -> None:
    """The body costs what a U-Net of half the size costs, but for its first and last convolutions."""
    with torch.device("meta"):
        network = build_baseline(Baseline(UNET, 0.25), in_channels=1, classes=3).network
        body = UNet3D(in_channels=16, classes=3, width=0.25)
        body.classify = nn.Identity()
    parts = [
        count_network(nn.Sequential(network.stem_in), in_channels=1, input_size=(32, 48, 32)),
        count_network(body, in_channels=16, input_size=(16, 24, 16)),
    ]
    last = 27 * 16 * 16 * 16 * 24 * 16 + 27 * 16 * 3 * 32 * 48 * 32  # at half, then at full resolution
    whole = count_network(
        build_baseline(Baseline(UNET, 0.25), in_channels=1, classes=3), in_channels=1, input_size=(32, 48, 32)
    )
    assert whole[1] == sum(macs for _, macs in parts) + last
