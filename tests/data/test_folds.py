"""Folds: a partition, groups whole, the paper's order, others' splits to the letter, and the classes they lack."""

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_cases import CLASSES

from c2fnas.data.dataset import Case, Dataset, LabelClass, group_cases, units
from c2fnas.data.fold_problems import ClassCounts, alike_names, class_counts, fold_problems, missing_classes, one_site
from c2fnas.data.folds import (
    FoldChoice,
    Split,
    check_splits,
    chosen_groups,
    column_folds,
    find_splits_final,
    make_folds,
    random_folds,
    sequential_folds,
    splits_final,
)
from c2fnas.errors import UserError


def case(name: str, group: str | None = None, fold: int | None = None) -> Case:
    return Case(name, (Path(f"{name}.nii"),), None, group, fold)


def cases_of(names: str) -> tuple[Case, ...]:
    return tuple(case(name) for name in names)


def dataset_of(cases: tuple[Case, ...], root: Path = Path("Dataset001_Small")) -> Dataset:
    return Dataset("Small", root, ("MRI",), CLASSES, cases, ())


def write_splits(path: Path, *splits: tuple[str, str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([{"train": list(train), "val": list(val)} for train, val in splits]))
    return path


grouped = st.lists(st.one_of(st.none(), st.sampled_from("pqrstu")), min_size=6, max_size=40).map(
    lambda groups: tuple(case(f"c{number}", group) for number, group in enumerate(groups))
)


@settings(deadline=None)
@given(grouped, st.integers(2, 6), st.one_of(st.none(), st.integers(0, 2**32)))
def test_folds_are_a_partition_that_keeps_order_and_groups(
    cases: tuple[Case, ...], folds: int, seed: int | None
) -> None:
    together = units(cases)
    if len(together) < folds:
        with pytest.raises(UserError, match="can't be divided"):
            sequential_folds(cases, folds)
        return
    splits = sequential_folds(cases, folds) if seed is None else random_folds(cases, folds, seed)
    ids = [each.id for each in cases]
    assert Counter(name for split in splits for name in split.validation) == Counter(ids)
    for split in splits:
        assert sorted((*split.training, *split.validation), key=ids.index) == ids
        assert list(split.validation) == sorted(split.validation, key=ids.index)
        assert list(split.training) == sorted(split.training, key=ids.index)
        assert all(unit <= set(split.validation) or unit <= set(split.training) for unit in together)
    counts = [sum(unit <= set(split.validation) for unit in together) for split in splits]
    assert max(counts) - min(counts) <= 1
    check_splits(splits, cases)


def test_the_papers_folds_are_neighbours_in_order() -> None:
    splits = sequential_folds(cases_of("abcdefghijkl"))
    assert ["".join(split.validation) for split in splits] == ["abc", "def", "gh", "ij", "kl"]
    assert "".join(splits[-1].training) == "abcdefghij"


def test_random_folds_are_those_of_their_seed() -> None:
    cases = cases_of("abcdefghijklmnopqrst")
    assert random_folds(cases, seed=3) == random_folds(cases, seed=3)
    drawn = {random_folds(cases, seed=seed)[0].validation for seed in range(20)}
    assert len(drawn) > 15
    assert random_folds(cases, seed=0) != sequential_folds(cases)


def test_a_group_of_a_cases_name_is_not_that_case() -> None:
    assert units([case("a"), case("b", "a"), case("c", "a")]) == ({"a"}, {"b", "c"})


def test_groups_of_one_are_none() -> None:
    cases = (case("a_1"), case("a_2"), case("b_1"))
    dataset = dataset_of(cases)
    assert chosen_groups(dataset) == {}
    assert chosen_groups(dataset, FoldChoice(group_by="(.)_.")) == {"a_1": "group 1", "a_2": "group 1"}
    assert chosen_groups(dataset_of((case("a", "p"), case("b", "p"), case("c")))) == {"a": "group 1", "b": "group 1"}


def test_the_column_decides() -> None:
    cases = (case("a", fold=2), case("b", fold=7), case("c"), case("d", fold=2))
    assert column_folds(cases) == (Split(("b", "c"), ("a", "d")), Split(("a", "c", "d"), ("b",)))


@pytest.mark.parametrize(
    ("cases", "message"),
    [
        (cases_of("ab"), "No case names a fold"),
        ((case("a", fold=0), case("b", fold=0)), "fold 0 has no case to train on"),
        ((case("a", "p", 0), case("b", "p", 1), case("c", None, 1)), "fold 0 has p in training and in validation"),
    ],
)
def test_columns_that_make_no_folds(cases: tuple[Case, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        column_folds(cases)


def test_nnunets_splits_to_the_letter(tmp_path: Path) -> None:
    path = write_splits(tmp_path / "splits_final.json", ("cb", "a"), ("a", "cb"))
    assert splits_final(path, cases_of("abcd")) == (Split(("c", "b"), ("a",)), Split(("a",), ("c", "b")))


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ((("ab", "bc"),), "fold 0 has b in training and in validation"),
        ((("ab", "c"), ("ax", "c")), "fold 1 names x"),
        ((("abc", ""),), "fold 0 has no case to validate on"),
        ((("wxyz", "ab"),), "w, x, y and 1 more"),
    ],
)
def test_splits_that_do_not_fit(splits: tuple[tuple[str, str], ...], message: str, tmp_path: Path) -> None:
    path = write_splits(tmp_path / "splits_final.json", *splits)
    with pytest.raises(UserError, match=message) as refusal:
        splits_final(path, cases_of("abcd"))
    assert str(path) in str(refusal.value)


def test_splits_over_a_group_are_refused(tmp_path: Path) -> None:
    path = write_splits(tmp_path / "splits_final.json", ("ab", "cd"))
    with pytest.raises(UserError, match="p in training and in validation"):
        splits_final(path, (case("a"), case("b", "p"), case("c", "p"), case("d")))


@pytest.mark.parametrize("text", ["{", "[1]", '[{"train": ["a"]}]', "3", '{"train": [], "val": []}'])
def test_a_file_that_is_no_splits(text: str, tmp_path: Path) -> None:
    (tmp_path / "splits_final.json").write_text(text)
    with pytest.raises(UserError, match=r"splits_final\.json"):
        splits_final(tmp_path / "splits_final.json", cases_of("ab"))


def test_where_splits_are_found(tmp_path: Path) -> None:
    dataset = dataset_of(cases_of("ab"), tmp_path / "raw" / "Dataset001_Small")
    assert find_splits_final(dataset, tmp_path) is None
    inside = write_splits(tmp_path / "Dataset001_Small" / "splits_final.json", ("a", "b"))
    assert find_splits_final(dataset, tmp_path) == find_splits_final(dataset, inside) == inside
    beside = write_splits(tmp_path / "splits_final.json", ("a", "b"))
    assert find_splits_final(dataset, tmp_path) == beside


def test_grouping_by_an_expression() -> None:
    cases = group_cases([case("A_01_ED"), case("A_01_ES"), case("B_02_ED", "other")], "(.+)_E[DS]")
    assert [each.group for each in cases] == ["A_01", "A_01", "B_02"]
    assert [each.id for each in cases] == ["A_01_ED", "A_01_ES", "B_02_ED"]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [("(", "not a regular expression"), (".+", "in parentheses"), ("(B.*)", "A_01 doesn't match")],
)
def test_expressions_that_make_no_groups(pattern: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        group_cases([case("A_01")], pattern)


def test_class_counts_by_hand() -> None:
    splits = (Split(("a", "b"), ("c",)), Split(("c",), ("a", "b", "unread")))
    present = {"a": [0, 1], "b": [0, 1, 2], "c": [0]}
    assert class_counts(splits, present, 4) == (
        ClassCounts((2, 2, 1, 0), (1, 0, 0, 0)),
        ClassCounts((1, 0, 0, 0), (2, 2, 1, 0)),
    )


def test_missing_classes_are_warned_of_on_either_side_with_counts() -> None:
    counts = (ClassCounts((4, 4, 1), (1, 1, 0)), ClassCounts((4, 4, 0), (1, 0, 1)))
    warnings = missing_classes(counts, CLASSES, "folds.json")
    assert [warning.found for warning in warnings] == [
        "no 'organ' in validation of fold 1 (in 5 cases); "
        "no 'lesion' in training of fold 1 and validation of fold 0 (in 1 case)"
    ]
    assert all(option in warnings[0].fix for option in ("--folds random", "--seed", "--fold-count"))
    assert {(warning.severity, warning.file) for warning in warnings} == {("warning", "folds.json")}


def test_classes_by_the_dozen_are_one_line() -> None:
    classes = [LabelClass("background", (0,)), *(LabelClass(f"organ {n}", (n,)) for n in range(1, 26))]
    counts = (ClassCounts((4, *[4] * 25), (1, *[0] * 25)), ClassCounts((4, *[3] * 25), (1, *[1] * 25)))
    (warning,) = missing_classes(counts, classes, "")
    assert "no 'organ 5' in validation of fold 0 (in 4 cases) and 20 more classes" in warning.found
    assert "organ 6" not in warning.found


@pytest.mark.parametrize(
    ("ids", "patients"),
    [
        ([f"{vendor}_{patient}_{phase}" for vendor in "AB" for patient in "xyz" for phase in ("ED", "ES")], 6),
        ([f"patient{n:03d}_frame{n * 3 + at:02d}" for n in range(5) for at in (1, 9)], 5),
        ([f"sub-{n:02d}.ses-{visit}" for n in range(4) for visit in (1, 2, 3)], 4),
        ([f"{side}-Müller{n}" for n in range(3) for side in ("left", "right")], 3),
        (["a1", "a1_follow", "b", "b_follow", "c"], 3),
    ],
)
def test_names_that_look_like_one_patient_are_told_with_the_option_that_mends_it(ids: list[str], patients: int) -> None:
    """The option, taken from the message as it stands, makes a group of each patient."""
    cases = tuple(map(case, ids))
    (problem,) = alike_names(cases, "")
    assert problem is not None
    assert problem.severity == "warning"
    pattern = problem.fix.partition("--group-by '")[2].partition("'")[0]
    assert len(units(group_cases(cases, pattern))) == patients
    assert alike_names(group_cases(cases, pattern), "") == ()


@pytest.mark.parametrize(
    "ids",
    [
        [f"hippocampus_{n:03d}" for n in range(9)],
        [f"case{n}" for n in range(9)],
        [f"siteA_{n}" for n in range(12)] + [f"siteB_{n}" for n in range(12)],
        ["brats_2013_pat0001_1", "brats_2013_pat0002_1", "brats_2013_pat0003_1"],
        ["only_one"],
    ],
)
def test_names_of_other_patients_are_not_told(ids: list[str]) -> None:
    assert alike_names(tuple(map(case, ids)), "") == ()


def test_groups_that_the_data_set_names_are_not_told() -> None:
    assert alike_names(tuple(case(f"p{n}_{phase}", f"p{n}") for n in range(3) for phase in ("ED", "ES")), "") == ()


SITES = [f"{site}_{n:02d}" for site, count in (("A", 22), ("B", 18)) for n in range(count)]


def test_folds_that_validate_on_one_site_are_told_with_the_option_that_mends_it() -> None:
    """Sequential folds of names in order, as a data set of two scanners has them; random ones spread the sites."""
    cases = tuple(map(case, SITES))
    (warning,) = one_site(sequential_folds(cases), "folds.json")
    assert "'A' (22 cases) or 'B' (18)" in warning.found
    assert warning.found.endswith("validation of fold 0, 1, 3, 4")
    assert (warning.severity, warning.file) == ("warning", "folds.json")
    assert "--folds random" in warning.fix
    assert one_site(random_folds(cases), "") == ()
    assert fold_problems(dataset_of(cases), {}, "d") == one_site(sequential_folds(cases), "d")


@pytest.mark.parametrize(
    "ids",
    [
        [f"hippocampus_{n:03d}" for n in range(40)],
        [f"patient{n:03d}_frame{at:02d}" for n in range(20) for at in (1, 9)],
        [f"case{n}" for n in range(40)],
        [*SITES[:22], "other_1", "other_2"],
    ],
)
def test_names_that_tell_no_sites(ids: list[str]) -> None:
    assert one_site(sequential_folds(tuple(map(case, ids))), "") == ()


def test_a_class_without_a_case_is_no_matter_of_folds() -> None:
    assert missing_classes((ClassCounts((4, 4, 0), (1, 1, 0)),), CLASSES, "") == ()


TWENTY = dataset_of(cases_of("abcdefghijklmnopqrst"))


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (FoldChoice(), sequential_folds(TWENTY.training, 5)),
        (FoldChoice("sequential", 3), sequential_folds(TWENTY.training, 3)),
        (FoldChoice(count=4), sequential_folds(TWENTY.training, 4)),
        (FoldChoice("random"), random_folds(TWENTY.training, 5, 11)),
        (FoldChoice("random", 10), random_folds(TWENTY.training, 10, 11)),
    ],
)
def test_what_is_asked_for_is_made(choice: FoldChoice, expected: tuple[Split, ...]) -> None:
    assert make_folds(TWENTY, choice, seed=11) == expected


