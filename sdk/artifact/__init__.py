"""One artifact is one file: payload, contract and proof. Reading checks the hash before anything parses."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from runtimes import ArtifactError, Program, entry_for
from sdk.artifact.manifest import IMPORTED, MANIFEST_VERSION, NOT_RUN, PROVED, TRAINED, Manifest
from sdk.artifact.sealed import Parts, damaged, read_bytes, sha256
from sdk.spec import Spec

if TYPE_CHECKING:
    from sdk.artifact.evidence import Evidence as Evidence
    from sdk.artifact.evidence import GoldenSample as GoldenSample
    from sdk.artifact.evidence import Metric as Metric
    from sdk.artifact.evidence import Parity as Parity
    from sdk.artifact.evidence import StoredArray as StoredArray

__all__ = [
    "IMPORTED",
    "MANIFEST_VERSION",
    "NOT_RUN",
    "PROVED",
    "TRAINED",
    "Artifact",
    "Evidence",
    "GoldenSample",
    "Manifest",
    "Metric",
    "Parity",
    "StoredArray",
    "read_artifact",
    "write_artifact",
]

_PROOF = ("Evidence", "GoldenSample", "Metric", "Parity", "StoredArray")


def __getattr__(name: str) -> Any:
    """Import the classes of the proof when they are first asked for: predicting needs none of them."""
    if name not in _PROOF:
        raise AttributeError(f"module 'sdk.artifact' has no attribute {name!r}")
    from sdk.artifact import evidence

    return getattr(evidence, name)


_FORMATS: dict[str, str] = {
    ".onnx": "sdk.artifact.onnx_file",
    ".pte": "sdk.artifact.pte_file",
    ".trt": "sdk.artifact.engine_file",
    ".engine": "sdk.artifact.engine_file",
    ".safetensors": "sdk.artifact.safetensors_file",
    ".fake": "sdk.artifact.engine_file",
}


@dataclass(frozen=True)
class Artifact:
    """A file whose hashes were checked.

    Attributes:
        path: Where it was read.
        manifest: Its contract and proof.
        size_bytes: Size of the whole file.
        parts: The file's bytes; None once they were let go.
    """

    path: Path
    manifest: Manifest
    size_bytes: int
    parts: Parts | None = field(repr=False, compare=False)

    @property
    def spec(self) -> Spec:
        """The contract."""
        return self.manifest.spec

    @property
    def suffix(self) -> str:
        """Lower-case file ending with its dot."""
        return self.path.suffix.lower()

    @property
    def payload(self) -> bytes:
        """The engine's own bytes, without the contract; a copy.

        Raises:
            ArtifactError: The bytes were let go, and the file is no longer the one that was read.
        """
        return self._bytes().payload

    def program(self, graph: str | None = None) -> Program:
        """What a runtime opens for one of the graphs: the first, unless another is named.

        Raises:
            ArtifactError: As `payload`.
            SpecError: There is no such graph.
        """
        program = self.program_at(None, graph)
        return replace(program, data=program.read())

    def program_at(self, path: str | None, graph: str | None = None) -> Program:
        """One of the graphs for an engine that reads the file at `path`, a verified one, by itself."""
        signature, network = self.spec.graph(graph), self.spec.network
        told = {"name": network.name, "arguments": network.arguments}

        def read() -> bytes:
            first = signature is self.spec.graph()
            data: bytes = _format_for(self.path).graph_of(self._bytes().program, signature.name, first)
            return data

        return Program(b"", signature.name, signature.inputs, signature.outputs, told, path, read)

    def let_go(self) -> Artifact:
        """The same without the file's bytes, once an engine has them; they are read again when asked for."""
        return replace(self, parts=None)

    def _bytes(self) -> Parts:
        if self.parts is not None:
            return self.parts
        again = read_artifact(self.path)
        if again.manifest.payload_sha256 != self.manifest.payload_sha256 or again.parts is None:
            raise damaged(self.path.name)
        return again.parts


def read_artifact(path: str | os.PathLike[str]) -> Artifact:
    """Read an artifact and check that it is, byte for byte, what was written.

    Args:
        path: A file ending in one of the runtimes' suffixes.

    Raises:
        ArtifactError: Missing, of an unknown suffix, without a contract, truncated or altered.
        SpecError: Written by another version.
    """
    path = Path(path)
    layout = _format_for(path)
    data = read_bytes(path)
    parts = layout.split(data, path.name)
    if parts is None:
        raise ArtifactError(
            f"Artifact {path.name!r}",
            got=f"{len(data)} bytes without a complete Edgewright contract",
            expected="a whole file written by `edgewright export`, `build` or `train`",
            fix="Copy it again if it was cut short; export the checkpoint if another tool wrote it.",
        )
    manifest = Manifest.from_bytes(parts.manifest, f"Artifact {path.name!r}")
    # The engine is handed these very bytes and not the path: between a check and a second reading the file
    # could become another one.
    if sha256(*parts.pieces) != manifest.payload_sha256:
        raise damaged(path.name)
    return Artifact(path, manifest, len(data), parts)


def write_artifact(path: str | os.PathLike[str], payload: bytes, manifest: Manifest) -> Artifact:
    """Write payload and manifest as one file, atomically.

    Args:
        path: Final name; its suffix decides the format.
        payload: The engine's own bytes. A `.pte` must hold the blank of `pte_file.reserve`.
        manifest: Its `payload_sha256` is set here, whatever it was.

    Returns:
        The artifact as `read_artifact` would give it.

    Raises:
        ArtifactError: Unknown suffix, or a payload that cannot hold the manifest.
        UsageError: The folder cannot be written to.
    """
    from sdk.atomic_write import atomic_write  # not needed to predict

    path = Path(path)
    layout = _format_for(path)
    payload = layout.canonical(payload)
    manifest = replace(manifest, payload_sha256=sha256(payload))
    data = layout.join(payload, manifest.to_bytes())
    atomic_write(path, data)
    return Artifact(path, manifest, len(data), Parts((payload,), manifest.to_bytes(), payload))


def _format_for(path: Path) -> ModuleType:
    entry_for(path.suffix)  # the one place that names the known suffixes
    return import_module(_FORMATS[path.suffix.lower()])
