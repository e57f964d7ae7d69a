"""A searched architecture for nnU-Net v2's own pipeline: a folder for its variable ``nnUNet_extTrainer``."""

from pathlib import Path

from c2fnas.files import new_folder, write_json, write_text
from c2fnas.space.architecture import Architecture

TRAINER = "nnUNetTrainerC2FNAS"
ARCHITECTURE_FILE = "architecture.json"

SOURCE = '''"""nnU-Net v2 trains the network of architecture.json, beside this file. Written by `c2fnas export`.

    export nnUNet_extTrainer=THIS_FOLDER
    nnUNetv2_train DATASET 3d_fullres FOLD -tr nnUNetTrainerC2FNAS

Recipe, augmentation and inference are nnU-Net's own, but for deep supervision, which this network has no heads for.
"""

from pathlib import Path

import torch
from c2fnas.export.nnunet_network import NnunetNetwork
from c2fnas.space.architecture import Architecture
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager

ARCHITECTURE = Path(__file__).with_name("architecture.json")


class nnUNetTrainerC2FNAS(nnUNetTrainer):
    """nnU-Net's trainer with a searched network."""

    def __init__(
        self, plans: dict, configuration: str, fold: int, dataset_json: dict,
        device: torch.device = torch.device("cuda"),
    ):
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.enable_deep_supervision = False

    @staticmethod
    def build_network_architecture(
        plans_manager: PlansManager, configuration_manager: ConfigurationManager, num_input_channels: int,
        num_output_channels: int, enable_deep_supervision: bool = True,
    ) -> torch.nn.Module:
        if len(configuration_manager.patch_size) != 3:
            raise ValueError("nnUNetTrainerC2FNAS builds 3D networks: choose 3d_fullres or 3d_lowres")
        architecture = Architecture.load(ARCHITECTURE)
        return NnunetNetwork(architecture, in_channels=num_input_channels, classes=num_output_channels)

    def set_deep_supervision_enabled(self, enabled: bool):
        """There is none."""
'''


def export_nnunet(architecture: Architecture, folder: Path) -> None:
    """Write the trainer and the architecture it builds to ``folder``.

    Raises:
        UserError: something is at ``folder``, or it can't be written.
    """
    with new_folder(folder) as unfinished:
        write_text(unfinished / f"{TRAINER}.py", SOURCE)
        write_json(unfinished / ARCHITECTURE_FILE, architecture.to_json())
