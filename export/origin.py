"""The uncompressed checkpoint behind a pruned or retrained one: what accuracy and speed are compared with."""

from __future__ import annotations

from pathlib import Path

from export.candidate import HERITAGE
from runtimes import EdgewrightError, UsageError
from sdk.artifact import Artifact, read_artifact


def find_origin(checkpoint: Artifact, parent: Path | None) -> Artifact:
    """The checkpoint that `checkpoint` was compressed from; itself where it was not.

    Args:
        checkpoint: What is exported.
        parent: Where its parent lies; None looks through the checkpoint's own folder and the one above.

    Raises:
        UsageError: It was compressed, and its parent cannot be found; or `parent` is another checkpoint.
    """
    digest = checkpoint.manifest.evidence.parent_sha256
    compressed = any(key in checkpoint.manifest.evidence.facts for key in HERITAGE)
    if parent is not None:
        found = read_artifact(parent)
        if digest is not None and found.manifest.payload_sha256 != digest:
            raise UsageError(
                "Option --parent",
                got=f"{found.path.name!r}, another checkpoint",
                expected=f"the one that {checkpoint.path.name!r} was made from (SHA-256 {digest[:12]}…)",
                fix="Name the right file.",
            )
        return found
    if not compressed or digest is None:
        return checkpoint
    for path in _neighbours(checkpoint.path):
        try:
            candidate = read_artifact(path)
        except EdgewrightError:
            continue
        if candidate.manifest.payload_sha256 == digest:
            return candidate
    raise UsageError(
        f"Checkpoint {checkpoint.path.name!r}",
        got="a compressed one whose parent is not beside it",
        expected=f"the checkpoint it was made from (SHA-256 {digest[:12]}…), to compare with",
        fix="Name it: --parent FILE.safetensors.",
    )


def _neighbours(path: Path) -> list[Path]:
    folder = path.resolve().parent
    return [
        other
        for place in (folder, folder.parent)
        for other in sorted(place.glob("*.safetensors"))
        if other != path.resolve()
    ]
