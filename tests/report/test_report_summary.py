"""What a report reads from a run folder, by closed forms and by counting."""

import os
import re
import shutil
import statistics
import time
from datetime import UTC
from itertools import product
from pathlib import Path

import pytest
from report_runs import COARSE, SPACE, begun_run, evaluation, finished_run, planned_run, searching_run, write_result

from c2fnas.files import append_json_line, write_json
from c2fnas.report import text, write_report
from c2fnas.report.coarse import cluster_shares
from c2fnas.report.figures.sections import SECTIONS
from c2fnas.report.fine import operation_effects
from c2fnas.report.page import render_page
from c2fnas.report.summary import read_report
from c2fnas.report.text import tasks, warning
from c2fnas.runs.config import DeploymentConfig, RunConfig
from c2fnas.runs.records.ranked import RankedPath
from c2fnas.space.architecture import Architecture
from c2fnas.space.operation import Operation
from c2fnas.text import device_time
from c2fnas.training.metrics_log import METRICS
from c2fnas.training.recipe import modern_recipe


def test_a_run_that_has_only_begun(tmp_path: Path) -> None:
    run = read_report(begun_run(tmp_path).root)
    assert (run.plan, run.data, run.problems, run.folds, run.folds_checksum) == (None, None, (), (), None)
    assert (run.coarse.trials, run.fine.candidates, run.final.folds, run.design) == ((), (), (), None)
    assert run.eta is None
    assert run.seconds == 0
    assert [each.name for each in run.stages] == ["coarse", "super-network", "ranking", "deployment"]
    assert not any(each.finished for each in run.stages)
    assert run.changed.tzinfo is UTC


def test_the_hardware_is_that_of_the_jobs(tmp_path: Path) -> None:
    folder = finished_run(tmp_path)
    assert read_report(tmp_path).hardware == ()  # of jobs of before
    write_result(folder.supernet, {}, seconds=5.0, hardware="a GPU")
    write_result(folder.final_fold(0), {"dice": 0.6, "per_class": {}}, seconds=5.0, hardware="a processor, 8 GiB")
    assert read_report(tmp_path).hardware == ("a GPU", "a processor, 8 GiB")
    assert "a GPU; a processor, 8 GiB" in render_page(read_report(tmp_path), dict.fromkeys(SECTIONS, ()))


def test_a_search_under_way(tmp_path: Path) -> None:
    run = read_report(searching_run(tmp_path).root)
    assert [trial.score for trial in run.coarse.evaluated] == list(COARSE)
    assert run.coarse.best is not None
    assert run.coarse.best.score == max(COARSE)
    assert run.coarse.failed == 1
    coarse = run.stages[0]
    # Four at 31 s as the ledger says, 2 s of the failure, ten iterations at half a second of the one under way.
    assert coarse.seconds == pytest.approx(4 * 31 + 2 + 5)
    assert (coarse.done, coarse.total, coarse.finished) == (4, 6, False)
    # Two more at what the four took with the failure, less what is done of one.
    assert coarse.left == pytest.approx(2 * (4 * 31 + 2) / 4 - 5)


def test_a_finished_run(tmp_path: Path) -> None:
    run = read_report(finished_run(tmp_path).root)
    assert run.finished
    assert run.eta == 0
    assert [each.seconds for each in run.stages[1:]] == [12.0, 5.0, 36.0]
    assert run.fine.chosen == run.design
    assert run.fine.candidates[0].architecture == run.design
    assert run.evaluation is not None
    assert run.evaluation.mean == pytest.approx(0.6)
    assert [row.case for _, row in run.final.worst_first] == ["phantom_002", "phantom_001"]


def test_preparation_and_measured_steps_are_in_the_cost(tmp_path: Path) -> None:
    """And what a race has lost, whose folders are gone."""
    folder = finished_run(tmp_path)
    before = read_report(folder.root)
    write_json(folder.spent, {"seconds": 500.0, "preparation": 30.0})
    write_result(folder.race_chosen, {"dice": 0.1}, seconds=7.0)
    write_json(folder.choice, {"lost_seconds": 4.0})
    run = read_report(folder.root)
    assert (run.stages[0].name, run.stages[0].seconds, run.preparation) == ("measured steps", 11.0, 30.0)
    assert run.seconds == pytest.approx(before.seconds + 30 + 11)
    assert run.to_json()["seconds"] == run.seconds
    page = write_report(folder.root, overlays=False).read_text(encoding="utf-8")
    cells = re.findall(r'<td class="n">([^<]*)</td>', page.split("<thead><tr><th>stage</th>")[1].split("</table>")[0])
    assert cells == [device_time(each) for each in (30.0, *(stage.seconds for stage in run.stages))]
    assert f'<th class="n">{device_time(run.seconds)}</th>' in page


