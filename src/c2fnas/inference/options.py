"""What a user may ask of a prediction, as numbers or as text, checked before torch is imported."""

import re

from c2fnas.errors import UserError
from c2fnas.shapes import Size


def parse_stride(stride: str | int | Size) -> Size:
    """Return a number of voxels per axis from 16, ``"16"``, ``"16,16,4"`` or ``(16, 16, 4)``.

    Raises:
        UserError: it is none of these.
    """
    parts = str(stride).strip("()").split(",")
    if len(parts) not in (1, 3) or not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise UserError(f"--stride {stride}: give one number of voxels or three, such as 16 or 16,16,4.")
    i, j, k = map(int, parts if len(parts) == 3 else parts * 3)
    return i, j, k


def parse_bytes(size: str | int) -> int:
    """Return the bytes of ``8G``, ``512 MB``, ``1.5GiB`` or a plain number.

    Raises:
        UserError: it is none of these.

    >>> parse_bytes("1.5G")
    1610612736
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?\s*", str(size), re.IGNORECASE)
    if not match or float(match[1]) == 0:
        raise UserError(f"--max-memory {size}: give a number with a unit, such as 8G or 500M.")
    return int(float(match[1]) * 1024 ** ("kmgt".find(match[2].lower()) + 1 if match[2] else 0))


def check_device(device: str) -> None:
    """Refuse the name of a device that no machine has.

    Raises:
        UserError: it is not ``auto``, ``cpu``, ``cuda`` or ``cuda:1``.
    """
    kind, colon, index = device.partition(":")
    if (kind not in ("cpu", "cuda") and device != "auto") or (colon and not index.isdecimal()):
        raise UserError(f"--device {device}: unknown device. Use auto, cpu, cuda, or cuda:0, cuda:1, ...")


def find_device(device: str) -> str:
    """Return the device that ``auto`` stands for, the first GPU or else the CPU, or ``device`` itself.

    Raises:
        UserError: it is unknown, or this machine has no such GPU.
    """
    check_device(device)
    import torch

    gpus = torch.cuda.device_count()
    if device == "auto":
        return "cuda:0" if gpus else "cpu"
    kind, _, index = device.partition(":")
    if kind == "cuda" and int(index or 0) >= gpus:
        raise UserError(f"--device {device}: this machine shows {gpus} GPUs to PyTorch. Use auto for what is there.")
    return device
