"""The sliding window against MONAI's, against brute force, and against itself on other paths."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from known_networks import Pointwise, tiny_network
from monai.data.utils import compute_importance_map, dense_patch_slices
from monai.inferers import sliding_window_inference
from torch import Tensor, nn

from c2fnas.errors import UserError
from c2fnas.inference import forward, windows
from c2fnas.inference.sinks import LabelSink, ScoreSink, allocate
from c2fnas.inference.sliding_window import SlidingWindow
from c2fnas.inference.windows import Blend, NonFiniteLogits, importance, window_starts
from c2fnas.memory import measured

sizes = st.tuples(*[st.integers(1, 23)] * 3)


def image_of(shape: tuple[int, int, int], channels: int = 1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((channels, *shape)).astype(np.float32)


def monai_overlap(patch: tuple[int, ...], stride: tuple[int, ...]) -> tuple[float, ...]:
    """Overlaps that MONAI turns into exactly this stride: half a voxel more, which it truncates."""
    return tuple(1 - (step + 0.5) / side if step < side else 0.0 for side, step in zip(patch, stride, strict=True))


@given(shape=sizes, patch=st.tuples(*[st.integers(2, 9)] * 3), data=st.data())
def test_windows_are_monais(shape: tuple[int, int, int], patch: tuple[int, int, int], data: st.DataObject) -> None:
    stride = tuple(data.draw(st.integers(1, side)) for side in patch)
    padded = tuple(map(max, shape, patch))
    theirs = [tuple(int(axis.start) for axis in window) for window in dense_patch_slices(padded, patch, stride)]
    assert list(window_starts(shape, patch, stride)) == theirs


@pytest.mark.exact
@pytest.mark.parametrize("weighting", ["gaussian", "constant"])
@pytest.mark.parametrize(
    ("shape", "patch", "stride"),
    [
        ((20, 17, 13), (8, 8, 8), (4, 4, 4)),
        ((21, 9, 30), (6, 8, 10), (3, 8, 7)),
        ((5, 20, 3), (8, 8, 8), (8, 3, 2)),
        ((4, 5, 3), (7, 8, 6), (7, 8, 6)),
        ((96, 17, 16), (48, 16, 16), (16, 16, 16)),
    ],
)
def test_scores_are_monais(shape: tuple, patch: tuple, stride: tuple, weighting: str) -> None:
    network, image = tiny_network(channels=2), image_of(shape, channels=2)
    window = SlidingWindow(patch, stride, weighting)  # type: ignore[arg-type]
    with torch.inference_mode():
        theirs = sliding_window_inference(
            torch.from_numpy(image)[None], patch, 2, network, overlap=monai_overlap(patch, stride), mode=weighting
        )[0]
    assert isinstance(theirs, Tensor)
    ours = window.scores(network, image, device="cpu")
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    assert np.array_equal(window.labels(network, image, device="cpu"), ours.argmax(0).numpy())


def test_the_fractional_overlap_of_the_paper_would_give_another_stride() -> None:
    assert int(96 * (1 - 80 / 96)) == 15  # what MONAI computes; hence integers
    assert window_starts((128, 96, 96), (96, 96, 96), (16, 16, 16)) == ((0, 0, 0), (16, 0, 0), (32, 0, 0))


@pytest.mark.parametrize("patch", [(8, 8, 8), (96, 40, 12), (7, 13, 1), (40, 56, 40)])
def test_importance_is_monais_and_positive(patch: tuple[int, int, int]) -> None:
    expected = compute_importance_map(patch, mode="gaussian", sigma_scale=0.125)
    assert torch.equal(importance(patch, "gaussian"), expected)
    assert importance(patch, "gaussian").min() > 0
    assert torch.equal(importance(patch, "constant"), torch.ones(patch))


@settings(deadline=None, max_examples=30)
@given(shape=sizes, patch=st.tuples(*[st.integers(1, 9)] * 3), batch=st.integers(1, 4), data=st.data())
def test_a_network_without_context_gives_its_plain_output(
    shape: tuple, patch: tuple, batch: int, data: st.DataObject
) -> None:
    stride = tuple(data.draw(st.integers(1, side)) for side in patch)
    network, image = Pointwise(channels=2), image_of(shape, channels=2)
    window = SlidingWindow(patch, stride, batch=batch)  # type: ignore[arg-type]
    expected = network(torch.from_numpy(image)[None])[0].detach()
    torch.testing.assert_close(window.scores(network, image, device="cpu"), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.exact
def test_many_volumes_share_batches_and_keep_their_results() -> None:
    network, window = tiny_network(), SlidingWindow((8, 8, 8), (8, 8, 8), batch=3)
    images = [
        image_of(shape, seed=seed)
        for seed, shape in enumerate([(5, 8, 7), (12, 9, 8), (3, 3, 3), (8, 8, 8), (1, 20, 2)])
    ]
    sizes_seen: list[int] = []
    network.register_forward_hook(lambda _, inputs, output: sizes_seen.append(len(inputs[0])))
    volumes = ((image, LabelSink(image.shape[1:])) for image in images)
    together = [sink.labels for sink in window.stream(network, volumes, device="cpu")]
    assert sizes_seen == [3, 3, 3, 3]  # 1 + 4 + 1 + 1 + 3 windows, and two to fill the last batch
    for image, labels in zip(images, together, strict=True):
        assert np.array_equal(labels, window.labels(network, image, device="cpu"))


def test_the_network_comes_back_in_the_mode_it_was_in() -> None:
    network = tiny_network().train()
    SlidingWindow((4, 4, 4), (4, 4, 4)).labels(network, image_of((4, 4, 4)), device="cpu")
    assert network.training


def test_a_diverged_network_is_refused() -> None:
    network = Pointwise()
    network.offset.data[1] = float("nan")
    with pytest.raises(NonFiniteLogits):
        SlidingWindow((4, 4, 4), (2, 2, 2)).labels(network, image_of((6, 6, 6)), device="cpu")


@pytest.mark.parametrize("stride", [(0, 4, 4), (4, 5, 4)])
def test_a_stride_that_leaves_gaps_is_refused(stride: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="stride"):
        SlidingWindow((4, 4, 4), stride)


class Hungry(nn.Module):
    """Runs out of memory on batches above ``fits``."""

    def __init__(self, fits: int, inner: nn.Module) -> None:
        super().__init__()
        self.fits, self.inner, self.tried = fits, inner, list[int]()

    def forward(self, x: Tensor) -> Tensor:
        self.tried.append(len(x))
        if len(x) > self.fits:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return self.inner(x)


@pytest.mark.exact
def test_out_of_memory_halves_the_batch_and_changes_nothing() -> None:
    image, window = image_of((20, 8, 8)), SlidingWindow((8, 8, 8), (2, 8, 8), batch=4)
    network = Hungry(1, tiny_network())
    scores = window.scores(network, image, device="cpu")
    torch.testing.assert_close(scores, window.scores(network.inner, image, device="cpu"))
    assert network.tried == [4, 2, 1, 1, 1, 1, 1, 1, 1]  # 7 windows; what has failed is not tried again


class Small(nn.Module):
    """A device that holds nothing: out of memory wherever the input is on it. It has no weights to be moved there."""

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type == "meta":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return torch.cat([x, 1 - x], dim=1)


def test_it_goes_on_with_the_cpu_where_the_device_holds_no_window(caplog: pytest.LogCaptureFixture) -> None:
    image, window = image_of((9, 8, 8)), SlidingWindow((8, 8, 8), (1, 8, 8))
    scores = window.scores(Small(), image, device="meta")
    assert scores.device.type == "cpu"
    assert torch.equal(scores, window.scores(Small(), image, device="cpu"))
    assert [record.message for record in caplog.records] == [
        "meta has not enough memory for one window: going on with the CPU."
    ]


def test_what_was_a_batch_there_is_not_one_on_the_cpu() -> None:
    """The pass under way goes on window by window: a GPU's batch may not fit the main memory."""
    passes: list[int] = []

    class Noting(Small):
        def forward(self, x: Tensor) -> Tensor:
            found = super().forward(x)
            passes.append(len(x))
            return found

    under_way = forward.Forward(Noting(), "meta", size=16)
    assert under_way(np.zeros((5, 1, 4, 4, 4), np.float32)).shape == (5, 2, 4, 4, 4)
    assert passes == [1, 1, 1, 1, 1]


