"""A check of the ranking: some of its candidates are trained from scratch, and both orders compared by Kendall's τ."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import mean
from typing import Any

import numpy as np

from c2fnas.errors import UserError
from c2fnas.execution.job import Job
from c2fnas.files import write_json
from c2fnas.runs.records.ranked import RankedPath, read_ranked
from c2fnas.runs.run import Run
from c2fnas.search.ranks import kendall_tau, pooled_sd, sd_interval, tau_interval
from c2fnas.space.architecture import Architecture
from c2fnas.stages.ranking import Ranking, ranking_cases
from c2fnas.stages.training_jobs import TrainingSpec, failure_of, run_all, trained, training_job

FEWEST = 3
REPEATED = 4
"""Candidates that are trained a second time with another seed: the noise that no ranking can beat."""


@dataclass(frozen=True)
class Verified:
    """A candidate of the ranking: its place (from 1), Dice with the super-network's weights, and trained from scratch.

    ``number`` is the ledger's. ``dice`` has a value per seed; none where the training has failed.
    """

    architecture: Architecture
    number: int
    place: int
    ranked: float
    dice: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self) | {"architecture": self.architecture.to_text(), "dice": list(self.dice)}


@dataclass(frozen=True)
class Verification:
    """The ranking's order against that after retraining.

    Attributes:
        tau: Kendall's τ-b of Dice in the ranking and mean Dice from scratch over seeds, of all candidates.
        interval: its 95 % bootstrap interval over candidates.
        seed_sd: the standard deviation of Dice between seeds; None where nothing was repeated.
        seed_interval: its 95 % interval, of normal deviations; None where nothing was repeated.
        spread_sd: that between candidates, for comparison: an order among less than the noise is chance.
    """

    tau: float
    interval: tuple[float, float]
    seed_sd: float | None
    seed_interval: tuple[float, float] | None
    spread_sd: float
    iterations: int
    candidates: tuple[Verified, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self) | {
            "interval": list(self.interval),
            "seed_interval": self.seed_interval and list(self.seed_interval),
            "candidates": [each.to_json() for each in self.candidates],
        }


def verify_ranking(run: Run, *, count: int, iterations: int | None = None) -> Verification:
    """Retrain ``count`` candidates drawn at random from the ranking; leaves ``verification.json``.

    Candidates spread over the ranking, best and worst among them, would agree with it more than all of them do.

    Each is scored on all ranking cases with the super-network's weights first, however far it had come, and then
    trained as the final network would be, for ``iterations`` (the final network's where None); :data:`REPEATED` of them
    twice.

    Raises:
        UserError: the fine stage has not finished, fewer than three candidates are asked for or there, or fewer than
            three trainings succeed.
    """
    if count < FEWEST:
        raise UserError(f"--verify {count}: at least {FEWEST} candidates are needed for a rank correlation.")
    if not run.folder.ranking_file.exists():
        raise UserError(f"{run.folder.root}: nothing to verify, the fine stage has not finished.")
    order = _ranked(read_ranked(run.folder))
    drawn = np.random.default_rng(run.config.seed).permutation(len(order))[:count].tolist()
    places = sorted(drawn)
    chosen = [order[place] for place in places]
    scores = _scored_on_all(run, chosen)
    steps = iterations or run.config.deployment.recipe.iterations
    dice = _retrained(run, chosen, [places.index(place) for place in drawn[:REPEATED]], steps)
    found = [
        Verified(each.architecture, each.number, place + 1, score, tuple(values))
        for each, place, score, values in zip(chosen, places, scores, dice, strict=True)
    ]
    result = _summary(run, found, steps)
    write_json(run.folder.verification_file, result.to_json())
    return result


def _ranked(candidates: Sequence[RankedPath]) -> list[RankedPath]:
    """The scored candidates, best first: those scored on more cases before those on fewer."""
    scored = [each for each in candidates if each.dice is not None]
    return sorted(scored, key=lambda each: (-each.cases, -(each.dice or 0), each.number))


def _scored_on_all(run: Run, chosen: Sequence[RankedPath]) -> list[float]:
    """Dice with the super-network's weights on all ranking cases, so that all are comparable."""
    cases = ranking_cases(run)
    ranking = Ranking(run, chosen[0].architecture.topology, len(chosen) * len(cases))
    paths = [each.architecture.operations for each in chosen]
    ranking.score(f"verify-{len(chosen)}", paths, cases)
    ranking.close("those to be retrained")
    # One that has failed on a case it had not seen is the worst there is.
    return [ranking.dice(path, cases) or 0.0 for path in paths]


def _retrained(run: Run, chosen: Sequence[RankedPath], again: Sequence[int], iterations: int) -> list[list[float]]:
    """The Dice of every candidate by seed, two of those ``again``; a training that fails is told of and left out."""
    seeds = [run.config.seed, run.config.seed + 1]
    wanted = [(index, seeds[0]) for index in range(len(chosen))] + [(index, seeds[1]) for index in again]
    outcomes = run_all(run, "verification", [_job(run, chosen[index], seed, iterations) for index, seed in wanted])
    values: list[list[float]] = [[] for _ in chosen]
    for (index, _), outcome in zip(wanted, outcomes, strict=True):
        reason = failure_of(outcome)
        if reason is not None or outcome.value is None:
            run.reporter.say(f"{outcome.job_id} failed and is left out: {reason}")
        else:
            values[index].append(trained(outcome).score)
    return values


def _job(run: Run, candidate: RankedPath, seed: int, iterations: int) -> Job:
    spec = TrainingSpec(candidate.architecture, run.config.deployment.recipe.with_iterations(iterations), seed=seed)
    name = f"{candidate.number:04d}-seed-{seed}"
    folder = run.folder.verification / f"{iterations}-iterations" / name
    return training_job(run, f"verification {name}", folder, spec)


def _summary(run: Run, found: Sequence[Verified], iterations: int) -> Verification:
    trained = [each for each in found if each.dice]
    if len(trained) < FEWEST:
        raise UserError(
            f"{run.folder.verification}: {len(trained)} of {len(found)} candidates could be trained; a "
            f"rank correlation needs {FEWEST}. Look into the folders for what went wrong."
        )
    ranked, dice = [each.ranked for each in trained], [mean(each.dice) for each in trained]
    groups = [each.dice for each in trained]
    return Verification(
        tau=kendall_tau(ranked, dice),
        interval=tau_interval(ranked, dice),
        seed_sd=pooled_sd(groups),
        seed_interval=sd_interval(groups),
        spread_sd=float(np.std(dice, ddof=1)),
        iterations=iterations,
        candidates=tuple(found),
    )
