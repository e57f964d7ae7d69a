"""A table of topologies: it resumes and grows, and one real training."""

import shutil
from pathlib import Path

import pytest
from coarse_run import prepared_run
from fine_run import Listener, phantoms
from tabulated import Answers

from c2fnas.bench import Row, TopologyTable, planned_trainings, read_table
from c2fnas.errors import UserError
from c2fnas.execution import InlineExecutor
from c2fnas.execution.job import Job, Outcome
from c2fnas.files import read_json, write_json
from c2fnas.runs.run import Run
from c2fnas.space.search_space import SearchSpace
from c2fnas.stages import training
from c2fnas.studies.tabulate import TableConfig, _name, tabulate
from c2fnas.training.recipe import paper_recipe

SMALL = TableConfig(width=0.0625, iterations=4, rungs=(1, 2), cases=2)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("table")
    return prepared_run(folder, phantoms(folder))


def test_it_carries_on_and_grows_without_training_anything_twice(run: Run, tmp_path: Path) -> None:
    table, plan = (
        tmp_path / "table.csv",
        sorted(planned_trainings(SearchSpace(), per_cluster=2), key=lambda each: each[1]),
    )
    first, second, third = Answers(), Answers(), Answers()
    tabulate(run.using(first), table, plan[:5], SMALL)
    rows = tabulate(run.using(second), table, plan, SMALL)
    assert len(first.asked) == 5
    assert not set(first.asked) & set(second.asked)
    assert len(rows) == len(plan) == len(first.asked) + len(second.asked)
    assert tabulate(run.using(third), table, plan, SMALL) == rows == read_table(table)
    assert not third.asked
    assert {row.dice for row in rows if row.seed < 2} == {0.5}
    assert {row.dice for row in rows if row.seed == 2} == {None}
    assert rows[0].rungs == {1: 0.1, 2: 0.2}
    assert rows[0].per_class == {"organ": 0.5}
    assert TopologyTable.load(table).knows(run.fingerprint.signatures)


def test_rows_that_another_run_enters_meanwhile_stay(run: Run, tmp_path: Path) -> None:
    table, plan = tmp_path / "table.csv", sorted(planned_trainings(SearchSpace(), per_cluster=1))[:4]

    class Beside(Answers):
        """Another command enters the last training while the first one is at work."""

        def submit(self, job: Job) -> None:
            if not self.asked:
                tabulate(run.using(Answers()), table, plan[-1:], SMALL)
            super().submit(job)

    tabulate(run.using(Beside()), table, plan[:-1], SMALL)
    assert {row.key for row in read_table(table)} == {training[1:] for training in plan}


class Gone(Answers):
    """A device that fails every job from the second on."""

    def wait(self, timeout: float | None = None) -> Outcome | None:
        answer = super().wait(timeout)
        assert answer is not None
        return answer if len(self.asked) == 1 else Outcome(answer.job_id, None, "CUDA error", "failed", 0.1, "cuda:0")


def test_a_device_that_is_gone_leaves_no_rows(run: Run, tmp_path: Path) -> None:
    table, gone, back = tmp_path / "table.csv", Gone(), Answers()
    plan = [each for each in planned_trainings(SearchSpace(), per_cluster=2) if each[2] == 0]
    with pytest.raises(UserError, match=r"the last 10 trainings failed .* CUDA error Fix the cause"):
        tabulate(run.using(gone), table, plan, SMALL)
    assert (len(gone.asked), len(read_table(table))) == (11, 1)
    rows = tabulate(run.using(back), table, plan, SMALL)
    assert {row.dice for row in rows} == {0.5}
    assert set(back.asked) == set(map(_name, plan)) - {gone.asked[0]}


def test_what_all_failed_is_still_missing(run: Run, tmp_path: Path) -> None:
    table, gone, listener = tmp_path / "table.csv", Gone(), Listener()
    plan = [each for each in planned_trainings(SearchSpace(), per_cluster=1, repeated=0) if each[2] == 0]
    tabulate(run.using(gone), table, plan[:1], SMALL)
    assert tabulate(run.using(gone, listener), table, plan[:4], SMALL) == read_table(table)
    assert (len(gone.asked), len(read_table(table))) == (4, 1)
    assert any("none is entered" in said for said in listener.said)


