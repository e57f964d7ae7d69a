"""The loss against MONAI's and against cases that can be done by hand."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from c2fnas.training.losses import DiceCrossEntropy


def random_case(seed, samples, classes, absent=False):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(samples, classes, 4, 3, 2, generator=generator)
    label = torch.randint(classes - absent, (samples, 4, 3, 2), generator=generator)
    return logits, label


@pytest.mark.parametrize("smoothing", [1e-5, 1.0])
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), samples=st.integers(1, 3), classes=st.integers(2, 5), absent=st.booleans())
def test_equals_monai_on_equal_semantics(smoothing, seed, samples, classes, absent):
    from monai.losses import DiceLoss

    logits, label = random_case(seed, samples, classes, absent)
    dice = DiceLoss(include_background=False, softmax=True, to_onehot_y=True, smooth_nr=smoothing, smooth_dr=smoothing)
    expected = dice(logits, label[:, None]) + functional.cross_entropy(logits, label)
    torch.testing.assert_close(DiceCrossEntropy(smoothing)(logits, label), expected)


def test_by_hand():
    """Even odds everywhere, 2 classes, 3 of 8 voxels foreground: cross-entropy ln 2, Dice 2·1.5 / (4 + 3)."""
    label = torch.zeros(1, 2, 2, 2, dtype=torch.long)
    label.view(-1)[:3] = 1
    loss = DiceCrossEntropy(1e-9)(torch.zeros(1, 2, 2, 2, 2), label)
    assert float(loss) == pytest.approx(math.log(2) + 1 - 3 / 7, rel=1e-6)


def test_is_the_mean_over_samples():
    logits, label = random_case(1, 3, 4)
    loss = DiceCrossEntropy()
    each = [loss(one, its) for one, its in zip(logits.split(1), label.split(1), strict=True)]
    torch.testing.assert_close(loss(logits, label), torch.stack(each).mean())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_computes_in_float32(dtype):
    logits, label = random_case(2, 2, 3)
    low = logits.to(dtype)
    loss = DiceCrossEntropy()(low, label)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, DiceCrossEntropy()(low.float(), label))


def test_gradient_by_finite_differences():
    logits, label = random_case(3, 1, 3)
    dice = DiceCrossEntropy().dice
    assert torch.autograd.gradcheck(lambda x: dice(x.softmax(1), label), logits.double().requires_grad_())
