"""Video through PyAV (FFmpeg's libraries): files, addresses and cameras."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtimes import InputError
from runtimes.errors import first_line
from sdk.stream.frame import Shot
from sdk.stream.sources import Source, SourceOptions

if TYPE_CHECKING:
    from PIL import Image

_DEVICES = Path("/dev")
_FILE_OPTIONS = {"protocol_whitelist": "file,crypto,data"}
"""A playlist from disk may name addresses; a file is read from disk alone."""
_ADDRESS_OPTIONS = {
    # FFmpeg's own defaults look at five seconds of a stream before its first frame.
    "analyzeduration": "1000000",
    # RTP over UDP loses packets on busy networks without a word.
    "rtsp_transport": "tcp",
}
_UNTIMED = ("mpjpeg", "mjpeg")
"""Formats without times, for which FFmpeg makes up 25 frames a second: live, the clock knows better."""
_ASSUMED_RATE = 25.0
"""Of raw video that states neither times nor a rate; FFmpeg assumes the same."""


def open_file(path: Path, options: SourceOptions) -> Source:
    """Open a video file.

    Raises:
        InputError: It is not there, is no video, or is damaged at its beginning.
    """
    name = f"Video {path.name!r}"
    if not path.exists():
        raise InputError(
            name, got="No such file or directory", expected="a file that can be read", fix="Check the path."
        )
    # With a protocol in front, a colon in the name is not taken for one.
    container = _open(name, f"file:{path}", None, {**_FILE_OPTIONS, **options.library}, None)
    return VideoSource(name, container, options, live=bool(options.live))


def open_address(address: str, shown: str, options: SourceOptions) -> Source:
    """Open an address such as ``rtsp://…`` or ``http://…``; without a stated length it is live.

    Raises:
        InputError: Nothing answers, or what answers is no video.
    """
    name = f"Stream {shown!r}"
    wanted = {**_ADDRESS_OPTIONS, **options.library}
    container = _open(name, address, None, wanted, options.timeout_s)
    live = container.duration is None if options.live is None else options.live
    return VideoSource(name, container, options, live=live)


def open_camera(number: int, options: SourceOptions) -> Source:
    """Open a camera of this machine through Video4Linux.

    Raises:
        InputError: There is none with this number, or another program holds it.
    """
    name, device = f"Camera {number}", _DEVICES / f"video{number}"
    if not device.exists():
        raise InputError(
            name,
            got=f"no {device}",
            expected="a camera that Linux knows",
            fix="Plug it in, or list those that are there with: ls /dev/video*.",
        )
    container = _open(name, str(device), "v4l2", dict(options.library), options.timeout_s)
    return VideoSource(name, container, options, live=options.live is not False)


class VideoSource(Source):
    """The first video track of an opened container."""

    def __init__(self, name: str, container: Any, options: SourceOptions, *, live: bool) -> None:
        self.name = name
        self.live = live
        self._container = container
        self._timeout_s = options.timeout_s
        self._strict = not live and not options.skip_damaged
        try:
            self._track = _track(name, container)
        except InputError:
            container.close()
            raise
        self._done = 0
        self._untimed = live and container.format.name in _UNTIMED
        self._base_pts: int | None = None
        self._base_s, self._begun_clock_s = 0.0, 0.0
        context = self._track.codec_context
        self.size_wh = (context.width, context.height)
        rate = self._track.average_rate or self._track.guessed_rate
        self.rate = float(rate) if rate else None
        self.total = None if live else self._track.frames or None
        # Threads that share one frame add no delay; those that each decode another add a frame apiece.
        self._track.thread_type = "SLICE" if live else "AUTO"
        if self._strict:
            context.options = {"err_detect": "explode"}

    def shots(self) -> Iterator[Shot]:
        """Frames in the order in which they are shown."""
        for frame in self._frames():
            yield Shot(self._done, self._seconds(frame), partial(_picture, frame))
            self._done += 1
        if not self._done:
            raise self._damage(f"no frames ({self.ended})")

    def close(self) -> None:
        """Close the file, the connection or the camera."""
        self._container.close()

    def _frames(self) -> Iterator[Any]:
        """Decoded frames without the damaged ones, the first of which ends a file read strictly."""
        from av.error import FFmpegError

        begun = self.live
        for packet in self._packets():
            # A recording may begin in the middle: what precedes its first whole picture needs what is not
            # there. Of a live source the decoder sees to that, as some never send a whole picture.
            begun = begun or packet.is_keyframe or packet.size == 0
            if packet.is_corrupt and self._strict:
                raise self._damage("damaged data")
            try:
                frames = packet.decode() if begun else []
            except FFmpegError as error:
                self._leave_out(error)
                continue
            for frame in frames:
                if frame.is_corrupt:
                    self._leave_out(None)
                else:
                    yield frame

    def _packets(self) -> Iterator[Any]:
        """Packets until the end, and last the empty one that asks the decoder for what it still holds."""
        from av.error import ExitError, FFmpegError

        try:
            yield from self._container.demux(self._track)
            self.ended = "end of stream"
        except ExitError as error:
            self.ended = f"nothing received for {self._timeout_s:g} s"
            if self._strict:
                raise self._damage(self.ended) from error
        except FFmpegError as error:
            if self._strict:
                raise self._damage(f"damaged data ({_reason(error)})") from error
            self.ended = f"lost: {_reason(error)}"

    def _leave_out(self, error: Exception | None) -> None:
        if self._strict:
            raise self._damage(f"damaged data ({_reason(error)})" if error else "damaged data") from error
        self.damaged += 1

    def _damage(self, got: str) -> InputError:
        after = f" after {self._done} frames" if self._done else ""
        return InputError(
            self.name,
            got=got + after,
            expected="a video that can be decoded to its end",
            fix="Fetch or record it again."
            if not self._strict
            else "Fetch it again, or leave damaged frames out with skip_damaged (--skip-damaged).",
        )

    def _seconds(self, frame: Any) -> float:
        """Seconds since the first frame: by its own time, else by the clock (live), else by the rate."""
        if frame.pts is not None and not self._untimed:
            if self._base_pts is None:
                # RTP may time its first frames only afterwards.
                self._base_pts, self._base_s = frame.pts, self._seconds_without_times()
            return self._base_s + float((frame.pts - self._base_pts) * frame.time_base)
        return self._seconds_without_times()

    def _seconds_without_times(self) -> float:
        if not self.live:
            return self._done / (self.rate or _ASSUMED_RATE)
        now = time.monotonic()
        self._begun_clock_s = self._begun_clock_s or now
        return now - self._begun_clock_s


def _open(
    name: str, where: str, kind: str | None, library: Mapping[str, str], timeout_s: float | None
) -> Any:
    av = video_library(name)
    try:
        return av.open(where, format=kind, options=dict(library), timeout=timeout_s)
    except av.error.ExitError as error:
        raise InputError(
            name,
            got=f"no answer within {timeout_s:g} s",
            expected="a source that sends video",
            fix="Check that it is running, or wait longer with timeout_s.",
        ) from error
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise InputError(
            name,
            got=_reason(error),
            expected="video that FFmpeg can read",
            fix="Check the path or the address, and that it plays elsewhere.",
        ) from error


def _track(name: str, container: Any) -> Any:
    """The first video track that is no cover picture."""
    from av.stream import Disposition

    tracks = [t for t in container.streams.video if not t.disposition & Disposition.attached_pic]
    if not tracks:
        raise InputError(
            name, got="no video track", expected="at least one", fix="Choose a file that shows pictures."
        )
    if tracks[0].codec_context is None:
        raise InputError(
            name,
            got="a video track without a decoder here",
            expected="a codec that FFmpeg knows",
            fix="Fetch it again if it is damaged, or convert it, for example to H.264.",
        )
    return tracks[0]


def _picture(frame: Any) -> Image.Image:
    """A decoded frame as an upright RGB picture."""
    from PIL import Image

    image: Image.Image = frame.to_image()
    # The angle by which a player turns the picture, counterclockwise; phones write multiples of 90.
    turn = {90: Image.Transpose.ROTATE_90, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_270}
    angle = round(frame.rotation / 90) * 90 % 360
    return image.transpose(turn[angle]) if angle else image


def _reason(error: BaseException) -> str:
    """What FFmpeg says, without the address, which may hold a password."""
    said = getattr(error, "strerror", None)
    return str(said) if said else first_line(error)


def video_library(name: str) -> Any:
    """PyAV's package; `name` is what needs it."""
    try:
        import av
    except ImportError as error:
        raise InputError(
            name,
            got="no package 'av' (PyAV)",
            expected="it installed, for video",
            fix="Run: pip install 'edgewright[video]'.",
        ) from error
    return av
