"""Class-wise non-maximum suppression inside an ONNX graph, for programs that want final boxes from it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from runtimes import TensorInfo, UsageError
from sdk.outputs.boxes import BOXES, CLASSES, SCORES, CandidateOutput
from sdk.spec import Spec

if TYPE_CHECKING:
    import onnx

_WHY = {
    "pte": "ExecuTorch has no kernel for torchvision::nms",
    "trt": "TensorRT-RTX 1.7 has nothing that implements NonMaxSuppression",
}


def require_suppressible(targets: Collection[str], spec: Spec) -> None:
    """Refuse suppression in the graph where there is nothing to suppress, or no operator for it.

    Raises:
        UsageError: The task has no candidate boxes, or a target is another than ONNX.
    """
    if not isinstance(spec.output, CandidateOutput):
        raise UsageError(
            "Option --nms",
            got=f"graph for outputs of kind {spec.output.kind!r}",
            expected="candidate boxes, of which some are suppressed",
            fix="Leave it out.",
        )
    for target in targets:
        if target != "onnx":
            raise UsageError(
                "Option --nms",
                got=f"graph for {target}",
                expected="--to onnx alone",
                fix=f"Leave it out, so that the host suppresses: {_WHY.get(target, _WHY['trt'])}.",
            )


def add_suppression(payload: bytes, spec: Spec) -> tuple[bytes, Spec]:
    """A finished ONNX model whose outputs become those of `FinalBoxesOutput`.

    It gives what `CandidateOutput.suppressed` gives: boxes that score at least ``score_floor``, so that
    metrics can be measured through it; whoever reads it asks for ``score_threshold``.

    Args:
        payload: With outputs ``boxes`` (N, M, 4) and ``scores`` (N, M, K).
        spec: Of that graph, with a `CandidateOutput`.

    Returns:
        The model, and its spec.
    """
    import onnx

    output = spec.output
    assert isinstance(output, CandidateOutput)
    graph = spec.graph()
    found = {info.name: info for info in graph.outputs}
    batch, candidates, classes = found[SCORES].shape
    assert isinstance(candidates, int)
    assert isinstance(classes, int)
    rows = min(output.max_detections, candidates * classes)
    infos = (
        TensorInfo(BOXES, "float32", (batch, rows, 4)),
        TensorInfo(SCORES, "float32", (batch, rows)),
        TensorInfo(CLASSES, "int64", (batch, rows)),
    )
    model = onnx.load_from_string(payload)
    _rename(model.graph, {name: f"candidate_{name}" for name in (BOXES, SCORES)})
    writer = _Writer(model.graph)
    _write(writer, output, candidates=candidates, classes=classes, rows=rows)
    del model.graph.output[:]
    model.graph.output.extend(_value_info(info) for info in infos)
    baked = tuple(step for step in spec.baked if step not in output.bakeable)
    graphs = (replace(graph, outputs=infos),)
    return model.SerializeToString(), replace(spec, output=output.final(), graphs=graphs, baked=baked)


class _Writer:
    """Adds constants and nodes, each under a name of its own."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph

    def constant(self, name: str, values: Any) -> str:
        """A tensor that is stored in the model."""
        from onnx import numpy_helper

        name = f"suppression_{name}"
        self._graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def node(self, operator: str, inputs: list[str], outputs: list[str] | str, **attributes: Any) -> str:
        """An operator; the name of its first output."""
        from onnx import helper

        names = [outputs] if isinstance(outputs, str) else outputs
        node = helper.make_node(operator, inputs, names, name=f"suppression_{names[0]}", **attributes)
        self._graph.node.append(node)
        return names[0]


def _write(writer: _Writer, output: CandidateOutput, *, candidates: int, classes: int, rows: int) -> None:
    """From ``candidate_boxes`` and ``candidate_scores`` to ``boxes``, ``scores`` and ``classes``."""
    boxes, scores = f"candidate_{BOXES}", f"candidate_{SCORES}"
    if not output.multi_label:
        scores = _best_class_only(writer, scores, classes)
    by_class = writer.node("Transpose", [scores], "scores_by_class", perm=[0, 2, 1])
    # The operator asks for more than the threshold, the sdk for at least as much.
    lowest = np.nextafter(np.float32(output.score_floor), np.float32(0))
    limits = [
        writer.constant("most", np.array([output.max_detections])),
        writer.constant("iou", np.array([output.iou_threshold], np.float32)),
        writer.constant("lowest", np.array([lowest], np.float32)),
    ]
    # Corners may come in either order: intersection over union is the same with x and y exchanged.
    kept = writer.node("NonMaxSuppression", [boxes, by_class, *limits], "kept")
    kept_scores = writer.node("GatherND", [by_class, kept], "kept_scores")
    zeros = writer.node("Mul", [by_class, writer.constant("zero", np.float32(0))], "no_scores")
    sparse = writer.node("ScatterND", [zeros, kept, kept_scores], "scores_of_kept")
    flat = writer.node("Reshape", [sparse, writer.constant("flat", np.array([0, -1]))], "flat_scores")
    count = writer.constant("rows", np.array([rows]))
    writer.node("TopK", [flat, count], [SCORES, "places"], axis=1, largest=1, sorted=1)
    extent = writer.constant("candidates", np.array(candidates))
    writer.node("Div", ["places", extent], CLASSES)
    row = writer.node("Mod", ["places", extent], "candidate")
    index = writer.node("Unsqueeze", [row, writer.constant("last", np.array([-1]))], "candidate_index")
    writer.node("GatherND", [boxes, index], BOXES, batch_dims=1)


def _best_class_only(writer: _Writer, scores: str, classes: int) -> str:
    best = writer.node("ArgMax", [scores], "best_class", axis=2, keepdims=1)
    every = writer.constant("every_class", np.arange(classes).reshape(1, 1, -1))
    is_best = writer.node("Equal", [every, best], "is_best_class")
    return writer.node("Where", [is_best, scores, writer.constant("none", np.float32(0))], "best_scores")


def _rename(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    for node in graph.node:
        for field in (node.input, node.output):
            for index, name in enumerate(field):
                field[index] = names.get(name, name)


def _value_info(info: TensorInfo) -> onnx.ValueInfoProto:
    from onnx import helper

    kind = helper.np_dtype_to_tensor_dtype(np.dtype(info.dtype))
    shape = [extent if isinstance(extent, int) else "batch" for extent in info.shape]
    return helper.make_tensor_value_info(info.name, kind, shape)