def test_by_default_the_column_where_there_is_one_and_as_many_as_there_are_cases() -> None:
    column = (case("a", fold=0), case("b", fold=1), case("c", fold=1))
    assert make_folds(dataset_of(column)) == column_folds(column)
    assert make_folds(dataset_of(column), FoldChoice("sequential")) == sequential_folds(column, 3)
    pairs = tuple(case(f"p{number}_{phase}") for number in range(3) for phase in ("ED", "ES"))
    folds = make_folds(dataset_of(pairs), FoldChoice(group_by="(p.)_"))
    assert [split.validation for split in folds] == [(f"p{n}_ED", f"p{n}_ES") for n in range(3)]


def test_splits_by_their_path(tmp_path: Path) -> None:
    path = write_splits(tmp_path / "mine.json", ("abc", "d"))
    dataset = dataset_of(cases_of("abcd"))
    assert make_folds(dataset, FoldChoice(str(path))) == (Split(("a", "b", "c"), ("d",)),)
    with pytest.raises(UserError, match="neither sequential, random, column"):
        make_folds(dataset, FoldChoice("sequental"))
    for by in (str(path), "column"):
        with pytest.raises(UserError, match="Leave it out"):
            make_folds(dataset, FoldChoice(by, count=3))


@pytest.mark.parametrize(("names", "count"), [("ab", 3), ("a", 2), ("ab", 1)])
def test_too_few_cases(names: str, count: int | None) -> None:
    with pytest.raises(UserError, match="can't be divided"):
        make_folds(dataset_of(cases_of(names)), FoldChoice(count=count))


