"""The page of runs in every state: whole, self-contained, and true."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from report_runs import begun_run, finished_run, planned_run, searching_run
from typer.testing import CliRunner

from c2fnas import __version__
from c2fnas.cli import app
from c2fnas.evaluation.comparison import Difference, PairedDifference
from c2fnas.evaluation.replicates import Comparison
from c2fnas.evaluation.verdict import Contestant, Reference, Verdict
from c2fnas.files import read_json, write_json
from c2fnas.report import write_report
from c2fnas.report.figures.sections import SECTIONS
from c2fnas.report.page import render_page
from c2fnas.report.summary import read_report
from c2fnas.report.text import NO_VERDICT, tasks, verdict_basis
from c2fnas.runs.config import FoldsConfig, Shares

VOID = {"meta", "link", "br", "img", "hr", "input"}


class Strict(HTMLParser):
    """Refuses elements that are not closed, and collects links."""

    def __init__(self) -> None:
        super().__init__()
        self.open, self.links, self.text, self.ids = list[str](), list[str](), list[str](), list[str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        values = dict(attrs)
        self.links += [str(values[name]) for name in ("href", "src") if name in values]
        if "id" in values:
            self.ids.append(str(values["id"]))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [str(value) for name, value in attrs if name == "id"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a finished run whose models have gone."""
    folder = finished_run(tmp_path_factory.mktemp("finished"))
    row = {"patch": [16, 16, 8], "parameters": 10, "macs": 99, "per_class": {"organ": 0.5}, "reason": None}
    failed = {"per_class": None, "dice": None, "reason": "no memory"}
    scored = [{"width": width, "dice": 0.5, **row, "macs": 99 + width} for width in (0.25, 0.5)]
    write_json(folder.scale / "table.json", [*scored, {"width": 1.0, **row, **failed}])
    return write_report(folder.root)


def read(page: Path) -> tuple[Strict, str]:
    """The page, parsed, and its text."""
    parser = Strict()
    parser.feed(page.read_text(encoding="utf-8"))
    assert not parser.open
    return parser, re.sub(r"\s+", " ", "".join(parser.text))


def test_a_run_that_has_only_begun(tmp_path: Path) -> None:
    _, text = read(write_report(begun_run(tmp_path).root))
    assert "The run is not finished: no stage is done yet" in text
    assert NO_VERDICT in text
    assert "Phantoms & <others>" in text


def test_a_search_under_way(tmp_path: Path) -> None:
    page, text = read(write_report(searching_run(tmp_path).root))
    assert "4 of 6 topologies" in text
    assert "the loss is not finite" in text
    assert "left" in text
    assert "figure-4-cluster-shares" in page.ids
    assert "2 files: found labels as <f4>, expected an integer type. Use --fix." in text


def test_a_finished_run_is_whole(finished: Path) -> None:
    page, text = read(finished)
    assert "The run is finished." in text
    assert "no memory" in text
    assert "table-4-widths" in page.ids
    assert "c2fnas run Task00 NEW --like" in text
    assert "report/repeat.json" in text
    assert "1 of 2 folds" in text
    assert "Ranking: 20 paths, the best of them on 2 validation cases." in text
    assert "2 cases of fold 1, each predicted by a network that was not trained on it, on which the search has" in text
    assert finished.parent.with_name("run.yaml").read_text().splitlines()[1] in text
    for link in page.links:
        if link.startswith("#"):
            assert link[1:] in page.ids, link
        else:  # nothing is fetched: links lead to the files beside the page
            assert link.startswith("data:") or (finished.parent / link).is_file(), link
    drawn = {path.name for path in (finished.parent / "figures").iterdir()}
    assert {"figure-5-architecture.svg", "figure-5-architecture.png", "fine-pareto.png", "dice-by-case.svg"} <= drawn
    assert {"figure-5-architecture.csv", "dice-by-case.csv", "coarse-map-dice.csv"} <= drawn


def test_nothing_is_loaded_from_elsewhere(finished: Path) -> None:
    html = finished.read_text(encoding="utf-8")
    assert "<script" not in html, "there is no case to scroll through"
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', html)
    assert not re.findall(r"@import|url\((?!#)", html)


