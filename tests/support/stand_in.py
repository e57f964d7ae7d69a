"""A stand-in for a GPU: tensors that hold host data, report ``cuda:0``, and raise where they meet a host tensor.

The code under test runs on a processor as it would on a GPU: the same branches, and the same mistakes found. What a GPU
does not allow raises here too; what makes the host wait for a GPU is noted in :attr:`Accelerator.reads`.
"""

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

import c2fnas
from c2fnas import devices

HOME = Path(c2fnas.__file__).parent
DEVICE = torch.device("cuda:0")
FREE = 2**34

aten = torch.ops.aten
BETWEEN = {aten.copy_, aten._to_copy, aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_}
"""Operations that take tensors of both places on a GPU, too: copies, and indices that lie on the host."""
FILLING = {aten.fill, aten.fill_, aten.masked_fill, aten.masked_fill_}
WAITING = {
    aten._local_scalar_dense,
    aten.equal,
    aten.nonzero,
    aten.masked_select,
    aten._unique2,
    aten.unique_dim,
    aten.is_nonzero,
}
"""Operations whose result, or its size, the host has to know: it waits for the GPU."""
NO_NUMPY = {Tensor.numpy, Tensor.__array__}
FACTORIES = ("arange", "arange.start", "arange.start_step", "empty.memory_format", "empty_strided")


@dataclass
class Accelerator:
    """What happened on the stand-in: the places in the code where the host waited, and how many tensors were pinned."""

    reads: list[str] = field(default_factory=list)
    pinned: int = 0

    def read(self, what: object) -> None:
        """Note a place where the host waits: the innermost one in the code under test."""
        frames = [frame for frame in traceback.extract_stack() if Path(frame.filename).is_relative_to(HOME)]
        self.reads.append(f"{Path(frames[-1].filename).relative_to(HOME)}" if frames else f"elsewhere: {what}")


plugged: Accelerator | None = None


class StandIn(Tensor):
    """A tensor on the stand-in; ``held`` is its data, on the host."""

    held: Tensor
    device = property(lambda self: DEVICE)  # type: ignore[assignment]
    is_cuda = property(lambda self: True)  # type: ignore[assignment]
    is_cpu = property(lambda self: False)  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, held: Tensor) -> "StandIn":
        return Tensor._make_wrapper_subclass(
            cls, held.size(), strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype
        )

    def __init__(self, held: Tensor) -> None:
        self.held = held

    def __repr__(self) -> str:  # type: ignore[override]
        return f"StandIn({self.held!r})"

    def record_stream(self, stream: object) -> None:
        """Do nothing: there is one stream."""

    @classmethod
    def __torch_function__(cls, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if func in NO_NUMPY:
            raise TypeError(f"can't convert {DEVICE} device type tensor to numpy. Use Tensor.cpu() first.")
        if func is Tensor.tolist:
            return args[0].cpu().tolist()
        if func is Tensor.cpu:
            func, args = Tensor.to, (args[0], "cpu")
        if func is Tensor.to:
            return _moved(*args, **kwargs)
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **kwargs)

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs, packet = kwargs or {}, func.overloadpacket
        with torch._C.DisableTorchFunctionSubclass():
            parts = func.decompose(*args, **kwargs)  # what inference leaves whole, as autograd sees it
        if parts is not NotImplemented:
            return parts
        _refuse_mixture(func, [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)])
        to = kwargs.get("device")
        # Autograd, in C++, asks for new gradients where it takes the held data to be; copies alone leave the device.
        here = to is None or packet is not aten._to_copy or torch.device(to).type == DEVICE.type
        if plugged is not None and (_waits(packet, args) or not here):
            plugged.read(packet.__name__)
        held_args, held_kwargs = tree_map(_held, (args, {**kwargs, **({} if to is None else {"device": "cpu"})}))
        result = func(*held_args, **held_kwargs)
        if not here or packet in WAITING:
            return result
        wrapped = tree_map(lambda leaf: StandIn(leaf) if type(leaf) is Tensor else leaf, result)
        out = kwargs.get("out")
        if isinstance(out, StandIn) and out.shape != out.held.shape:
            raise NotImplementedError(f"{func}: the stand-in can't resize")
        return return_and_correct_aliasing(func, args, kwargs, wrapped)


@contextmanager
def plugged_in() -> Iterator[Accelerator]:
    """The stand-in as the one GPU of this machine: ``cuda:0``."""
    global plugged
    if torch.version.cuda is not None:
        pytest.skip("this PyTorch has kernels for GPUs, which the stand-in would take the place of")
    library = torch.library.Library("aten", "IMPL")
    for name in FACTORIES:
        packet, _, overload = name.partition(".")
        library.impl(name, _factory(getattr(getattr(aten, packet), overload or "default")), "CUDA")
    plugged = Accelerator()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in _cuda().items():
            patch.setattr(torch.cuda, name, value)
        patch.setattr(devices, "DRIVERS", ("/",))
        patch.setattr(torch, "tensor", _tensor(torch.tensor))
        patch.setattr(Tensor, "pin_memory", _pinned)
        patch.setattr(torch._C, "_group_tensors_by_device_and_dtype", _grouped(torch._C))
        patch.setattr(torch.backends.cudnn, "benchmark", False)
        # The data of a parameter on the host can't be exchanged for a stand-in's.
        overwrite = torch.__future__.get_overwrite_module_params_on_conversion()
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        try:
            yield plugged
        finally:
            plugged = None
            torch.__future__.set_overwrite_module_params_on_conversion(overwrite)
            library._destroy()


