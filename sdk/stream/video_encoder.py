"""Pictures with times to an encoded file, through PyAV (FFmpeg's libraries)."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtimes import InputError, UsageError
from sdk.stream.video_source import video_library

if TYPE_CHECKING:
    from PIL import Image

FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
"""FFmpeg's container by suffix: those that hold frames at uneven times."""
_H264 = {"crf": "20", "preset": "veryfast"}
_VP9 = {"crf": "32", "b": "0", "deadline": "realtime", "cpu-used": "6", "row-mt": "1"}
_ENCODERS = {
    "webm": (("libvpx-vp9", _VP9),),
    # Not every build of FFmpeg has x264.
    "": (("libx264", _H264), ("libopenh264", {"b": "4000000"}), ("mpeg4", {"b": "4000000"})),
}
"""By container (else ""), the first that is there; `VideoEncoder.encoder` says which that was."""
_TICKS = 90_000
"""A second, as in MPEG: frames at 24, 25, 29.97, 30, 50, 59.94 and 60 a second fall on whole ticks."""
_USUAL_RATE = 25


class VideoEncoder:
    """Encodes pictures in order. Used by one thread.

    Args:
        path: The file to write.
        kind: One of the values of `FORMATS`.
        rate: Frames per second that the quality is planned for; the times of frames do not depend on it.
        name: What messages call the video.
    """

    def __init__(self, path: Path, kind: str, rate: float | None, name: str) -> None:
        self._av = video_library(name)
        self._name = name
        self._rate = Fraction(rate or _USUAL_RATE).limit_denominator(1001)
        self._track: Any = None
        self._last_tick = -1
        choices = _ENCODERS.get(kind, _ENCODERS[""])
        there = [choice for choice in choices if choice[0] in self._av.codecs_available]
        if not there:
            raise UsageError(
                name,
                got="an FFmpeg without a fitting encoder",
                expected=f"one of {', '.join(choice[0] for choice in choices)}",
                fix="Install PyAV's own wheel: pip install --force-reinstall av.",
            )
        self.encoder, self._options = there[0]
        self._container = self._av.open(str(path), "w", format=kind)

    def add(self, image: Image.Image, time_s: float | None) -> None:
        """Encode one picture.

        Args:
            image: RGB; all of one size.
            time_s: When it is shown. One that does not go forward is moved to a tick after the one before.

        Raises:
            InputError: It has another size than the first, or no time.
        """
        if time_s is None:
            raise self._refused("a frame without a time", "frames of a video", "Save pictures one by one.")
        if self._track is None:
            self._begin(image.size)
        if image.size != self._size:
            raise self._refused(
                f"a frame of {image.width}×{image.height} px",
                f"{self._size[0]}×{self._size[1]} px like those before",
                "Write a new file where the size changes.",
            )
        frame = self._av.VideoFrame.from_image(_even(image))
        self._last_tick = max(self._last_tick + 1, round(time_s * _TICKS))
        frame.pts, frame.time_base = self._last_tick, Fraction(1, _TICKS)
        self._container.mux(self._track.encode(frame))

    def finish(self) -> None:
        """Encode what the encoder still holds, and complete the file."""
        if self._track is not None:
            self._container.mux(self._track.encode(None))
        self._container.close()

    def abandon(self) -> None:
        """Close the file as it is."""
        self._container.close()

    def _begin(self, size_wh: tuple[int, int]) -> None:
        self._size = size_wh
        track = self._container.add_stream(self.encoder, rate=self._rate, options=self._options)
        track.width, track.height = (side + side % 2 for side in size_wh)
        track.pix_fmt = "yuv420p"
        track.time_base = track.codec_context.time_base = Fraction(1, _TICKS)
        self._track = track

    def _refused(self, got: str, expected: str, fix: str) -> InputError:
        return InputError(self._name, got=got, expected=expected, fix=fix)


def _even(image: Image.Image) -> Image.Image:
    """With a black column or row more where a side is odd: the usual pixel format halves its colours."""
    width, height = (side + side % 2 for side in image.size)
    return image if image.size == (width, height) else image.crop((0, 0, width, height))
