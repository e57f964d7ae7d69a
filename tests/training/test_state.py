"""Generators go on where they were."""

import random

import numpy as np
import torch

from c2fnas.training.state import random_state, restore_random_state, seed_everything


def draw():
    """With a second normal deviate in waiting, which Python and numpy keep."""
    return [*(random.gauss(0, 1) for _ in range(3)), *np.random.randn(3), *torch.randn(3).tolist()]


def test_restored_with_a_deviate_in_waiting():
    seed_everything(1)
    draw()
    state = random_state()
    first = draw()
    draw()
    restore_random_state(state)
    assert draw() == first


def test_equal_states_are_equal():
    seed_everything(1)
    state, again = random_state(), random_state()
    assert all(torch.equal(state[name], again[name]) for name in state)


def test_restored_from_one_row_of_many():
    """As every rank does from a checkpoint; torch crashes on a row as it is."""
    seed_everything(1)
    one, first = random_state(), draw()
    seed_everything(2)
    other, second = random_state(), draw()
    stacked = {name: torch.stack([one[name], other[name]]) for name in one}
    restore_random_state({name: value[1] for name, value in stacked.items()})
    assert draw() == second
    restore_random_state({name: value[0] for name, value in stacked.items()})
    assert draw() == first


def test_ranks_draw_differently():
    seed_everything(1, rank=0)
    zero = draw()
    seed_everything(1, rank=1)
    assert all(a != b for a, b in zip(zero, draw(), strict=True))
