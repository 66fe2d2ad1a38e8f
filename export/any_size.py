"""ONNX graphs for pictures of any size.

Traced with open heights and widths, every layer's size becomes a formula in them, and the exporter takes
minutes to prove that the next layer fits (torch 2.14). A network that knows nothing of size needs none of
that: it is traced at one size, its axes are opened, and the graph is run at another one to see that it holds.
"""

from __future__ import annotations

import numpy as np
import onnx
import torch
from torch import nn

from runtimes import Dim, EngineError
from sdk.inputs.free_image import FreeImageInput
from sdk.spec import Spec

_AXES = ("batch", "height", "width")
_LEVELS_APART = 1
"""Rounding to the other of two neighbouring levels is no other answer."""


def open_sizes(payload: bytes, module: nn.Module, spec: Spec) -> bytes:
    """Open the axes that the spec of the baked graph leaves open, and see that the graph holds.

    Args:
        payload: Traced at one size.
        module: What was traced.
        spec: Baked, with open axes.

    Raises:
        EngineError: At another size the graph does not give what the module gives.
    """
    model = onnx.load_from_string(payload)
    graph = spec.graph()
    for infos, values in ((graph.inputs, model.graph.input), (graph.outputs, model.graph.output)):
        for info, value in zip(infos, values, strict=True):
            names = iter(_AXES)
            for extent, axis in zip(info.shape, value.type.tensor_type.shape.dim, strict=True):
                if isinstance(extent, Dim):
                    axis.dim_param = next(names)
    del model.graph.value_info[:]
    opened = model.SerializeToString()
    _require_same(opened, module, spec)
    return opened


def _require_same(payload: bytes, module: nn.Module, spec: Spec) -> None:
    import onnxruntime

    image = spec.input
    assert isinstance(image, FreeImageInput)
    high, wide = (image.smallest_px + count * image.multiple_px for count in (2, 1))
    shape = (2, high, wide, image.channel_count)
    pictures = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    with torch.inference_mode():
        wanted = module(torch.from_numpy(pictures)).numpy()
    try:
        session = onnxruntime.InferenceSession(payload, providers=["CPUExecutionProvider"])
        (found,) = session.run(None, {spec.graph().inputs[0].name: pictures})
        same = found.shape == wanted.shape
        same = same and int(np.abs(found.astype(np.int16) - wanted).max()) <= _LEVELS_APART
    except Exception:  # noqa: BLE001 - the engine raises whatever it likes
        same = False
    if not same:
        raise EngineError(
            "ONNX export",
            got=f"a network that gives something else at {wide}×{high} px than at {image.size_wh}",
            expected="one to which size means nothing",
            fix="Use an input of kind 'image' with a fixed size.",
        )
