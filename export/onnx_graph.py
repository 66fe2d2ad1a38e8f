"""From a checkpoint's network to an ONNX model: dynamic batch, one file, named inputs and outputs."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from export.bake import bake, example_input, open_axes
from export.data_dependent import data_dependent_operators, trace_script
from export.lowering import at_fixed_size
from runtimes import EngineError
from runtimes.errors import first_line
from sdk.spec import Spec

if TYPE_CHECKING:
    import onnx


def lower_to_onnx(network: nn.Module, spec: Spec) -> tuple[bytes, Spec]:
    """A complete fp32 ONNX model as it is shipped, and the spec of its graph.

    Args:
        network: The checkpoint's network, fp32, eval mode.
        spec: Its spec.

    Raises:
        EngineError: The exporter refuses the network.
    """
    payload, baked_spec = trace_onnx(network, spec)
    return strip_notes(payload), baked_spec


def trace_onnx(network: nn.Module, spec: Spec, *, fold: bool = True) -> tuple[bytes, Spec]:
    """Like `lower_to_onnx`, with the exporter's notes on where in the network each node comes from.

    Args:
        network: The checkpoint's network, fp32, eval mode.
        spec: Its spec.
        fold: Merge the normalisation of inputs into the first convolution where that is exact.

    Raises:
        EngineError: The exporter refuses the network.
    """
    if data_dependent_operators(network):
        module, baked_spec = bake(network, spec, fold=False)  # folding looks at a trace of torch.export
        with _quiet():
            return trace_script(module, baked_spec, example_input(baked_spec, batch=1))
    if spec.input.any_size:
        from export.any_size import open_sizes

        module, traced_spec = bake(network, at_fixed_size(spec), fold=False)
        _, baked_spec = bake(network, spec, fold=False)
        return open_sizes(_traced(module, traced_spec), module, baked_spec), baked_spec
    module, baked_spec = bake(network, spec, fold=fold)
    return _traced(module, baked_spec), baked_spec


def _traced(module: nn.Module, baked_spec: Spec) -> bytes:
    """A baked module as an ONNX model."""
    graph = baked_spec.graph()
    inputs = example_input(baked_spec, batch=2)
    batch = torch.export.Dim("batch")
    _forget_kernels()
    with _quiet():
        try:
            program = torch.onnx.export(
                module,
                inputs,
                dynamo=True,
                input_names=[info.name for info in graph.inputs],
                output_names=[info.name for info in graph.outputs],
                dynamic_shapes=(open_axes(baked_spec, batch),),
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
    return model.SerializeToString()


def _forget_kernels() -> None:
    """Let torch choose its recurrent kernels anew.

    Exporting one leaves torch 2.14 with its step-by-step form as the chosen kernel, in which the next export
    of the process would find a fixed length. Remove when an LSTM with an open length can be exported twice.
    """
    for operator in (torch.ops.aten.lstm.input, torch.ops.aten.gru.input):
        operator._dispatch_cache.clear()


def strip_notes(payload: bytes) -> bytes:
    """A model without what only its exporter's developers read: stack traces, module names, known shapes.

    Engines infer shapes themselves; names of nodes and weights stay.
    """
    import onnx

    model = onnx.load_from_string(payload)
    _clear_graph(model.graph)
    for function in model.functions:
        _clear_notes([function, *function.node])
    _clear_notes([model])
    return model.SerializeToString()


def _clear_graph(graph: onnx.GraphProto) -> None:
    del graph.value_info[:]
    graph.ClearField("doc_string")
    _clear_notes([graph, *graph.input, *graph.output, *graph.initializer, *graph.node])
    for node in graph.node:
        for attribute in node.attribute:
            for inner in [attribute.g, *attribute.graphs]:
                if inner.node:
                    _clear_graph(inner)


def _clear_notes(messages: list[Any]) -> None:
    for message in messages:
        del message.metadata_props[:]
        message.ClearField("doc_string")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter prints progress for its developers; ours is shown by the pipeline."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
