"""Data sets: layouts, file formats, scan, plan, prepared cases and patches."""

from c2fnas.lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "cache": ["Cache", "PreparedCase", "prepare_cases"],
        "dataset": ["Case", "Dataset"],
        "fingerprint": ["Fingerprint"],
        "fixing": ["Fixed", "fix_dataset"],
        "folds": ["FoldChoice", "Split", "make_folds"],
        "layouts": ["load_dataset", "read_dataset"],
        "patches": ["Batch", "PatchSampler", "prefetched"],
        "phantoms": ["write_phantoms"],
        "plan": ["ChannelPlan", "ClassPlan", "Plan", "load_plan", "save_plan"],
        "preprocess": ["prepare_image"],
        "problem": ["CaseError", "Problem"],
        "restoration": ["Restoration"],
        "scan": ["Scan", "scan_dataset"],
        "scheme": ["LabelClass", "LabelScheme"],
        "volume": ["Volume", "read_image", "read_label", "write_label"],
    },
)
