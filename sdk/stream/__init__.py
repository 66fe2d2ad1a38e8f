"""Prediction on video: files, addresses, cameras and folders, frame by frame."""

from sdk.stream.annotated_video import VIDEO_OUT_SUFFIXES, AnnotatedVideo
from sdk.stream.frame import Frame
from sdk.stream.sources import SourceOptions, is_stream, open_source, shown_address
from sdk.stream.stream import Stream, open_stream

__all__ = [
    "VIDEO_OUT_SUFFIXES",
    "AnnotatedVideo",
    "Frame",
    "SourceOptions",
    "Stream",
    "is_stream",
    "open_source",
    "open_stream",
    "shown_address",
]
