"""A trained model in other people's tools: MONAI Bundle, ONNX, nnU-Net trainer, and a folder or file to pass on."""

from c2fnas.lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "archive": ["pack"],
        "bundle": ["export_bundle"],
        "model_folder": ["export_folder", "save_half"],
        "nnunet": ["export_nnunet"],
        "onnx_file": ["export_onnx"],
    },
)
