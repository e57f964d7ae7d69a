"""The prediction of training memory against what autograd keeps, tensor by tensor."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from c2fnas.networks import build_network
from c2fnas.space.architecture import Architecture
from c2fnas.space.memory import saved_values, training_memory
from c2fnas.space.operation import Operation
from c2fnas.space.search_space import SearchSpace

TOPOLOGIES = SearchSpace(cells=6, downsamplings=2).topologies()


def kept_by_autograd(architecture: Architecture, size: tuple[int, int, int], in_channels: int, patches: int) -> int:
    """Bytes of all features between forward and backward pass, each storage once, weights and statistics left out."""
    network = build_network(architecture, in_channels=in_channels, classes=3)
    storages = {}
    weights = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        features = tensor.dim() == 5 and len(tensor) in (1, patches)  # the composed last layer has kernels of its own
        rows_or_planes = tensor.dim() in (2, 4) and len(tensor) > patches  # of convolutions of 1×1×1 and 1×1×3
        place = tensor.untyped_storage().data_ptr()
        if (features or rows_or_planes) and place not in weights:
            storages[place] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = network(torch.randn(patches, in_channels, *size))
    assert output.requires_grad
    return sum(storages.values())


@settings(deadline=None, max_examples=25)
@given(
    topology=st.sampled_from(TOPOLOGIES),
    operations=st.lists(st.sampled_from(list(Operation)), min_size=6, max_size=6),
    size=st.tuples(*[st.integers(4, 19)] * 3),
    in_channels=st.integers(1, 3),
    patches=st.integers(1, 3),
)
def test_it_is_what_autograd_keeps(topology, operations, size, in_channels, patches):
    architecture = Architecture(topology, tuple(operations), 0.125)
    predicted = 4 * patches * saved_values(architecture, in_channels=in_channels, input_size=size)
    assert kept_by_autograd(architecture, size, in_channels, patches) == predicted


def test_states_and_patches_add_up():
    architecture = Architecture.uniform(TOPOLOGIES[0], width=0.25)
    memory = training_memory(architecture, in_channels=1, classes=3, input_size=(16, 16, 16))
    network = build_network(architecture, in_channels=1, classes=3)
    assert memory.states == 16 * sum(parameter.numel() for parameter in network.parameters())
    assert memory.of(4) - memory.of(2) == 3 * memory.activations  # half as much again at the peak
    half = training_memory(architecture, in_channels=1, classes=3, input_size=(16, 16, 16), precision="bf16")
    assert memory.activations / 2 < half.activations < memory.activations  # the loss stays in 32 bits


@pytest.mark.long
def test_a_training_takes_about_so_much(tmp_path):
    """In a process of its own, so that nothing else is counted: the peak beyond what a tiny training takes.

    VmHWM, since ``ru_maxrss`` of a started process begins with the peak of the one that started it.
    """
    import subprocess
    import sys

    script = """
import re, sys, torch
from pathlib import Path
from c2fnas.networks import build_network
from c2fnas.space.architecture import Architecture
from c2fnas.space.memory import training_memory
from c2fnas.training.losses import DiceCrossEntropy
from c2fnas.space.search_space import SearchSpace
size = (int(sys.argv[1]),) * 3
architecture = Architecture.uniform(SearchSpace().topologies()[460], width=0.5)
network = build_network(architecture, in_channels=1, classes=3)
optimiser = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
for _ in range(2):
    loss = DiceCrossEntropy()(network(torch.randn(2, 1, *size)), torch.randint(3, (2, *size)))
    loss.backward(); optimiser.step(); optimiser.zero_grad()
memory = training_memory(architecture, in_channels=1, classes=3, input_size=size)
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())
print(int(peak[1]) * 1024, memory.of(2))
"""
    measured, predicted = [], []
    for side in ("16", "64"):
        done = subprocess.run([sys.executable, "-c", script, side], capture_output=True, text=True, check=True)
        peak, said = map(float, done.stdout.split())
        measured.append(peak)
        predicted.append(said)
    more, said = measured[1] - measured[0], predicted[1] - predicted[0]
    print(f"measured {more / 1e6:.0f} MB, predicted {said / 1e6:.0f} MB")
    assert 0.6 < more / said < 1.4
