"""Where frames come from: a file, an address, a camera, or a folder of pictures."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from runtimes import InputError, UsageError
from sdk.input_files import files_in, item_of
from sdk.stream.frame import Shot
from sdk.stream.names import camera_number, is_address, shown_address


class Source(ABC):
    """Gives frames, once, in order. Opened by one thread and then used by another.

    Attributes:
        name: What messages call it; an address without its user, password and query.
        live: Whether its frames come whether or not anybody is ready for them.
        size_wh: Width and height of a frame in pixels as stored; None where they differ.
        rate: Frames per second as the source states it; None where it does not.
        total: How many frames there are; None where that is not known.
        damaged: How many damaged ones were left out so far.
        ended: Why there are no more frames; None while there are.
    """

    name: str
    live: bool = False
    size_wh: tuple[int, int] | None = None
    rate: float | None = None
    total: int | None = None
    damaged: int = 0
    ended: str | None = None

    @abstractmethod
    def shots(self) -> Iterator[Shot]:
        """The frames.

        Raises:
            InputError: The source is damaged, or gave no frame at all.
        """

    @abstractmethod
    def close(self) -> None:
        """Give back what it holds."""


@dataclass(frozen=True)
class SourceOptions:
    """How a source is opened.

    Attributes:
        live: Whether only the newest frame counts; None: for cameras, and for addresses that state no length.
        timeout_s: Seconds without any data after which a camera or an address counts as gone.
        skip_damaged: Leave damaged frames of a file out and count them, instead of an error at the first.
        library: Options of FFmpeg's readers, such as ``{"video_size": "1280x720"}`` for a camera.
    """

    live: bool | None = None
    timeout_s: float = 10.0
    skip_damaged: bool = False
    library: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.timeout_s > 0:
            raise UsageError(
                "Option 'timeout_s'",
                got=repr(self.timeout_s),
                expected="a positive number of seconds",
                fix="Leave it out for 10.",
            )


def open_source(source: str | os.PathLike[str] | int, options: SourceOptions) -> Source:
    """Open what `source` names.

    Args:
        source: A number, ``camera:0`` or ``/dev/video0`` for a camera; an address such as
            ``rtsp://host/path``; else the path of a video file or of a folder of pictures.
        options: How.

    Raises:
        InputError: It is not there, is no video, or has no pictures in it.
    """
    from sdk.stream.video_source import open_address, open_camera, open_file

    if isinstance(source, int) and not isinstance(source, bool):
        return open_camera(source, options)
    if not isinstance(source, (str, os.PathLike)):
        raise InputError(
            "Stream",
            got=type(source).__name__,
            expected="a path, an address, or a camera's number",
            fix="Pass a single picture to predict() instead.",
        )
    text = os.fspath(source)
    camera = camera_number(text)
    if camera is not None:
        return open_camera(camera, options)
    if isinstance(source, str) and is_address(text):
        return open_address(text, shown_address(text), options)
    path = Path(text)
    return PictureSource(path) if path.is_dir() else open_file(path, options)


class PictureSource(Source):
    """The files of a folder in name order, each read as `Predictor.predict` would."""

    def __init__(self, folder: Path) -> None:
        self.name = folder.name
        self._paths = files_in([folder])
        self.total = len(self._paths)

    def shots(self) -> Iterator[Shot]:
        """One per file, without a time."""
        for index, path in enumerate(self._paths):
            yield Shot(index, None, partial(item_of, path))
        self.ended = "end of folder"

    def close(self) -> None:
        """Nothing is held."""
