"""A trained model in other people's tools: MONAI bundle, ONNX, nnU-Net trainer, and one file to pass on."""