def test_another_setting_or_data_set_is_refused(run: Run, tmp_path: Path) -> None:
    table, plan = tmp_path / "table.csv", planned_trainings(SearchSpace(), per_cluster=1)[:1]
    tabulate(run.using(Answers()), table, plan, SMALL)
    with pytest.raises(UserError, match="another setting"):
        tabulate(run.using(Answers()), table, plan, SMALL.model_copy(update={"cases": 3}))
    other = tmp_path / "other"
    shutil.copytree(run.folder.root, other)
    facts = read_json(other / "fingerprint.json")
    facts["cases"][0]["sha256"] = "0"
    write_json(other / "fingerprint.json", facts)
    with pytest.raises(UserError, match="another contents"):
        tabulate(Run.open(other).using(Answers()), table, plan, SMALL)
    assert len(read_table(table)) == 1


def test_windows_are_blended_alike_in_all_of_a_table(run: Run, tmp_path: Path) -> None:
    """A run of the paper's recipe blends them with constant weights; tables that don't say were Gaussian."""
    table, plan = tmp_path / "table.csv", planned_trainings(SearchSpace(), per_cluster=1)[:2]
    tabulate(run.using(Answers()), table, plan[:1], SMALL)
    facts = read_json(tmp_path / "table.json")
    assert facts.pop("weighting") == "gaussian"
    write_json(tmp_path / "table.json", facts)
    paper = run.config.model_copy(
        update={"deployment": run.config.deployment.model_copy(update={"recipe": paper_recipe("deployment")})}
    )
    with pytest.raises(UserError, match="another weighting"):
        tabulate(Run(run.folder.root, executor=Answers(), config=paper), table, plan, SMALL)
    assert len(tabulate(run.using(Answers()), table, plan, SMALL)) == 2


def test_a_training_without_a_dice_is_a_row_that_says_so(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unmeasurable(*arguments: object, **options: object) -> None:
        raise UserError("no case shows an organ")

    other, listener = Run.open(shutil.copytree(run.folder.root, tmp_path / "run"), Listener()), Listener()
    monkeypatch.setattr(training, "evaluate_network", unmeasurable)
    plan = [each for each in planned_trainings(SearchSpace(), per_cluster=1) if each[2] == 0][:1]
    with InlineExecutor() as executor:
        (row,) = tabulate(
            other.using(executor, listener), tmp_path / "a.csv", plan, SMALL.model_copy(update={"rungs": ()})
        )
    assert (row.dice, row.rungs, row.per_class) == (None, {}, {})
    assert row.seconds > 0
    assert any("Dice not measurable: no case shows an organ" in text for text in listener.said)


@pytest.mark.long
def test_one_real_training_is_the_same_again(run: Run, tmp_path: Path) -> None:
    """Rungs and end are whole-volume Dice; what the row depends on is the seed, and it is told beside the table."""
    _, topology, _ = planned_trainings(SearchSpace(), per_cluster=1)[0]
    plan, tables = [(0, topology, 0), (0, topology, 1)], []
    for name in ("once", "again"):
        with InlineExecutor() as executor:
            tables.append(tabulate(run.using(executor), tmp_path / f"{name}.csv", plan, SMALL))
        for folder in run.folder.table.iterdir():
            (folder / "result.json").unlink()
    assert [_results(row) for row in tables[0]] == [_results(row) for row in tables[1]]
    assert _results(tables[0][0]) != _results(tables[0][1])
    for row in tables[0]:
        assert set(row.rungs) == {1, 2}
        assert all(0 <= dice <= 1 for dice in (*row.rungs.values(), row.dice or 0.0))
        assert row.parameters > 0
        assert row.seconds > 0
    facts = read_json(tmp_path / "once.json")
    assert facts["setting"]["iterations"] == 4
    assert len(facts["validation_cases"]) == 2


def _results(row: Row) -> tuple:
    return row.dice, row.rungs, row.per_class


def test_a_space_of_few_topologies_has_a_table_too() -> None:
    space = SearchSpace(cells=3, downsamplings=1)
    plan = planned_trainings(space, per_cluster=2, seeds=1)
    assert {topology for _, topology, _ in plan} == {*space.topologies()}
