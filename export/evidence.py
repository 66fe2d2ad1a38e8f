"""The facts that every artifact records about how it was made."""

from __future__ import annotations

from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = (
    "edgewright",
    "torch",
    "torchvision",
    "onnx",
    "onnxruntime",
    "executorch",
    "tensorrt",
    "tensorrt_rtx_cu13",
    "numpy",
    "pillow",
)


def now_utc() -> str:
    """The time as ISO 8601 in UTC, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def tool_versions() -> dict[str, str]:
    """Versions of the packages that shape an artifact, where installed."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
