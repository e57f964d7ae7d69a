"""The warning of a training too short to say anything: in the report, on model cards and at an export."""

from c2fnas.text import plural
from c2fnas.training.recipe import Recipe

LEAST_VIEWS, LEAST_PASSES = 300, 2
"""Views of a whole case, and passes over the training cases, below which nothing is told apart (decision 0102)."""
MARK = "**Warning: hardly trained.**"


def shortness(recipe: Recipe, cases: int) -> str | None:
    """Return a sentence on a training from scratch that is too short; None of one that is not.

    A patch shows one view of a case at most, so that fewer patches than the least views are too few in any case.

    >>> from c2fnas.training.recipe import modern_recipe
    >>> print(shortness(modern_recipe(1), cases=8))  # doctest: +ELLIPSIS
    It has seen 2 patches, where 300 ...
    >>> shortness(modern_recipe(1000), cases=8) is None
    True
    """
    few = too_few(recipe, cases)
    if few is None:
        return None
    seen, least = few
    return (
        f"It has seen {plural(seen, 'patch', 'patches')}, where {least:,} are the least to tell anything by: its "
        "labels are hardly worth using, and more time or iterations fix that."
    )


def too_few(recipe: Recipe, cases: int) -> tuple[int, int] | None:
    """Return the patches that a training sees and the least to tell anything by, where the former are fewer."""
    seen, least = recipe.iterations * recipe.batch_size, max(LEAST_VIEWS, LEAST_PASSES * cases)
    return (seen, least) if seen < least else None


def card_line(recipe: Recipe, cases: int) -> str:
    """Return the warning as a paragraph of a model card; nothing where there is none."""
    warning = shortness(recipe, cases)
    return f"{MARK} {warning}\n\n" if warning else ""


def warning_on(card: str) -> str | None:
    """Return the warning that a model card bears, if any.

    >>> from c2fnas.training.recipe import modern_recipe
    >>> warning_on("# A model\\n\\n" + card_line(modern_recipe(1), 8))[:38]
    'It has seen 2 patches, where 300 are t'
    """
    return next((line.removeprefix(MARK).strip() for line in card.splitlines() if line.startswith(MARK)), None)
