"""Prediction on video: files, addresses, cameras and folders, frame by frame."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sdk.stream.annotated_video import AnnotatedVideo as AnnotatedVideo
    from sdk.stream.frame import Frame as Frame
    from sdk.stream.sources import Source as Source
    from sdk.stream.sources import SourceOptions as SourceOptions
    from sdk.stream.sources import open_source as open_source
    from sdk.stream.stream import Stream as Stream
    from sdk.stream.stream import open_stream as open_stream

__all__ = ["AnnotatedVideo", "Frame", "Source", "SourceOptions", "Stream", "open_source", "open_stream"]

_MODULES = {
    "AnnotatedVideo": "annotated_video",
    "Frame": "frame",
    "Source": "sources",
    "SourceOptions": "sources",
    "Stream": "stream",
    "open_source": "sources",
    "open_stream": "stream",
}


def __getattr__(name: str) -> Any:
    """Import a module when one of its names is first asked for: command lines need the least of them."""
    if name not in _MODULES:
        raise AttributeError(f"module 'sdk.stream' has no attribute {name!r}")
    return getattr(import_module(f"sdk.stream.{_MODULES[name]}"), name)
