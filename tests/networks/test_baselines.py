"""The compared networks: their cost as published, any input size, and learning."""

import pytest
import torch
from monai.networks import nets
from torch import nn
from torch.nn import functional

from c2fnas.networks.baselines import BASELINES, Baseline, build_baseline
from c2fnas.networks.baselines.dints import DEPTHS, LEVELS, path, u_shape
from c2fnas.networks.baselines.padded import Padded, padded_size
from c2fnas.networks.baselines.table_2 import OURS, TABLE_2
from c2fnas.networks.count import count_network
from c2fnas.space.architecture import Architecture
from c2fnas.space.cost import network_cost

SIZE = (96, 96, 96)
TINY = 1 / 16


def tiny(name: str, in_channels: int = 2, classes: int = 3) -> Padded:
    torch.manual_seed(0)
    return build_baseline(Baseline(name, TINY), in_channels=in_channels, classes=classes)


def on_meta(build: type[nn.Module], *arguments: object) -> tuple[int, int]:
    with torch.device("meta"):
        network = build(*arguments)
    return count_network(network, in_channels=1, input_size=SIZE)


@pytest.mark.parametrize("row", TABLE_2, ids=lambda row: row.name)
def test_costs_what_the_paper_prints(row) -> None:
    parameters, macs = count_network(row.build(in_channels=1, classes=3), in_channels=1, input_size=SIZE)
    assert parameters == pytest.approx(row.parameters, rel=0.04 if row.name == OURS else 0.02)
    assert macs == pytest.approx(row.macs, rel=0.03)


def test_the_papers_own_network_costs_what_the_closed_form_says() -> None:
    row = next(row for row in TABLE_2 if row.name == OURS)
    cost = network_cost(Architecture.named("c2fnas-panc"), in_channels=1, classes=3, input_size=SIZE)
    counted = count_network(row.build(in_channels=1, classes=3), in_channels=1, input_size=SIZE)
    assert counted == (cost.parameters, cost.macs)


def test_the_notes_count_the_other_forms_rightly() -> None:
    notes = {row.name: row.note for row in TABLE_2}
    parameters, macs = on_meta(nets.VNet, 3, 1, 3)
    assert f"{parameters / 1e6:.2f} M and {macs / 1e9:.2f} G" in notes["vnet"]
    parameters, macs = on_meta(nets.AttentionUnet, 3, 1, 3, [64, 128, 256, 512, 1024], [2] * 4)
    assert f"{parameters / 1e6:.2f} M and {macs / 1e9:.2f} G" in notes["attention_unet"]
    voxresnet = next(row for row in TABLE_2 if row.name == "voxresnet")
    parameters, macs = count_network(voxresnet.build(in_channels=1, classes=2), in_channels=1, input_size=SIZE)
    assert f"{parameters / 1e6:.2f} M and {macs / 1e9:.2f} G" in voxresnet.note


def test_vnet_is_monais_but_for_the_way_out() -> None:
    """The two agree on every convolution before the last."""
    with torch.device("meta"):
        theirs = nets.VNet(3, 1, 3)
        ours = build_baseline(Baseline("vnet"), in_channels=1, classes=3).network
    theirs.out_tr, ours.classify = nn.Identity(), nn.Identity()
    assert (
        count_network(theirs, in_channels=1, input_size=SIZE)[1]
        == count_network(ours, in_channels=1, input_size=SIZE)[1]
    )
    shapes = [
        sorted(tuple(part.weight.shape) for part in each.modules() if isinstance(part, nn.Conv3d | nn.ConvTranspose3d))
        for each in (theirs, ours)
    ]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("size", [(1, 1, 1), (16, 16, 16), (17, 5, 33)])
