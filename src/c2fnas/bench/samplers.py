"""The searches that a simulation compares where nobody names others. Imports nothing: the command's help shows it."""

SAMPLERS = (
    "algorithm1",
    "algorithm1+posterior",
    "random",
    "random+oracle",
    "regularised-evolution",
    "tpe",
    "surrogate",
    "bayesian@16",
    "bayesian",
    "bayesian+cheapest@16",
    "bayesian+cheapest",
)
