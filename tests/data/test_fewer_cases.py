"""The cases that a budget's time pays for: whole groups from every fold, drawn by seed."""

from hypothesis import given
from hypothesis import strategies as st

from c2fnas.data.dataset import Case, shared_groups
from c2fnas.data.fewer_cases import drawn, restricted
from c2fnas.data.folds import check_splits, random_folds

CASES = st.lists(st.integers(0, 12), min_size=10, max_size=40).map(
    lambda groups: tuple(Case(f"c{number:02}", (), None, f"g{group}") for number, group in enumerate(groups))
)


@given(CASES, st.integers(1, 40), st.integers(0, 5))
def test_whole_groups_of_every_fold_are_drawn(cases: tuple[Case, ...], count: int, seed: int) -> None:
    if len({case.group for case in cases}) < 3:
        return
    folds = random_folds(cases, 3, seed=1)
    groups = shared_groups(cases)
    kept = drawn(folds, groups, count, seed)
    assert kept == drawn(folds, groups, count, seed)
    check_splits(kept, cases)
    taken = {case for split in kept for case in (*split.training, *split.validation)}
    whole = {case.group: {each.id for each in cases if each.group == case.group} for case in cases}
    assert all(members <= taken or not members & taken for members in whole.values())
    largest = max(map(len, whole.values()))
    assert min(count, len(cases)) <= len(taken) < max(count, 3 * largest) + largest
    assert restricted(folds, kept) == kept


def test_all_cases_change_nothing() -> None:
    cases = tuple(Case(f"c{number}", (), None) for number in range(11))
    folds = random_folds(cases, 5, seed=0)
    assert drawn(folds, {}, 11, seed=3) == folds


def test_another_seed_draws_others() -> None:
    cases = tuple(Case(f"c{number}", (), None) for number in range(40))
    folds = random_folds(cases, 5, seed=0)
    assert drawn(folds, {}, 10, seed=0) != drawn(folds, {}, 10, seed=1)
