"""Weights come back as they were, or not at all."""

import pytest
import torch
from torch import nn
from toy import same, toy, weights

from c2fnas.errors import UserError
from c2fnas.training.weights import compare, load_weights, read_tensors, save_weights, transfer


def test_round_trip(tmp_path):
    save_weights(tmp_path / "w.safetensors", toy(1))
    network = toy(2)
    load_weights(tmp_path / "w.safetensors", network)
    assert same(weights(network), weights(toy(1)))


@pytest.mark.parametrize("place", [0, 0.3, 0.99])
def test_one_flipped_bit_is_refused(tmp_path, place):
    path = tmp_path / "w.safetensors"
    save_weights(path, toy())
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= 4
    path.write_bytes(data)
    with pytest.raises(UserError, match="damaged"):
        load_weights(path, toy())


@pytest.mark.parametrize("lost", ["w.safetensors", "w.safetensors.sha256"])
def test_a_missing_file_is_named(tmp_path, lost):
    save_weights(tmp_path / "w.safetensors", toy())
    (tmp_path / lost).unlink()
    with pytest.raises(UserError, match=lost):
        load_weights(tmp_path / "w.safetensors", toy())


def test_another_network_is_refused_and_left_alone(tmp_path):
    save_weights(tmp_path / "w.safetensors", toy())
    network = toy(2)
    network.head = nn.Conv3d(4, 5, 1)
    before = weights(network)
    with pytest.raises(UserError, match=r"head\.weight"):
        load_weights(tmp_path / "w.safetensors", network)
    assert same(before, weights(network))


def test_what_fits_is_transferred_and_the_rest_told(tmp_path):
    save_weights(tmp_path / "w.safetensors", toy(1))
    network = toy(2)
    network.head = nn.Conv3d(4, 5, 1)
    done = transfer(read_tensors(tmp_path / "w.safetensors", None), network)
    assert done.left == done.unused == ("head.bias", "head.weight")
    assert torch.equal(network.stem.weight, toy(1).stem.weight)
    assert set(done.loaded) | set(done.left) == set(network.state_dict())


def test_comparing_on_the_meta_device_tells_what_a_transfer_does():
    """On another number of channels and classes: the first and the last convolution stay behind."""
    source, network = toy(1), toy(2)
    network.stem, network.head = nn.Conv3d(2, 4, 3, padding=1), nn.Conv3d(4, 5, 1)
    with torch.device("meta"):
        hollow = toy(2)
        hollow.stem, hollow.head = nn.Conv3d(2, 4, 3, padding=1), nn.Conv3d(4, 5, 1)
    before = weights(network)
    done = transfer(source.state_dict(), network)
    assert compare(source.state_dict(), hollow) == done
    assert done.left == ("head.bias", "head.weight", "stem.weight")
    assert done.unused == done.left
    after = weights(network)
    assert all(torch.equal(after[name], source.state_dict()[name]) for name in done.loaded)
    assert all(torch.equal(after[name], before[name]) for name in done.left)


def test_tied_weights_are_written(tmp_path):
    network = toy(1)
    network.branches[1] = network.branches[0]
    save_weights(tmp_path / "w.safetensors", network)
    again = toy(2)
    again.branches[1] = again.branches[0]
    load_weights(tmp_path / "w.safetensors", again)
    assert same(weights(network), weights(again))
