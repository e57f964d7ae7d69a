"""A run: opened, and carried on stage by stage."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack

from c2fnas.api.jobs import Jobs, executor_factory, refuse_beside_torchrun
from c2fnas.api.options import (
    given,
    known_options,
    limit_or_none,
    most_bytes,
    refuse_below,
    refuse_figure,
    whole_or_none,
)
from c2fnas.api.run_view import RunView
from c2fnas.devices import find_devices
from c2fnas.errors import UserError
from c2fnas.runs.folder import RunFolder
from c2fnas.search.width_grid import WIDTHS, refuse_factors, scaling_grid

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from c2fnas.api.results import Ranking, Scaling, Tabulation
    from c2fnas.data.folds import Fold
    from c2fnas.evaluation.verdict import Verdict
    from c2fnas.runs.reporter import Reporter
    from c2fnas.runs.run import ExecutorFactory
    from c2fnas.runs.run import Run as CoreRun
    from c2fnas.space.architecture import Architecture


class Run(RunView):
    """A run folder, see :func:`open_run`. Every method can be called again: it carries on, or returns what is there."""

    def __init__(
        self, folder: Path, jobs: Jobs, reporter: "Reporter | None" = None, folds: "tuple[Fold, ...]" = ()
    ) -> None:
        super().__init__(folder, folds, reporter)
        self.jobs = jobs

    def search_topology(
        self,
        *,
        sampler: str | None = None,
        evaluations: int | None = None,
        max_parameters: float | None = None,
        max_macs: float | None = None,
        max_memory: str | None = None,
        early_stopping: bool | None = None,
        set: Sequence[str] | Mapping[str, Any] = (),
    ) -> "Architecture":
        """Search the topology (paper 3.3). Resumable; finished, it returns what it found.

        Options are written to run.yaml before the stage begins, and fixed from then on. Until then `inf` lifts a limit.

        Args:
            sampler: bayesian (a time budget's), bayesian-gp, algorithm1 (the paper's), surrogate, random,
                regularised-evolution, Optuna's optuna-random, tpe, gp, or your own as module:name.
            evaluations: How many topologies to train; by default the budget's. The paper trains 50.
            max_parameters: Parameters that a candidate may have, e.g. 20e6.
            max_macs: Multiply-accumulates of one patch that it may take, e.g. 5e9.
            max_memory: Memory that its training may take, such as 8G, as predicted before it starts.
            early_stopping: Stop candidates that are behind at a rung.
            set: FIELD=VALUE: any other field of the configuration, such as coarse.clusters=4; may be repeated.

        Returns:
            The best topology with the 3D operation in every cell.

        Raises:
            UserError: an option is wrong, or the stage has begun with another value.

        Examples:
            c2fnas search coarse runs/hippocampus
            c2fnas search coarse runs/hippocampus --sampler tpe --max-macs 2e9 --early-stopping
            c2fnas search coarse /shared/pancreas --backend ray --address auto
        """
        from c2fnas.runs.overrides import parse_overrides

        limits = {"parameters": max_parameters, "macs": max_macs, "memory": most_bytes(max_memory)}
        overrides = {
            **parse_overrides(set),
            **given(coarse__sampler=sampler, coarse__evaluations=evaluations, coarse__early_stopping=early_stopping),
            **{f"coarse.limits.{name}": whole_or_none(limit) for name, limit in limits.items() if limit is not None},
        }
        self._refuse_changes(overrides)
        from c2fnas.stages.pipeline import amend, coarse_stage

        with self.working() as run:
            amend(run, overrides)
            return coarse_stage(run)

    def search_operations(
        self,
        *,
        topology: str | None = None,
        sampling: Literal["uniform", "strict"] | None = None,
        choose: Literal["random", "evolution"] | None = None,
        candidates: int | None = None,
        rungs: int | None = None,
        max_macs: float | None = None,
        max_latency: float | None = None,
        max_memory: str | None = None,
        verify: int | None = None,
        verify_iterations: int | None = None,
        set: Sequence[str] | Mapping[str, Any] = (),
    ) -> "Ranking | None":
        """Search the operations with a super-network (paper 3.4), for the topology that the coarse stage found.

        Resumable; finished, it returns what it found. Limits pick from what was ranked, and are kept with the run until
        others are given; `--max-macs inf` lifts them. Under torchrun the processes share the super-network's batches
        and end with its training; the same command without torchrun goes on from there.

        Args:
            topology: An architecture whose topology to take; by default the coarse stage's.
            sampling: Paths that train: uniform (the paper), or strict: every operation once in three iterations.
            choose: Candidates: at random (the paper), or by NSGA-II, Dice against multiply-accumulates.
            candidates: How many candidates to rank.
            rungs: Steps of successive halving; 1 ranks all on all cases, as the paper.
            max_macs: Multiply-accumulates of one patch that the choice may take, e.g. 5e9.
            max_latency: Milliseconds of one patch, measured on this device.
            max_memory: Memory that the final network's training may take, such as 8G, as predicted.
            verify: Retrain so many candidates, to see how far the ranking can be trusted.
            verify_iterations: Iterations of each retraining; by default the final network's.
            set: FIELD=VALUE: any other field of the configuration, such as fine.audit=50; may be repeated.

        Returns:
            The best architecture with its ranking; None in a process of torchrun.

        Raises:
            UserError: an option is wrong, there is no topology yet, or the stage has begun with another value.

        Examples:
            c2fnas search fine runs/hippocampus
            c2fnas search fine runs/hippocampus --max-macs 2e9
            c2fnas search fine runs/hippocampus --verify 12 --verify-iterations 300 --json
            torchrun --nproc-per-node 8 -m -- c2fnas search fine runs/pancreas
        """
        refuse_below(3, verify=verify)
        refuse_below(1, verify_iterations=verify_iterations)
        if verify is None and verify_iterations is not None:
            raise UserError("--verify-iterations says how long --verify N retrains: give --verify as well.")
        from c2fnas.runs.overrides import parse_overrides
        from c2fnas.space.architecture import Architecture

        asked = given(max_macs=max_macs, max_latency=max_latency, max_memory=most_bytes(max_memory))
        most = {name: limit_or_none(limit) for name, limit in asked.items()}
        wanted = Architecture.load(topology).topology if topology else None
        choices = given(fine__sampling=sampling, fine__choose=choose, fine__candidates=candidates, fine__rungs=rungs)
        overrides = parse_overrides(set) | choices
        self._refuse_changes(overrides)
        from c2fnas.api.results import ranking
        from c2fnas.stages.fine import Limits
        from c2fnas.stages.pipeline import amend, fine_stage
        from c2fnas.stages.together import train_supernet_together
        from c2fnas.studies.verification import verify_ranking
        from c2fnas.training.device import local_processes, ranks

        limits = Limits(**most) if most else None
        if ranks()[1] > 1:
            refuse_beside_torchrun(self.jobs, local_processes())
            core = self.opened()
            train_supernet_together(core, overrides, topology=wanted, kind=self.kind)
            done = f"The super-network is trained, by {ranks()[1]} processes."
            core.reporter.say(f"{done} `c2fnas search fine {self.folder}` goes on.")
            return None
        with self.working() as run:
            amend(run, overrides)
            found = fine_stage(run, limits=limits, topology=wanted)
            count, iterations = verify, verify_iterations
            if count is None:
                return ranking(run, found, None)
            with run.time.stopped():
                return ranking(run, found, verify_ranking(run, count=count, iterations=iterations))

    def scale(
        self,
        *,
        architecture: str | None = None,
        widths: Sequence[float] = WIDTHS,
        patches: Sequence[float] = (1.0,),
        replicates: int | None = None,
        figure: str | Path | None = None,
    ) -> "Scaling":
        """Train the found architecture at every width under the settings of the final network (paper 5.3).

        Gives Table 4: Dice per class, in per cent, on the validation fold of the search, parameters and
        multiply-accumulates of a patch, with an answer on each width and the next, and draws them. A width that is
        trained once, as in the paper, can't be told from another one. Resumable; further widths join those that are
        there: the table, scale/table.json and the figure have every width that this run has trained so far.

        Args:
            architecture: The architecture to scale; by default the one that the fine stage found.
            widths: Multipliers of the paper's filter counts; the run's own width does not matter.
            patches: Compound scaling: factors of the patch's sides, each with every width.
            replicates: Trainings of each width, with several seeds; by default as many as the table has, at first one.
            figure: Draw Dice against multiply-accumulates into this file: PNG, SVG or PDF; by default
                report/scaling.svg in the run.

        Returns:
            A row for each width and patch, and each width against the next narrower one.

        Raises:
            UserError: a width that no network can have, nothing found yet, or another architecture was scaled before.

        Examples:
            c2fnas search scale runs/pancreas --devices cuda:0,cuda:1
            c2fnas search scale runs/hippocampus --widths 0.125,0.25,0.5 --replicates 3
            c2fnas search scale runs/hippocampus --widths 0.125,0.25,0.5 --patches 0.75,1 --json
        """
        refuse_below(1, replicates=replicates)
        refuse_figure(figure)
        refuse_factors(patches)
        from c2fnas.space.architecture import Architecture

        wanted = Architecture.load(architecture) if architecture else self._files.found_architecture()
        scaling_grid(wanted, widths)
        from c2fnas.api.results import Scaling
        from c2fnas.planning.run_timings import expected_timings
        from c2fnas.report.figures import save_scaling
        from c2fnas.studies.widths import neighbours, search_width

        with self.working() as run:
            expected_timings(run)
            with run.time.stopped():
                rows = search_width(
                    run, widths=tuple(widths), patches=tuple(patches), architecture=wanted, replicates=replicates
                )
            pairs = neighbours(run)
        save_scaling(rows, Path(figure) if figure else self._files.report / "scaling.svg")
        return Scaling(rows, pairs)

    def judge(self, *, replicates: int | None = None, margin: float | None = None) -> "Verdict":
        """Say whether the searched network is better than networks that need no search, worse, as good, or neither.

        References are trained as the found network was: a U-Net of equal multiply-accumulates with the same stem, a
        random network, nnU-Net's U-Net at equal training time, a U-Net of equal parameters. An answer rests on several
        trainings of each; with one the answer is "cannot tell". Time and trainings are forecast before they begin.
        Where nothing was searched, `replicates` has the default network judged. `c2fnas run` does the same at its end.
        It comes before `train --extend`. Resumable; it goes to verdict/verdict.json in the run folder.

        Args:
            replicates: Trainings of each network: the run's folds but the search's, or, where they are fewer, seeds on
                the first. By default as many as the last verdict had; at first one, on fold 0, in a time budget, else
                one for each deployed fold.
            margin: Differences in Dice within it do not matter; by default the run's, 0.01 unless it was set.

        Returns:
            The verdict: its `sentence`, the networks with their Dice, and an answer on each reference.

        Raises:
            UserError: the run was no search, or its final networks are not what it found.

        Examples:
            c2fnas verdict runs/pancreas
            c2fnas verdict runs/pancreas --replicates 5 --json
        """
        refuse_below(1, replicates=replicates)
        if margin is not None and not 0 < margin < 1:
            raise UserError(f"--margin {margin:g}: give a difference in Dice above 0 and below 1, such as 0.01.")
        from c2fnas.studies.verdict import judge

        with self.working() as run:
            return judge(run, replicates, margin)

    def tabulate(
        self,
        *,
        table: str | Path,
        per_cluster: int = 12,
        repeated: int = 2,
        seeds: int = 3,
        iterations: int = 100,
        most: int | None = None,
    ) -> "Tabulation":
        """Train many topologies in one small setting and keep the Dice of each, for `c2fnas simulate`.

        Resumable; a larger --per-cluster extends a table. What the numbers depend on is written beside it as JSON.

        Args:
            table: The CSV file; what it holds already is not trained again.
            per_cluster: Topologies of each of the 8 clusters.
            repeated: So many of each cluster are trained with several seeds.
            seeds: Seeds of those, which tell how noisy the table is.
            iterations: Of a training. A table of another length, as one of another data set, is another file.
            most: Stop after so many trainings; the next call goes on.

        Examples:
            c2fnas tabulate runs/hippocampus --table topologies.csv
            c2fnas tabulate runs/hippocampus --table topologies.csv --per-cluster 24 --devices cuda:0,cuda:1
            c2fnas tabulate runs/hippocampus --table longer.csv --per-cluster 2 --seeds 1 --iterations 400
        """
        refuse_below(1, per_cluster=per_cluster, seeds=seeds, most=most)
        refuse_below(3, iterations=iterations)
        refuse_below(0, repeated=repeated)
        from c2fnas.api.results import tabulated

        with self.working() as run, run.time.stopped():
            return tabulated(run, Path(table), (per_cluster, repeated, seeds), most, iterations)

    def _refuse_changes(self, overrides: dict[str, Any]) -> None:
        from c2fnas.planning.request import request_for

        request_for(self._files, overrides=overrides, amend=True)

    @property
    def devices(self) -> tuple[str, ...] | None:
        """The devices that were named, of a new run those of ``auto``; None where the run has its own."""
        named = self.jobs.get("devices")
        return None if named is None and self._files.config.exists() else find_devices(named or "auto")

    @property
    def kind(self) -> str:
        """The kind of the devices, ``cpu`` or ``cuda``."""
        return (self.devices or self.opened().config.devices)[0].partition(":")[0]

    def opened(self) -> "CoreRun":
        """Return the run as the stages work with it, read anew: a stage may have changed its configuration."""
        from c2fnas.runs.run import Run as CoreRun

        return CoreRun(self.folder, reporter=self._reporter)

    @property
    def executor(self) -> "ExecutorFactory":
        """The function that makes what runs the jobs."""
        return executor_factory(self.jobs)

    def working(self) -> "AbstractContextManager[CoreRun]":
        """Hold the run's lock and its workers."""
        return self.opened().working(self.executor)


@known_options
def open_run(run: str | Path, *, reporter: "Reporter | None" = None, **jobs: Unpack[Jobs]) -> Run:
    """Open a run that was prepared, searched or trained.

    Args:
        run: The run folder.
        reporter: Hears of the progress.
        jobs: Where jobs are done: `devices`, `backend`, `address` and `cpus_per_job`, as :class:`c2fnas.api.jobs.Jobs`
            says.

    Raises:
        UserError: the folder is no run, or an option is wrong.
    """
    executor_factory(jobs)
    RunFolder(Path(run)).refuse_unprepared()
    refuse_other_version(run)
    return Run(Path(run), jobs, reporter)


def refuse_other_version(run: str | Path) -> None:
    """Refuse a run folder whose configuration can't be read, before torch is imported; there may be no run yet.

    Raises:
        UserError: it is of another version, or damaged.
    """
    from c2fnas.runs.config import RunConfig

    if (path := RunFolder(Path(run)).config).exists():
        RunConfig.load(path)