def test_measured_steps_that_were_cut_short_are_not_waited_for_once_a_final_network_trains(tmp_path: Path) -> None:
    """A run that was stopped there, and knew its pace from elsewhere when it went on."""
    folder = finished_run(tmp_path)
    line = {"iteration": 1, "loss": 0.5, "seconds_per_iteration": 9.0}
    append_json_line(folder.race / "cut-short" / METRICS, line)
    assert not read_report(folder.root).finished
    for fold in folder.begun_folds:
        append_json_line(folder.final_fold(fold) / METRICS, line)
        os.utime(folder.final_fold(fold) / METRICS, (time.time() + 5,) * 2)
    run = read_report(folder.root)
    assert run.finished
    assert (run.stages[0].name, run.stages[0].seconds, run.stages[0].done) == ("measured steps", 9.0, 1)


def test_a_network_that_was_hardly_trained_is_warned_of(tmp_path: Path) -> None:
    short = read_report(finished_run(tmp_path / "short").root)
    said = warning(short)
    assert said is not None
    assert "80 patches, where 300" in said
    assert said in write_report(short.folder.root, overlays=False).read_text(encoding="utf-8")
    recipe = modern_recipe(150)
    assert (
        warning(
            read_report(finished_run(tmp_path / "long", deployment=DeploymentConfig(folds=(1,), recipe=recipe)).root)
        )
        is None
    )
    tuned = DeploymentConfig(folds=(1,), recipe=modern_recipe(1), start="a" * 64)
    assert warning(read_report(finished_run(tmp_path / "tuned", deployment=tuned).root)) is None


def test_folds_that_are_trained_later_are_deployed_but_not_the_verdicts(tmp_path: Path) -> None:
    folder = finished_run(tmp_path, verdict=True)
    shutil.copytree(folder.final_fold(1), folder.final_fold(0))
    run = read_report(folder.root)
    assert [(each.name, each.total) for each in run.stages[-2:]] == [("deployment", 2), ("verdict", 2)]
    assert "on 2 of 2 folds" in " ".join(tasks(run))


def test_a_training_that_is_extended_has_no_evaluation(tmp_path: Path) -> None:
    folder = finished_run(tmp_path)
    (folder.final_fold(1) / "result.json").unlink()
    run = read_report(folder.root)
    assert run.evaluation is None
    assert not run.finished


def test_cases_without_any_scored_class_come_last(tmp_path: Path) -> None:
    folder = finished_run(tmp_path)
    scores = evaluation([0.7, 0.5])
    scores["cases"].insert(0, {"case": "empty", "dice": {"organ": None, "lesion": None}, "false_positive": []})
    write_json(folder.final_fold(1) / "evaluation.json", scores)
    final = read_report(folder.root).final
    assert [row.case for _, row in final.every_case] == ["phantom_002", "phantom_001", "empty"]
    assert [row.case for _, row in final.worst_first] == ["phantom_002", "phantom_001"]


def test_equal_warnings_stand_together(tmp_path: Path) -> None:
    (group,) = read_report(planned_run(tmp_path).root).problems
    assert group.files == ("a.nii.gz", "b.nii.gz")


def test_shares_add_up_and_count() -> None:
    owners = [0, 2, 2, 1, 2]
    shares = cluster_shares(owners, 4)
    assert all(sum(row) == pytest.approx(1) for row in shares)
    assert shares[-1] == pytest.approx([1 / 5, 1 / 5, 3 / 5, 0])


def test_effects_of_an_additive_dice_are_its_terms() -> None:
    """Over every path of a Dice that adds up over cells, the marginal effects are the terms about their mean."""
    topology = SPACE.topologies()[0]
    terms = dict(zip(Operation, (0.001, 0.002, 0.006), strict=True))
    mean = statistics.fmean(terms.values())
    paths = list(product(Operation, repeat=SPACE.cells))
    dice = [0.5 + sum((cell + 1) * terms[operation] for cell, operation in enumerate(path)) for path in paths]
    candidates = [
        RankedPath(number, Architecture(topology, path, 1.0), dice[number], 1, 9, 9)
        for number, path in enumerate(paths)
    ]
    effects = operation_effects(candidates, tuple(Operation))
    assert len(effects) == 3 * SPACE.cells
    for effect in effects:
        assert effect.mean == pytest.approx(effect.cell * (terms[effect.operation] - mean))
        assert effect.candidates == 3 ** (SPACE.cells - 1)


@pytest.mark.parametrize("change", ["every-case", "extended", "judged"])
def test_a_run_that_gives_no_verdict_is_finished_without_one(change: str, tmp_path: Path) -> None:
    """None comes after an extension, or where no case is left to judge on."""
    folder = finished_run(tmp_path, verdict=True)
    config = RunConfig.load(folder.config)
    deployment = {"every-case": {"folds": ("every-case",)}, "extended": {"extended": True}, "judged": {}}[change]
    config.model_copy(update={"deployment": config.deployment.model_copy(update=deployment)}).save(folder.config)
    if change == "every-case":
        folder.final_fold(1).rename(folder.final_fold("every-case"))
    run = read_report(folder.root)
    assert ("verdict" in [each.name for each in run.stages]) == (change == "judged")
    assert run.finished == (change != "judged")
    assert (text.verdict(run) == text.NOT_YET) == (change == "judged")
