"""What is hardly true of a data set is told; what may be is not."""

import pytest

from c2fnas.data.fingerprint import CaseFingerprint, ChannelFingerprint, ClassFingerprint, Fingerprint
from c2fnas.data.plausibility import implausible
from c2fnas.text import rough

MR = ChannelFingerprint(name="MRI", kind="mr", low=0, high=1, mean=0, std=1)


def case(name: str, ml: float, spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> CaseFingerprint:
    voxels, shape = round(1000 * ml / (spacing[0] * spacing[1] * spacing[2])), (100, 100, 100)
    return CaseFingerprint(
        id=name, shape=shape, nonzero_shape=shape, spacing=spacing, voxels=(10, voxels), sha256="", files=()
    )


def found(name: str, *cases: CaseFingerprint) -> tuple[str, ...]:
    classes = (
        ClassFingerprint(name="background", values=(0,), cases=len(cases)),
        ClassFingerprint(name=name, values=(1,), cases=len(cases)),
    )
    return implausible(Fingerprint(name="a", folder="a", channels=(MR,), classes=classes, cases=cases))


@pytest.mark.parametrize(
    ("name", "ml", "told"),
    [
        ("liver", 1500, False),
        ("Liver", 1.5, True),
        ("left kidney", 150, False),
        ("right_kidney", 150_000, True),
        ("LV cavity", 8.8, True),
        ("LV cavity", 90, False),
        ("left atrium", 60, False),
        ("spleen", 0.2, True),
        ("liver tumour", 0.2, False),
        ("Anterior", 0.2, False),
    ],
)
def test_volumes_of_named_structures(name: str, ml: float, told: bool) -> None:
    sentences = found(name, case("a", ml), case("b", ml), case("c", 2 * ml))
    assert bool(sentences) == told
    if told:
        assert f"{name}: {rough(ml)} ml in the median case" in sentences[0]


def test_a_spacing_in_another_unit_is_told() -> None:
    (sentence, *_) = found("lesion", *(case(str(n), 1, (0.0005, 0.0005, 0.003)) for n in range(2)))
    assert "0, 1: a spacing of 0.0005 × 0.0005 × 0.003 mm" in sentence


def test_one_case_with_voxels_of_another_size_is_told() -> None:
    usual = [case(str(n), 5, (0.7, 0.7, 5.0)) for n in range(4)]
    sentences = found("lesion", *usual, case("odd", 5, (7.0, 7.0, 5.0)))
    assert sentences == (
        "odd: voxels of 245 mm³, where those of the median case have 2.45 mm³. Look at their spacing.",
    )


def test_images_of_a_few_millimetres_or_many_metres_are_told() -> None:
    (sentence,) = found("lesion", case("a", 0.001, (0.03, 0.03, 0.03)))
    assert sentence == "a: 3 mm along the longest side. Look at the spacing."


def test_one_volume_far_from_the_others_is_told_and_widely_spread_ones_are_not() -> None:
    usual = [case(str(n), ml) for n, ml in enumerate((9, 10, 10, 11, 12, 10))]
    (sentence,) = found("lesion", *usual, case("odd", 0.1))
    assert sentence.startswith("lesion: 0.1 ml in odd, where the median case has 10 ml.")
    assert not found("lesion", *(case(str(n), ml) for n, ml in enumerate((0.1, 0.5, 2, 10, 30, 100))))
    assert not found("lesion", *usual[:4], case("odd", 0.1)), "too few to tell"
