"""The precision that a device computes in, Fabric's plugin for it, and right gradients in bf16 on a CPU."""

import platform
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from c2fnas.devices import shown_here

if TYPE_CHECKING:  # a prediction needs no Fabric, whose import takes as long as a small image
    from lightning_fabric.plugins import Precision


AMPERE = 8
"""The compute capability from which on NVIDIA's GPUs multiply bf16."""


def resolve_precision(precision: str, device: str) -> str:
    """Return ``precision``; ``auto`` becomes bf16 where the hardware multiplies it, else fp32 (CPU) or fp16 (GPU).

    A pure function of the machine, so that a run resolved twice there is the same run. On a CPU bf16 needs AVX-512
    BF16, AMX or Arm's BF16: without them, or where ``ATEN_CPU_CAPABILITY`` has PyTorch do without, it is emulated and
    slower (docs/decisions/0013).

    >>> resolve_precision("bf16", "cpu")
    'bf16'
    """
    if precision != "auto":
        return precision
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda"):
        return "bf16" if _gpu_multiplies_bf16(device) else "fp16"
    return "bf16" if device.startswith("cpu") and _cpu_multiplies_bf16() else "fp32"


def common_precision(devices: Sequence[str]) -> str:
    """Return the precision in which every one of ``devices`` computes fast, as a run has one for all of its networks.

    Where GPUs differ it is fp16, which all of them multiply; where a CPU and a GPU differ, fp32.
    """
    found = {resolve_precision("auto", device) for device in devices}
    if len(found) == 1:
        return found.pop()
    return "fp16" if all(device.startswith("cuda") for device in devices) else "fp32"


def precision_plugin(precision: str, accelerator: str) -> "Precision":
    """Return Fabric's plugin: autocast for bf16 and fp16, with a loss scaler for fp16 on any device.

    Fabric itself would turn fp16 on a CPU into bf16.
    """
    from lightning_fabric.plugins import MixedPrecision, Precision

    if precision == "fp32":
        forbid_tf32()
        return Precision()
    return MixedPrecision("bf16-mixed" if precision == "bf16" else "16-mixed", accelerator)


def forbid_tf32() -> None:
    """Have this process multiply float32 on a GPU as float32; by itself cuDNN rounds factors to TF32's 10 bits.

    fp32 is the same everywhere then (docs/decisions/0096).
    """
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False


class SmallConvolutions(TorchFunctionMode):
    """Context in which ``conv3d`` computes in float32 where an axis of its input is shorter than that of its kernel.

    There, at the lowest level of patches of 32 voxels say, the bf16 gradient of the weights on a CPU by PyTorch 2.13 is
    made of memory that was never written: not a number or, worse, a wrong one (docs/decisions/0013).

    >>> x, weight = torch.ones(1, 1, 2, 2, 2), torch.ones(1, 1, 3, 3, 3)
    >>> with torch.autocast("cpu", torch.bfloat16), SmallConvolutions():
    ...     torch.conv3d(x, weight, padding=1).dtype, torch.conv3d(x, weight[..., :1, :1, :1]).dtype
    (torch.float32, torch.bfloat16)
    """

    def __torch_function__(
        self, func: Callable, types: Sequence[type], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call ``func``, in float32 where it is a convolution of a small input."""
        kwargs = kwargs or {}
        if func is not torch.conv3d or not _is_small(args[0], args[1]):
            return func(*args, **kwargs)
        with torch.autocast("cpu", enabled=False):
            return func(*map(_float32, args), **{name: _float32(value) for name, value in kwargs.items()})


def _gpu_multiplies_bf16(device: str) -> bool:
    """PyTorch's own answer is about the current GPU, which need not be the one that is named."""
    return torch.version.hip is not None or torch.cuda.get_device_properties(shown_here(device)).major >= AMPERE


def _cpu_multiplies_bf16() -> bool:
    if not torch.backends.mkldnn.is_available():  # macOS: without oneDNN, bf16 is slower than fp32
        return False
    lesser = torch.backends.cpu.get_cpu_capability() in ("AVX2", "NO AVX", "DEFAULT")
    if lesser and platform.machine() in ("x86_64", "AMD64"):
        return False
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "arm_bf16", "bf16"))


def _is_small(image: Tensor, weight: Tensor) -> bool:
    return any(side > size for side, size in zip(weight.shape[2:], image.shape[2:], strict=True))


def _float32(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) else value
