"""`c2fnas simulate` on a table made up for it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import c2fnas.bench
from c2fnas.bench import Row, TopologyTable, planned_trainings, write_table
from c2fnas.cli import app
from c2fnas.errors import UserError
from c2fnas.files import write_json
from c2fnas.space.search_space import SearchSpace


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_up(tmp_path_factory.mktemp("table"), per_cluster=2)


def made_up(folder: Path, per_cluster: int) -> Path:
    path = folder / "table.csv"
    rng = np.random.default_rng(0)
    rows = [
        Row(topology, cluster, seed, dice, {30: dice / 3}, {"organ": dice}, 10.0, 1000, 5000)
        for cluster, topology, seed in planned_trainings(SearchSpace(), per_cluster=per_cluster, repeated=1, seeds=2)
        for dice in [float(rng.uniform(0.3, 0.8))]
    ]
    write_table(path, rows)
    write_json(path.with_suffix(".json"), {"setting": {"iterations": 100}})
    return path


def simulate(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "c2fnas", "simulate", *map(str, arguments)], capture_output=True, text=True
    )


def test_table_json_and_figure(table: Path, tmp_path: Path) -> None:
    short = ["--samplers", "algorithm1,random", "--repetitions", "50"]
    for suffix in ("png", "svg"):
        done = simulate(table, *short, "--json", "--quiet", "--figure", tmp_path / f"figure.{suffix}")
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "figure.svg").read_text()
    facts = json.loads(done.stdout)
    assert [each["name"] for each in facts["contenders"]] == [
        "algorithm1",
        "algorithm1 + early stopping",
        "random",
        "random + early stopping",
    ]
    assert (facts["topologies"], facts["trainings"], facts["budget"]["evaluations"]) == (16, 24, 50)
    words = simulate(table, *short, "--quiet").stdout
    assert "its regret less random's is" in words
    assert "fewer than 48 topologies" in words
    assert f"{facts['contenders'][0]['regret']:.4f}" in words
    assert "Distance of codes against difference of Dice" in words


def test_a_figure_that_cannot_be_written_is_refused_before_anything_is_computed(table: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = simulate(table, "--samplers", "random", "--figure", tmp_path / "file/here.png")
    assert done.returncode == 2
    assert "here.png: cannot be written" in done.stderr
    assert done.stderr.count("\n") == 1, "no search has begun"


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--samplers", "hill"], "algorithm1, bayesian"),
        (["--samplers", ""], "algorithm1, bayesian"),
        (["--figure", "simulation.doc"], ".png, .svg or .pdf"),
        (["nowhere.csv"], "c2fnas tabulate"),
    ],
)
def test_what_cannot_be_is_said_in_one_paragraph(table: Path, options: list[str], named: str) -> None:
    done = simulate(*([table, *options] if options[0].startswith("--") else options))
    assert done.returncode == 2
    assert named in done.stderr
    assert "Traceback" not in done.stderr


def test_a_table_that_says_too_little_is_refused(tmp_path: Path) -> None:
    few = made_up(tmp_path, per_cluster=1)  # one topology of each of 8 clusters
    done = simulate(few)
    assert done.returncode == 2
    assert "has 8 topologies with a Dice; four are needed, two of them of one cluster" in done.stderr
    write_json(few.with_suffix(".json"), {"setting": {}})
    done = simulate(few)
    assert done.returncode == 2
    assert "table.json: does not say how many iterations" in done.stderr


def called(*arguments: object) -> None:
    CliRunner().invoke(app, ["simulate", *map(str, arguments), "--quiet"], catch_exceptions=False)


def test_every_option_reaches_the_replay(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "prior").mkdir()
    prior, asked = made_up(tmp_path / "prior", per_cluster=1), list[dict[str, object]]()

    def replayed(table: TopologyTable, samplers: tuple[str, ...], *, on_contender: object, **options: object) -> None:
        known = options["prior"]
        place = known.path if isinstance(known, TopologyTable) else known
        asked.append({"table": table.path, "samplers": samplers, **options, "prior": place})
        raise UserError("enough is known")

    monkeypatch.setattr(c2fnas.bench, "simulate", replayed)
    options = ["--samplers", "random, algorithm1", "--evaluations", 7, "--workers", 3, "--repetitions", 11]
    options += ["--slow-repetitions", 5, "--no-noise", "--truth", "smooth", "--prior", prior]
    for given in ([table, *options], [table, "--noise"]):
        with pytest.raises(UserError, match="enough is known"):
            called(*given)
    counts = {"evaluations": 7, "workers": 3, "repetitions": 11, "slow_repetitions": 5}
    named = {"samplers": ("random", "algorithm1"), "noise": False, "truth": "smooth", "prior": prior}
    assert asked[0] == {"table": table, **counts, **named}
    counts = {"evaluations": None, "workers": 8, "repetitions": 1000, "slow_repetitions": 100}
    assert asked[1] == {"table": table, **counts, "samplers": asked[1]["samplers"], "noise": True, "truth": "own"} | {
        "prior": None
    }


def test_a_truth_that_there_is_not_is_refused(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(c2fnas.bench, "simulate", lambda *_, **options: pytest.fail("replayed"))
    with pytest.raises(UserError, match="--truth cubic: no such model; choose among linear, smooth, own"):
        called(table, "--truth", "cubic")
