"""Which precision a device computes in."""

import torch


def resolve_precision(wish: str, device: str) -> str:
    """``auto`` becomes bf16 where the hardware multiplies it fast, else fp32; anything else stays.

    On a CPU that is one with AVX-512 BF16 or AMX: without them bfloat16 is emulated and slower.
    """
    if wish != "auto":
        return wish
    if device.startswith("cuda"):
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if _cpu_multiplies_bf16() else "fp32"


def _cpu_multiplies_bf16() -> bool:
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("amx_tile"))