def test_cases_that_cannot_be_shown_are_told_of(finished: Path) -> None:
    """The page says why, and is made all the same."""
    _, text = read(finished)
    assert "Cases are not shown: no fold has a model package." in text


def verdict() -> Verdict:
    """One that can't tell from a U-Net after one training, and has no DynUNet to compare with."""
    found = Contestant("searched network", "0:3D @1", 1200, 5_000_000, 0.6, {"organ": 0.6})
    alone = PairedDifference(Difference(0.01, -0.1, 0.1, 8, 8), {}, 0.95)
    once = Comparison(0.01, None, 0, None, 0.0, (1, 1), "seeds", 8)
    unet = Reference("unet_macs", replace(found, title="U-Net of equal MACs"), "as near as filters allow", once, alone)
    nothing = Reference("dynunet", None, "it was not timed", None, None, "it was not timed")
    return Verdict(found, (unet, nothing), 8, (1,), "recipe modern", ("One fold alone.",), None, 7200.0)


def test_a_verdict_stands_at_the_top(tmp_path: Path) -> None:
    folder, given = begun_run(tmp_path), verdict()
    write_json(folder.verdict_file, given.to_json())
    _, text = read(write_report(folder.root))
    assert NO_VERDICT not in text
    assert text.index("Cannot tell from the U-Net of equal MACs: Dice +0.0100") < text.index("What was done")
    assert text.index("The search itself took 2 h 0 min of a device.") < text.index("What was done")
    assert text.index("these two trained networks alone, over cases: Dice +0.0100") > text.index("What was done")
    assert "U-Net of equal MACs: as near as filters allow." in text
    assert "No comparison with the dynunet: it was not timed." in text
    assert "One fold alone." in text


def test_a_verdict_says_on_which_cases_it_rests(tmp_path: Path) -> None:
    folder, given = planned_run(tmp_path), verdict()
    write_json(folder.verdict_file, replace(given, folds=(0,)).to_json())
    shared = "The search has chosen on some of these cases."  # fold 0 has one of fold 1, by which it chose
    assert str(verdict_basis(read_report(folder.root))).endswith(shared)
    folds = read_json(folder.folds)
    folds[0]["validation"] = ["phantom_000", "phantom_003"]
    write_json(folder.folds, folds)
    write_json(folder.verdict_file, given.to_json())
    expected = "It rests on 2 cases, of fold 1; each network was trained once. The search has chosen on these cases."
    assert str(verdict_basis(read_report(folder.root))).startswith(expected)
    write_json(folder.verdict_file, replace(given, folds=(0,), replicates=3).to_json())
    expected = "It rests on 2 cases, of fold 0; each network was trained 3 times. The search has not chosen on them."
    assert verdict_basis(read_report(folder.root)) == expected
    folds[0]["groups"] = dict.fromkeys(folds[0]["validation"], "1")
    write_json(folder.folds, folds)
    assert "2 cases of 1 group, of fold 0" in str(verdict_basis(read_report(folder.root)))


def test_a_plain_training_does_not_speak_of_a_search(tmp_path: Path) -> None:
    folder = planned_run(tmp_path, kind="training")
    html = write_report(folder.root, overlays=False).read_text(encoding="utf-8")
    body = re.sub(r"<style>.*?</style>|<details><summary>The resolved.*?</details>", "", html, flags=re.DOTALL)
    assert "search" not in body
    assert "Verdict" not in body


def test_minus_signs_are_real(tmp_path: Path) -> None:
    folder, given = begun_run(tmp_path), verdict()
    once = Comparison(-0.01, None, 0, None, 0.0, (1, 1), "seeds", 8)
    first = replace(given.references[0], comparison=once)
    write_json(folder.verdict_file, replace(given, references=(first,)).to_json())
    _, text = read(write_report(folder.root))
    assert "Dice −0.0100" in text
    assert "Dice -0" not in text


def test_a_verdict_that_was_given_afterwards_was_done_too(tmp_path: Path) -> None:
    folder = begun_run(tmp_path)
    assert not any(task.startswith("Verdict") for task in tasks(read_report(folder.root)))
    write_json(folder.verdict_file, verdict().to_json())
    assert any(task.startswith("Verdict") for task in tasks(read_report(folder.root)))


