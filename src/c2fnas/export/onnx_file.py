"""A model's network as one ONNX file, for any batch and any size, with its preparation as metadata.

The graph is the network alone: prepared windows to scores. What lies around it, from image files to label files, is
stated in the file's metadata, in words and as the package's own JSON.
"""

import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from c2fnas.errors import UserError
from c2fnas.export.preparation_text import interpretation, preparation
from c2fnas.files import refuse_taken, write_atomically
from c2fnas.inference.package import Package
from c2fnas.networks.baselines.padded import Padded
from c2fnas.networks.network import SegmentationNetwork
from c2fnas.shapes import Size

if TYPE_CHECKING:
    import onnx

INPUT, OUTPUT = "image", "logits"
FORMAT = "c2fnas-onnx-1"
SIZES = "any"
ROUNDING = 1e-3
"""The most that scores may differ, of their size: float32 through some forty normalised layers stays far below it."""


def export_onnx(model: Package, path: Path, tell: Callable[[str], None] = lambda phase: None) -> None:
    """Write the network of ``model`` as ``path``.

    Its input ``image`` is float32 ``[batch, channels, i, j, k]``, its output ``logits`` ``[batch, classes, i, j, k]``;
    batch, i, j and k are free: what the network pads, the graph pads and crops as well. Before it is written, its
    scores are compared with the network's. ``tell`` hears of each phase.

    Raises:
        UserError: the packages of ``c2fnas[onnx]`` are not installed, PyTorch can't trace the network, the file would
            give other scores, or ``path`` exists or can't be written.
    """
    refuse_taken(path)
    try:
        import onnx
        import onnxruntime  # noqa: F401  compares
        import onnxscript  # noqa: F401  torch.onnx writes with it
    except ImportError as error:
        raise UserError(
            f"--format onnx: the package {error.name} is not installed. pip install 'c2fnas[onnx]'"
        ) from error
    tell("PyTorch follows the network step by step; on a busy machine this takes minutes")
    try:
        proto = _graph(model.network, len(model.plan.channels))
    except torch.onnx.OnnxExporterError as error:
        raise UserError(
            f"{model.folder}: PyTorch cannot write {model.design.to_text()} as ONNX: it can't follow what the network "
            "does with its tensors. Use --format bundle, or train another network."
        ) from error
    onnx.helper.set_model_props(proto, metadata(model))
    proto.producer_name, proto.doc_string = "c2fnas", f"{model.design.to_text()}: prepared windows to scores"
    tell("comparing the file's scores with the network's")
    onnx.checker.check_model(proto)
    _refuse_other_scores(model, proto)
    write_atomically(path, lambda temporary: onnx.save(proto, str(temporary)))


def metadata(model: Package) -> dict[str, str]:
    """Return the file's properties: all that is needed to use the network on image files."""
    from c2fnas import __version__

    plan = model.plan
    return {
        "c2fnas.format": FORMAT,
        "c2fnas.version": __version__,
        "c2fnas.model": model.checksum,
        "c2fnas.design": json.dumps(model.design.to_json()),
        "c2fnas.plan": json.dumps(plan.model_dump(mode="json")),
        "c2fnas.size": SIZES,
        "c2fnas.preprocessing": "\n".join(preparation(plan)),
        "c2fnas.postprocessing": "\n".join(interpretation(plan)),
    }


def _refuse_other_scores(model: Package, proto: "onnx.ModelProto") -> None:
    """Refuse a graph whose scores of random voxels, at sizes that are no multiple of anything, are not the network's.

    Raises:
        UserError: they differ by more than rounding in float32 can explain.
    """
    import onnxruntime

    i, j, k = _strides(model.network)
    size = (1, len(model.plan.channels), 2 * i + 1, 2 * j + 3, 2 * k + 2)
    voxels = torch.randn(size, generator=torch.Generator().manual_seed(0))
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    with torch.no_grad():
        own = model.network(voxels)
    found = torch.from_numpy(session.run([OUTPUT], {INPUT: voxels.numpy()})[0])
    apart = float((found - own).norm() / own.norm())
    if not apart < ROUNDING:
        raise UserError(
            f"{model.folder}: ONNX Runtime gives other scores than PyTorch (they differ by {apart:.1e} of their size), "
            "so no file was written. Use --format bundle, and report it with the lines of `c2fnas doctor`."
        )


