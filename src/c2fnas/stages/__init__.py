"""The paper, a stage a file: prepare, coarse, super-network, ranking, fine, deploy; `pipeline` is the method."""

from c2fnas.lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "coarse": ["search_topology"],
        "deployment": ["Deployed", "deploy"],
        "fine": ["Limits", "search_operations"],
        "pipeline": ["coarse_stage", "fine_stage", "run_pipeline"],
        "preparation": ["prepare"],
        "supernet": ["train_supernet"],
        "train": ["TrainOptions", "train_architecture"],
        "training": ["train_and_score"],
        "training_jobs": ["TrainingSpec", "run_all"],
    },
)
