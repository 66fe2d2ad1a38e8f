"""Which engine opens which file. A new runtime is a file, a line here, and an extra in pyproject."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any, NamedTuple

from runtimes.base import Program, Runtime
from runtimes.errors import ArtifactError, UsageError


class Entry(NamedTuple):
    """One engine: the suffixes it opens, its class as ``module:Class``, and the extra to install."""

    name: str
    suffixes: tuple[str, ...]
    target: str
    extra: str | None

    def load(self) -> type[Runtime]:
        """Import the adapter. Its engine is imported only when a program is opened."""
        module, _, name = self.target.partition(":")
        adapter: type[Runtime] = getattr(import_module(module), name)
        return adapter


RUNTIMES: tuple[Entry, ...] = (
    Entry("onnxruntime", (".onnx",), "runtimes.onnx_runtime:OnnxRuntime", "onnx"),
    Entry("executorch", (".pte",), "runtimes.executorch_runtime:ExecuTorchRuntime", "executorch"),
    Entry("tensorrt", (".trt", ".engine"), "runtimes.tensorrt_runtime:TensorRTRuntime", "tensorrt"),
    Entry("torch", (".safetensors",), "runtimes.torch_runtime:TorchRuntime", "train"),
    Entry("fake", (".fake",), "runtimes.fake_runtime:FakeRuntime", None),
)


def entry_for(suffix: str) -> Entry:
    """The entry that opens files ending in `suffix` (with its dot, any case).

    Raises:
        ArtifactError: No runtime knows the suffix.
    """
    for entry in RUNTIMES:
        if suffix.lower() in entry.suffixes:
            return entry
    known = ", ".join(s for entry in RUNTIMES if entry.name != "fake" for s in entry.suffixes)
    raise ArtifactError(
        "Artifact",
        got=f"a file ending in {suffix or 'nothing'!r}",
        expected=f"one of {known}",
        fix="Export the checkpoint with `edgewright export CHECKPOINT --to onnx`.",
    )


def open_runtime(suffix: str, program: Program, **options: Any) -> Runtime:
    """Open a program in the engine for `suffix`.

    Args:
        suffix: File ending, such as ``.onnx``.
        program: What to open. Its hash must have been checked: native parsers are not hardened.
        **options: The adapter's own keyword options, such as `threads` or `providers`.

    Raises:
        UsageError: The adapter has no such option.
        EngineError: The package is missing, the device is not there, or the engine refused.
    """
    entry = entry_for(suffix)
    adapter = entry.load()
    known = [p for p in inspect.signature(adapter).parameters if p != "program"]
    for option in options:
        if option not in known:
            raise UsageError(
                f"Runtime option '{option}'",
                got=f"it for {entry.name}",
                expected=f"one of {known}",
                fix="Remove it, or choose the artifact whose engine has it.",
            )
    return adapter(program, **options)  # type: ignore[call-arg]
