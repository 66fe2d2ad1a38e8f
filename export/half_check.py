"""Run a half-precision graph as an engine with half-precision kernels would, and look at every tensor in it.

ONNX Runtime's CPU kernels are fp32: between two of them it leaves out the rounding to half that the graph
asks for, so that what overflows there, or becomes zero, is never seen. Here every tensor is really rounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from runtimes import Array, ProofError
from sdk.spec import Spec

if TYPE_CHECKING:
    import onnx

    from export.calibration import CalibrationSet

BATCH = 8
"""Items per run: every activation of a batch is in memory at once."""
_SUFFIX = "_unrounded"


def require_finite(model: onnx.ModelProto, spec: Spec, calibration: CalibrationSet) -> None:
    """Run a finished graph on every calibration sample.

    Args:
        model: In half precision, of consistent types.
        spec: Of that graph.
        calibration: What to feed.

    Raises:
        ProofError: A half tensor or an output is NaN or infinite; the first in graph order is named.
    """
    probe, makers = rounded(model)
    session, names = open_exactly(probe), list(makers)
    start = 0
    for batch in calibration.batches(spec, BATCH):
        size = len(next(iter(batch.values())))
        for name, values in zip(names, session.run(names, batch), strict=True):
            if not np.isfinite(values).all():
                raise _not_finite(name, makers[name], start + _first_row(values, size))
        start += size


def rounded(model: onnx.ModelProto) -> tuple[onnx.ModelProto, dict[str, str]]:
    """A copy of a model that rounds every half tensor and gives it out.

    An Identity behind each takes its input as it is, in half, on every engine: no rounding can be skipped.

    Returns:
        The copy, for `open_exactly`; and the name of the node behind each half tensor and output.

    Raises:
        onnx.shape_inference.InferenceError: The types contradict each other.
    """
    import onnx

    probe = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    graph, nodes, makers = probe.graph, [], {}
    half = onnx.TensorProto.FLOAT16
    known = {i.name: i for i in graph.value_info if i.type.tensor_type.elem_type == half}
    outputs = {info.name for info in graph.output}
    for node in graph.node:
        nodes.append(node)
        makers |= {name: node.name for name in node.output if name in known or name in outputs}
        for at, name in enumerate(node.output):
            if name in known:
                node.output[at] = f"{name}{_SUFFIX}"
                nodes.append(onnx.helper.make_node("Identity", [node.output[at]], [name], f"round_{name}"))
    graph.output.extend(known[name] for name in makers if name in known)
    ordered = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(ordered)
    return probe, makers


def open_exactly(model: onnx.ModelProto) -> Any:
    """A session that runs a graph node by node, as it stands."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    providers = ["CPUExecutionProvider"]
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=providers)


def _first_row(values: Array, size: int) -> int:
    """The first sample with a bad value; 0 where the tensor's first axis is not the batch."""
    bad = ~np.isfinite(values)
    return int(np.flatnonzero(bad.reshape(size, -1).any(axis=1))[0]) if len(values) == size else 0


def _not_finite(tensor: str, node: str, sample: int) -> ProofError:
    return ProofError(
        "Half precision",
        got=f"NaN or infinity in tensor {tensor!r} of node {node!r} on calibration sample {sample}",
        expected="finite numbers, as in fp32",
        fix="Export with --precision fp32, or keep what that node divides by or takes the logarithm of "
        f"above {np.finfo(np.float16).smallest_subnormal:.0e}.",
    )
