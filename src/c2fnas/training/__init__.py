"""Training of any network: one loop, recipes, checkpoints (paper 4.1); torch is imported with the first name used."""

from c2fnas.lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "loop": ["TrainResult", "time_iterations", "train"],
        "losses": ["DiceCrossEntropy"],
        "metrics_log": ["Progress"],
        "recipe": ["Recipe", "modern_recipe", "paper_recipe"],
        "step": ["TrainingFailed"],
        "weights": ["load_weights", "save_weights"],
    },
)
