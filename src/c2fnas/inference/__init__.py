"""From a trained network to labels: sliding window, ensembles, model packages, prediction."""

from c2fnas.lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "ensemble": ["Mirrored"],
        "model": ["Model", "load_model", "predict_folder"],
        "options": ["Options"],
        "package": ["Package", "load_package", "save_package"],
        "predict": ["Predicted"],
        "pretrained": ["pretrained_names"],
        "sliding_window": ["SlidingWindow"],
    },
)
