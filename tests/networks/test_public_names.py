"""The public names of the lower rooms: all there, and torch is imported with the first that needs it, not before."""

import subprocess
import sys
from importlib import import_module

import pytest

ROOMS = ["space", "networks", "networks.baselines", "training", "bench"]


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_is_there(room: str) -> None:
    package = import_module(f"c2fnas.{room}")
    assert len(set(package.__all__)) == len(package.__all__) > 0
    for name in package.__all__:
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = package.no_such_name


def test_rooms_are_imported_without_torch() -> None:
    code = "import sys; " + "".join(f"import c2fnas.{room}; " for room in ROOMS) + "print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_compared_network_is_a_value_without_torch() -> None:
    code = (
        "import sys; from c2fnas.networks.designs import design_from_json; "
        "print(design_from_json({'network': 'vnet', 'width': 0.5}).to_text(), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "vnet @0.5 False"
