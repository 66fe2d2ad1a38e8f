"""One artifact is one file: payload, contract and proof. Reading checks the hash before anything parses."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

from runtimes import MAIN_GRAPH, ArtifactError, Program, entry_for
from sdk.artifact import engine_file, onnx_file, pte_file, safetensors_file
from sdk.artifact.manifest import (
    MANIFEST_VERSION,
    NOT_RUN,
    PROVED,
    TRAINED,
    Evidence,
    GoldenSample,
    Manifest,
    Metric,
    Parity,
    StoredArray,
)
from sdk.artifact.sealed import damaged, sha256
from sdk.atomic_write import atomic_write
from sdk.spec import Spec

__all__ = [
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

_FORMATS: dict[str, ModuleType] = {
    ".onnx": onnx_file,
    ".pte": pte_file,
    ".trt": engine_file,
    ".engine": engine_file,
    ".safetensors": safetensors_file,
    ".fake": engine_file,
}


@dataclass(frozen=True)
class Artifact:
    """A file whose hashes were checked.

    Attributes:
        path: Where it was read.
        manifest: Its contract and proof.
        payload: What its engine opens.
        size_bytes: Size of the whole file.
    """

    path: Path
    manifest: Manifest
    payload: bytes
    size_bytes: int

    @property
    def spec(self) -> Spec:
        """The contract."""
        return self.manifest.spec

    @property
    def suffix(self) -> str:
        """Lower-case file ending with its dot."""
        return self.path.suffix.lower()

    def program(self, graph: str = MAIN_GRAPH) -> Program:
        """What a runtime opens for one of the graphs."""
        signature = self.spec.graph(graph)
        network = {"name": self.spec.network.name, "arguments": self.spec.network.arguments}
        return Program(self.payload, graph, signature.inputs, signature.outputs, network)


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
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ArtifactError(
            f"Artifact {path.name!r}",
            got=error.strerror or str(error),
            expected="a readable file",
            fix="Check the path.",
        ) from error
    parts = layout.split(data, path.name)
    if parts is None:
        raise ArtifactError(
            f"Artifact {path.name!r}",
            got=f"{len(data)} bytes without a complete Edgewright contract",
            expected="a whole file written by `edgewright export`, `build` or `train`",
            fix="Copy it again if it was cut short; export the checkpoint if another tool wrote it.",
        )
    manifest = Manifest.from_bytes(parts.manifest, f"Artifact {path.name!r}")
    if sha256(parts.payload) != manifest.payload_sha256:
        raise damaged(path.name)
    return Artifact(path, manifest, parts.payload, len(data))


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
    path = Path(path)
    layout = _format_for(path)
    payload = layout.canonical(payload)
    manifest = replace(manifest, payload_sha256=sha256(payload))
    data = layout.join(payload, manifest.to_bytes())
    atomic_write(path, data)
    return Artifact(path, manifest, payload, len(data))


def _format_for(path: Path) -> ModuleType:
    entry_for(path.suffix)  # the one place that names the known suffixes
    return _FORMATS[path.suffix.lower()]
