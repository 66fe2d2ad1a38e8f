"""TensorRT: `.trt` and `.engine` plans on an NVIDIA GPU, for ``tensorrt`` 8.6 to 11 and ``tensorrt_rtx``."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from runtimes.base import Array, Program, Runtime
from runtimes.cuda_memory import Buffer, Cuda, open_cuda, size_of
from runtimes.errors import EngineError
from runtimes.tensorrt_engine import bindings, create_context, deserialise
from runtimes.tensorrt_layers import engine_layers, layer_kinds, precision_counts
from runtimes.tensorrt_package import load_package, maker_of
from runtimes.tensorrt_phases import PhaseEvents

if TYPE_CHECKING:
    from runtimes.layer_times import Lap

Shapes = tuple[tuple[int, ...], ...]


class TensorRTRuntime(Runtime):
    """One engine, one execution context, one set of buffers and one stream.

    Args:
        program: The plan. Its tag tells which package made it.
        cuda_graph: Record the work of one call as a CUDA graph and replay it while the input shapes
            stay the same. TensorRT-RTX records by itself, once its kernels for a shape are compiled.
        device: Index of the GPU.
        package: ``tensorrt`` or ``tensorrt_rtx``, to overrule the plan's tag.

    Raises:
        EngineMissingError: The package that made the plan, or the CUDA binding, is not installed.
        DeviceError: There is no such GPU, or no driver.
        EngineError: The plan was made for another device or version.
    """

    name: ClassVar[str] = "tensorrt"
    tells_phases: ClassVar[bool] = True

    def __init__(
        self, program: Program, *, cuda_graph: bool = False, device: int = 0, package: str | None = None
    ) -> None:
        super().__init__()
        self._package = load_package(package or maker_of(program.data))
        self._cuda: Cuda = open_cuda(device)
        self._runtime: Any = None
        self._engine: Any = None
        self._context: Any = None
        self._buffers: dict[str, Buffer] = {}
        self._host: dict[str, Array] = {}
        self._stream: Any = None
        self._recording: Any = None
        self._events: PhaseEvents | None = None
        self._phases: dict[str, float] | None = None
        self._shapes: Shapes | None = None
        try:
            self._runtime, self._engine = deserialise(self._package, program.data, self._cuda.device_name)
            self._context, recorded_inside = create_context(self._package, self._engine, cuda_graph)
            self.inputs, self.outputs = bindings(self._package.module, self._engine, self._context, program)
            self._stream = self._cuda.call("cudaStreamCreate")
            self._buffers = {info.name: Buffer(self._cuda) for info in self.inputs + self.outputs}
            self._facts = self._read_facts(cuda_graph)
        except BaseException:
            self._closed = True
            with suppress(EngineError):  # the first error is the one to tell
                self._close()
            raise
        self._records = cuda_graph and not recorded_inside

    def report(self) -> dict[str, Any]:
        """Engine, version, device, CUDA-graph use, dtypes of inputs and outputs, precision of the layers."""
        return dict(self._facts)

    def _read_facts(self, cuda_graph: bool) -> dict[str, Any]:
        layers = engine_layers(self._package.module, self._engine)
        return {
            "engine": self._package.name,
            "version": self._package.version,
            "device": self._cuda.device_name,
            "device_index": self._cuda.device,
            "cuda_graph": cuda_graph,
            "inputs": {info.name: info.dtype for info in self.inputs},
            "outputs": {info.name: info.dtype for info in self.outputs},
            "layer_precisions": precision_counts(layers) or "not in this engine",
        }

    def _run(self, inputs: dict[str, Array]) -> dict[str, Array]:
        self._cuda.call("cudaSetDevice", self._cuda.device)  # the selection is per thread
        self._adopt(tuple(array.shape for array in inputs.values()))
        for info in self.inputs:
            np.copyto(self._host[info.name], inputs[info.name])
        if self.phases_wanted:
            self._enqueue_with_events()
        elif self._recording is None:
            self._enqueue()
        else:
            self._cuda.call("cudaGraphLaunch", self._recording, self._stream)
        self._cuda.call("cudaStreamSynchronize", self._stream)
        self._phases = self._events.elapsed_ms() if self.phases_wanted and self._events else None
        outputs = {info.name: self._host[info.name].copy() for info in self.outputs}
        if self._records and self._recording is None:
            self._record()
        return outputs

    def _adopt(self, shapes: Shapes) -> None:
        """Make context and buffers ready for these input shapes."""
        if shapes == self._shapes:
            return
        self._shapes = None
        self._forget_recording()
        for info, shape in zip(self.inputs, shapes, strict=True):
            if not self._context.set_input_shape(info.name, shape):
                raise self._failed(f"'{info.name}' of shape {shape} refused")
        for info in self.inputs + self.outputs:
            shape = tuple(self._context.get_tensor_shape(info.name))
            buffer = self._buffers[info.name]
            buffer.reserve(size_of(info.dtype, shape))
            self._host[info.name] = buffer.view(info.dtype, shape)
            if not self._context.set_tensor_address(info.name, buffer.device):
                raise self._failed(f"the address of '{info.name}' refused")
        self._shapes = shapes

    def last_phases(self) -> dict[str, float] | None:
        """``host_to_device``, ``compute`` and ``device_to_host`` of the last run in ms, by CUDA events.

        Such a run is queued piece by piece: a recorded CUDA graph is not replayed, so its phases can add up
        to more than a replay takes.
        """
        return self._phases

    def _enqueue(self) -> None:
        """Queue copies in, the engine, and copies out on the stream."""
        self._enqueue_copies_in()
        self._enqueue_engine()
        self._enqueue_copies_out()

    def _enqueue_with_events(self) -> None:
        self._events = self._events or PhaseEvents(self._cuda)
        self._events.mark(0, self._stream)
        for number, step in enumerate(
            (self._enqueue_copies_in, self._enqueue_engine, self._enqueue_copies_out), start=1
        ):
            step()
            self._events.mark(number, self._stream)

    def _enqueue_copies_in(self) -> None:
        kinds = self._cuda.api.cudaMemcpyKind
        for info in self.inputs:
            buffer = self._buffers[info.name]
            self._cuda.call(
                "cudaMemcpyAsync",
                buffer.device,
                buffer.host,
                self._host[info.name].nbytes,
                kinds.cudaMemcpyHostToDevice,
                self._stream,
            )

    def _enqueue_engine(self) -> None:
        if not self._context.execute_async_v3(int(self._stream)):
            raise self._failed("a run refused")

    def _enqueue_copies_out(self) -> None:
        kinds = self._cuda.api.cudaMemcpyKind
        for info in self.outputs:
            buffer = self._buffers[info.name]
            self._cuda.call(
                "cudaMemcpyAsync",
                buffer.host,
                buffer.device,
                self._host[info.name].nbytes,
                kinds.cudaMemcpyDeviceToHost,
                self._stream,
            )

    def _record(self) -> None:
        """Record one call. The engine ran before with these shapes, as TensorRT asks for."""
        mode = self._cuda.api.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._cuda.call("cudaStreamBeginCapture", self._stream, mode)
        try:
            self._enqueue()
        except EngineError:
            # Leave capture mode, so that the stream can be used and destroyed; the first error counts.
            self._cuda.api.cudaStreamEndCapture(self._stream)
            raise
        graph = self._cuda.call("cudaStreamEndCapture", self._stream)
        try:
            self._recording = self._cuda.call("cudaGraphInstantiateWithFlags", graph, 0)
        finally:
            self._cuda.call("cudaGraphDestroy", graph)

    def _forget_recording(self) -> None:
        recording, self._recording = self._recording, None
        if recording is not None:
            self._cuda.call("cudaGraphExecDestroy", recording)

    def _profile(self, inputs: dict[str, Array], runs: int) -> list[Lap]:
        from runtimes.tensorrt_profile import profile_context

        self._run(inputs)  # buffers and their contents are then right for these inputs
        context, _ = create_context(self._package, self._engine, cuda_graph=False)
        for info in self.inputs + self.outputs:
            if info in self.inputs and not context.set_input_shape(info.name, inputs[info.name].shape):
                raise self._failed(f"'{info.name}' of shape {inputs[info.name].shape} refused")
            if not context.set_tensor_address(info.name, self._buffers[info.name].device):
                raise self._failed(f"the address of '{info.name}' refused")

        def run(profiled: Any) -> None:
            if not profiled.execute_async_v3(int(self._stream)):
                raise self._failed("a run refused")
            self._cuda.call("cudaStreamSynchronize", self._stream)

        kinds = layer_kinds(self._package.module, self._engine)
        return profile_context(
            self._package.module, context, run, runs, kinds=kinds, device=self._cuda.device_name
        )

    def _close(self) -> None:
        self._cuda.call("cudaSetDevice", self._cuda.device)
        stream, self._stream = self._stream, None
        self._host = {}
        with ExitStack() as last_first:  # each step is taken even where one before it failed
            if stream is not None:
                last_first.callback(self._cuda.call, "cudaStreamDestroy", stream)
            for buffer in self._buffers.values():
                last_first.callback(buffer.free)
            if self._events is not None:
                last_first.callback(self._events.free)
            last_first.callback(self._drop_engine)
            last_first.callback(self._forget_recording)

    def _drop_engine(self) -> None:
        """TensorRT frees its own memory with the last reference, in this order."""
        self._context = None
        self._engine = None
        self._runtime = None

    def _failed(self, got: str) -> EngineError:
        return EngineError(
            f"{self._package.name} engine",
            got=f"{got} ({self._package.complaint()})",
            expected="a call that the engine can take",
            fix="Free GPU memory or use a smaller batch; with cuda_graph=True, try without it.",
        )
