"""From a trained network to labels in a file: sliding window, ensembles, metrics, model packages, prediction."""