def on_host(value: Any) -> bool:
    """True if no tensor in ``value`` is on the stand-in."""
    return not any(isinstance(leaf, StandIn) for leaf in tree_leaves(value))


def _refuse_mixture(func: Any, tensors: list[Tensor]) -> None:
    """Raise as a GPU does; a host scalar may meet a larger tensor of the GPU in operations of element by element."""
    host = [tensor for tensor in tensors if not isinstance(tensor, StandIn)]
    if not host or func.overloadpacket in BETWEEN:
        return
    by_element = torch.Tag.pointwise in func.tags or func.overloadpacket in FILLING
    if not by_element or any(tensor.dim() for tensor in host):
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found at least two devices, {DEVICE} and cpu! ({func})"
        )


def _waits(packet: Any, args: tuple) -> bool:
    if packet is aten.copy_:
        return not isinstance(args[0], StandIn)
    mask = packet is aten.index and any(each is not None and each.dtype == torch.bool for each in args[1])
    return mask or packet in WAITING


def _held(leaf: Any) -> Any:
    return leaf.held if isinstance(leaf, StandIn) else leaf


def _moved(tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """``tensor.to(...)``, where one of its arguments is on the stand-in."""
    if args and isinstance(args[0], Tensor):
        args = (args[0].device, args[0].dtype, *args[1:])
    copy = kwargs.pop("copy", False)
    device, dtype, non_blocking, memory_format = torch._C._nn._parse_to(*args, **kwargs)
    same = device is None or device.type == tensor.device.type
    if same and not copy and memory_format is None and dtype in (None, tensor.dtype):
        return tensor
    options = {} if memory_format is None else {"memory_format": memory_format}
    with torch._C.DisableTorchFunctionSubclass():
        if same:
            return tensor.to(dtype=dtype or tensor.dtype, copy=copy, **options)
        return aten._to_copy(tensor, dtype=dtype, device=device, non_blocking=non_blocking, **options)


def _factory(function: Any) -> Callable:
    def make(*args: Any, **kwargs: Any) -> StandIn:
        return StandIn(function(*args, **{**kwargs, "device": "cpu", "pin_memory": False}))

    return make


def _tensor(original: Callable) -> Callable:
    """``torch.tensor`` copies to a GPU in C++, past any subclass."""

    def tensor(*args: Any, device: Any = None, **kwargs: Any) -> Tensor:
        made = original(*args, **kwargs)
        return made if device is None else made.to(device)

    return tensor


def _grouped(original: Any) -> Callable:
    """Groups of tensors by device, which C++ takes for that of the held data."""
    group = original._group_tensors_by_device_and_dtype

    def grouped(lists: list[list[Tensor]], *args: Any) -> dict:
        return {(each[0][0][0].device, dtype): each for (_, dtype), each in group(lists, *args).items()}

    return grouped


def _pinned(tensor: Tensor) -> Tensor:
    assert not isinstance(tensor, StandIn), "cannot pin a tensor of the device"
    if plugged is not None:
        plugged.pinned += 1
    return tensor


class _Stream:
    """A stream or an event: all is done in order."""

    def __init__(self, device: object = None) -> None:
        self.device = device

    def record_event(self) -> "_Stream":
        return self

    def wait_event(self, event: object) -> None:
        pass

    wait_stream = wait_event

    def synchronize(self) -> None:
        pass


@dataclass(frozen=True)
class _Properties:
    name: str = "stand-in"
    total_memory: int = FREE
    major: int = 7
    minor: int = 0


def _cuda() -> dict[str, Callable]:
    """Functions of ``torch.cuda`` that need no more than their answer."""
    silent = ("_lazy_init", "set_device", "empty_cache", "synchronize", "manual_seed_all", "set_rng_state")
    answers = {
        **dict.fromkeys((*silent, "set_per_process_memory_fraction", "reset_peak_memory_stats")),
        "is_available": True,
        "is_initialized": True,
        "device_count": 1,
        "current_device": 0,
        "get_device_capability": (7, 0),
        "get_device_name": _Properties.name,
        "get_device_properties": _Properties(),
        "get_arch_list": [],
        "is_bf16_supported": True,
        "mem_get_info": (FREE, FREE),
        "memory_allocated": 0,
        "memory_reserved": 0,
        "max_memory_reserved": 0,
    }
    return {
        **{name: lambda *args, answer=answer, **kwargs: answer for name, answer in answers.items()},
        "get_rng_state": lambda device="cuda": torch.zeros(16, dtype=torch.uint8),
        "Stream": _Stream,
        "current_stream": _Stream,
        "stream": nullcontext,
    }
