"""Several runs side by side: what differs, what can be said of a pair, and a page that stands alone."""

from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from report_runs import begun_run, evaluation, finished_run
from test_report_page import read

from c2fnas.api.reports import report
from c2fnas.data.phantoms import write_phantoms
from c2fnas.data.scan import scan_dataset
from c2fnas.errors import UserError
from c2fnas.evaluation.metrics import CaseScores, summarise
from c2fnas.evaluation.verdict import Contestant, Reference, Verdict
from c2fnas.files import write_json
from c2fnas.report.comparison import ComparedRun, dice_interval, pair_sentences, read_runs
from c2fnas.report.page import without_folders
from c2fnas.runs.folder import RunFolder


def test_an_interval_over_cases_is_that_of_their_mean() -> None:
    """Of a large normal sample: 1.96 standard errors to each side, to a tenth of them."""
    dice = np.random.default_rng(0).normal(0.7, 0.05, 400)
    found = dice_interval({0: summarise([CaseScores(str(n), {"organ": value}) for n, value in enumerate(dice)])}, {})
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert found.mean == pytest.approx(dice.mean())
    expected = 1.96 * dice.std(ddof=1) / 20
    assert found.high - found.mean == pytest.approx(expected, rel=0.1)
    assert found.mean - found.low == pytest.approx(expected, rel=0.1)


def test_groups_are_drawn_together() -> None:
    rows = [CaseScores(str(n), {"organ": 0.5 + 0.1 * (n % 4)}) for n in range(8)]
    apart = dice_interval({0: summarise(rows)}, {})
    together = dice_interval({0: summarise(rows)}, {str(n): str(n % 4) for n in range(8)})
    assert apart is not None
    assert together is not None
    assert (apart.groups, together.groups) == (8, 4)
    assert (together.high or 0) - (together.low or 0) > (apart.high or 0) - (apart.low or 0)


def test_only_what_differs_is_listed(tmp_path: Path) -> None:
    runs = [finished_run(tmp_path / "a"), finished_run(tmp_path / "b", seed=3, dataset_path="/elsewhere/Task00")]
    found = read_runs([each.root for each in runs])
    assert found.differences == {"seed": ("0", "3")}
    assert [each.name for each in found.runs] == ["a", "b"]


def test_a_pair_is_answered_as_the_verdict_would(tmp_path: Path) -> None:
    runs = [finished_run(tmp_path / name) for name in ("a", "b")]
    write_json(runs[1].final_fold(1) / "evaluation.json", evaluation([0.6, 0.5]))
    answer, networks = read_runs([each.root for each in runs]).pairs
    assert answer.startswith("a cannot be told from b: Dice +0.0500, one training of each")
    assert networks.startswith("a less b, these two trained networks alone, over cases: Dice +0.0500")