def test_runs_and_trains_at_any_size(name: str, size: tuple[int, int, int]) -> None:
    network = tiny(name).train()
    logits = network(torch.randn(1, 2, *size))
    assert logits.shape == (1, 3, *size)
    loss = functional.cross_entropy(logits, torch.randint(3, (1, *size)))
    loss.backward()
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    assert gradients
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("name", sorted(BASELINES.keys() - {"dints"}))
def test_every_weight_is_used(name: str) -> None:
    network = tiny(name)
    network(torch.randn(1, 2, 32, 16, 16)).sum().backward()
    assert [key for key, parameter in network.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("name", BASELINES)
def test_a_sample_does_not_depend_on_its_batch(name: str) -> None:
    """No batch statistics: a batch of two gives what each alone gives, in training as well as in evaluation."""
    network, x = tiny(name).double(), torch.randn(2, 2, 32, 16, 16, dtype=torch.float64)
    for mode in (True, False):
        network.train(mode)
        with torch.no_grad():
            together, alone = network(x), torch.cat([network(each[None]) for each in x])
        torch.testing.assert_close(together, alone)


@pytest.mark.parametrize("name", BASELINES)
def test_learns_a_threshold(name: str) -> None:
    """Bright blocks are the foreground: a few steps lower the loss to well under chance."""
    network, losses = tiny(name, in_channels=1, classes=2).train(), []
    image = functional.interpolate(torch.randn(2, 1, 4, 4, 8), scale_factor=4, mode="nearest")
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(40):
        loss = functional.cross_entropy(network(image), (image[:, 0] > 0).long())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("name", BASELINES)
def test_odd_sizes_are_padded_at_the_end_and_cropped(name: str) -> None:
    network, x = tiny(name).eval(), torch.randn(1, 2, 20, 16, 31)
    stride = Baseline(name).stride
    padded = torch.zeros(1, 2, *padded_size((20, 16, 31), stride))
    padded[:, :, :20, :16, :31] = x
    with torch.no_grad():
        assert torch.equal(network(x), network.network(padded)[:, :, :20, :16, :31])


@pytest.mark.parametrize("name", BASELINES)
def test_the_width_scales_the_cost(name: str) -> None:
    """Filters in proportion, so parameters about by the square."""
    sizes = []
    for width in (0.5, 1.0):
        with torch.device("meta"):
            network = build_baseline(Baseline(name, width), in_channels=1, classes=3)
        sizes.append(sum(parameter.numel() for parameter in network.parameters()))
    assert sizes[1] / sizes[0] == pytest.approx(4, rel=0.05)


def test_json_round_trip() -> None:
    for name in BASELINES:
        for width in (1, 0.25, 1.75):
            assert Baseline.from_json(Baseline(name, width).to_json()) == Baseline(name, width)


@pytest.mark.parametrize("width", [1, 2, 0.1, 0.25, 1 / 3, 207 / 2048])
def test_the_text_gives_the_same_width_again(width: float) -> None:
    name, _, written = Baseline("unet3d", width).to_text().partition(" @")
    assert Baseline(name, float(written or 1)) == Baseline("unet3d", width)
    assert len(written) <= len(str(width)), "and is as short as it can be"


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"network": "vnet"},
        {"network": "resnet", "width": 1},
        {"network": "vnet", "width": 0},
        {"network": "vnet", "width": float("nan")},
        {"network": "vnet", "width": "1"},
        {"network": 3, "width": 1},
        {"network": "vnet", "width": True},
        {"network": "vnet", "width": 1, "depth": 3},
    ],
)
def test_what_is_no_network_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"network|width"):
        Baseline.from_json(value)


def test_dints_paths_are_numbered_as_monais() -> None:
    space = nets.TopologySearch(channel_mul=1 / 32, num_blocks=1, num_depths=DEPTHS)
    for number, (before, after) in enumerate(zip(space.arch_code2in, space.arch_code2out, strict=True)):
        assert path(before, after) == number


def test_dints_way_leads_down_and_up_and_every_level_is_joined() -> None:
    paths, _, nodes = u_shape()
    for block, level in enumerate(LEVELS):
        assert nodes[block + 1, level]
    for block, chosen in enumerate(paths):
        into = {(number + 1) // 3 for number in chosen.nonzero()[0]}
        assert into == set(nodes[block + 1].nonzero()[0])
    joined = [block for block, chosen in enumerate(paths) if chosen[[path(d + 1, d) for d in range(3)]].any()]
    for block in joined:
        assert paths[block, path(LEVELS[block], LEVELS[block])]
    assert nodes[-1].tolist() == [1, 0, 0, 0]
