"""Samples that go through the full resolution one by one give what they give together."""

import pytest
import torch

from c2fnas.networks import stem
from c2fnas.networks.stem import StemOut


@pytest.mark.exact
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_samples_one_by_one_are_a_batch(precision: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    part = StemOut(4, 4, classes=3).eval()
    features = [torch.randn(3, 4, 5, 6, 4)]
    sizes = list[int]()
    part.classify.register_forward_hook(lambda _, inputs, output: sizes.append(len(inputs[0])))

    def logits() -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
            return part(features, (10, 11, 8))

    with torch.inference_mode():
        together = logits()
        monkeypatch.setattr(stem, "FAST_ALONE", 0)
        alone = logits()
    logits()  # in training they stay together
    assert sizes == [3, 1, 1, 1, 3]
    assert alone.dtype == together.dtype == precision
    torch.testing.assert_close(alone, together)
