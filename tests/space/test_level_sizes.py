from hypothesis import given
from hypothesis import strategies as st

from c2fnas.space.geometry import level_sizes, padded_size

SIZES = st.tuples(*[st.integers(1, 200)] * 3)


@given(SIZES, st.integers(0, 4))
def test_lowest_level_is_never_a_single_voxel_after_padding(size: tuple[int, int, int], downsamplings: int):
    padded = padded_size(size, downsamplings)
    assert level_sizes(padded, downsamplings)[-1] != (1, 1, 1)
    assert all(grown >= given_size for grown, given_size in zip(padded, size, strict=True))
    assert (padded == size) == (level_sizes(size, downsamplings)[-1] != (1, 1, 1))


@given(SIZES)
def test_multiples_of_16_halve_exactly(size: tuple[int, int, int]):
    sizes = level_sizes(tuple(16 * side for side in size), 3)  # type: ignore[arg-type]
    assert sizes == tuple(tuple(16 * side // 2**halvings for side in size) for halvings in range(5))
