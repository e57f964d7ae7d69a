"""A model as a MONAI Bundle: configurations for inference and fine-tuning around the model package itself.

The package lies in ``models/``, whole and with its checksums, and the configurations load it from there: the weights
stay safetensors, and `c2fnas predict BUNDLE/models` works as well.
"""

from pathlib import Path

from c2fnas.export.bundle_configs import inference, metadata, training
from c2fnas.export.preparation_text import interpretation, preparation
from c2fnas.files import new_folder, write_json, write_text
from c2fnas.inference.package import Package, copy_package, read_card

MODEL_FOLDER = "models"


def export_bundle(model: Package, folder: Path) -> None:
    """Write ``model`` as the bundle ``folder``.

    Raises:
        UserError: something is at ``folder``, or it can't be written.
    """
    with new_folder(folder) as unfinished:
        copy_package(model.folder, unfinished / MODEL_FOLDER)
        configs = {"metadata": metadata(model), "inference": inference(model.plan), "train": training(model.plan)}
        for name, config in configs.items():
            write_json(unfinished / "configs" / f"{name}.json", config)
        write_text(unfinished / "docs" / "README.md", _readme(model))


def _readme(model: Package) -> str:
    about = read_card(model.folder) or "# A model of c2fnas"
    steps = [*preparation(model.plan), "The network.", *interpretation(model.plan)]
    numbered = "\n".join(f"{number}. {step}" for number, step in enumerate(steps, start=1))
    return f"""{about}

# As a MONAI Bundle

It needs `pip install 'c2fnas[bundle]'`. In this folder:

```
python -m monai.bundle run --config_file configs/inference.json --meta_file configs/metadata.json \\
  --bundle_root . --dataset_dir IMAGES --output_dir PREDICTIONS
python -m monai.bundle run --config_file configs/train.json --meta_file configs/metadata.json \\
  --bundle_root . --dataset_dir DATASET --max_epochs 50
```

The second fine-tunes on a data set in Decathlon's layout, nnU-Net's, or a CSV, of the same channels and classes. The
best network goes to `finetuned`, from where the first takes it with `--model_dir finetuned`. Where headers have lost
the true spacing, both take it by `--spacing 1.25,1.25,8`, in mm along the images' own axes.

`models` is a model package: architecture and plan as JSON, weights as safetensors. For a program that wants
`models/model.pt`, a state dictionary: `torch.save(safetensors.torch.load_file("models/weights.safetensors"),
"models/model.pt")`.

From an image to labels:

{numbered}
"""