def test_one_case_or_one_group_trains_and_nothing_validates() -> None:
    assert make_folds(dataset_of(cases_of("a"))) == (Split(("a",), ()),)
    assert make_folds(dataset_of((case("p_1"), case("p_2"))), FoldChoice(group_by="(p)_")) == (
        Split(("p_1", "p_2"), ()),
    )


def test_a_column_that_splits_a_group_is_told_in_words() -> None:
    cases = tuple(Case(name, (), None, group="p", fold=number) for number, name in enumerate("ab"))
    dataset = Dataset("", Path(), (), (), cases, ())
    (problem,) = fold_problems(dataset, {}, "cases.csv")
    assert (problem.found, problem.severity) == ("fold 0 has p in training and in validation", "error")


def test_problems_of_the_default_folds() -> None:
    everywhere = dict.fromkeys("abc", (0, 1, 2))
    assert fold_problems(dataset_of(cases_of("abc")), everywhere, "") == ()
    assert fold_problems(dataset_of(()), {}, "") == ()
    lacking = fold_problems(dataset_of(cases_of("abc")), everywhere | {"b": (0, 1)}, "d")
    assert [(each.severity, each.file) for each in lacking] == [("warning", "d")]
    assert fold_problems(dataset_of(cases_of("abc")), {"a": (0,)}, "") == ()  # labels first
    (few,) = fold_problems(dataset_of(cases_of("a")), {}, "")
    assert few.severity == "warning"
    assert "not measurable" in few.fix
    overlap = dataset_of((case("a", "p", 0), case("b", "p", 1), case("c", fold=1)))
    (split,) = fold_problems(overlap, dict.fromkeys("abc", (0, 1, 2)), "")
    assert split.severity == "error"


def test_an_empty_list_of_splits_is_none(tmp_path: Path) -> None:
    (tmp_path / "splits_final.json").write_text("[]")
    with pytest.raises(UserError, match="not nnU-Net's splits"):
        splits_final(tmp_path / "splits_final.json", [])