@pytest.fixture(scope="module")
def fingerprint(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    data = write_phantoms(tmp_path_factory.mktemp("data") / "phantoms", cases=2, test_cases=0)
    return scan_dataset(data).fingerprint.model_dump(mode="json")


def changed(fingerprint: dict[str, Any], **values: object) -> dict[str, Any]:
    """A fingerprint with other values of its first case."""
    return fingerprint | {"cases": [fingerprint["cases"][0] | values, *fingerprint["cases"][1:]]}


def test_data_that_were_copied_are_the_same(tmp_path: Path, fingerprint: dict[str, Any]) -> None:
    """Names and times of files are in a fingerprint's file, and say nothing of what was read."""
    first, second = finished_run(tmp_path / "a"), finished_run(tmp_path / "b", fingerprint_sha256="e" * 64)
    write_json(first.fingerprint, fingerprint)
    write_json(second.fingerprint, changed(fingerprint, files=[["other.nii.gz", 1, 2]]))
    found = read_runs([first.root, second.root])
    assert "data" not in found.differences
    assert found.pairs[0].startswith("a cannot be told from b")


def test_data_with_another_content_are_others(tmp_path: Path, fingerprint: dict[str, Any]) -> None:
    first, second = finished_run(tmp_path / "a"), finished_run(tmp_path / "b")
    write_json(first.fingerprint, fingerprint)
    write_json(second.fingerprint, changed(fingerprint, sha256="e" * 64))
    found = read_runs([first.root, second.root])
    assert "data" in found.differences
    assert found.pairs == ("a and b: they are of other data.",)


def test_what_can_not_be_compared_is_said(tmp_path: Path) -> None:
    first, begun = finished_run(tmp_path / "a").root, begun_run(tmp_path / "b").root
    other = finished_run(tmp_path / "c", fingerprint_sha256="e" * 64)
    assert read_runs([first, begun]).pairs == ("a and b: b has no Dice yet.",)
    assert read_runs([first, other.root]).pairs == ("a and c: they are of other data.",)
    cases = finished_run(tmp_path / "d")
    write_json(cases.final_fold(1) / "evaluation.json", evaluation([0.6]))
    (sentence,) = read_runs([first, cases.root]).pairs
    assert sentence.startswith("a and d can't be compared: ")
    with pytest.raises(UserError, match="named twice"):
        read_runs([first, first])


def test_the_page_stands_alone(tmp_path: Path) -> None:
    runs = [
        finished_run(tmp_path / "a").root,
        finished_run(tmp_path / "b", seed=3).root,
        begun_run(tmp_path / "c").root,
    ]
    page = report(runs)
    assert page == tmp_path / "comparison" / "index.html"
    parsed, text = read(page)
    assert "3 runs side by side" in text
    assert "0.600" in text
    assert "2 cases, fold 1" in text
    assert {"runs-dice", "runs-fronts"} <= set(parsed.ids)
    for link in parsed.links:
        assert link == "data:," or (page.parent / link).is_file(), link
    own = tmp_path / "there" / "figures" / "mine.png"
    own.parent.mkdir(parents=True)
    own.touch()
    assert report(runs[:2], folder=tmp_path / "there").parent == tmp_path / "there"
    assert own.exists()


def test_the_page_of_one_run_goes_where_it_is_asked_to(tmp_path: Path) -> None:
    """Such as that of a run which may only be read."""
    run = finished_run(tmp_path / "run").root
    own = tmp_path / "there" / "figures" / "mine.png"
    own.parent.mkdir(parents=True)
    own.touch()
    page = report(run, folder=tmp_path / "there", overlays=False)
    assert page == tmp_path / "there" / "index.html"
    assert own.exists()
    assert not (run / "report").exists()
    assert "--like run" in page.read_text()
    assert "report/repeat.json" not in page.read_text()
    parsed, _ = read(page)
    for link in parsed.links:
        assert link.startswith(("data:", "#")) or (page.parent / link).is_file(), link


def test_the_page_names_no_folder_above_its_runs(tmp_path: Path) -> None:
    """Folders are named after people, and reasons of failures name files."""
    runs = [finished_run(tmp_path / "smith_john" / name, verdict=True).root for name in "ab"]
    network = Contestant("U-Net", "x", 1, 1, None, None)
    for run in runs:
        failed = Reference("unet_macs", network, "", None, None, f"fold 0: {run}/cache/a: damaged")
        write_json(RunFolder(run).verdict_file, Verdict(network, (failed,), 0, (1,), "", ()).to_json())
    assert "smith_john" not in report(runs).read_text(encoding="utf-8")
    page = f"<p>{tmp_path}/smith_john/a/cache and {tmp_path}/b</p>"
    for order in ([runs[0], tmp_path / "b"], [tmp_path / "b", runs[0]]):
        assert without_folders(page, order) == "<p>a/cache and b</p>", "the innermost first"
    assert "smith_john" in report(runs, keep_identifiers=True).read_text(encoding="utf-8")


def run_of(number: int, dice: float, noise: np.ndarray, margin: float = 0.01) -> ComparedRun:
    """A run of five folds, whose Dice is ``dice`` and the noise of each fold and case."""
    folds = {
        fold: summarise([CaseScores(f"{fold}-{case}", {"organ": dice + value}) for case, value in enumerate(row)])
        for fold, row in enumerate(noise[number])
    }
    config = SimpleNamespace(fingerprint_sha256="f", margin=margin)
    summary = SimpleNamespace(config=config, data=None, groups={}, evaluations=folds)
    return ComparedRun("abc"[number], summary, dice_interval(folds, {}), None)  # type: ignore[arg-type]


def test_of_two_margins_the_smaller_one_counts() -> None:
    noise = np.random.default_rng(5).normal(0, 0.001, (2, 5, 8))
    for margins in ((0.003, 0.02), (0.02, 0.003)):
        sentence, *_ = pair_sentences([run_of(0, 0.7, noise, margins[0]), run_of(1, 0.706, noise, margins[1])])
        assert "a is worse than b" in sentence


def test_answers_of_several_pairs_are_corrected_together() -> None:
    """Three of three runs: a difference that would stand alone does not among them."""
    noise = np.random.default_rng(4).normal(0, 0.01, (3, 5, 8))

    def run(number: int, dice: float) -> ComparedRun:
        return run_of(number, dice, noise)

    runs = [run(0, 0.7), run(1, 0.7), run(2, 0.7055)]
    alone = [pair_sentences(list(pair))[0] for pair in combinations(runs, 2)]
    together = pair_sentences(runs)
    assert sum("is worse than" in sentence for sentence in alone) > sum("is worse than" in each for each in together)
