"""ONNX files as other tools write them, made with onnx.helper: small, with real layouts and names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

FLOAT, UINT8, INT64, FLOAT16, STRING = 1, 2, 7, 10, 8
Tensor = tuple[str, int, Any]
"""Name, element type and shape; None in a shape is an axis without a name, None as a shape is no shape."""


def write_model(
    path: Path,
    nodes: Sequence[Any],
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    weights: Mapping[str, Any] | None = None,
    *,
    opset: int = 17,
    ir_version: int = 8,
    metadata: Mapping[str, Any] | None = None,
    weights_are_inputs: bool = False,
) -> Path:
    """Write one graph. `weights_are_inputs` lists weights among the inputs, as IR version 3 does."""
    import onnx
    from onnx import helper, numpy_helper

    stored = [numpy_helper.from_array(np.asarray(array), name) for name, array in (weights or {}).items()]
    taken = [helper.make_tensor_value_info(*tensor) for tensor in inputs]
    if weights_are_inputs:
        taken += [helper.make_tensor_value_info(w.name, w.data_type, list(w.dims)) for w in stored]
    given = [helper.make_tensor_value_info(*tensor) for tensor in outputs]
    graph = helper.make_graph(list(nodes), "graph", taken, given, stored)
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=ir_version,
        producer_name="elsewhere",
    )
    for key, value in (metadata or {}).items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, str(value)
    path.write_bytes(model.SerializeToString())
    assert onnx is not None
    return path


def node(operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> Any:
    """One operator."""
    from onnx import helper

    return helper.make_node(operator, list(inputs), list(outputs), **attributes)


def colour_classifier(
    path: Path,
    *,
    image: str = "input.1",
    scores: str = "473",
    end: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    dtype: int = FLOAT,
    opset: int = 17,
    ir_version: int = 8,
    batch: Any = "N",
    side: Any = 8,
    weights_are_inputs: bool = False,
) -> Path:
    """(N, 3, 8, 8) → one score per channel: ten times its mean. Names as torch's old exporter has them."""
    numbers = np.float16 if dtype == FLOAT16 else np.float32
    nodes = [
        node("GlobalAveragePool", [image], ["pooled"]),
        node("Flatten", ["pooled"], ["flat"]),
        node("MatMul", ["flat", "weight"], [scores if end is None else "logits"]),
    ]
    if end is not None:
        nodes.append(node(end, ["logits"], [scores]))
    return write_model(
        path,
        nodes,
        [(image, dtype, [batch, 3, side, side])],
        [(scores, dtype, [batch, 3])],
        {"weight": 10 * np.eye(3, dtype=numbers)},
        opset=opset,
        ir_version=ir_version,
        metadata=metadata,
        weights_are_inputs=weights_are_inputs,
    )


COCO_LIKE = {0: "person", 1: "cat", 2: "it's a dog"}


def ultralytics_notes(task: str = "detect", **changes: Any) -> dict[str, Any]:
    """The entries that Ultralytics 8.4 writes into an export, values as they are before they become text."""
    notes = {
        "description": "Ultralytics YOLO11n model trained on coco.yaml",
        "author": "Ultralytics",
        "date": "2026-01-01T00:00:00+00:00",
        "version": "8.4.190",
        "license": "AGPL-3.0 License (https://ultralytics.com/license)",
        "docs": "https://docs.ultralytics.com",
        "stride": 32,
        "task": task,
        "head": "Detect",
        "batch": 1,
        "imgsz": [64, 96],
        "names": COCO_LIKE,
        "args": {"batch": 1, "half": False, "dynamic": False, "simplify": True, "opset": None, "nms": False},
        "channels": 3,
        "end2end": False,
    }
    return {**notes, **changes}


def detector(
    path: Path,
    answer: Any,
    *,
    metadata: Mapping[str, Any],
    size_hw: tuple[int, int] = (64, 96),
    dtype: int = FLOAT,
) -> Path:
    """A graph that gives `answer` (1, …) whatever the picture, plus nothing of the picture's mean."""
    numbers = np.float16 if dtype == FLOAT16 else np.float32
    answer = np.asarray(answer, numbers)
    nodes = [
        node("ReduceMean", ["images"], ["mean"], keepdims=0),
        node("Mul", ["mean", "zero"], ["nothing"]),
        node("Add", ["answer", "nothing"], ["output0"]),
    ]
    return write_model(
        path,
        nodes,
        [("images", dtype, [1, 3, *size_hw])],
        [("output0", dtype, list(answer.shape))],
        {"answer": answer, "zero": np.zeros((), numbers)},
        metadata=metadata,
    )


def candidates_first(count: int = 200) -> Any:
    """(1, 4 + 3, count): two overlapping cats at (48, 32) of 20×10, and a dog at (10, 10) of 8×8."""
    answer = np.zeros((1, 7, count), np.float32)
    answer[0, :4] = 1.0
    answer[0, :, 3] = [48, 32, 20, 10, 0.0, 0.9, 0.0]
    answer[0, :, 4] = [48.5, 32, 20, 10, 0.0, 0.8, 0.0]
    answer[0, :, 9] = [10, 10, 8, 8, 0.0, 0.0, 0.6]
    return answer
