"""The `Lowering` interface and the table of targets: a new one is a file in `export/lowerings` and a line."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from export.recipe import FP16, FP32, INT8, Recipe
from runtimes import UsageError
from sdk.spec import Graph, Spec

if TYPE_CHECKING:
    from torch import nn

    from export.calibration import CalibrationSet

__all__ = [
    "FP16",
    "FP32",
    "INT8",
    "TARGETS",
    "Lowered",
    "Lowering",
    "Request",
    "lowering_for",
    "lowerings_for",
]

TARGETS: dict[str, str] = {
    "onnx": "export.lowerings.onnx_lowering:OnnxLowering",
    "pte": "export.lowerings.executorch_lowering:ExecuTorchLowering",
    "trt": "export.lowerings.tensorrt_lowering:TensorRTLowering",
    "trt-onnx": "export.lowerings.tensorrt_graph_lowering:TensorRTGraphLowering",
    "torch2trt": "export.lowerings.torch2trt_lowering:Torch2trtLowering",
}


@dataclass(frozen=True)
class Request:
    """What is asked of a lowering.

    Attributes:
        recipe: Precision, and how it is reached.
        max_batch: Largest batch for engines that plan their memory ahead.
        manifest_bytes: Room to leave for the manifest in formats that hold it inside.
        calibration: Real inputs, where the recipe needs them.
    """

    recipe: Recipe
    max_batch: int
    manifest_bytes: int
    calibration: CalibrationSet | None = None

    @property
    def precision(self) -> str:
        """The recipe's."""
        return self.recipe.precision


@dataclass(frozen=True)
class Lowered:
    """What came out.

    Attributes:
        payload: What the engine opens.
        spec: The spec of that graph: baked, and with the batch bounds that it really has.
        precision: Requested precision and what was read back from the result.
        facts: Things worth knowing, such as the delegated fraction.
        calibration: How ranges were measured and what they are; empty where none were.
    """

    payload: bytes
    spec: Spec
    precision: dict[str, Any]
    facts: dict[str, Any] = field(default_factory=dict)
    calibration: dict[str, Any] = field(default_factory=dict)


def request_for(graph: Graph, network: nn.Module, spec: Spec, request: Request) -> Request:
    """The request with real inputs of one of the graphs: others than the first are fed by those before."""
    if request.calibration is None or graph is spec.graph():
        return request
    from export.calibration import record_calls

    return replace(request, calibration=record_calls(request.calibration, network, spec, graph.name))


def put_together(
    parts: Sequence[Lowered], payload: bytes, weights: Sequence[dict[str, int]] | None = None
) -> Lowered:
    """One file of several lowered graphs.

    Args:
        parts: One per graph, the first first; each spec holds its graph alone.
        payload: The file.
        weights: By type, what each graph adds to those of the graphs before it; None where every graph holds
            the whole network's.

    Returns:
        The first part with all graphs in its spec, and with the counts of all in its records.
    """
    first = parts[0]
    if len(parts) == 1:
        return replace(first, payload=payload)
    spec = replace(first.spec, graphs=tuple(part.spec.graph() for part in parts))
    precision = _added([part.precision for part in parts])
    if "weights" in precision:
        precision["weights"] = _added(weights) if weights else first.precision["weights"]
    return replace(first, payload=payload, spec=spec, precision=precision)


def _added(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Records of one form as one: counts added, lists joined, everything else as the first has it."""
    whole: dict[str, Any] = {}
    for record in records:
        for key, value in record.items():
            there = whole.get(key)
            if there is None:
                whole[key] = value
            elif isinstance(value, dict) and isinstance(there, dict):
                whole[key] = _added([there, value])
            elif isinstance(value, list) and isinstance(there, list):
                whole[key] = list(dict.fromkeys([*there, *value]))
            elif type(value) is int and type(there) is int:
                whole[key] = there + value
    return whole


class Lowering(ABC):
    """One target.

    Class attributes:
        suffix: File ending of the artifacts.
        precisions: What can be asked for.
    """

    suffix: ClassVar[str]
    precisions: ClassVar[tuple[str, ...]]

    @abstractmethod
    def lower(self, network: nn.Module, spec: Spec, request: Request) -> Lowered:
        """Bake and lower a checkpoint's network.

        Args:
            network: In eval mode, fp32, on the CPU; not changed.
            spec: The checkpoint's spec.
            request: Precision, batch and manifest room.

        Raises:
            EngineError: The exporter or compiler refuses the network.
            ProofError: The precision that was read back is not the one that was asked for.
        """

    def check(self, precision: str) -> None:
        """Refuse before any work what `lower` could not do.

        Raises:
            UsageError: A precision this target has not.
            EngineMissingError: The compiler is not installed.
        """
        if precision not in self.precisions:
            raise UsageError(
                "Option --precision",
                got=f"{precision} for {self.suffix}",
                expected=f"one of {', '.join(self.precisions)}",
                fix="Leave this target out, or choose a precision it has.",
            )


def at_fixed_size(spec: Spec) -> Spec:
    """The spec for engines that must know how large pictures are: itself, unless they may have any size."""
    if not spec.input.any_size:
        return spec
    return replace(spec, input=spec.input.for_variants(), graphs=spec.input.variants(spec.graph()))


def lowering_for(target: str) -> Lowering:
    """The lowering called `target`.

    Raises:
        UsageError: There is none.
    """
    if target not in TARGETS:
        raise UsageError(
            "Option --to", got=repr(target), expected=f"some of {','.join(TARGETS)}", fix="Correct its name."
        )
    module, _, name = TARGETS[target].partition(":")
    lowering: Lowering = getattr(import_module(module), name)()
    return lowering


def lowerings_for(targets: Iterable[str], precision: str) -> dict[str, Lowering]:
    """The lowerings of several targets, each checked before any work.

    Raises:
        UsageError: No target, one that is not there or has not this precision, or two with one kind of file.
        EngineMissingError: A compiler is not installed.
    """
    lowerings = {target: lowering_for(target) for target in dict.fromkeys(targets)}
    if not lowerings:
        raise UsageError("Option --to", got="no target", expected="at least one", fix="Say --to onnx.")
    if len({lowering.suffix for lowering in lowerings.values()}) < len(lowerings):
        raise UsageError(
            "Option --to",
            got=",".join(lowerings),
            expected="one way to each kind of file",
            fix="trt and torch2trt both write .trt: choose one.",
        )
    for lowering in lowerings.values():
        lowering.check(precision)
    return lowerings