def _graph(network: nn.Module, channels: int) -> "onnx.ModelProto":
    """The network traced with symbolic sizes."""
    i, j, k = strides = _strides(network)
    sides = {axis: _side(name, network, stride) for axis, name, stride in zip((2, 3, 4), "ijk", strides, strict=True)}
    batch = torch.export.Dim("batch")
    example = torch.zeros(2, channels, 6 * i, 10 * j, 14 * k)  # different: equal sides would be tied
    with _quietly():
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            dynamic_shapes=({0: batch, **sides},),
            input_names=[INPUT],
            output_names=[OUTPUT],
            verbose=False,
        )
    assert program is not None
    return _padded(program.model_proto, network)


def _padded(proto: "onnx.ModelProto", network: nn.Module) -> "onnx.ModelProto":
    """The graph between a padding with zeros at the end of each axis and a crop, both by the size that comes.

    Sides become multiples of what the network takes along each axis. Where the lowest level would be a single voxel,
    every axis gets the least size that has more: a traced graph would answer wrongly there, without a word.
    """
    import onnx
    from onnx import numpy_helper

    strides, graph = np.array(_strides(network)), proto.graph
    searched = isinstance(network, SegmentationNetwork)
    multiple, least = (np.ones_like(strides), strides + 1) if searched else (strides, 2 * strides)
    for node in graph.node:
        node.input[:] = ["padded" if name == INPUT else name for name in node.input]
        node.output[:] = ["uncropped" if name == OUTPUT else name for name in node.output]
    graph.initializer.extend(
        numpy_helper.from_array(np.array(value, dtype=np.int64), f"pad_{name}")
        for name, value in {
            **{"multiple": multiple, "below": multiple - 1, "strides": strides, "least": least},
            **{"zeros": [0] * 7, "starts": [0] * 3, "axes": [2, 3, 4]},
        }.items()
    )
    before: list[Any] = [
        ("Shape", [INPUT], "pad_size", {"start": 2}),
        ("Add", ["pad_size", "pad_below"], "pad_upper", {}),
        ("Div", ["pad_upper", "pad_multiple"], "pad_times", {}),
        ("Mul", ["pad_times", "pad_multiple"], "pad_whole", {}),
        ("Greater", ["pad_whole", "pad_strides"], "pad_longer", {}),
        ("Cast", ["pad_longer"], "pad_counted", {"to": onnx.TensorProto.INT64}),
        ("ReduceMax", ["pad_counted"], "pad_any", {"keepdims": 0}),
        ("Cast", ["pad_any"], "pad_large", {"to": onnx.TensorProto.BOOL}),
        ("Where", ["pad_large", "pad_whole", "pad_least"], "pad_goal", {}),
        ("Sub", ["pad_goal", "pad_size"], "pad_missing", {}),
        ("Concat", ["pad_zeros", "pad_missing"], "pad_ends", {"axis": 0}),
        ("Pad", [INPUT, "pad_ends"], "padded", {}),
    ]
    after: list[Any] = [("Slice", ["uncropped", "pad_starts", "pad_size", "pad_axes"], OUTPUT, {})]
    first, last = (
        [onnx.helper.make_node(kind, inputs, [output], output, **more) for kind, inputs, output, more in nodes]
        for nodes in (before, after)
    )
    nodes = [*first, *graph.node, *last]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    for value in (graph.input[0], graph.output[0]):
        for axis, name in ((2, "i"), (3, "j"), (4, "k")):
            value.type.tensor_type.shape.dim[axis].dim_param = name
    return proto


def _side(name: str, network: nn.Module, stride: int) -> object:
    """A searched network takes every size; others are padded to multiples of their stride, which a graph can't be."""
    if isinstance(network, SegmentationNetwork):
        return torch.export.Dim(name, min=stride + 1)
    return stride * torch.export.Dim(f"{name}_strides", min=2)


def _strides(network: nn.Module) -> Size:
    """Voxels of the image that a voxel of the lowest level stands for, along each axis."""
    if isinstance(network, SegmentationNetwork):
        stride = 2 ** (network.topology.downsamplings + 1)
        return stride, stride, stride
    assert isinstance(network, Padded)
    return network.stride


@contextmanager
def _quietly() -> Iterator[None]:
    """The exporter tells of packages that are no concern here, of its own deprecations, and prints what it traced."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
