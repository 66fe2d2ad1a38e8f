"""`Predictor`: one artifact, any runtime, the same answer."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from runtimes import MAIN_GRAPH, Array, InputError, Runtime, UsageError
from sdk.artifact import Artifact, Manifest
from sdk.artifact.opened import carries_no_contract, opened_artifact
from sdk.graphs import Graphs, open_graphs
from sdk.kinds import OutputKind, Sample
from sdk.spec import Spec

if TYPE_CHECKING:
    from sdk.bench.record import BenchRun
    from sdk.results import Explanation
    from sdk.stream import Stream

DEFAULT_BATCH = 32
"""Items per call where the artifact sets no bound: enough to fill two cores, little memory."""


class Verification(NamedTuple):
    """What a replay of the golden samples showed.

    Attributes:
        worst_difference: Largest absolute difference of any activated output from the checkpoint's.
        tolerance: What the artifact's evidence allows.
        samples: How many were replayed.
    """

    worst_difference: float
    tolerance: float
    samples: int

    @property
    def holds(self) -> bool:
        """Whether there were samples and all are within tolerance."""
        return self.samples > 0 and self.worst_difference <= self.tolerance


class Predictor:
    """Predict from one artifact file. A context manager; may be shared between threads.

    Calls from several threads run at the same time where the engine allows it (ONNX Runtime, torch) and
    take turns where it does not (ExecuTorch, TensorRT).

    Args:
        path: A file ending in ``.onnx``, ``.pte``, ``.trt``, ``.engine`` or ``.safetensors``.
        spec: For a file that another tool wrote: how it is fed and read, as a `Spec`, its JSON data, or a
            JSON file; see docs/bring-your-own.md. Without one, an `.onnx` or `.engine` that carries no
            contract is opened as its exporter's own notes say (Ultralytics), else as plain arrays.
        batch_size: Most items in one call of the graph, for lists. Default: `DEFAULT_BATCH`, or less
            where the artifact takes fewer.
        **runtime_options: The adapter's own options, such as ``threads=2``.

    Raises:
        ArtifactError: The file is missing, truncated, altered or of an unknown kind.
        SpecError: Its contract does not fit its graph, or is of another version.
        EngineError: The engine is not installed, its device is not there, or it refuses the program.
        UsageError: An option makes no sense.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        spec: Spec | Mapping[str, Any] | str | os.PathLike[str] | None = None,
        batch_size: int | None = None,
        **runtime_options: Any,
    ) -> None:
        if spec is not None or carries_no_contract(path):
            from sdk.foreign.opening import open_foreign

            self._artifact, runtime = open_foreign(path, spec, runtime_options)
            self._graphs = Graphs(self._artifact, [runtime])
            try:
                self._batch_size = self._pick_batch_size(batch_size)
            except UsageError:
                self._graphs.close()
                raise
        else:
            with opened_artifact(path) as (self._artifact, program):
                self._batch_size = self._pick_batch_size(batch_size)  # before the engine takes its time
                self._graphs = open_graphs(self._artifact, program, runtime_options)

    @property
    def spec(self) -> Spec:
        """How the artifact is fed and read."""
        return self._artifact.spec

    @property
    def manifest(self) -> Manifest:
        """Everything the artifact says of itself, its evidence among it."""
        return self._artifact.manifest

    @property
    def artifact(self) -> Artifact:
        """The verified file."""
        return self._artifact

    @property
    def runtime(self) -> Runtime:
        """The engine behind it, with the artifact's first graph."""
        return self._graphs.main

    @property
    def batch_size(self) -> int:
        """Most items in one call of the graph, for lists."""
        return self._batch_size

    def predict(self, item: Any) -> Any:
        """Predict on one item, or on a list of them.

        Args:
            item: What the input kind takes; for images a path, bytes, PIL image, or uint8 array:
                (H, W, 3) RGB or (H, W) grey. A list or tuple of these gives a list, in order.

        Returns:
            A typed result, or a list of them.

        Raises:
            InputError: An item cannot be used.
            EngineError: The engine failed, or the predictor is closed.
        """
        if self.spec.input.is_list(item):
            return [result for results in self._results(item) for result in results]
        return next(self._results([item]))[0]

    def generate(self, what: Any, **options: Any) -> Any:
        """Text from a prompt, token by token, or so many pictures: see the artifact's output kind.

        Raises:
            UsageError: The artifact generates nothing, or an option makes no sense.
            InputError: A prompt cannot be used.
        """
        return self.spec.output.generate(self, what, **options)

    def follow(self, history: Any) -> Any:
        """Forecast a series that grows row by row: see `sdk.outputs.forecast`.

        Raises:
            UsageError: The artifact forecasts nothing.
            InputError: The history cannot be used.
        """
        return self.spec.output.follow(self, history)

    def run(self, arrays: Mapping[str, Array], graph: str = MAIN_GRAPH) -> dict[str, Array]:
        """Raw arrays through one graph, nothing done to them before or after.

        Args:
            arrays: One per input of the graph, under its own name and with its dtype and shape.
            graph: Which of the artifact's graphs.

        Raises:
            SpecError: There is no such graph.
            InputError: A name, dtype, shape or value does not fit.
            EngineError: The engine failed, or the predictor is closed.
        """
        return self._graphs(graph, arrays)

    def prepare(self, items: Sequence[Any]) -> tuple[dict[str, Array], list[Sample]]:
        """The first third of `predict`, for measuring it: items to the arrays that `compute` takes.

        Args:
            items: As `predict` takes them; from one to as many as one call of the graph takes. A batch
                shorter than the graph's smallest is filled up with its last item.

        Raises:
            InputError: An item cannot be used.
        """
        samples = [self.spec.input.load(item) for item in items]
        return self.stack(samples), samples

    def stack(self, samples: Sequence[Sample]) -> dict[str, Array]:
        """The second half of `prepare`: loaded items that are equal in `InputKind.together`, as arrays."""
        spec = self.spec
        missing = max(0, spec.batch.min - len(samples))
        return spec.fed(spec.input.batch([*samples, *[samples[-1]] * missing], spec.baked))

    def compute(self, arrays: dict[str, Array]) -> dict[str, Array]:
        """The middle third of `predict`: everything that the engine does for one batch of `prepare`.

        Raises:
            EngineError: The engine failed, or the predictor is closed.
        """
        return self.spec.output.run(self._graphs, arrays)

    def finish(self, outputs: dict[str, Array], samples: Sequence[Sample]) -> list[Any]:
        """The last third of `predict`: what `compute` gave to one result per sample of `prepare`.

        Raises:
            EngineError: The outputs hold no finite numbers.
        """
        return self.spec.output.read(self.activated(outputs, samples), samples)

    def outputs(self, items: Sequence[Any]) -> dict[str, Array]:
        """Activated outputs of the graph for a list of items, before they become results.

        Args:
            items: As `predict` takes them; at least one.

        Returns:
            One array (N, …) per graph output.

        Raises:
            InputError: An item cannot be used, or there is none.
        """
        _require_some(items)
        return _joined([outputs for outputs, _ in self._run_batches(items)])

    def measuring_batches(
        self, items: Sequence[Any]
    ) -> Iterator[tuple[list[Any], dict[str, Array], list[Sample]]]:
        """Run many items for measuring on whole data sets, batch by batch.

        Results are those that metrics are computed from (`OutputKind.measuring`) and come without their
        `source`, so that a large set of pictures is not kept in memory.

        Args:
            items: As `predict` takes them; at least one.

        Yields:
            A batch's results, its activated outputs (an array (N, …) per graph output), and its samples.

        Raises:
            InputError: An item cannot be used.
            UsageError: There is none.
        """
        _require_some(items)
        kind = self.spec.output.measuring()
        for outputs, samples in self._run_batches(items, kind):
            yield [replace(result, source=None) for result in kind.read(outputs, samples)], outputs, samples

    def verify(self) -> Verification:
        """Replay the golden samples on this machine."""
        golden = self.manifest.samples
        worst = 0.0
        if golden:
            outputs = self.outputs([sample.item() for sample in golden])
            for row, sample in enumerate(golden):
                expected = {name: kept.array()[None] for name, kept in sample.outputs.items()}
                found = {
                    name: kept.of_same_place(outputs[name][row])[None]
                    for name, kept in sample.outputs.items()
                }
                worst = max(worst, self.spec.output.difference(found, expected))
        return Verification(worst, self.manifest.evidence.tolerance, len(golden))

    def explain(self, item: Any, label: str | None = None) -> Explanation:
        """Which parts of one picture speak for a label; None is the answer. See `sdk.explain.explain`."""
        from sdk.explain import explain

        return explain(self, item, label)

    def stream(
        self,
        source: str | os.PathLike[str] | int,
        *,
        live: bool | None = None,
        ahead: int = 4,
        timeout_s: float = 10.0,
        skip_damaged: bool = False,
        library: Mapping[str, str] | None = None,
    ) -> Stream:
        """Predict frame by frame on a video, an address, a camera or a folder; see docs/streams.md.

        Args:
            source: A video file, a folder of pictures, an address such as ``rtsp://host/path``, or a camera:
                its number, ``camera:0`` or ``/dev/video0``.
            live: Whether only the newest frame counts; None: for cameras, and for addresses without a length.
            ahead: How many frames of a file may be decoded ahead.
            timeout_s: Seconds without any data after which a camera or an address counts as gone.
            skip_damaged: Leave damaged frames of a file out and count them, instead of an error at the first.
            library: Options of FFmpeg's readers, such as ``{"video_size": "1280x720"}``.

        Returns:
            An iterator of `sdk.stream.Frame`, and a context manager.

        Raises:
            InputError: The source is not there, or is no video.
            UsageError: An option makes no sense.
        """
        from sdk.stream import SourceOptions, open_stream

        options = SourceOptions(live, timeout_s, skip_damaged, dict(library or {}))
        return open_stream(self, source, ahead=ahead, options=options)

    def benchmark(
        self,
        items: Sequence[Any] | None = None,
        *,
        scenario: str = "single-stream",
        seconds: float = 6.0,
        max_seconds: float = 20.0,
        target_rate: float | None = None,
        batch: int | None = None,
        seed: int = 0,
    ) -> BenchRun:
        """Measure this predictor in this process; see docs/benchmark.md for what the figures mean.

        Args:
            items: Real inputs, used in turn; None: the artifact's golden samples.
            scenario: ``single-stream``, ``offline`` or ``server``.
            seconds: Timed seconds, at least.
            max_seconds: Timed seconds, at most; beyond `seconds` only until a p99 can be quoted.
            target_rate: Arrivals per second, for ``server``.
            batch: Items per call, for ``offline``; at most what the predictor was opened for.
            seed: Of the arrivals.

        Raises:
            InputError: An input cannot be used, or there is none.
            UsageError: An option makes no sense.
        """
        from sdk.bench import BenchOptions, benchmark_predictor

        options = BenchOptions(
            scenario=scenario,
            seconds=seconds,
            max_seconds=max(seconds, max_seconds),
            rate=target_rate,
            batch=batch,
            launches=0,
            seed=seed,
        )
        return benchmark_predictor(self, items, options)

    def close(self) -> None:
        """Give the engine's memory back; the predictor cannot be used afterwards."""
        self._graphs.close()

    def __enter__(self) -> Predictor:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _results(self, items: Sequence[Any]) -> Iterator[list[Any]]:
        for outputs, samples in self._run_batches(items):
            yield self.spec.output.read(outputs, samples)

    def _run_batches(
        self, items: Sequence[Any], kind: OutputKind | None = None
    ) -> Iterator[tuple[dict[str, Array], list[Sample]]]:
        """Run `items` in batches that the artifact allows, as the spec's output kind or `kind` does it."""
        kind = kind or self.spec.output
        for start in range(0, len(items), self._batch_size):
            arrays, samples = self.prepare(items[start : start + self._batch_size])
            yield self.activated(kind.run(self._graphs, arrays), samples), samples

    def activated(self, outputs: dict[str, Array], samples: Sequence[Sample]) -> dict[str, Array]:
        """What `compute` gave, with the steps done that the graph did not do; one row per sample."""
        spec = self.spec
        activated = spec.activated(outputs)
        if len(samples) < spec.batch.min:
            return {name: array[: len(samples)] for name, array in activated.items()}
        return activated

    def _pick_batch_size(self, asked: int | None) -> int:
        allowed = self.spec.batch
        if asked is None:
            return max(allowed.min, min(DEFAULT_BATCH, allowed.max or DEFAULT_BATCH))
        if not isinstance(asked, int) or asked not in allowed:
            raise UsageError(
                "Option 'batch_size'",
                got=repr(asked),
                expected=str(allowed),
                fix="Choose a size that the artifact takes.",
            )
        return asked


def _require_some(items: Sequence[Any]) -> None:
    if not len(items):
        raise UsageError("Items", got="an empty list", expected="at least one item", fix="Pass some.")


def _joined(parts: list[dict[str, Array]]) -> dict[str, Array]:
    for name in parts[0]:
        shapes = sorted({part[name].shape[1:] for part in parts})
        if len(shapes) > 1:
            raise InputError(
                f"Output '{name}'",
                got=f"items whose answers have shapes {shapes}",
                expected="one shape, where answers of several items are put together",
                fix="Use items of one size.",
            )
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