def test_the_page_names_its_maker_and_the_runs_versions(tmp_path: Path) -> None:
    _, text = read(write_report(begun_run(tmp_path, versions={"python": "3.11", "c2fnas": "0.0.7"}).root))
    assert f"Made by c2fnas {__version__} on" in text
    assert "c2fnas 0.0.7" in text


def test_a_super_network_that_has_learnt_nothing_is_told_of(tmp_path: Path) -> None:
    run = read_report(finished_run(tmp_path, ranked=[0.25] * 20).root)
    page = tmp_path / "page.html"
    page.write_text(render_page(run, dict.fromkeys(SECTIONS, ())), encoding="utf-8")
    _, text = read(page)
    assert "All 20 candidates have the same Dice, 0.250" in text


def test_figures_of_an_older_report_go(tmp_path: Path) -> None:
    folder = begun_run(tmp_path)
    stale = folder.report / "figures" / "fine-pareto.svg"
    stale.parent.mkdir(parents=True)
    stale.write_text("old")
    write_report(folder.root)
    assert not stale.exists()


def test_the_command_prints_where_the_page_is(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["report", str(begun_run(tmp_path).root), "--device", "cpu"])
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(tmp_path / "report" / "index.html")


@pytest.mark.parametrize("sampler", ["algorithm1", "random"])
def test_the_sampler_is_named(tmp_path: Path, sampler: str) -> None:
    from c2fnas.runs.config import RunConfig

    folder = begun_run(tmp_path)
    config = RunConfig.load(folder.config)
    coarse = config.coarse.model_copy(update={"sampler": sampler})
    config.model_copy(update={"coarse": coarse}).save(folder.config)
    _, text = read(write_report(folder.root))
    assert ("Algorithm 1 of the paper" if sampler == "algorithm1" else "the sampler random") in text


def test_no_folder_above_the_run_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """People's folders are named after people: of paths the last part stays, however the run itself is named."""
    changes = {
        "budget": "/home/dr_smith/mine.yaml",
        "folds": FoldsConfig(by="/data/smith_john/splits.json"),
        "overrides": {"folds.by": "/data/smith_john/splits.json"},
    }
    folder = finished_run(tmp_path / "clinic" / "smith_john" / "run1", **changes)
    monkeypatch.chdir(tmp_path)
    page = write_report(folder.root.relative_to(tmp_path), overlays=False).read_text(encoding="utf-8")
    assert "run1" in page
    assert "smith_john" not in page
    assert "dr_smith" not in page
    whole = write_report(folder.root, overlays=False, keep_identifiers=True).read_text(encoding="utf-8")
    assert str(folder.root) in whole


def test_time_that_was_not_saved_is_not_said_to_be(tmp_path: Path) -> None:
    for saved, hours in ((0.0, 1.0), (60.0, None), (60.0, 1.0)):
        shares = None if hours is None else Shares(coarse=0.33, supernet=0.11, ranking=0.06, deployment=0.5)
        folder = finished_run(tmp_path / f"{saved}-{hours}", hours=hours, shares=shares)
        row = {"macs": 1, "scores": [0.5], "mean": 0.5, "deviation": 0.1}
        known: dict[str, Any] = dict.fromkeys(("margin", "left", "doubt", "gain"), 0.01)
        known |= {"spread": [0.01, 0.005, 0.02], "seed_noise": [0.012 if hours else 0.006, 0.004, 0.02]}
        codes = [list(trial.architecture.topology.code) for trial in read_report(folder.root).trials[:2]]
        known |= {"answer": codes[0], "unused": 3, "saved": saved}
        write_json(folder.posterior, known | {"topologies": [{**row, "code": code} for code in codes]})
        page = write_report(folder.root, overlays=False).read_text(encoding="utf-8")
        assert "3 trainings fewer were done" in page
        assert "a standard deviation of 0.0100 (95 % interval 0.0050 to 0.0200)" in " ".join(page.split())
        assert ("seeds differ as much as topologies" in page) == bool(hours)
        assert ("their time went to the final network" in page) == bool(saved and hours)