class Elsewhere(Tensor):
    """A tensor that says it is on a GPU."""

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return torch.device("cuda")

    def to(self, *arguments: object, **options: object) -> Tensor:  # type: ignore[override]
        return self.as_subclass(Tensor)


@pytest.mark.parametrize(("free", "tries"), [(10**9, 1), (4 * 2 * 3 * 4**3, 0)])
def test_sums_are_in_main_memory_where_the_device_has_no_room(
    free: int, tries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor for them and as much again, which restoring takes: then it is not even tried."""
    plain, refused = torch.zeros, list[object]()
    monkeypatch.setattr(windows, "free_memory", lambda _: free)

    def zeros(*arguments: object, device: object = "cpu", **options: object) -> Tensor:
        if torch.device(device).type == "cuda":  # type: ignore[arg-type]
            refused.append(arguments)
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return plain(*arguments, **options)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(torch, "zeros", zeros)
    sink = ScoreSink((6, 4, 4))
    blend = Blend((6, 4, 4), importance((4, 4, 4), "gaussian"), sink)
    for start in (0, 2):
        blend.add((start, 0, 0), torch.full((2, 4, 4, 4), float(start)).as_subclass(Elsewhere))
    blend.close()
    assert len(refused) == tries
    assert torch.equal(sink.scores[:, [0, 5]], torch.tensor([0.0, 2.0])[:, None, None].expand(2, 2, 4, 4))


@pytest.mark.parametrize(
    ("room", "batches"), [(10.5, [1, 4, 4]), (2.5, [1, 2, 1, 2, 2]), (1.2, [1] * 8), (-1, [1] * 8)]
)
def test_batches_fit_the_memory_that_one_window_is_measured_to_need(
    room: float, batches: list[int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    each, used = 1000, 7000
    monkeypatch.setattr(forward, "used_memory", lambda: used)
    monkeypatch.setattr(forward, "measured", lambda work: (work(), each))
    network, sizes = tiny_network(), list[int]()
    network.register_forward_hook(lambda _, inputs, output: sizes.append(len(inputs[0])))
    image = image_of((22, 8, 8))
    window = SlidingWindow((8, 8, 8), (2, 8, 8), batch=4, max_memory=int(used + room * each))
    labels = window.labels(network, image, device="cpu")
    assert sizes == batches
    assert bool(caplog.records) == (room < 1)
    assert np.array_equal(labels, SlidingWindow((8, 8, 8), (2, 8, 8)).labels(network, image, device="cpu"))


@pytest.mark.exact
def test_a_volume_leaves_in_slabs_no_thicker_than_a_patch() -> None:
    seen: list[slice] = []
    sink = LabelSink((100, 5, 9))

    def record(planes: slice, logits: Tensor) -> None:
        seen.append(planes)
        assert logits.shape == (3, planes.stop - planes.start, 5, 9)
        sink(planes, logits)

    image, window = image_of((100, 5, 9)), SlidingWindow((8, 8, 8), (3, 4, 5))
    next(window.stream(tiny_network(), [(image, record)], device="cpu"))
    assert [planes.start for planes in seen] == [0, *(planes.stop for planes in seen[:-1])]
    assert seen[-1].stop == 100
    assert max(planes.stop - planes.start for planes in seen) <= 8
    assert np.array_equal(sink.labels, window.labels(tiny_network(), image, device="cpu"))


def test_not_even_one_window_fits() -> None:
    with pytest.raises(UserError, match="not enough memory"):
        SlidingWindow((4, 4, 4), (4, 4, 4)).labels(Hungry(0, tiny_network()), image_of((4, 4, 4)), device="cpu")


def test_other_errors_are_not_taken_for_lack_of_memory() -> None:
    with pytest.raises(RuntimeError, match="expected input"):
        SlidingWindow((4, 4, 4), (4, 4, 4)).labels(tiny_network(channels=2), image_of((4, 4, 4)), device="cpu")


@pytest.mark.parametrize(("room", "dtype"), [(4 * 600, torch.float32), (2 * 600, torch.float16), (10, torch.float16)])
def test_scores_are_rounded_once_where_memory_is_short(room: int, dtype: torch.dtype) -> None:
    network, image = tiny_network(), image_of((10, 5, 4))
    window = SlidingWindow((4, 4, 4), (1, 2, 2))
    full = window.scores(network, image, device="cpu")
    short = next(window.stream(network, [(image, ScoreSink((10, 5, 4), room))], device="cpu")).scores
    assert short.dtype == dtype
    assert torch.equal(short, full.to(dtype))


def test_allocated_zeros_are_zeros_wherever_they_live() -> None:
    for limit in (10**6, 50, 1):
        for exact in (False, True):
            zeros, _ = allocate((3, 2, 2, 2), limit, exact=exact)
            assert not zeros.any()
            assert zeros.dtype == (torch.float32 if exact or limit > 96 else torch.float16)


def test_half_precision_does_not_overflow() -> None:
    sink = ScoreSink((1, 1, 1), room=1)
    sink(slice(0, 1), torch.full((2, 1, 1, 1), 1e6))
    assert torch.isfinite(sink.scores).all()


@pytest.mark.parametrize("pages", [1, 3_000, 2**28])
def test_sums_in_a_file_give_the_same_labels(pages: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However few classes and planes of the file are in memory at a time."""
    monkeypatch.setattr(windows, "PAGES", pages)
    image, network = image_of((21, 9, 30)), tiny_network()
    blends = []
    monkeypatch.setattr(windows, "allocate", lambda *a, **b: blends.append(allocate(*a, **b)) or blends[-1])
    for weighting in ("gaussian", "constant"):
        plain = SlidingWindow((6, 8, 10), (3, 8, 7), weighting)  # type: ignore[arg-type]
        short = replace(plain, max_memory=1)
        assert np.array_equal(short.labels(network, image, device="cpu"), plain.labels(network, image, device="cpu"))
    assert [drop is None for _, drop in blends] == [False, True] * 2


def test_sums_in_a_file_leave_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "PAGES", 2**22)
    classes, shape, patch = 20, (64, 256, 256), (32, 128, 128)
    ring = 4 * classes * patch[0] * shape[1] * shape[2]
    logits, weights = torch.randn(classes, *patch), importance(patch, "gaussian")

    def blended(room: int | None) -> tuple[np.ndarray, int]:
        sink = LabelSink(shape)
        blend = Blend(shape, weights, sink, lambda: room)

        def work() -> None:
            for start in window_starts(shape, patch, (16, 128, 128)):
                blend.add(start, logits)
            blend.close()

        return sink.labels, measured(work)[1]

    (lean, grown), (plain, more) = blended(0), blended(None)
    assert np.array_equal(lean, plain)
    assert grown < 0.5 * ring < more


