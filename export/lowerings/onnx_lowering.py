"""Lower to ONNX with torch.export's exporter: dynamic batch, one file, named inputs and outputs."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections import Counter
from collections.abc import Iterator

import torch
from torch import nn

from export.bake import bake, example_input
from export.half import halve
from export.lowering import FP16, FP32, Lowered, Lowering, Request
from runtimes import EngineError
from runtimes.errors import first_line
from sdk.spec import Spec

_NUMPY_NAMES = {"float": "float32", "double": "float64"}


class OnnxLowering(Lowering):
    """`.onnx` for ONNX Runtime, and for TensorRT builders on the device."""

    suffix = ".onnx"
    precisions = (FP32, FP16)

    def lower(self, network: nn.Module, spec: Spec, request: Request) -> Lowered:
        """See `Lowering.lower`. The batch is free: `max_batch` binds only engines that plan ahead."""
        payload, baked_spec = lower_to_onnx(network, spec, request.precision)
        precision = {"requested": request.precision, "weights": _weight_types(payload)}
        return Lowered(payload, baked_spec, precision)


def lower_to_onnx(network: nn.Module, spec: Spec, precision: str) -> tuple[bytes, Spec]:
    """A complete ONNX model, and the spec of its graph.

    Args:
        network: The checkpoint's network, fp32, eval mode.
        spec: Its spec.
        precision: ``fp16`` makes the network strongly typed half; inputs, outputs, normalisation and
            activation stay as they are in ``fp32``.

    Raises:
        EngineError: The exporter refuses the network.
    """
    module, baked_spec = bake(network, spec, fold=precision == FP32)
    if precision == FP16:
        module = halve(module)
    graph = baked_spec.graph()
    inputs = example_input(baked_spec, batch=2)
    batch = torch.export.Dim("batch")
    with _quiet():
        try:
            program = torch.onnx.export(
                module,
                inputs,
                dynamo=True,
                input_names=[info.name for info in graph.inputs],
                output_names=[info.name for info in graph.outputs],
                dynamic_shapes=(tuple({0: batch} for _ in inputs),),
                external_data=False,
                verbose=False,
            )
        except Exception as error:  # the exporter wraps every failure in classes of its own
            raise EngineError(
                "ONNX export",
                got=first_line(error),
                expected="a network torch.export can trace",
                fix="Remove data-dependent control flow from the network.",
            ) from error
    assert program is not None
    model = program.model_proto
    # A model larger than protobuf's limit would need a second file; one artifact is one file.
    return model.SerializeToString(), baked_spec


def _weight_types(payload: bytes) -> dict[str, int]:
    """Number of weights by element type, read back from the serialised model; shape constants left out."""
    import onnx

    model = onnx.load_from_string(payload)
    counts: Counter[str] = Counter()
    for weight in model.graph.initializer:
        name = onnx.TensorProto.DataType.Name(weight.data_type).lower()
        if name != "int64":
            counts[_NUMPY_NAMES.get(name, name)] += int(torch.Size(weight.dims).numel())
    return dict(counts)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter prints progress for its developers; ours is shown by the pipeline."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
