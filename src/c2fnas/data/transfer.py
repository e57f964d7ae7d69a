"""Batches on their way to a GPU: pinned, copied by a stream of its own, while the network computes."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from c2fnas.memory import is_out_of_memory


@dataclass(frozen=True)
class Batch:
    """The patches of an iteration; ``label`` holds class indices, as small on the device as in the cache.

    ``ready`` is the event after which patches are whole on a GPU; None where they always are.
    """

    image: Float[Tensor, "b c i j k"]
    label: UInt8[Tensor, "b i j k"]
    ready: torch.cuda.Event | None = None

    def arrived(self) -> "Batch":
        """Return the batch for use on the current stream, which waits for it; the host does not."""
        if self.ready is None:
            return self
        stream = torch.cuda.current_stream(self.image.device)
        stream.wait_event(self.ready)
        for tensor in (self.image, self.label):
            tensor.record_stream(stream)  # the memory is not given to another batch before this one is used
        return replace(self, ready=None)


class Transfer:
    """A stream on a GPU, on which batches are made or copied; on a CPU, and without a device, it does nothing.

    Make it after the tensors that batches are made of: its stream waits for what is under way.
    """

    def __init__(self, device: torch.device | None) -> None:
        self._device = device
        self._stream: torch.cuda.Stream | None = None
        if device is not None and device.type == "cuda":
            self._stream = torch.cuda.Stream(device)
            self._stream.wait_stream(torch.cuda.current_stream(device))

    def batch(self, make: Callable[[], tuple[Tensor, Tensor]]) -> Batch:
        """Return the batch of the image and label that ``make`` gives, on the device or on its way there."""
        if self._stream is None:
            return Batch(*make())
        with torch.cuda.stream(self._stream):
            image, label = (pinned(tensor).to(self._device, non_blocking=True) for tensor in make())
            return Batch(image, label, self._stream.record_event())

    def wait(self) -> None:
        """Wait for all that is under way, so that the memory of what is read may be given back."""
        if self._stream is not None:
            self._stream.synchronize()


def pinned(tensor: Tensor) -> Tensor:
    """Return a copy in pinned memory of a tensor on the host, or the tensor itself where there is no more of it."""
    if tensor.device.type != "cpu":
        return tensor
    try:
        return tensor.pin_memory()
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return tensor
