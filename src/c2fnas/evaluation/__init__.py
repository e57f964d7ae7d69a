"""Dice and surface distances on whole volumes, cross-validation, and comparisons of trainings."""

from c2fnas.lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "comparison": ["PairedDifference", "paired_bootstrap"],
        "cross_validation": ["CrossValidation", "cross_validated"],
        "evaluate": ["evaluate_network"],
        "label_files": ["evaluate_files", "pair_files"],
        "metrics": ["CaseScores", "Evaluation", "Options", "dice_per_class", "score_case", "summarise"],
        "path_ranking": ["score_paths"],
        "verdict": ["Verdict"],
    },
)
