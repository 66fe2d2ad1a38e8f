"""The manifest: what an artifact says of itself. Spec, golden samples, evidence, payload hash."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runtimes import ArtifactError, SpecError
from sdk.codec import read_value, require_keys, to_json
from sdk.spec import Spec

if TYPE_CHECKING:
    from sdk.artifact.evidence import Evidence, GoldenSample
    from sdk.monitor.reference import Reference

MANIFEST_VERSION = 4
_WITHOUT_REFERENCE = 3
"""The version before: the same, but for the reference. Its artifacts are read on."""

TRAINED = "trained"
PROVED = "proved"
NOT_RUN = "built, not run"
IMPORTED = "imported, not measured"
_KEYS = ("version", "spec", "samples", "evidence", "payload_sha256", "reference")
_LABEL_DIGITS = 12
_LATER = ("samples", "evidence", "reference")


@dataclass(frozen=True)
class Manifest:
    """Everything an artifact says of itself.

    One that was read reads its samples, evidence and reference, as strictly as all else, when it is asked for
    them: the proof is large, and predicting does without it.

    Attributes:
        version: `MANIFEST_VERSION`.
        spec: The contract.
        samples: Golden samples.
        evidence: What was measured.
        payload_sha256: Of the program.
        reference: What inputs and answers looked like where it was proved, to tell drift from; None where
            nobody looked.
    """

    version: int
    spec: Spec
    samples: tuple[GoldenSample, ...]
    evidence: Evidence
    payload_sha256: str
    reference: Reference | None = field(default_factory=lambda: None)
    """None by a factory: a plain default would be an attribute of the class, and hide what is read later."""

    @property
    def label(self) -> str:
        """What people and servers call this version: the head of its hash."""
        return self.payload_sha256[:_LABEL_DIGITS] or "unsealed"

    def to_bytes(self) -> bytes:
        """Compact JSON, ASCII only, so that it can live inside any of the formats."""
        return json.dumps(to_json(self), separators=(",", ":"), ensure_ascii=True).encode()

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> Manifest:
        """Read what `to_bytes` wrote.

        Raises:
            ArtifactError: Not JSON.
            SpecError: Another version, or a field that does not fit; for samples, evidence and reference,
                when they are asked for.
        """
        try:
            tree = json.loads(data)
        except ValueError as error:
            raise ArtifactError(
                where, got="a manifest that is not JSON", expected="JSON", fix="Export the checkpoint again."
            ) from error
        version = tree.get("version") if isinstance(tree, dict) else None
        if version == _WITHOUT_REFERENCE:
            tree = {**tree, "reference": None}
        elif version != MANIFEST_VERSION:
            raise SpecError(
                f"{where}: manifest.version",
                got=repr(version),
                expected=str(MANIFEST_VERSION),
                fix="Use the Edgewright version that wrote it, or export again.",
            )
        require_keys(_KEYS, tree, "manifest")
        manifest = cls.__new__(cls)
        vars(manifest).update(
            version=MANIFEST_VERSION,
            spec=Spec.from_json(tree["spec"], "manifest.spec"),
            payload_sha256=read_value(str, tree["payload_sha256"], "manifest.payload_sha256"),
            _later={name: tree[name] for name in _LATER},
        )
        return manifest

    if not TYPE_CHECKING:  # type checkers know the fields, and would take any misspelt name for one

        def __getattr__(self, name: str) -> Any:
            # Called for what is not there yet.
            later = vars(self).get("_later", {})
            if name not in later:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            value = read_value(_kind_of(name), later[name], f"manifest.{name}")
            vars(self)[name] = value
            return value


def _kind_of(name: str) -> Any:
    """The type of what is read later."""
    if name == "reference":
        from sdk.monitor.reference import Reference

        return Reference | None
    from sdk.artifact.evidence import Evidence, GoldenSample

    return tuple[GoldenSample, ...] if name == "samples" else Evidence
