"""Copies in tiles are plain copies."""

from itertools import permutations

import numpy as np
import pytest

from c2fnas.data import volume as volume_module
from c2fnas.data.volume import contiguous

SHAPE = (2, 70, 5, 33)


@pytest.mark.parametrize("axes", permutations(range(4)))
@pytest.mark.parametrize("step", [1, -1])
def test_any_order_of_memory_becomes_the_usual_one(axes, step, monkeypatch):
    monkeypatch.setattr(volume_module, "SMALL", 0)
    stored = np.random.default_rng(0).integers(-1000, 1000, [SHAPE[axis] for axis in axes], dtype=np.int16)
    volume = stored.transpose(np.argsort(axes))[..., ::step]
    found = contiguous(volume, np.float32)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, volume)


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_copy_is_no_view(order):
    volume = np.zeros((4, 5, 6), np.float32, order=order)
    contiguous(volume, np.float32)[...] = 1
    assert not volume.any()
