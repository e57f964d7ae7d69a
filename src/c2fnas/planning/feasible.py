"""The cost of coarse candidates, known before any is trained, and those within the run's limits (not in the paper)."""

from collections.abc import Iterable

from c2fnas.errors import UserError
from c2fnas.runs.config import CoarseLimits
from c2fnas.runs.run import Run
from c2fnas.search.clusters import TopologyCluster, restrict_clusters
from c2fnas.space.architecture import Architecture
from c2fnas.space.memory import training_memory
from c2fnas.space.topology import Topology
from c2fnas.text import crossed
from c2fnas.training.recipe import Recipe

UNITS = {"parameters": "parameters", "macs": "multiply-accumulates", "memory": "of memory"}


def candidate_cost(run: Run, topology: Topology) -> dict[str, int]:
    """Return ``parameters``, ``macs`` of one patch and predicted ``memory`` of a training in bytes."""
    architecture = Architecture.uniform(topology, width=run.width)
    cost, memory = run.cost(architecture), training_bytes(run, architecture, run.config.coarse.recipe)
    return {"parameters": cost.parameters, "macs": cost.macs, "memory": memory}


def training_bytes(run: Run, architecture: Architecture, recipe: Recipe) -> int:
    """Return the bytes that a training takes, as predicted."""
    memory = training_memory(
        architecture,
        in_channels=run.in_channels,
        classes=run.classes,
        input_size=run.plan.patch_size,
        precision=recipe.precision,
    )
    return memory.of(recipe.micro_batch or recipe.batch_size)


def feasible_topologies(run: Run, topologies: Iterable[Topology]) -> tuple[Topology, ...]:
    """Return the topologies within the run's limits, in their order.

    Raises:
        UserError: none is; the message says what the least would be.
    """
    topologies, limits = tuple(topologies), run.config.coarse.limits
    if limits == CoarseLimits():
        return topologies
    costs = {topology: candidate_cost(run, topology) for topology in topologies}
    admitted = tuple(topology for topology, cost in costs.items() if _within(cost, limits))
    if not admitted:
        raise UserError(_refusal(run, limits, costs.values()))
    return admitted


def feasible_clusters(run: Run, clusters: Iterable[TopologyCluster]) -> tuple[TopologyCluster, ...]:
    """Return the clusters with none but topologies within the run's limits.

    Raises:
        UserError: no topology is; the message says what the least would be.
    """
    clusters = tuple(clusters)
    admitted = feasible_topologies(run, (topology for each in clusters for topology in each.topologies))
    return restrict_clusters(clusters, {*admitted})


def is_within_limits(run: Run, topology: Topology) -> bool:
    """Return true if a topology is within the run's limits of coarse candidates."""
    limits = run.config.coarse.limits
    return limits == CoarseLimits() or _within(candidate_cost(run, topology), limits)


def _within(cost: dict[str, int], limits: CoarseLimits) -> bool:
    return all(limit is None or cost[name] <= limit for name, limit in limits)


def _refusal(run: Run, limits: CoarseLimits, costs: Iterable[dict[str, int]]) -> str:
    costs = list(costs)
    limited = [(name, limit) for name, limit in limits if limit is not None]
    asked = ", ".join(f"--max-{name} {_written(name, limit)}" for name, limit in limited)
    least = ", ".join(f"{_written(name, min(cost[name] for cost in costs))} {UNITS[name]}" for name, _ in limited)
    return (
        f"No topology is within {asked}: the least that one takes is {least}, at width {run.width:g} "
        f"and a patch of {crossed(run.plan.patch_size)}. Raise the limit, or prepare a run of a "
        "smaller width."
    )


def _written(name: str, amount: int) -> str:
    """An amount as the option of its limit takes it."""
    return f"{amount / 2**20:.4g}M" if name == "memory" else f"{amount:.4g}"
