"""Which precision a device computes in, and the Fabric plugin for it."""

import torch
from lightning_fabric.plugins import MixedPrecision, Precision


def resolve_precision(wish: str, device: str) -> str:
    """``auto`` becomes bf16 where the hardware multiplies it, else fp32 (CPU) or fp16 (GPU); anything else stays.

    A pure function of the machine, so that a run resolved twice there is the same run. On a CPU bf16 needs AVX-512
    BF16, AMX or Arm's BF16: without them it is emulated and slower (docs/decisions/0013).

    >>> resolve_precision("bf16", "cpu")
    'bf16'
    """
    if wish != "auto":
        return wish
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda"):
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if device.startswith("cpu") and _cpu_multiplies_bf16() else "fp32"


def precision_plugin(precision: str, accelerator: str) -> Precision:
    """Fabric's plugin: autocast for bf16 and fp16, with a loss scaler for fp16 on any device.

    Made here rather than by Fabric, which would turn fp16 on a CPU into bf16.
    """
    if precision == "fp32":
        return Precision()
    return MixedPrecision("bf16-mixed" if precision == "bf16" else "16-mixed", accelerator)


def _cpu_multiplies_bf16() -> bool:
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "arm_bf16", "bf16"))
