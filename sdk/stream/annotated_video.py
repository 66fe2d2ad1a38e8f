"""A video of frames with their results drawn on them."""

from __future__ import annotations

import os
import secrets
import threading
from pathlib import Path
from types import TracebackType

from runtimes import EdgewrightError, UsageError
from runtimes.errors import first_line
from sdk.stream.feed import Feed
from sdk.stream.frame import Frame
from sdk.stream.overlay import draw_on_frame
from sdk.stream.video_encoder import FORMATS, VideoEncoder

_WAITING = 4


class AnnotatedVideo:
    """Draws and encodes frames on a thread of its own; a context manager.

    The file appears when the block ends without an error, and not at all otherwise, or without frames. Frames
    keep their times, also uneven ones. Odd widths and heights grow by a black pixel. There is no sound.

    Args:
        path: What to write; its suffix is one of `video_encoder.FORMATS`.
        rate: Frames per second that the quality is planned for, such as `Stream.rate`; 25 where unknown.

    Raises:
        UsageError: The suffix is another or the file is there already; on entering, if nothing can be written
            there.
        InputError: On entering, if PyAV is not installed.
    """

    def __init__(self, path: str | os.PathLike[str], rate: float | None = None) -> None:
        self.path = Path(path)
        self._name = f"Video {self.path.name!r}"
        _require_new(self.path, self._name)
        # A leading dot: folders that are listed do not show what a killed process left.
        self._part = self.path.with_name(f".{self.path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
        self._rate = rate
        self._feed: Feed[Frame] = Feed(_WAITING)
        self._error: EdgewrightError | None = None

    @property
    def encoder(self) -> str:
        """FFmpeg's name of the encoder."""
        return self._encoder.encoder

    def write(self, frame: Frame) -> None:
        """Add a frame; waits while four others are still to be drawn.

        Raises:
            InputError: A frame has another size than the first, or no time.
            UsageError: The file cannot be written to its end.
        """
        if not self._feed.put(frame):
            self._thread.join()
            raise self._error or UsageError(
                self._name, got="a frame after the end", expected="an open video", fix="Write before closing."
            )

    def __enter__(self) -> AnnotatedVideo:
        try:
            self._part.touch(exist_ok=False)  # FFmpeg would look at the folder with the first frame only
            kind = FORMATS[self.path.suffix.lower()]
            self._encoder = VideoEncoder(self._part, kind, self._rate, self._name)
        except EdgewrightError:
            self._part.unlink()
            raise
        except OSError as error:
            raise self._unwritable(error) from error
        self._thread = threading.Thread(target=self._encode, name="edgewright-video", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        complete = error is None
        try:
            (self._feed.finish if complete else self._feed.close)()
            self._thread.join()
            if complete and self._error:
                raise self._error
            if complete and self._feed.count:
                self._part.replace(self.path)
        finally:
            self._part.unlink(missing_ok=True)

    def _encode(self) -> None:
        """What the thread does. Whatever fails is told to the thread that writes."""
        try:
            for frame in self._feed.taken():
                self._encoder.add(draw_on_frame(frame.result), frame.time_s)
            self._encoder.finish()
        except EdgewrightError as error:
            self._error = error
        except Exception as error:  # noqa: BLE001 - FFmpeg's errors have many types
            self._error = self._unwritable(error)
        finally:
            self._feed.close()
            self._encoder.abandon()

    def _unwritable(self, error: Exception) -> UsageError:
        return UsageError(
            self._name,
            got=f"{getattr(error, 'strerror', None) or first_line(error)} while writing",
            expected="a folder that can be written to",
            fix="Create the folder, free some space, or choose another with --out.",
        )


def _require_new(path: Path, name: str) -> None:
    if path.suffix.lower() not in FORMATS:
        raise UsageError(
            name,
            got=f"the suffix {path.suffix!r}",
            expected=f"one of {', '.join(sorted(FORMATS))}",
            fix="Choose a container that keeps the times of frames.",
        )
    if path.exists():
        raise UsageError(
            f"Output {path.name!r}",
            got="a file that is there already",
            expected="a new name",
            fix="Choose another --out, or move it away.",
        )