@pytest.mark.parametrize(("patch", "expected"), [((96, 96, 96), 1), ((64, 64, 64), 2), ((8, 8, 8), 2)])
def test_a_cpu_has_one_window_at_a_time_or_two_small_ones(patch: tuple, expected: int) -> None:
    window = torch.zeros(1, 1, 1, 1, 1).expand(1, 1, *patch)
    assert windows.windows_at_a_time(lambda image: pytest.fail("nothing is measured"), window) == expected


class OnGPU:
    """A window that says it is on a GPU."""

    device = torch.device("cuda")

    def __init__(self, *patch: int) -> None:
        self._window = torch.zeros(1).expand(1, 1, *patch)

    def __getitem__(self, index: object) -> Tensor:
        return self._window[index]  # type: ignore[index]


@pytest.mark.parametrize(
    ("patch", "each", "free", "limit", "expected"),
    [
        ((96, 96, 96), 1, 1000, None, 4),  # memory enough: as many as keep a GPU busy
        ((16, 16, 16), 1, 1000, None, 64),
        ((192, 192, 192), 1, 1000, None, 1),
        ((16, 16, 16), 10, 1000, None, 50),  # half of what is free
        ((16, 16, 16), 10, 1000, 300, 10),  # or of what is left of the limit, of which 100 are taken
        ((16, 16, 16), 10, 5, None, 1),
        ((16, 16, 16), 10, 1000, 50, 1),
    ],
)
def test_a_gpu_has_as_many_windows_as_fit_its_free_memory(
    patch: tuple, each: int, free: int, limit: int | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    window, done = OnGPU(*patch), list[object]()
    monkeypatch.setattr(windows, "measured", lambda work, device: (work(), each))
    monkeypatch.setattr(windows, "free_memory", lambda device: free)
    monkeypatch.setattr(windows, "used_memory", lambda device: 100)
    assert windows.windows_at_a_time(done.append, window, limit) == expected  # type: ignore[arg-type]
    assert done == [window]


def test_where_not_even_one_window_fits_a_gpu_they_go_one_by_one() -> None:
    """And from there on to the CPU, as when memory runs out later."""

    def full(image: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    def broken(image: object) -> None:
        raise RuntimeError("expected input")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows, "measured", lambda work, device: (work(), 1))
        assert windows.windows_at_a_time(full, OnGPU(8, 8, 8)) == 1  # type: ignore[arg-type]
        with pytest.raises(RuntimeError, match="expected input"):
            windows.windows_at_a_time(broken, OnGPU(8, 8, 8))  # type: ignore[arg-type]


def test_the_number_of_windows_is_decided_when_a_volume_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    network, sizes = tiny_network(), list[int]()
    network.register_forward_hook(lambda _, inputs, output: sizes.append(len(inputs[0])))
    monkeypatch.setattr(forward, "windows_at_a_time", lambda work, window, most: len(work(window)) * 3)
    SlidingWindow((8, 8, 8), (4, 8, 8)).labels(network, image_of((28, 8, 8)), device="cpu")
    assert sizes == [1, 3, 3]  # the one that is measured, and six windows
