"""Baking: move preprocessing and postprocessing from the host into the graph, so no runtime can differ.

`bake` composes three modules: a *prelude* from what the host delivers to what the network takes, the
network, and a *head* from what the network gives to what results are read from. It returns a new module
and a new spec; the checkpoint's network and spec stay as they are. A new input or output kind is a file
in `export/bakers` and a line here.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from export.bakers import arrays, boxes, classification, embedding, forecast, image, picture, segmentation
from runtimes import MAIN_GRAPH, Dim, SpecError, TensorInfo
from sdk.kinds import InputKind, OutputKind
from sdk.spec import Graph, Spec, called_as

if TYPE_CHECKING:
    from torch import Tensor, nn

InputBaker = Callable[["nn.Module", Spec, bool], tuple["nn.Module", "nn.Module", tuple[TensorInfo, ...]]]
OutputBaker = Callable[[Spec], tuple["nn.Module", tuple[TensorInfo, ...]]]

INPUT_BAKERS: dict[str, InputBaker] = {
    "arrays": arrays.bake_input,
    "dicom": image.bake_input,
    "free_image": image.bake_input,
    "image": image.bake_input,
    "noise": arrays.bake_input,
    "prompt": arrays.bake_input,
    "series": arrays.bake_input,
    "text": arrays.bake_input,
}
OUTPUT_BAKERS: dict[str, OutputBaker] = {
    "arrays": arrays.bake_output,
    "box_rows": arrays.bake_output,
    "candidate_boxes": boxes.bake_candidates,
    "classification": classification.bake_output,
    "decoded_text": arrays.bake_output,
    "embedding": embedding.bake_output,
    "forecast": forecast.bake_output,
    "final_boxes": boxes.bake_final,
    "generated_text": arrays.bake_output,
    "picture": picture.bake_output,
    "segmentation": segmentation.bake_output,
    "yolo_grid": boxes.bake_grid,
}


def bake(network: nn.Module, spec: Spec, *, fold: bool = True) -> tuple[nn.Module, Spec]:
    """Put every bakeable step into the graph.

    Args:
        network: The checkpoint's network in eval mode.
        spec: Its spec, with nothing baked.
        fold: Merge the normalisation into the first convolution where that is exact. Off for half
            precision: the raw 0..255 range belongs into the fp32 prelude then.

    Returns:
        A module with the attributes `prelude`, `network` and `head`, in eval mode, sharing no weights with
        `network`; and the spec of that module.

    Raises:
        SpecError: Something is baked already, or a kind cannot be baked.

    Of several graphs, that of the spec's first is composed: `Spec.only` chooses. What the host exchanges with
    another than the main one is what the network's method takes and gives: prelude and head do nothing there.
    """
    if spec.baked:
        raise SpecError(
            "spec.baked",
            got=str(list(spec.baked)),
            expected="nothing baked",
            fix="Bake the checkpoint's own network and spec.",
        )
    if called_as(spec.graph().name) != MAIN_GRAPH:
        return _compose_method(network, spec)
    bake_input = _find(INPUT_BAKERS, spec.input, arrays.bake_input)
    bake_output = _find(OUTPUT_BAKERS, spec.output, arrays.bake_output)
    prelude, body, inputs = bake_input(copy.deepcopy(network), spec, fold)
    head, outputs = bake_output(spec)
    steps = spec.input.bakeable + spec.output.bakeable
    views = spec.input.rows_per_item(spec.baked)
    if views > 1:
        head = _averaging(head, views)
    graph = Graph(spec.graph().name, inputs, outputs)
    return _compose(prelude, body, head), spec.with_baked(steps, (graph,))


def _find(table: dict[str, Any], kind: InputKind | OutputKind, nothing: Any) -> Any:
    """A kind's baker; `nothing` for one whose every step stays on the host."""
    if kind.kind in table or not kind.bakeable:
        return table.get(kind.kind, nothing)
    raise SpecError(
        "Baking",
        got=f"kind {kind.kind!r}",
        expected=f"one of {sorted(table)}",
        fix="Add a file for it in export/bakers.",
    )


def _compose_method(network: nn.Module, spec: Spec) -> tuple[nn.Module, Spec]:
    from export.bakers.baked import MethodOf

    method = MethodOf(copy.deepcopy(network), called_as(spec.graph().name))
    prelude, body, _ = arrays.bake_input(method, spec, False)
    head, _ = arrays.bake_output(spec)
    steps = spec.input.bakeable + spec.output.bakeable
    return _compose(prelude, body, head), spec.with_baked(steps, spec.graphs)


def _averaging(head: nn.Module, views: int) -> nn.Module:
    from export.bakers.baked import AveragingHead

    return AveragingHead(head, views)


def _compose(prelude: nn.Module, network: nn.Module, head: nn.Module) -> nn.Module:
    from export.bakers.baked import Baked

    return Baked(prelude, network, head).eval()


def example_input(spec: Spec, batch: int) -> tuple[Tensor, ...]:
    """Tensors that fit the main graph's inputs, for tracing; values are arbitrary but not constant.

    Args:
        spec: The spec of the module that is to be traced.
        batch: Extent of the first axis, where that is open.
    """
    import numpy as np
    import torch

    generator = np.random.default_rng(0)
    tensors = []
    for info in spec.graph().inputs:
        shape = [_example_extent(extent, at, batch) for at, extent in enumerate(info.shape)]
        values = generator.integers(0, 255, shape) if info.dtype == "uint8" else generator.random(shape)
        tensors.append(torch.from_numpy(values.astype(info.dtype)))
    return tuple(tensors)


def open_axes(spec: Spec, batch: Any) -> tuple[dict[int, Any], ...]:
    """Which axes of the main graph's inputs vary, as `torch.export` takes it.

    Args:
        spec: The spec of the module that is to be traced.
        batch: The dimension that stands for the first axis, where that is open.
    """
    from torch.export import Dim as TorchDim

    return tuple(
        {
            at: batch if at == 0 else TorchDim.DYNAMIC(min=extent.min, max=extent.max)
            for at, extent in enumerate(info.shape)
            if isinstance(extent, Dim)
        }
        for info in spec.graph().inputs
    )


def _example_extent(extent: int | Dim, at: int, batch: int) -> int:
    """A first axis is the batch. Others are traced at no less than 3: at 0 and 1 `torch.export` takes the
    extent for a constant, and at 2 it might be taken for that of the batch.
    """
    if isinstance(extent, int):
        return extent
    return batch if at == 0 else max(extent.min, min(3, extent.max or 3))
