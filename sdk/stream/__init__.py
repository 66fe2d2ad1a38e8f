"""Prediction on video: files, addresses, cameras and folders, frame by frame."""

from sdk.stream.frame import Frame
from sdk.stream.sources import SourceOptions, is_stream, open_source
from sdk.stream.stream import Stream, open_stream

__all__ = ["Frame", "SourceOptions", "Stream", "is_stream", "open_source", "open_stream"]
