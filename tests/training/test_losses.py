"""The loss against MONAI's and against cases that can be done by hand."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from c2fnas.data.scheme import LabelScheme
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


BRAIN = LabelScheme.of("background", "whole", "core", values=[(0,), (1, 2, 3), (2, 3)], order=(1, 2), ignore=4)
CLASSES = LabelScheme.of("background", "a", "b", "c", ignore=4)


def random_labels(seed, scheme, samples=3):
    """Logits and labels of which some are ignored: parts 0 to 3, and 4."""
    logits, label = random_case(seed, samples, scheme.outputs)
    return logits, torch.randint(5, label.shape, generator=torch.Generator().manual_seed(seed + 1))


@pytest.mark.parametrize("scheme", [BRAIN, CLASSES])
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_ignored_voxels_are_in_no_term(scheme, seed):
    """Sample by sample, the loss is that of the other voxels alone, whatever the logits of those ignored."""
    logits, label = random_labels(seed, scheme)
    loss, alone = DiceCrossEntropy(scheme=scheme), DiceCrossEntropy(scheme=replace(scheme, ignore=None))
    each = []
    for own, its in zip(logits, label, strict=True):
        known = its != 4
        each.append(alone(own[:, known][None, :, :, None, None], its[known][None, :, None, None]))
    torch.testing.assert_close(loss(logits, label), torch.stack(each).mean())
    changed = logits + 100 * (label == 4).unsqueeze(1)
    assert torch.equal(loss(changed, label), loss(logits, label))


@pytest.mark.parametrize("scheme", [BRAIN, CLASSES])
def test_a_patch_without_labels_teaches_nothing(scheme):
    logits, label = random_labels(0, scheme)
    label[:] = 4
    logits.requires_grad_()
    loss = DiceCrossEntropy(scheme=scheme)(logits, label)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss.item() == pytest.approx(0)
    assert not gradient.any()


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_regions_are_monais_sigmoid_dice_and_binary_cross_entropy(seed):
    from monai.losses import DiceLoss

    scheme = replace(BRAIN, ignore=None)
    logits, label = random_case(seed, 2, 4)
    logits = logits[:, :2]
    truth = torch.stack([label > 0, label > 1], dim=1).float()
    dice = DiceLoss(include_background=True, sigmoid=True, smooth_nr=1e-5, smooth_dr=1e-5)
    expected = dice(logits, truth) + functional.binary_cross_entropy_with_logits(logits, truth)
    torch.testing.assert_close(DiceCrossEntropy(scheme=scheme)(logits, label), expected)


def test_an_ignore_label_that_no_voxel_has_changes_nothing_but_rounding():
    logits, label = random_case(4, 3, 4)
    torch.testing.assert_close(DiceCrossEntropy(scheme=CLASSES)(logits, label), DiceCrossEntropy()(logits, label))


def test_one_region_is_the_softmax_over_it_and_the_background():
    """A sigmoid of a region's logit is the softmax of the two logits whose difference it is: the same loss."""
    logits, label = random_case(5, 2, 2)
    region = LabelScheme.of("background", "a", values=[(0,), (1,)], order=(1,))
    torch.testing.assert_close(
        DiceCrossEntropy(scheme=region)(logits[:, 1:] - logits[:, :1], label), DiceCrossEntropy()(logits, label)
    )


def test_gradient_by_finite_differences():
    logits, label = random_case(3, 1, 3)
    dice = DiceCrossEntropy().dice
    assert torch.autograd.gradcheck(lambda x: dice(x.softmax(1), label), logits.double().requires_grad_())
